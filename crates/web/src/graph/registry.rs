//! The resource registry: every path below `/v1.0` and `/beta` as a data row. Dispatch, permissions,
//! `$expand`, OpenAPI and the access tests read the same rows.

use std::{future::Future, pin::Pin, sync::LazyLock};

use axum::http::{Method, StatusCode};
use muster_domain::roles::Permission;

use super::{
    Answer, Call, Version,
    address::{Address, Step},
    resources,
};
use crate::problem::Problem;

/// What a row answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A list of entities.
    Collection,
    /// One entity.
    Entity,
    /// An action, a function, a reference: nothing, or a value of its own.
    Operation,
}

/// A handler's future.
pub type Reply = Pin<Box<dyn Future<Output = Result<Answer, Problem>> + Send>>;

/// One row.
pub struct Resource {
    /// Method.
    pub method: Method,
    /// Path in Graph's spelling, `{id}` where a key stands.
    pub path: String,
    /// Only under `/beta`.
    pub beta: bool,
    /// What it answers.
    pub shape: Shape,
    /// Graph's type of the entity it is about.
    pub entity: &'static str,
    /// What a caller needs.
    pub permission: Permission,
    /// Most bytes of a body.
    pub body_limit: usize,
    /// One line for the OpenAPI document.
    pub summary: String,
    /// Handler.
    pub handler: fn(Call) -> Reply,
}

impl Resource {
    /// The path's parts.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.path.split('/')
    }

    /// The path with keys in it, as `@odata.context` and next links write it.
    pub fn filled(&self, keys: &[String]) -> String {
        let mut keys = keys.iter();
        self.parts()
            .map(|part| match part.starts_with('{') {
                true => keys.next().map_or("", String::as_str),
                false => part,
            })
            .collect::<Vec<_>>()
            .join("/")
    }
}

static REGISTRY: LazyLock<Vec<Resource>> = LazyLock::new(resources::all);

/// Every row.
pub fn registry() -> &'static [Resource] {
    &REGISTRY
}

/// A row and the keys of the address.
pub struct Match {
    /// The row.
    pub resource: &'static Resource,
    /// Keys in order.
    pub keys: Vec<String>,
    /// The address ended in `/$count`.
    pub count: bool,
}

fn fits(resource: &Resource, steps: &[Step], version: Version) -> Option<Vec<String>> {
    if resource.beta && version == Version::V1 {
        return None;
    }
    let mut keys = Vec::new();
    let mut parts = resource.parts();
    for step in steps {
        let part = parts.next()?;
        if part.starts_with('{') {
            keys.push(step.text.clone());
        } else if step.quoted || !part.eq_ignore_ascii_case(&step.text) {
            return None;
        }
    }
    parts.next().is_none().then_some(keys)
}

/// Parts that are names, more of them make the better match: `users/delta` before `users/{id}`.
fn fixed(resource: &Resource) -> usize {
    resource.parts().filter(|part| !part.starts_with('{')).count()
}

/// The row of an address.
pub fn find(method: &Method, address: &Address) -> Result<Match, Problem> {
    let count = address.steps.last().is_some_and(|step| !step.quoted && step.text.eq_ignore_ascii_case("$count"));
    let steps = if count { &address.steps[..address.steps.len() - 1] } else { &address.steps[..] };
    let mut best: Option<(usize, &'static Resource, Vec<String>)> = None;
    let mut others = Vec::new();
    for resource in registry() {
        let Some(keys) = fits(resource, steps, address.version) else { continue };
        let asked = if *method == Method::HEAD { &Method::GET } else { method };
        if resource.method != *asked {
            others.push(resource.method.as_str());
            continue;
        }
        let weight = fixed(resource);
        if best.as_ref().is_none_or(|(known, _, _)| weight > *known) {
            best = Some((weight, resource, keys));
        }
    }
    match best {
        Some((_, resource, keys)) if !count || resource.shape == Shape::Collection => {
            Ok(Match { resource, keys, count })
        }
        _ if !others.is_empty() => Err(Problem {
            allow: Some(others.join(", ")),
            ..Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                format!("{method} is not offered here; {} is", others.join(", ")),
            )
        }),
        _ => Err(nowhere(method, steps, address.version)),
    }
}

