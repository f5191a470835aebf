//! One subject changed: every rule is evaluated for it.

use std::collections::BTreeSet;

use muster_domain::rules::Facts;
use muster_storage::{
    self as storage, Tx, assignments, audit, devices,
    groups::{self, Member, MemberKind},
    membership_rules, people,
    rule_subjects::{self, Due, Kind},
};
use uuid::Uuid;

use super::{ReadRules, facts, filters, moved, resource};
use crate::{Error, Ids, Result, Service, documents::look_again, people::mark};

/// Due subjects read at once.
const READ_AT_ONCE: i64 = 500;
/// Subjects settled in one transaction: short enough that a request does not wait behind it.
const SETTLED_AT_ONCE: usize = 25;

impl Service {
    /// Evaluates rules for every person and device that changed.
    pub(crate) async fn settle_subjects(&self, tenant: Uuid) -> Result<()> {
        let mut after = None;
        loop {
            let from = after;
            let due = self.store.read(tenant, move |tx| rule_subjects::due(tx, tenant, from, READ_AT_ONCE)).await?;
            for chunk in due.chunks(SETTLED_AT_ONCE) {
                let now = self.clock.now();
                let (ids, documents, chunk) = (self.ids(now), self.prepared.clone(), chunk.to_vec());
                self.store
                    .write(tenant, move |tx| settle(tx, tenant, &documents.rules, &chunk, &mut ids.clone(), now))
                    .await?;
            }
            after = due.last().map(|due| (due.kind, due.id));
            if (due.len() as i64) < READ_AT_ONCE {
                return Ok(());
            }
        }
    }
}

/// Evaluates the rules for these subjects and moves them between groups.
pub(crate) fn settle(
    tx: &mut dyn Tx,
    tenant: Uuid,
    rules: &ReadRules,
    due: &[Due],
    ids: &mut Ids,
    now: i64,
) -> Result<()> {
    for (kind, members) in [(Kind::User, MemberKind::User), (Kind::Device, MemberKind::Device)] {
        let these: Vec<&Due> = due.iter().filter(|due| due.kind == kind).collect();
        if these.is_empty() {
            continue;
        }
        // First the rules are locked, then subjects are read: see `membership_rules`.
        let all = membership_rules::lock(tx, tenant, members)?;
        for due in these {
            match seen(tx, tenant, due)? {
                Some((member, Some((facts, seen)))) => {
                    let digest = muster_pki::sha256(seen.as_bytes());
                    if due.digest.as_deref() != Some(&digest) {
                        let before: BTreeSet<Uuid> =
                            membership_rules::groups_of(tx, tenant, member.kind, member.id)?.into_iter().collect();
                        let belongs = |rule: &&membership_rules::MembershipRule| match rules
                            .membership(&rule.rule)
                            .filter(|_| rule.active)
                        {
                            Some(read) => read.matches(&facts),
                            None => before.contains(&rule.group),
                        };
                        let after = all.iter().filter(belongs).map(|rule| rule.group).collect();
                        change(tx, tenant, member, &before, &after, ids, now)?;
                        // Filters are evaluated where desired state is computed.
                        if kind == Kind::Device && assignments::any_filtered(tx, tenant)? {
                            look_again(tx, tenant, due.id, ids, now)?;
                        }
                    }
                    rule_subjects::done(tx, tenant, due, &digest)?;
                }
                gone => {
                    if let Some((member, _)) = gone {
                        let before =
                            membership_rules::groups_of(tx, tenant, member.kind, member.id)?.into_iter().collect();
                        change(tx, tenant, member, &before, &BTreeSet::new(), ids, now)?;
                    }
                    rule_subjects::forget(tx, tenant, due)?;
                }
            }
        }
    }
    Ok(())
}

/// What rules of groups see of a subject, and everything that any rule sees, as a text.
type Seen = (Facts, String);

/// The subject as groups hold it, with what rules see of it; without where it is no part of the
/// directory (deleted, not yet enrolled, left).
fn seen(tx: &mut dyn Tx, tenant: Uuid, due: &Due) -> storage::Result<Option<(Member, Option<Seen>)>> {
    Ok(match due.kind {
        Kind::User => {
            let living = people::by_id(tx, tenant, due.id)?.map(|person| facts::of_user(&person));
            let seen = living.map(|facts| (facts.clone(), facts.to_string()));
            Some((Member { kind: MemberKind::User, id: due.id }, seen))
        }
        Kind::Device => match devices::by_id(tx, tenant, due.id)? {
            Some(device) => {
                let member = Member { kind: MemberKind::Device, id: device.directory_id };
                let seen = match ["enrolled", "leaving"].contains(&device.state.as_str()) {
                    true => {
                        let (facts, filters) = (facts::of_device(&device), filters::seen(tx, tenant, &device)?);
                        let text = format!("{facts}{filters}");
                        Some((facts, text))
                    }
                    false => None,
                };
                Some((member, seen))
            }
            None => None,
        },
    })
}

fn change(
    tx: &mut dyn Tx,
    tenant: Uuid,
    member: Member,
    before: &BTreeSet<Uuid>,
    after: &BTreeSet<Uuid>,
    ids: &mut Ids,
    now: i64,
) -> Result<()> {
    if before == after {
        return Ok(());
    }
    let mut resources = Vec::new();
    for group in after.difference(before) {
        groups::add_member(tx, tenant, *group, member, now)?;
        resources.push(resource(*group, &[member.id], &[]));
    }
    for group in before.difference(after) {
        groups::remove_member(tx, tenant, *group, member.id)?;
        resources.push(resource(*group, &[], &[member.id]));
    }
    mark::members(tx, tenant, &[member], ids, now)?;
    Ok::<_, Error>(audit::record(tx, tenant, &moved(ids, resources, now))?)
}
