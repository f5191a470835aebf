//! The start of an audit row: who, when, what kind of thing was done. Callers add what it was done to.

use muster_storage::audit::{Entry, Resource};

use crate::{Actor, PrincipalKind, Service};

/// The stored word of a kind of principal.
pub fn kind_word(kind: PrincipalKind) -> &'static str {
    match kind {
        PrincipalKind::Person => "person",
        PrincipalKind::Operator => "operator",
        PrincipalKind::Application => "application",
        PrincipalKind::Device => "device",
        PrincipalKind::System => "system",
        PrincipalKind::CommandLine => "commandLine",
    }
}

/// One kind of act, as data: Graph's `activityType` is `operation component`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Act {
    /// `Create`, `Patch`, `Delete`, `Action`, `Get`, `SignIn`, ...
    pub operation: &'static str,
    /// What for people to read: `Create deviceConfiguration`.
    pub activity: &'static str,
    /// Graph's category: `DeviceConfiguration`, `Device`, `Enrollment`, `Role`, ...
    pub category: &'static str,
    /// Graph's componentName.
    pub component: &'static str,
}

impl Service {
    /// A successful act of `actor`, drawn before the transaction that records it.
    pub fn audit_entry(&self, actor: &Actor, act: Act, now: i64) -> Entry {
        Entry {
            actor_kind: kind_word(actor.kind).to_owned(),
            actor_id: Some(actor.id),
            actor_name: Some(actor.name.clone()),
            actor_address: actor.address.map(|address| address.to_string()),
            reason: actor.reason.clone(),
            correlation: Some(actor.correlation),
            ..self.audit_entry_by_system(act, now)
        }
    }

    /// A successful act of the server itself: a timer, a job.
    pub fn audit_entry_by_system(&self, act: Act, now: i64) -> Entry {
        let mut salt = [0; 16];
        self.random.fill(&mut salt);
        Entry {
            id: self.random.id(now),
            salt,
            activity: act.activity.to_owned(),
            activity_type: format!("{} {}", act.operation, act.component),
            operation: act.operation.to_owned(),
            category: act.category.to_owned(),
            component: act.component.to_owned(),
            success: true,
            actor_kind: kind_word(PrincipalKind::System).to_owned(),
            actor_id: None,
            actor_name: None,
            actor_address: None,
            reason: None,
            correlation: None,
            resources: Vec::new(),
            at: now,
        }
    }
}

/// A subject of an act without changed properties.
pub fn subject(kind: &str, id: impl ToString, name: Option<&str>) -> Resource {
    Resource { kind: kind.to_owned(), id: id.to_string(), name: name.map(str::to_owned), modified: Vec::new() }
}
