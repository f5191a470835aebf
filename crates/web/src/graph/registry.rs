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
        _ if !others.is_empty() => Err(Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            format!("{method} is not offered here; {} is", others.join(", ")),
        )),
        _ => Err(nowhere(steps)),
    }
}

/// Parts of Graph's surface that tools ask for and that are not built: an honest 501.
const NOT_BUILT: &[&str] = &[
    "deviceAppManagement",
    "identity",
    "identityGovernance",
    "roleManagement",
    "policies",
    "$batch",
    "$metadata",
    "applications",
    "servicePrincipals",
    "auditLogs",
    "reports",
    "deviceManagement/deviceCompliancePolicies",
    "deviceManagement/configurationPolicies",
    "deviceManagement/compliancePolicies",
    "deviceManagement/assignmentFilters",
    "deviceManagement/roleDefinitions",
    "deviceManagement/roleAssignments",
    "deviceManagement/roleScopeTags",
    "deviceManagement/notificationMessageTemplates",
    "deviceManagement/termsAndConditions",
    "deviceManagement/depOnboardingSettings",
    "deviceManagement/groupPolicyConfigurations",
    "deviceManagement/intents",
    "deviceManagement/templates",
    "deviceManagement/deviceHealthScripts",
    "deviceManagement/deviceManagementScripts",
    "deviceManagement/deviceShellScripts",
    "deviceManagement/deviceCustomAttributeShellScripts",
    "deviceManagement/windowsFeatureUpdateProfiles",
    "deviceManagement/windowsQualityUpdateProfiles",
    "deviceManagement/windowsDriverUpdateProfiles",
    "deviceManagement/windowsAutopilotDeploymentProfiles",
    "deviceManagement/windowsAutopilotDeviceIdentities",
    "deviceManagement/importedDeviceIdentities",
    "deviceManagement/reports",
    "deviceManagement/reusablePolicySettings",
    "deviceManagement/remoteActionAudits",
    "deviceManagement/virtualEndpoint",
    "deviceManagement/mobileThreatDefenseConnectors",
    "deviceManagement/exchangeConnectors",
];

fn nowhere(steps: &[Step]) -> Problem {
    let path = steps.iter().map(|step| step.text.as_str()).collect::<Vec<_>>().join("/").to_ascii_lowercase();
    let not_built = NOT_BUILT.iter().find(|known| {
        let known = known.to_ascii_lowercase();
        path == known || path.strip_prefix(&known).is_some_and(|rest| rest.starts_with('/'))
    });
    if let Some(known) = not_built {
        return Problem::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", format!("/{known} is not built yet"));
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
    let name: String = steps.get(known).map_or("", |step| &step.text).chars().take(80).collect();
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
}
