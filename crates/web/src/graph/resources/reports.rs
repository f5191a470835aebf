//! What is known per device and per configuration: detected apps, states.

use muster_domain::roles::Permission;
use muster_service::documents::Kind;
use serde_json::{Map, Value};

use super::row;
use crate::{
    graph::{Answer, Call, bad, registry::Resource},
    problem::Problem,
};

use Permission::{ConfigurationRead, ManagedDevicesRead};

pub fn rows() -> Vec<Resource> {
    let device = "deviceManagement/managedDevices/{id}";
    let configuration = "deviceManagement/deviceConfigurations/{id}";
    vec![
        row!(GET format!("{device}/detectedApps"), Collection "detectedApp", ManagedDevicesRead, 0, "Apps seen on a device", apps_of_device),
        row!(GET format!("{device}/deviceConfigurationStates"), Collection "deviceConfigurationState", ManagedDevicesRead, 0, "What became of each configuration on a device", states),
        row!(GET format!("{device}/deviceConfigurationStates/{{state}}"), Entity "deviceConfigurationState", ManagedDevicesRead, 0, "What became of one configuration on a device", state),
        row!(GET format!("{device}/deviceConfigurationStates/{{state}}/settingStates"), Collection "deviceConfigurationSettingState", ManagedDevicesRead, 0, "What became of each setting of a configuration on a device", setting_states, beta),
        row!(GET "deviceManagement/detectedApps", Collection "detectedApp", ManagedDevicesRead, 0, "Apps seen on devices", apps),
        row!(GET "deviceManagement/detectedApps/{id}", Entity "detectedApp", ManagedDevicesRead, 0, "Read a detected app", app),
        row!(GET "deviceManagement/detectedApps/{id}/managedDevices", Collection "managedDevice", ManagedDevicesRead, 0, "Devices that have an app", devices),
        row!(GET format!("{configuration}/deviceStatuses"), Collection "deviceConfigurationDeviceStatus", ConfigurationRead, 0, "State of a configuration by device", statuses),
        row!(GET format!("{configuration}/deviceStatusOverview"), Entity "deviceConfigurationDeviceOverview", ConfigurationRead, 0, "State of a configuration in numbers", overview),
    ]
}

async fn apps_of_device(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::whole(call.app.service.apps_of_device(call.actor.tenant, call.id(0)?).await?))
}

async fn states(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::whole(call.app.service.configuration_states(call.actor.tenant, call.id(0)?).await?))
}

/// One of the device's states, by its id.
async fn found_state(call: &Call) -> Result<Map<String, Value>, Problem> {
    let all = call.app.service.configuration_states(call.actor.tenant, call.id(0)?).await?;
    let wanted = call.key(1);
    let found = all
        .into_iter()
        .find(|state| state.get("id").and_then(Value::as_str).is_some_and(|id| id.eq_ignore_ascii_case(wanted)));
    found.ok_or_else(|| call.unknown(wanted))
}

async fn state(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::entity(found_state(&call).await?))
}

async fn setting_states(call: Call) -> Result<Answer, Problem> {
    let states = match found_state(&call).await?.remove("settingStates") {
        Some(Value::Array(states)) => states,
        _ => Vec::new(),
    };
    let states = states.into_iter().filter_map(|state| match state {
        Value::Object(state) => Some(state),
        _ => None,
    });
    Ok(Answer::whole(states.collect()))
}

async fn apps(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::whole(call.app.service.detected_apps(call.actor.tenant).await?))
}

async fn app(call: Call) -> Result<Answer, Problem> {
    let id = call.id(0)?.to_string();
    let all = call.app.service.detected_apps(call.actor.tenant).await?;
    let found = all.into_iter().find(|app| app.get("id").and_then(Value::as_str) == Some(id.as_str()));
    found.map(Answer::entity).ok_or_else(|| call.unknown(call.key(0)))
}

async fn devices(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::whole(call.app.service.devices_with_app(call.actor.tenant, call.id(0)?).await?))
}

/// The configuration must be there before its states are.
async fn version(call: &Call) -> Result<i64, Problem> {
    let kind = Kind::of("deviceConfigurations").ok_or_else(|| bad("there are no configurations"))?;
    Ok(call.app.service.document(call.actor.tenant, kind, call.id(0)?).await?.version)
}

async fn statuses(call: Call) -> Result<Answer, Problem> {
    version(&call).await?;
    let found = call.app.service.device_statuses(call.actor.tenant, "deviceConfigurations", call.id(0)?).await?;
    Ok(Answer::whole(found))
}

async fn overview(call: Call) -> Result<Answer, Problem> {
    let version = version(&call).await?;
    let (tenant, id) = (call.actor.tenant, call.id(0)?);
    let found = call.app.service.device_status_overview(tenant, "deviceConfigurations", id, version).await?;
    Ok(Answer::entity(found))
}
