//! Which devices must look again after a document or its assignments changed: a job walks them in
//! chunks and marks each channel dirty; what the mark leads to is in `jobs/sweeps.rs`.

use std::collections::BTreeSet;

use muster_domain::catalogue::built;
use muster_storage::{
    self as storage, Tx, assignments,
    assignments::Assignment,
    device_states, devices, documents, enrollments,
    groups::{self, Member, MemberKind},
    jobs,
    jobs::NewJob,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Ids, Result, Service, rules::filters::FILTERS};

/// The job that marks.
pub const JOB: &str = "documents.mark";
/// Devices a transaction marks.
const CHUNK: usize = 500;

/// Whom a change reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Targets {
    /// Every device, or every licensed user.
    #[serde(default)]
    pub everything: bool,
    /// Members of these groups.
    #[serde(default)]
    pub groups: BTreeSet<Uuid>,
    /// These people's devices.
    #[serde(default)]
    pub people: BTreeSet<Uuid>,
    /// These devices, by the directory's id.
    #[serde(default)]
    pub devices: BTreeSet<Uuid>,
    /// Whatever this document (collection, id) is assigned to when the job runs; of a filter, whatever is
    /// assigned through it.
    #[serde(default)]
    pub document: Option<(String, Uuid)>,
}

impl Targets {
    /// Whom these assignments reach.
    pub fn of<'a>(assignments: impl IntoIterator<Item = &'a Assignment>) -> Targets {
        let mut targets = Targets::default();
        for assignment in assignments {
            match assignment.group_id {
                Some(group) => {
                    targets.groups.insert(group);
                }
                None => targets.everything = true,
            }
        }
        targets
    }

    /// These members of a group: what they get changed with their membership.
    pub fn members<'a>(members: impl IntoIterator<Item = &'a Member>) -> Targets {
        let mut targets = Targets::default();
        for member in members {
            match member.kind {
                MemberKind::User => targets.people.insert(member.id),
                MemberKind::Device => targets.devices.insert(member.id),
                MemberKind::Group => targets.groups.insert(member.id),
            };
        }
        targets
    }

    fn is_empty(&self) -> bool {
        *self == Targets::default()
    }
}

/// Enqueues marking whom the document reaches; several changes wait as one job.
pub fn enqueue_document(
    tx: &mut dyn Tx,
    tenant: Uuid,
    job: Uuid,
    kind: &str,
    document: Uuid,
    now: i64,
) -> storage::Result<()> {
    let key = document.to_string();
    let targets = Targets { document: Some((kind.to_owned(), document)), ..Targets::default() };
    enqueue(tx, tenant, job, Some(&key), &targets, now)
}

/// Enqueues marking these.
pub fn enqueue_targets(tx: &mut dyn Tx, tenant: Uuid, job: Uuid, targets: &Targets, now: i64) -> storage::Result<()> {
    if targets.is_empty() {
        return Ok(());
    }
    enqueue(tx, tenant, job, None, targets, now)
}

fn enqueue(
    tx: &mut dyn Tx,
    tenant: Uuid,
    id: Uuid,
    key: Option<&str>,
    targets: &Targets,
    now: i64,
) -> storage::Result<()> {
    let payload = serde_json::to_string(targets)
        .map_err(|error| storage::Error::inconsistent("job.payload", error.to_string()))?;
    jobs::enqueue(tx, &NewJob { id, tenant, kind: JOB, coalesce_key: key, payload: &payload, run_at: now, now })
}

impl Service {
    /// Runs the job: marks everything that the targets reach.
    pub(crate) async fn run_mark_job(&self, job: jobs::Job) -> Result<()> {
        let targets: Targets = crate::jobs::payload(&job)?;
        self.mark_targets(job.tenant, targets).await
    }

