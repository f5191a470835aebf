//! Rules at work: who is in a dynamic group, and which devices an assignment filter lets through, kept
//! true while people, devices and rules change.
//!
//! Grammar and evaluation are pure and in `muster_domain::rules`. [`facts`] says what rules see of a
//! person or a device; [`settle`] evaluates every rule for one subject that changed; [`walk`] evaluates
//! one rule that changed for everybody, in chunks; [`filters`] are evaluated where a device's desired
//! state is computed. Members stand in `group_member` like those of any
//! other group, so whatever reads groups need not know how they came.

pub mod facts;
pub mod filters;
pub(crate) mod settle;
#[cfg(test)]
mod tests;
pub(crate) mod walk;
mod what_if;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

pub use what_if::Asked;

use muster_domain::rules::{self, Members, Rule};
use muster_storage::{
    audit::{Entry, Resource},
    groups::MemberKind,
};
use serde_json::{Map, Value};

use crate::{Error, Ids, Result, audit::subject};

/// Rules that were read, by their text: what is immutable may be kept.
#[derive(Default)]
pub struct ReadRules {
    kept: Mutex<HashMap<String, Arc<Rule>>>,
}

/// Rules kept at most; then the cache starts anew.
const KEPT: usize = 1024;

impl ReadRules {
    /// A stored membership rule. None where this version cannot read what another one stored: then its
    /// members stay as they are.
    pub fn membership(&self, rule: &str) -> Option<Arc<Rule>> {
        self.get(rule.to_owned(), || rules::membership(rule).map(|(_, rule)| rule))
    }

    /// A stored filter's rule.
    pub fn filter(&self, platform: &str, rule: &str) -> Option<Arc<Rule>> {
        self.get(format!("{platform}\n{rule}"), || rules::filter(rule, platform))
    }

    fn get(
        &self,
        key: String,
        read: impl FnOnce() -> std::result::Result<Rule, rules::RuleError>,
    ) -> Option<Arc<Rule>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rule) = kept.get(&key) {
            return Some(Arc::clone(rule));
        }
        let rule = match read() {
            Ok(rule) => Arc::new(rule),
            Err(error) => {
                tracing::error!(%error, "a stored rule cannot be read; it is left alone");
                return None;
            }
        };
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key, Arc::clone(&rule));
        Some(rule)
    }
}

/// Reads a membership rule for whoever wrote it.
fn read(rule: &str) -> Result<(Members, Rule)> {
    rules::membership(rule).map_err(|error| Error::bad_request(format!("membershipRule: {error}")))
}

/// The rule that a group's document asks for: whom it holds, its text, whether it is being processed. None
/// for an assigned group.
pub(crate) fn wanted(document: &Map<String, Value>) -> Result<Option<(MemberKind, String, bool)>> {
    let types = document.get("groupTypes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let dynamic = types.iter().filter_map(Value::as_str).any(|one| one.eq_ignore_ascii_case("DynamicMembership"));
    let rule = document.get("membershipRule").and_then(Value::as_str).filter(|rule| !rule.trim().is_empty());
    // A group that is assigned again keeps the text of its former rule.
    if !dynamic {
        return Ok(None);
    }
    let rule = rule.ok_or_else(|| Error::bad_request("a group of the type DynamicMembership needs membershipRule"))?;
    let active = match document.get("membershipRuleProcessingState").and_then(Value::as_str) {
        None => true,
        Some(state) if state.eq_ignore_ascii_case("On") => true,
        Some(state) if state.eq_ignore_ascii_case("Paused") => false,
        Some(_) => return Err(Error::bad_request("membershipRuleProcessingState must be On or Paused")),
    };
    let (members, _) = read(rule)?;
    let kind = match members {
        Members::Users => MemberKind::User,
        Members::Devices => MemberKind::Device,
    };
    Ok(Some((kind, rule.to_owned(), active)))
}

/// The audit row of members that a rule moved.
fn moved(ids: &mut Ids, resources: Vec<Resource>, now: i64) -> Entry {
    Entry {
        id: ids.next(),
        salt: ids.salt(),
        activity: "Change group members by rule".into(),
        activity_type: "Patch group".into(),
        operation: "Patch".into(),
        category: "Group".into(),
        component: "group".into(),
        success: true,
        actor_kind: crate::audit::kind_word(crate::PrincipalKind::System).into(),
        actor_id: None,
        actor_name: None,
        actor_address: None,
        reason: None,
        correlation: None,
        resources,
        at: now,
    }
}

/// A group with the members that came and went.
fn resource(group: uuid::Uuid, added: &[uuid::Uuid], removed: &[uuid::Uuid]) -> Resource {
    let mut resource = subject("group", group, None);
    let came = added.iter().map(|id| ("members".to_owned(), None, Some(id.to_string())));
    let went = removed.iter().map(|id| ("members".to_owned(), Some(id.to_string()), None));
    resource.modified = came.chain(went).collect();
    resource
}
