//! Many channels computed in one transaction: what their computations read is read together before, and
//! what they write is written together behind, so that one policy for a whole fleet costs few statements.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use muster_domain::assignment::{Assignment, Target};
use muster_storage::{
    self as storage, Tx,
    commands::{self, NewCommand},
    device_states::{self, DeviceState},
    facts::{self, InventoryQuery},
    items::{self, Item},
    rule_subjects,
    setting_states::{self, SettingState},
    subjects::{self, Subject},
};
use uuid::Uuid;

use super::{
    CONFIGURATIONS,
    compute::{ROOM, Run},
    documents::PreparedDocuments,
};
use crate::{Ids, Result, rules};

/// What computations look at.
pub(crate) struct Known {
    /// Every assignment of a configuration, with its document.
    pub assignments: Vec<(Uuid, Assignment)>,
    /// Version of every configuration.
    pub versions: BTreeMap<Uuid, i64>,
    /// Some assignment names a group, so who is in which must be read.
    pub by_group: bool,
    items: BTreeMap<Uuid, Vec<Item>>,
    queries: BTreeMap<Uuid, Vec<InventoryQuery>>,
    exceptions: BTreeMap<Uuid, Vec<SettingState>>,
}

impl Known {
    fn read(tx: &mut dyn Tx, tenant: Uuid, subjects: &[Subject]) -> storage::Result<Known> {
        let channels: Vec<Uuid> = subjects.iter().map(|subject| subject.enrollment_id).collect();
        let devices: Vec<Uuid> = subjects.iter().map(|subject| subject.device_id).collect();
        let assignments = subjects::assignments(tx, tenant, CONFIGURATIONS)?;
        let mut known = Known {
            by_group: assignments.iter().any(|(_, assignment)| matches!(assignment.target, Target::Group(_))),
            versions: match assignments.is_empty() {
                true => BTreeMap::new(),
                false => subjects::versions(tx, tenant, CONFIGURATIONS)?.into_iter().collect(),
            },
            assignments,
            items: BTreeMap::new(),
            queries: BTreeMap::new(),
            exceptions: devices.iter().map(|device| (*device, Vec::new())).collect(),
        };
        for item in items::of_enrollments(tx, tenant, &channels)? {
            known.items.entry(item.enrollment_id).or_default().push(item);
        }
        for (channel, query) in facts::queries_of(tx, tenant, &channels)? {
            known.queries.entry(channel).or_default().push(query);
        }
        for (device, exception) in setting_states::of_devices(tx, tenant, &devices)? {
            known.exceptions.entry(device).or_default().push(exception);
        }
        Ok(known)
    }

    /// Items of a channel, to be changed and to be hashed.
    pub(crate) fn items(&mut self, channel: Uuid) -> Vec<Item> {
        self.items.remove(&channel).unwrap_or_default()
    }

    /// Inventory queries of a channel.
    pub(crate) fn queries(&mut self, channel: Uuid) -> Vec<InventoryQuery> {
        self.queries.remove(&channel).unwrap_or_default()
    }

    /// Exceptions of a device; read again for its second channel, as the first may have changed them.
    pub(crate) fn exceptions(
        &mut self,
        tx: &mut dyn Tx,
        tenant: Uuid,
        device: Uuid,
    ) -> storage::Result<Vec<SettingState>> {
        match self.exceptions.remove(&device) {
            Some(known) => Ok(known),
            None => setting_states::of_device(tx, tenant, device),
        }
    }
}

/// What computations write.
#[derive(Default)]
pub(crate) struct Written {
    /// Queued commands.
    pub commands: Vec<NewCommand>,
    /// New and changed items.
    pub items: Vec<Item>,
    /// What channels came to.
    pub computed: Vec<device_states::Computed>,
}

impl Written {
    /// Writes what has been gathered.
    pub(crate) fn flush(&mut self, tx: &mut dyn Tx, tenant: Uuid) -> storage::Result<()> {
        commands::enqueue_all(tx, tenant, &std::mem::take(&mut self.commands))?;
        items::put_all(tx, tenant, &std::mem::take(&mut self.items))?;
        device_states::set_computed(tx, tenant, &std::mem::take(&mut self.computed))
    }
}

/// Recomputes the desired state of these channels where it is dirty, and queues the differences; answers
/// how many commands that made for each computed channel.
pub(crate) fn compute(
    tx: &mut dyn Tx,
    tenant: Uuid,
    channels: &[Uuid],
    documents: &Arc<PreparedDocuments>,
    ids: &mut Ids,
    now: i64,
) -> Result<Vec<(Uuid, usize)>> {
    let mut subjects = subjects::of_enrollments(tx, tenant, channels)?;
    subjects.retain(|subject| subject.state == "enrolled");
    if subjects.is_empty() {
        return Ok(Vec::new());
    }
    // A device that has just enrolled, or changed, is in its groups before its policies are chosen.
    let who: BTreeSet<Uuid> =
        subjects.iter().flat_map(|subject| [Some(subject.device_id), subject.person_id]).flatten().collect();
    let due = rule_subjects::due_of(tx, tenant, &who.into_iter().collect::<Vec<_>>())?;
    rules::settle::settle(tx, tenant, &documents.rules, &due, ids, now)?;

    let channels: Vec<Uuid> = subjects.iter().map(|subject| subject.enrollment_id).collect();
    let marks: BTreeMap<Uuid, DeviceState> = device_states::lock(tx, tenant, &channels)?
        .into_iter()
        .filter(DeviceState::is_dirty)
        .map(|state| (state.enrollment, state))
        .collect();
    // A device with so much in its queue has to fetch first; until then the channel stays dirty.
    let dirty: Vec<Uuid> = marks.keys().copied().collect();
    let full = match dirty.is_empty() {
        true => return Ok(Vec::new()),
        false => commands::fuller_than(tx, tenant, &dirty, commands::PENDING_LIMIT - ROOM)?,
    };
    subjects.retain(|subject| marks.contains_key(&subject.enrollment_id) && !full.contains(&subject.enrollment_id));
    if subjects.is_empty() {
        return Ok(Vec::new());
    }
    let mut known = Known::read(tx, tenant, &subjects)?;
    let mut written = Written::default();
    let mut outcome = Vec::new();
    for subject in &subjects {
        let channel = subject.enrollment_id;
        let Some(marks) = marks.get(&channel) else { continue };
        let run = Run { tenant, enrollment: channel, now, documents };
        outcome.push((channel, run.compute(tx, subject, marks, &mut known, &mut written, ids)?));
    }
    written.flush(tx, tenant)?;
    Ok(outcome)
}
