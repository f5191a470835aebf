//! One rule changed: it is evaluated for everybody, by a job in chunks.

use std::collections::BTreeSet;

use muster_storage::{
    Tx, audit, devices,
    groups::{self, Member, MemberKind},
    jobs::Job,
    membership_rules, people,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ReadRules, facts, moved, resource};
use crate::{Ids, Result, Service, jobs, people::mark};

/// The job that walks.
pub(crate) const JOB: &str = "groups.members";
/// People or devices that a transaction looks at.
const CHUNK: i64 = 250;
/// Chunks of one run of the job; the rest is another run's.
const CHUNKS: usize = 40;

/// How far the job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Walk {
    group: Uuid,
    /// The change of the rule that it walks for.
    seq: i64,
    /// The last member id that was looked at.
    after: Option<Uuid>,
}

/// Has everybody looked at for a group's rule.
pub(crate) fn enqueue(tx: &mut dyn Tx, tenant: Uuid, job: Uuid, group: Uuid, now: i64) -> Result<()> {
    // No rule has this number: the walk begins with the one it finds.
    go_on(tx, tenant, job, Walk { group, seq: 0, after: None }, now)
}

fn go_on(tx: &mut dyn Tx, tenant: Uuid, job: Uuid, walk: Walk, now: i64) -> Result<()> {
    let payload = serde_json::to_value(walk).map_err(crate::Error::internal)?;
    Ok(jobs::enqueue_now(tx, tenant, job, JOB, Some(&walk.group.to_string()), &payload, now)?)
}

impl Service {
    /// Runs the job.
    pub(crate) async fn run_members_job(&self, job: Job) -> Result<()> {
        let tenant = job.tenant;
        let mut walk: Walk = jobs::payload(&job)?;
        for _ in 0..CHUNKS {
            let now = self.clock.now();
            let (ids, documents, from) = (self.ids(now), self.prepared.clone(), walk);
            let next = self
                .store
                .write(tenant, move |tx| step(tx, tenant, &documents.rules, from, &mut ids.clone(), now))
                .await?;
            match next {
                Some(next) => walk = next,
                None => return Ok(()),
            }
        }
        let (now, id) = (self.clock.now(), self.random.id(self.clock.now()));
        self.store.write(tenant, move |tx| go_on(tx, tenant, id, walk, now)).await
    }
}

/// Looks at the next chunk; answers where to go on, or nothing when everybody was looked at.
fn step(
    tx: &mut dyn Tx,
    tenant: Uuid,
    rules: &ReadRules,
    mut walk: Walk,
    ids: &mut Ids,
    now: i64,
) -> Result<Option<Walk>> {
    let group = walk.group;
    let Some(known) = membership_rules::by_group(tx, tenant, group)? else { return Ok(None) };
    // First the rules are locked, then subjects are read: see `membership_rules`.
    let locked = membership_rules::lock(tx, tenant, known.members)?.into_iter().find(|rule| rule.group == group);
    let Some(rule) = locked.filter(|rule| rule.active) else { return Ok(None) };
    if rule.seq != walk.seq {
        walk = Walk { group, seq: rule.seq, after: None };
    }
    if rule.walked_seq == rule.seq {
        return Ok(None);
    }
    let Some(read) = rules.membership(&rule.rule) else { return Ok(None) };
    let kind = rule.members;
    let mut moving = match walk.after {
        // What an assigned group, or one of the other kind, held before.
        None => membership_rules::remove_others(tx, tenant, group, kind)?,
        Some(_) => Vec::new(),
    };
    let page: Vec<(Uuid, bool)> = match kind {
        MemberKind::Device => devices::page_by_directory_id(tx, tenant, walk.after, CHUNK)?
            .iter()
            .map(|device| (device.directory_id, read.matches(&facts::of_device(device))))
            .collect(),
        _ => people::page_by_id(tx, tenant, walk.after, CHUNK)?
            .iter()
            .map(|person| (person.id, read.matches(&facts::of_user(person))))
            .collect(),
    };
    let whole = (page.len() as i64) < CHUNK;
    let last = if whole { Uuid::max() } else { page.last().map_or(Uuid::max(), |(id, _)| *id) };
    let before: BTreeSet<Uuid> =
        membership_rules::members_between(tx, tenant, group, kind, walk.after, last)?.into_iter().collect();
    let after: BTreeSet<Uuid> = page.iter().filter(|(_, belongs)| *belongs).map(|(id, _)| *id).collect();
    let added: Vec<Uuid> = after.difference(&before).copied().collect();
    let removed: Vec<Uuid> = before.difference(&after).copied().collect();
    for id in &added {
        groups::add_member(tx, tenant, group, Member { kind, id: *id }, now)?;
    }
    for id in &removed {
        groups::remove_member(tx, tenant, group, *id)?;
    }
    let gone: Vec<Uuid> = moving.iter().map(|member| member.id).chain(removed.iter().copied()).collect();
    moving.extend(added.iter().chain(&removed).map(|id| Member { kind, id: *id }));
    if !moving.is_empty() {
        mark::members(tx, tenant, &moving, ids, now)?;
        audit::record(tx, tenant, &moved(ids, vec![resource(group, &added, &gone)], now))?;
    }
    if whole {
        membership_rules::walked(tx, tenant, group, rule.seq, now)?;
        return Ok(None);
    }
    Ok(Some(Walk { after: Some(last), ..walk }))
}
