//! Which devices look again after people or memberships changed: a few in the same transaction,
//! many by a job that the same transaction enqueues.

use muster_storage::{
    Tx, devices,
    groups::{self, Member, MemberKind},
};
use uuid::Uuid;

use crate::{
    Ids, Result,
    documents::{Targets, enqueue_targets, look_again},
};

/// More members than this are marked by a job.
const AT_ONCE: usize = 100;

/// Marks the devices of a member; of a group, those of everybody in it.
pub(super) fn member(tx: &mut dyn Tx, tenant: Uuid, member: Member, ids: &mut Ids, now: i64) -> Result<()> {
    match member.kind {
        MemberKind::Group => inside(tx, tenant, member.id, ids, now),
        _ => one(tx, tenant, member, ids, now),
    }
}

/// Marks the devices of everybody in a group.
pub(super) fn inside(tx: &mut dyn Tx, tenant: Uuid, group: Uuid, ids: &mut Ids, now: i64) -> Result<()> {
    let found = groups::transitive_members(tx, tenant, group)?;
    members(tx, tenant, &found, ids, now)
}

/// Marks the devices of these members.
pub(crate) fn members(tx: &mut dyn Tx, tenant: Uuid, members: &[Member], ids: &mut Ids, now: i64) -> Result<()> {
    if members.len() > AT_ONCE {
        // By member: the group may be gone when the job runs.
        return Ok(enqueue_targets(tx, tenant, ids.next(), &Targets::members(members), now)?);
    }
    for one in members {
        member(tx, tenant, *one, ids, now)?;
    }
    Ok(())
}

fn one(tx: &mut dyn Tx, tenant: Uuid, member: Member, ids: &mut Ids, now: i64) -> Result<()> {
    let found: Vec<Uuid> = match member.kind {
        MemberKind::User => devices::of_person(tx, tenant, member.id)?.iter().map(|device| device.id).collect(),
        MemberKind::Device => devices::by_directory_id(tx, tenant, member.id)?.iter().map(|device| device.id).collect(),
        MemberKind::Group => Vec::new(),
    };
    for device in found {
        look_again(tx, tenant, device, ids, now)?;
    }
    Ok(())
}

/// Marks the devices of a person.
pub(super) fn person(tx: &mut dyn Tx, tenant: Uuid, person: Uuid, ids: &mut Ids, now: i64) -> Result<()> {
    one(tx, tenant, Member { kind: MemberKind::User, id: person }, ids, now)
}