/// Parts of Graph's surface that tools ask for and that are not built: an honest 501. `{id}` stands for
/// any key. Links that a type has in Graph and that have no row here need no mention.
const NOT_BUILT: &[&str] = &[
    "$batch",
    "$metadata",
    "applications",
    "auditLogs",
    "deviceAppManagement",
    "identity",
    "identityGovernance",
    "policies",
    "reports",
    "roleManagement",
    "servicePrincipals",
    "deviceManagement/applePushNotificationCertificate/generateApplePushNotificationCertificateSigningRequest",
    "deviceManagement/compliancePolicies",
    "deviceManagement/configurationPolicies",
    "deviceManagement/depOnboardingSettings",
    "deviceManagement/deviceCompliancePolicies",
    "deviceManagement/deviceCompliancePolicyDeviceStateSummary",
    "deviceManagement/deviceConfigurationDeviceStateSummaries",
    "deviceManagement/deviceConfigurations/{id}/getOmaSettingPlainTextValue",
    "deviceManagement/deviceCustomAttributeShellScripts",
    "deviceManagement/deviceHealthScripts",
    "deviceManagement/deviceManagementScripts",
    "deviceManagement/deviceShellScripts",
    "deviceManagement/exchangeConnectors",
    "deviceManagement/groupPolicyConfigurations",
    "deviceManagement/importedDeviceIdentities",
    "deviceManagement/intents",
    "deviceManagement/intuneBrand",
    "deviceManagement/mobileThreatDefenseConnectors",
    "deviceManagement/notificationMessageTemplates",
    "deviceManagement/remoteActionAudits",
    "deviceManagement/reports",
    "deviceManagement/resourceOperations",
    "deviceManagement/reusablePolicySettings",
    "deviceManagement/roleAssignments",
    "deviceManagement/roleDefinitions",
    "deviceManagement/roleScopeTags",
    "deviceManagement/settings",
    "deviceManagement/softwareUpdateStatusSummary",
    "deviceManagement/templates",
    "deviceManagement/termsAndConditions",
    "deviceManagement/virtualEndpoint",
    "deviceManagement/windowsAutopilotDeploymentProfiles",
    "deviceManagement/windowsAutopilotDeviceIdentities",
    "deviceManagement/windowsDriverUpdateProfiles",
    "deviceManagement/windowsFeatureUpdateProfiles",
    "deviceManagement/windowsQualityUpdateProfiles",
    "users/{id}/changePassword",
];

/// Graph's actions and functions on a managed device that no platform here takes yet.
const VERBS_NOT_BUILT: &[&str] = &[
    "activateDeviceEsim",
    "bypassActivationLock",
    "cleanWindowsDevice",
    "createDeviceLogCollectionRequest",
    "deleteUserFromSharedAppleDevice",
    "deprovision",
    "disable",
    "disableLostMode",
    "enableLostMode",
    "getNonCompliantSettings",
    "initiateDeviceAttestation",
    "initiateMobileDeviceManagementKeyRecovery",
    "initiateOnDemandProactiveRemediation",
    "locateDevice",
    "logoutSharedAppleDeviceActiveUser",
    "overrideComplianceState",
    "pauseConfigurationRefresh",
    "playLostModeSound",
    "recoverPasscode",
    "reenable",
    "removeDeviceFirmwareConfigurationInterfaceManagement",
    "requestRemoteAssistance",
    "restoreManagedHomeScreen",
    "revokeAppleVppLicenses",
    "rotateBitLockerKeys",
    "rotateFileVaultKey",
    "rotateLocalAdminPassword",
    "triggerConfigurationManagerAction",
    "updateWindowsDeviceAccount",
    "windowsDefenderScan",
    "windowsDefenderUpdateSignatures",
];

/// True where `path` is the whole beginning of the address.
fn begins(path: &str, steps: &[Step]) -> bool {
    let mut steps = steps.iter();
    path.split('/')
        .all(|part| steps.next().is_some_and(|step| part.starts_with('{') || part.eq_ignore_ascii_case(&step.text)))
}

/// What Graph has at this place and we have not, in words.
fn not_built(steps: &[Step]) -> Option<String> {
    if let Some(known) = NOT_BUILT.iter().find(|known| begins(known, steps)) {
        return Some(format!("/{known}"));
    }
    let (last, before) = steps.split_last()?;
    if begins("deviceManagement/managedDevices/{id}", before)
        && let Some(verb) = VERBS_NOT_BUILT.iter().find(|verb| verb.eq_ignore_ascii_case(&last.text))
    {
        return Some(format!("{verb} of a managed device"));
    }
    // The longest beginning that is an entity here, and a link of its type in Graph.
    (1..steps.len()).rev().find_map(|length| {
        let entity = registry().iter().find(|resource| {
            resource.shape == Shape::Entity
                && resource.parts().count() == length
                && begins(&resource.path, &steps[..length])
        })?;
        let link = super::types::table().property(entity.entity, &steps[length].text)?;
        link.link.then(|| format!("{} of {}", link.name, entity.entity))
    })
}

