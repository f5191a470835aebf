//! managedDevices: lists, single reads, changes, links, verbs.

use axum::http::StatusCode;
use muster_domain::{actions::Verb, roles::Permission};
use muster_service::{
    Error,
    actions::{ActionRequest, Revealed},
    devices::{DeviceChange, DevicePage, DeviceQuery},
    documents::{self, Kind},
};
use serde_json::{Map, Value};

use super::row;
use crate::{
    graph::{
        Answer, Call, answer, bad, body,
        references::{Reference, reference},
        registry::Resource,
        types::table,
    },
    problem::Problem,
    routes::KIB,
};

const LIST: &str = "deviceManagement/managedDevices";
const ITEM: &str = "deviceManagement/managedDevices/{id}";
const READ: Permission = Permission::ManagedDevicesRead;
const WRITE: Permission = Permission::ManagedDevicesReadWrite;

/// Verbs that are POSTed, by Graph's name; `true` where v1.0 has it too.
const VERBS: &[(Verb, Permission, bool)] = &[
    (Verb::SyncDevice, Permission::ActionSyncDevice, true),
    (Verb::RemoteLock, Permission::ActionRemoteLock, true),
    (Verb::ResetPasscode, Permission::ActionResetPasscode, true),
    (Verb::RebootNow, Permission::ActionRebootNow, true),
    (Verb::ShutDown, Permission::ActionShutDown, true),
    (Verb::SetDeviceName, Permission::ActionSetDeviceName, false),
    (Verb::Retire, Permission::ActionRetire, true),
    (Verb::Wipe, Permission::ActionWipe, true),
    (Verb::SendCustomNotificationToCompanyPortal, Permission::ActionSendCustomNotification, false),
];

pub fn rows() -> Vec<Resource> {
    let mut rows = vec![
        row!(GET LIST, Collection "managedDevice", READ, 0, "List managed devices", list),
        row!(GET ITEM, Entity "managedDevice", READ, 0, "Read a managed device", get),
        row!(PATCH ITEM, Entity "managedDevice", WRITE, 64 * KIB, "Change owner type, notes or name of a device", patch),
        row!(DELETE ITEM, Entity "managedDevice", Permission::ActionDelete, 0, "Delete a device", delete),
        row!(GET format!("{ITEM}/deviceCategory"), Entity "deviceCategory", READ, 0, "The device's category", category),
        row!(PUT format!("{ITEM}/deviceCategory/$ref"), Operation "deviceCategory", WRITE, KIB, "Give a device a category", set_category),
        row!(DELETE format!("{ITEM}/deviceCategory/$ref"), Operation "deviceCategory", WRITE, 0, "Take a device's category away", clear_category),
        row!(GET format!("{ITEM}/users"), Collection "user", Permission::UserRead, 0, "The device's primary user", users),
        row!(POST format!("{ITEM}/users/$ref"), Operation "user", WRITE, KIB, "Set a device's primary user", set_user),
        row!(DELETE format!("{ITEM}/users/$ref"), Operation "user", WRITE, 0, "Take a device's primary user away", clear_user),
        row!(DELETE format!("{ITEM}/users/{{user}}/$ref"), Operation "user", WRITE, 0, "Take a device's primary user away", clear_user),
        row!(GET "users/{id}/managedDevices", Collection "managedDevice", READ, 0, "A user's managed devices", of_user),
        row!(GET "users/{id}/ownedDevices", Collection "managedDevice", READ, 0, "A user's devices in the directory", owned),
        row!(GET "users/{id}/registeredDevices", Collection "managedDevice", READ, 0, "A user's devices in the directory", owned),
        row!(GET "deviceManagement/managedDeviceOverview", Entity "managedDeviceOverview", READ, 0, "Counts of devices", overview),
        row!(GET "devices", Collection "device", Permission::DeviceRead, 0, "List the directory's devices", directory),
        row!(GET "devices/{id}", Entity "device", Permission::DeviceRead, 0, "Read a device of the directory", directory_device),
    ];
    for (verb, permission, v1) in VERBS {
        let name = verb.name();
        let mut row = row!(POST format!("{ITEM}/{name}"), Operation "managedDevice", *permission, 16 * KIB, format!("{name} of a device"), act);
        row.beta = !v1;
        rows.push(row);
    }
    rows
}