    /// Marks every channel of every device that the targets reach.
    pub async fn mark_targets(&self, tenant: Uuid, mut targets: Targets) -> Result<()> {
        if let Some((kind, document)) = targets.document.take() {
            let changed = std::iter::once(document).chain(self.linking(tenant, &kind, document).await?);
            for document in changed {
                let kind = kind.clone();
                let assigned = self
                    .store
                    .read(tenant, move |tx| -> Result<_> {
                        Ok(match kind == FILTERS {
                            true => assignments::of_filter(tx, tenant, document)?,
                            false => assignments::of_document(tx, tenant, &kind, document)?,
                        })
                    })
                    .await?;
                let more = Targets::of(&assigned);
                targets.everything |= more.everything;
                targets.groups.extend(more.groups);
            }
        }
        if targets.everything {
            let mut after = None;
            loop {
                let chunk = self
                    .store
                    .read(tenant, move |tx| -> Result<_> { Ok(devices::ids_after(tx, tenant, after, CHUNK as i64)?) })
                    .await?;
                after = chunk.last().copied();
                let more = chunk.len() == CHUNK;
                self.mark_devices(tenant, chunk).await?;
                if !more {
                    return Ok(());
                }
            }
        }
        let groups: Vec<Uuid> = targets.groups.into_iter().collect();
        let named: BTreeSet<Member> = (targets.people.into_iter().map(|id| Member { kind: MemberKind::User, id }))
            .chain(targets.devices.into_iter().map(|id| Member { kind: MemberKind::Device, id }))
            .collect();
        let members = self
            .store
            .read(tenant, move |tx| -> Result<_> {
                let mut members = named.clone();
                for group in &groups {
                    members.extend(groups::transitive_members(tx, tenant, *group)?);
                }
                Ok(members.into_iter().collect::<Vec<_>>())
            })
            .await?;
        for chunk in members.chunks(CHUNK) {
            let chunk = chunk.to_vec();
            let found = self
                .store
                .read(tenant, move |tx| -> Result<_> {
                    let mut found = Vec::new();
                    for member in &chunk {
                        match member.kind {
                            MemberKind::User => {
                                found.extend(devices::of_person(tx, tenant, member.id)?.iter().map(|d| d.id));
                            }
                            MemberKind::Device => {
                                found.extend(devices::by_directory_id(tx, tenant, member.id)?.map(|d| d.id));
                            }
                            MemberKind::Group => {}
                        }
                    }
                    Ok(found)
                })
                .await?;
            self.mark_devices(tenant, found).await?;
        }
        Ok(())
    }

    /// The documents that link to this one: what they deliver changed with it.
    async fn linking(&self, tenant: Uuid, kind: &str, linked: Uuid) -> Result<Vec<Uuid>> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let kind = kind.to_owned();
            let chunk = self
                .store
                .read(tenant, move |tx| -> Result<_> { Ok(documents::page(tx, tenant, &kind, after, super::CHUNK)?) })
                .await?;
            after = chunk.last().map(|document| document.id);
            let more = chunk.len() as i64 == super::CHUNK;
            for document in &chunk {
                if built::links(&document.properties()?).contains(&linked) {
                    found.push(document.id);
                }
            }
            if !more {
                return Ok(found);
            }
        }
    }

    /// Marks the channels of these devices. They are computed within a second or so, and those that get
    /// something by it are asked to connect.
    pub async fn mark_devices(&self, tenant: Uuid, found: Vec<Uuid>) -> Result<()> {
        for chunk in found.chunks(CHUNK) {
            let chunk = chunk.to_vec();
            self.store
                .write(tenant, move |tx| -> Result<_> { Ok(device_states::mark_devices_dirty(tx, tenant, &chunk)?) })
                .await?;
        }
        Ok(())
    }
}

/// Marks every channel of a device dirty and asks it to connect, in the transaction that changed
/// what it should have.
pub fn look_again(tx: &mut dyn Tx, tenant: Uuid, device: Uuid, ids: &mut Ids, now: i64) -> storage::Result<()> {
    device_states::mark_device_dirty(tx, tenant, device)?;
    for channel in enrollments::of_device(tx, tenant, device)? {
        if channel.state == "enrolled" {
            crate::apple::push_soon(tx, tenant, channel.id, ids, now)?;
        }
    }
    Ok(())
}