fn nowhere(method: &Method, steps: &[Step], version: Version) -> Problem {
    let other = Version::Beta;
    if version != other && registry().iter().any(|row| row.method == method && fits(row, steps, other).is_some()) {
        return Problem::new(
            StatusCode::NOT_FOUND,
            "ResourceNotFound",
            "Graph has this under /beta only; ask there".to_owned(),
        );
    }
    if let Some(what) = not_built(steps) {
        return Problem::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", format!("{what} is not built yet"));
    }
    // Graph names the first segment it does not know.
    let mut known = 0;
    for resource in registry() {
        let length = resource
            .parts()
            .zip(steps)
            .take_while(|(part, step)| part.starts_with('{') || part.eq_ignore_ascii_case(&step.text))
            .count();
        known = known.max(length);
    }
    let unknown = steps.get(known).or_else(|| steps.last());
    let name: String = unknown.map_or("", |step| &step.text).chars().take(80).collect();
    Problem::new(StatusCode::NOT_FOUND, "ResourceNotFound", format!("Resource not found for the segment '{name}'."))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::graph::{address, types::table};

    #[test]
    fn d1_every_row_is_whole_and_stands_once() {
        let mut seen = HashSet::new();
        for resource in registry() {
            let place = format!("{} {}", resource.method, resource.path);
            assert!(seen.insert(place.to_ascii_lowercase()), "{place} has two rows");
            assert!(table().get(resource.entity).is_some(), "{place} is about an unknown type {}", resource.entity);
            let takes_body = ["POST", "PATCH", "PUT"].contains(&resource.method.as_str());
            assert!(takes_body || resource.body_limit == 0, "{place} takes no body");
        }
    }

    #[test]
    fn d5_reading_needs_a_reading_permission_and_writing_a_wider_one() {
        for resource in registry() {
            let reads = resource.permission.word().ends_with(".Read");
            let place = format!("{} {}", resource.method, resource.path);
            if resource.method != Method::GET && resource.shape != Shape::Operation {
                assert!(!reads, "{place} writes with {}", resource.permission.word());
            }
        }
    }

    #[test]
    fn d3_any_spelling_finds_the_same_row() {
        let find = |uri: &str| {
            let address = address::parse(&uri.parse().unwrap()).unwrap();
            find(&Method::GET, &address).map(|found| (found.resource.path.clone(), found.keys))
        };
        let (path, keys) = find("/beta/deviceManagement/deviceConfigurations/7/assignments").unwrap();
        assert_eq!((path.as_str(), keys.len()), ("deviceManagement/deviceConfigurations/{id}/assignments", 1));
        for uri in [
            "/beta/devicemanagement/DEVICECONFIGURATIONS('7')/assignments/",
            "/beta/deviceManagement//deviceConfigurations(7)//assignments??$top=1",
            "/v1.0/deviceManagement/deviceConfigurations/7/microsoft.graph.assignments",
        ] {
            assert_eq!(find(uri).unwrap(), (path.clone(), keys.clone()), "{uri}");
        }
        let status = |uri: &str| find(uri).unwrap_err().status;
        assert_eq!(status("/beta/deviceManagement/nonsense"), StatusCode::NOT_FOUND);
        assert_eq!(status("/beta/deviceManagement/deviceCompliancePolicies/x"), StatusCode::NOT_IMPLEMENTED);
        assert_eq!(status("/beta/deviceManagement('deviceConfigurations')"), StatusCode::NOT_FOUND);
    }

    #[test]
    fn what_graph_has_and_we_have_not_is_told_apart_from_nonsense() {
        let find = |uri: &str| {
            let address = address::parse(&uri.parse().unwrap()).unwrap();
            let problem = find(&Method::POST, &address).map(|_| ()).unwrap_err();
            (problem.status.as_u16(), problem.message)
        };
        for (uri, status, part) in [
            ("/v1.0/deviceManagement/managedDevices/7/locateDevice", 501, "locateDevice"),
            ("/v1.0/deviceManagement/managedDevices/7/windowsProtectionState", 501, "windowsProtectionState"),
            ("/v1.0/deviceManagement/deviceConfigurations/7/userStatuses/8", 501, "userStatuses"),
            ("/v1.0/users/7/manager/$ref", 501, "manager of user"),
            ("/v1.0/deviceManagement/managedDevices/7/nonsense", 404, "'nonsense'"),
            ("/v1.0/deviceManagement/managedDevices/7/setDeviceName", 404, "/beta"),
            ("/v1.0/deviceManagement", 404, "'deviceManagement'"),
            ("/v1.0/deviceManagement/managedDevices/7/syncDevice/x", 404, "'x'"),
        ] {
            let (found, message) = find(uri);
            assert_eq!(found, status, "{uri}: {message}");
            assert!(message.contains(part), "{uri}: {message}");
        }
        let address = address::parse(&"/v1.0/users/7".parse().unwrap()).unwrap();
        let refused = super::find(&Method::PUT, &address).map(|_| ()).unwrap_err();
        assert_eq!(refused.allow.as_deref(), Some("GET, PATCH, DELETE"));
    }
}