pub(super) fn query(call: &Call) -> DeviceQuery {
    DeviceQuery {
        filter: call.options.filter.clone().map(|filter| body::widen(filter, call.version)),
        search: call.options.search.clone(),
        order: call.options.order.first().cloned(),
        after: call.options.after.clone(),
        skip: call.options.skip,
        top: answer::top(&call.options),
        count: call.options.count,
        count_only: call.count_only,
        results: call.options.select.iter().any(|name| name == "deviceActionResults"),
        person: None,
    }
}

pub(super) fn paged(page: DevicePage) -> Answer {
    Answer::page(page.items, page.next, page.count)
}

async fn list(call: Call) -> Result<Answer, Problem> {
    let mut page = call.app.service.managed_devices(call.actor.tenant, query(&call)).await?;
    if call.options.select.iter().any(|name| name == HARDWARE) {
        page.items.iter_mut().for_each(add_hardware);
    }
    Ok(paged(page))
}

const HARDWARE: &str = "hardwareInformation";

/// Property of hardwareInformation -> property of the device, where the names differ.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("freeStorageSpace", "freeStorageSpaceInBytes"),
    ("totalStorageSpace", "totalStorageSpaceInBytes"),
    ("wifiMac", "wiFiMacAddress"),
];

/// Graph's hardwareInformation: the device's facts once more, on single reads and in lists that name it;
/// what is not known is null.
fn add_hardware(device: &mut Map<String, Value>) {
    let information = table().properties(HARDWARE).map(|property| {
        let other = OTHER_NAMES.iter().find(|(name, _)| *name == property.name).map(|(_, of)| *of);
        let empty = if property.collection { Value::Array(Vec::new()) } else { Value::Null };
        (property.name.clone(), device.get(other.unwrap_or(&property.name)).cloned().unwrap_or(empty))
    });
    let information = Value::Object(information.collect());
    device.insert(HARDWARE.to_owned(), information);
}

async fn of_user(call: Call) -> Result<Answer, Problem> {
    let person = call.app.service.person(call.actor.tenant, call.key(0)).await?;
    let query = DeviceQuery { person: Some(person.id), ..query(&call) };
    Ok(paged(call.app.service.managed_devices(call.actor.tenant, query).await?))
}

async fn owned(call: Call) -> Result<Answer, Problem> {
    let person = call.app.service.person(call.actor.tenant, call.key(0)).await?;
    let query = DeviceQuery { person: Some(person.id), ..query(&call) };
    Ok(paged(call.app.service.directory_devices(call.actor.tenant, query).await?))
}

async fn get(call: Call) -> Result<Answer, Problem> {
    let (mut device, version) = call.app.service.managed_device(call.actor.tenant, call.id(0)?).await?;
    add_hardware(&mut device);
    if call.options.select.iter().any(|name| name == "deviceActionResults") {
        unlock_pin(&call, &mut device).await?;
    }
    Ok(Answer::entity(device).with_version(version))
}

/// The PIN of a locked Mac stands in its action result for a reader who names the property and may
/// reveal secrets, audited; everywhere else it is null.
async fn unlock_pin(call: &Call, device: &mut Map<String, Value>) -> Result<(), Problem> {
    let results = device.get_mut("deviceActionResults").and_then(Value::as_array_mut);
    let Some(lock) = results.and_then(|all| all.iter_mut().find(|result| result["actionName"] == "remoteLock")) else {
        return Ok(());
    };
    lock["@odata.type"] = Value::from("#microsoft.graph.remoteLockActionResult");
    lock["unlockPin"] = match call.app.service.reveal(&call.actor, call.id(0)?, Revealed::LockPin).await {
        Ok(pin) => pin.map_or(Value::Null, |pin| Value::String(pin.expose().clone())),
        Err(Error::Refused(_)) => Value::Null,
        Err(error) => return Err(error.into()),
    };
    Ok(())
}

async fn patch(call: Call) -> Result<Answer, Problem> {
    let id = call.id(0)?;
    let sent = body::entity("managedDevice", call.body()?, body::Purpose::Patch, false)?;
    let change = DeviceChange::Properties(sent.properties);
    call.app.service.change_device(&call.actor, id, change, call.if_match).await?;
    let (device, version) = call.app.service.managed_device(call.actor.tenant, id).await?;
    Ok(Answer::entity(device).with_version(version))
}

