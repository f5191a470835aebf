//! The guard at work: requests that wait for a second person, the releaser, the emergency stop and the
//! tenant's rules. The rules themselves are pure and live in `muster_domain::guard`.
//!
//! `approvals.rs` lists and decides requests, `decided.rs` does what was agreed to, `release.rs` lets
//! held actions go within the limits, `stop.rs` is the emergency stop, `rules.rs` reads and changes
//! the tenant's rules, `sweep.rs` lets go of what nobody decided or fetched.

mod approvals;
mod decided;
mod note;
mod release;
mod rules;
mod stop;
mod sweep;
mod tell;
#[cfg(test)]
mod tests;

pub use approvals::{ApprovalPage, Decide, OwnerRole};
pub use muster_domain::guard::Settings as GuardSettings;
pub use muster_storage::approvals::Approval;
pub use release::Released;
pub use rules::{RulesChange, rules_of};
pub use stop::EmergencyStop;
pub(crate) use tell::operators_of as tell_operators_of;

pub(crate) use approvals::{FRESH, NewApproval, request_approval};
pub(crate) use note::{Note, Who, alert, note};
pub(crate) use release::release_soon;

use muster_domain::guard::{Party, Refusal};
use muster_storage::{Tx, operators};
use uuid::Uuid;

pub(crate) use crate::audit::kind_word;
use crate::{Actor, Error, Kind, PrincipalKind, Result};

/// Kind of the releaser's job.
pub const RELEASE_JOB: &str = "guard.release";

/// Action names of requests that are not about devices.
pub(crate) mod names {
    /// Lifting the emergency stop.
    pub(crate) const LIFT: &str = "liftEmergencyStop";
    /// Weakening the guard's rules.
    pub(crate) const RULES: &str = "guardSettings";
    /// Giving the owner role.
    pub(crate) const OWNER: &str = "ownerRole";
}

/// The person behind a caller, else the caller: whose limits and whose approvals count.
pub(crate) fn principal(actor: &Actor) -> Uuid {
    actor.person.or(actor.maker).unwrap_or(actor.id)
}

/// True for a token made through the API: it counts as its maker, and may neither approve nor reveal.
pub(crate) fn is_api_token(actor: &Actor) -> bool {
    actor.kind == PrincipalKind::Application && !actor.own_person
}

/// How a caller stands before the guard; reads who made an operator in the caller's own transaction.
pub(crate) fn party(tx: &mut dyn Tx, actor: &Actor) -> Result<Party> {
    let person = actor.person.or(actor.maker);
    let made_by = match person {
        Some(person) => operators::by_person(tx, actor.tenant, person)?.and_then(|operator| operator.made_by),
        None => None,
    };
    let keyboard = actor.kind == PrincipalKind::CommandLine || actor.kind == PrincipalKind::System;
    Ok(Party {
        id: actor.id,
        person,
        made_by,
        established_at: if keyboard { i64::MIN } else { actor.established_at },
        strong: keyboard || actor.strong_at.is_some() || actor.kind == PrincipalKind::Application,
        api_token: is_api_token(actor),
    })
}

/// The guard's no as an answer.
pub(crate) fn refused(refusal: Refusal) -> Error {
    Error::refused(Kind::Forbidden, refusal.code(), refusal.to_string())
}