async fn overview(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::entity(call.app.service.device_overview(call.actor.tenant).await?))
}

async fn directory(call: Call) -> Result<Answer, Problem> {
    Ok(paged(call.app.service.directory_devices(call.actor.tenant, query(&call)).await?))
}

async fn directory_device(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::entity(call.app.service.directory_device(call.actor.tenant, call.id(0)?).await?))
}

async fn category(call: Call) -> Result<Answer, Problem> {
    let (device, _) = call.app.service.managed_device(call.actor.tenant, call.id(0)?).await?;
    let name = device.get("deviceCategoryDisplayName").and_then(Value::as_str).unwrap_or_default().to_owned();
    let kind = Kind::of("deviceCategories").ok_or_else(|| bad("there are no categories"))?;
    let all = call.app.service.documents(call.actor.tenant, kind).await?;
    let found = all
        .iter()
        .find(|category| category.display_name == name)
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "ResourceNotFound", "this device has no category"))?;
    Ok(Answer::entity(documents::view(found)?))
}

async fn set_category(call: Call) -> Result<Answer, Problem> {
    let Reference { id, .. } = reference(call.body()?, &["deviceCategories"])?;
    let id = uuid::Uuid::try_parse(&id).map_err(|_| call.unknown(&id))?;
    // Consoles link the zero GUID to take the category away.
    let category = (!id.is_nil()).then_some(id);
    call.app.service.change_device(&call.actor, call.id(0)?, DeviceChange::Category(category), None).await?;
    Ok(Answer::none())
}

async fn clear_category(call: Call) -> Result<Answer, Problem> {
    call.app.service.change_device(&call.actor, call.id(0)?, DeviceChange::Category(None), None).await?;
    Ok(Answer::none())
}

async fn users(call: Call) -> Result<Answer, Problem> {
    let (device, _) = call.app.service.managed_device(call.actor.tenant, call.id(0)?).await?;
    let Some(user) = device.get("userId").and_then(Value::as_str) else { return Ok(Answer::whole(Vec::new())) };
    match call.app.service.person(call.actor.tenant, user).await {
        Ok(person) => Ok(Answer::whole(vec![muster_service::people::user_view(&person)])),
        // The user is gone, the device stays.
        Err(_) => Ok(Answer::whole(Vec::new())),
    }
}

async fn set_user(call: Call) -> Result<Answer, Problem> {
    let Reference { id, .. } = reference(call.body()?, &["users", "directoryObjects"])?;
    let person = call.app.service.person(call.actor.tenant, &id).await?;
    call.app.service.change_device(&call.actor, call.id(0)?, DeviceChange::User(Some(person.id)), None).await?;
    Ok(Answer::none())
}

async fn clear_user(call: Call) -> Result<Answer, Problem> {
    call.app.service.change_device(&call.actor, call.id(0)?, DeviceChange::User(None), None).await?;
    Ok(Answer::none())
}

async fn delete(call: Call) -> Result<Answer, Problem> {
    ask(&call, Verb::Delete).await
}

async fn act(call: Call) -> Result<Answer, Problem> {
    let name = call.resource.parts().last().unwrap_or_default();
    let verb = Verb::from_name(name).ok_or_else(|| bad("there is no such action"))?;
    ask(&call, verb).await
}

/// Hands a verb to the guard; what it holds is told in a header (design section 10, ruling 5).
async fn ask(call: &Call, verb: Verb) -> Result<Answer, Problem> {
    let request = ActionRequest {
        verb,
        parameters: parameters(call)?,
        override_personal: call.override_word.as_deref() == Some("personalDevice"),
    };
    let requested = call.app.service.request_action(&call.actor, call.id(0)?, request).await?;
    Ok(match requested.approval {
        Some(approval) => Answer::none().with_header("x-muster-approval", approval.to_string()),
        None => Answer::none(),
    })
}

/// The body of an action without annotations; no body is an empty one.
pub(super) fn parameters(call: &Call) -> Result<Map<String, Value>, Problem> {
    match &call.body {
        None => Ok(Map::new()),
        Some(Value::Object(map)) => {
            Ok(map.iter().filter(|(name, _)| !name.contains('@')).map(|(n, v)| (n.clone(), v.clone())).collect())
        }
        Some(_) => Err(bad("the body of an action is a JSON object")),
    }
}
