//! Compute: what a channel should have, and the commands that bring it there.
//!
//! One transaction: the dirty sequence is read first and stored at the end, so that a change in
//! between leaves the channel dirty; commands, items and exceptions are written with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use muster_domain::{
    assignment::{Assignment, Intent, Subject as Reached, reach},
    catalogue::{Channel, EnrollmentKind, Platform, Version},
    reconcile::{self, Step, UNKNOWN, reconcile},
    resolve::{Applied, Resolved, Withheld, enrollment_kind, resolve},
};
use muster_storage::{
    self as storage, Tx,
    commands::{self, NewCommand},
    device_states::{self, DeviceState},
    groups::{self, Member, MemberKind},
    items::{self, Item, state},
    setting_states::{self, SettingState},
    subjects::{Subject, Traits},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    CONFIGURATIONS,
    batch::{Known, Written},
    documents::PreparedDocuments,
};
use crate::{Ids, apple::declarative, inventory, rules};

/// Differences that one run sends at most; the channel stays dirty for the rest.
const COMMANDS: usize = 64;

/// Room that a run wants in the queue, for its differences and the inventory's queries.
pub(super) const ROOM: i64 = COMMANDS as i64 + 16;

/// One run: one channel of a batch.
pub(crate) struct Run<'a> {
    pub tenant: Uuid,
    pub enrollment: Uuid,
    pub now: i64,
    pub documents: &'a Arc<PreparedDocuments>,
}

impl Run<'_> {
    /// Computes; `marks` were read and locked before everything else. Answers how many commands that made.
    pub(crate) fn compute(
        &self,
        tx: &mut dyn Tx,
        subject: &Subject,
        marks: &DeviceState,
        known: &mut Known,
        written: &mut Written,
        ids: &mut Ids,
    ) -> storage::Result<usize> {
        let resolved = match channel(&subject.traits()) {
            Some(channel) => resolve(&self.applied(tx, subject, known)?, &channel),
            None => Vec::new(),
        };
        let before: BTreeMap<String, Item> =
            known.items(self.enrollment).into_iter().map(|item| (item.key.clone(), item)).collect();
        let (mut items, mut queued, all) = self.write_items(tx, subject, &resolved, &before, written, ids)?;
        self.write_declarations(tx, &resolved, &mut items, written)?;
        let queries = known.queries(self.enrollment);
        queued += inventory::ask_due(tx, self.tenant, subject, queries, &mut written.commands, ids, self.now)?;
        self.write_exceptions(tx, subject, &resolved, &before, &items, known, written)?;
        let told = marks.declarations_token.as_deref();
        let (token, told) = declarative::tell(tx, self.tenant, subject, items.values(), told, ids, self.now)?;
        queued += told;
        if all {
            let (desired, reported) = hashes(items.values());
            written.computed.push(device_states::Computed {
                enrollment: self.enrollment,
                seq: marks.dirty_seq,
                desired_hash: desired.to_vec(),
                reported_hash: reported.to_vec(),
                declarations_token: token,
                at: self.now,
            });
        }
        Ok(queued)
    }

    /// The documents that reach the subject.
    fn applied(&self, tx: &mut dyn Tx, subject: &Subject, known: &Known) -> storage::Result<Vec<Applied>> {
        let mut reached = Reached { licensed_user: subject.licensed_user, ..Reached::default() };
        if let Some(person) = subject.person_id.filter(|_| known.by_group) {
            reached.user_groups = groups::groups_of(tx, self.tenant, Member { kind: MemberKind::User, id: person })?
                .into_iter()
                .collect();
        }
        if known.by_group {
            reached.device_groups =
                groups::groups_of(tx, self.tenant, Member { kind: MemberKind::Device, id: subject.directory_id })?
                    .into_iter()
                    .collect();
        }
        let mut assigned: BTreeMap<Uuid, Vec<Assignment>> = BTreeMap::new();
        for (document, assignment) in &known.assignments {
            assigned.entry(*document).or_default().push(*assignment);
        }
        let filters = assigned.values().flatten().filter_map(|one| one.filter.map(|(filter, _)| filter)).collect();
        let passed = rules::filters::passed(tx, self.tenant, &self.documents.rules, subject.device_id, &filters)?;
        assigned.retain(|_, list| reach(list, &reached, &|id| passed.get(&id).copied()).intent == Some(Intent::Apply));
        let versions = &known.versions;
        let mut applied = Vec::new();
        for id in assigned.into_keys() {
            let Some(version) = versions.get(&id).copied() else { continue };
            let Some(ready) = self.documents.get(tx, self.tenant, CONFIGURATIONS, id, version)? else { continue };
            let Some(prepared) = ready.prepared else { continue };
            let mut references = BTreeMap::new();
            for id in prepared.references() {
                let Some(version) = versions.get(&id).copied() else { continue };
                let referred = self.documents.get(tx, self.tenant, CONFIGURATIONS, id, version)?;
                if let Some(built) = referred.and_then(|ready| ready.prepared).and_then(|p| p.built.clone()) {
                    references.insert(id, built.fingerprint);
                }
            }
            applied.push(Applied { kind: CONFIGURATIONS.to_owned(), id, name: ready.name, prepared, references });
        }
        Ok(applied)
    }

    /// Writes items and queues commands; answers the channel's items, how many commands, and whether that
    /// was all.
    fn write_items(
        &self,
        tx: &mut dyn Tx,
        subject: &Subject,
        resolved: &[Resolved],
        stored: &BTreeMap<String, Item>,
        written: &mut Written,
        ids: &mut Ids,
    ) -> storage::Result<(BTreeMap<String, Item>, usize, bool)> {
        let mut items = stored.clone();
        let mut known: BTreeMap<String, Item> = BTreeMap::new();
        let mut have = BTreeMap::new();
        for mut item in stored.values().filter(|item| item.kind == "profile").cloned() {
            have.insert(item.key.clone(), self.have(tx, &mut item)?);
            known.insert(item.key.clone(), item);
        }
        let wanted: BTreeMap<String, &Resolved> =
            resolved.iter().filter(|one| !one.declared).map(|one| (one.key(), one)).collect();
        let want: BTreeMap<String, reconcile::Version> =
            wanted.iter().filter_map(|(key, one)| Some((key.clone(), version(one.content.as_ref()?)))).collect();
        let steps = reconcile(&want, &have);
        let (mut queued, mut all) = (0, true);
        let keys: BTreeSet<&String> = known.keys().chain(wanted.keys()).collect();
        for key in keys {
            let before = known.get(key);
            let mut item = before.cloned().unwrap_or_else(|| self.fresh(key));
            if let Some(one) = wanted.get(key) {
                item.document_kind = Some(one.kind.clone());
                item.document_id = Some(one.id);
            }
            match steps.get(key) {
                Some(step @ (Step::Install(_) | Step::Remove)) => {
                    if queued == COMMANDS {
                        all = false;
                        continue;
                    }
                    self.supersede(tx, &mut item)?;
                    self.queue(tx, subject, &mut item, ids.next(), step, &mut written.commands)?;
                    queued += 1;
                }
                Some(Step::Forget) if !wanted.contains_key(key) => {
                    self.supersede(tx, &mut item)?;
                    items::remove(tx, self.tenant, self.enrollment, key)?;
                    items.remove(key);
                    continue;
                }
                Some(Step::Forget) => {
                    self.supersede(tx, &mut item)?;
                    item.desired_version = None;
                }
                Some(Step::Rest) | None => {}
            }
            if !wanted.contains_key(key) {
                item.content = "{}".to_owned();
            }
            if let Some(one) = wanted.get(key) {
                item.content = content(one);
                if let Some(version) = want.get(key) {
                    item.desired_version = Some(version.clone());
                }
            }
            item.state = shown(&item).to_owned();
            if before != Some(&item) {
                item.changed_at = self.now;
                written.items.push(item.clone());
                items.insert(key.clone(), item);
            }
        }
        Ok((items, queued, all))
    }

    /// What is recorded of an item. A command that is gone without an answer (called back by someone
    /// else) leaves nobody knowing what the device holds.
    fn have(&self, tx: &mut dyn Tx, item: &mut Item) -> storage::Result<reconcile::Have> {
        let mut handed_out = false;
        if let Some(command) = item.command_id {
            match commands::by_id(tx, self.tenant, self.enrollment, command)? {
                Some(command) => handed_out = command.attempts > 0,
                None => {
                    item.command_id = None;
                    item.reported_version = Some(UNKNOWN.to_vec());
                }
            }
        }
        Ok(item.have(handed_out, self.now))
    }

    pub(super) fn fresh(&self, key: &str) -> Item {
        Item {
            enrollment_id: self.enrollment,
            key: key.to_owned(),
            kind: "profile".to_owned(),
            document_kind: None,
            document_id: None,
            desired_version: None,
            reported_version: None,
            content: "{}".to_owned(),
            state: state::PENDING.to_owned(),
            error: None,
            command_id: None,
            attempts: 0,
            retry_at: None,
            changed_at: self.now,
        }
    }

    /// Withdraws the command on its way, if any. One that was handed out may still take effect: then
    /// nobody can tell what the device holds.
    fn supersede(&self, tx: &mut dyn Tx, item: &mut Item) -> storage::Result<()> {
        let Some(command) = item.command_id.take() else { return Ok(()) };
        if super::queue::withdraw(tx, self.tenant, self.enrollment, command, self.now)? {
            item.reported_version = Some(UNKNOWN.to_vec());
        }
        Ok(())
    }

    fn queue(
        &self,
        tx: &mut dyn Tx,
        subject: &Subject,
        item: &mut Item,
        id: Uuid,
        step: &Step,
        commands: &mut Vec<NewCommand>,
    ) -> storage::Result<()> {
        let (request_type, version) = match step {
            Step::Install(version) => ("InstallProfile", Some(version.clone())),
            _ => ("RemoveProfile", None),
        };
        if version.is_none()
            && let Some(document) = item.document_id
        {
            super::certificates::revoke_of_document(tx, self.tenant, subject.device_id, document, false, self.now)?;
        }
        let payload = json!({ "item": item.key, "version": version.as_deref().map(hex::encode) });
        commands.push(super::queue::command(subject, id, request_type, &payload, self.now));
        if item.desired_version != version {
            item.attempts = 0;
            item.error = None;
        }
        item.desired_version = version;
        item.command_id = Some(id);
        item.retry_at = None;
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "what a run knows and what it leaves")]
    fn write_exceptions(
        &self,
        tx: &mut dyn Tx,
        subject: &Subject,
        resolved: &[Resolved],
        before: &BTreeMap<String, Item>,
        items: &BTreeMap<String, Item>,
        known: &mut Known,
        written: &mut Written,
    ) -> storage::Result<()> {
        let mut want: BTreeMap<(String, Uuid, String), SettingState> = BTreeMap::new();
        for one in resolved {
            for exception in &one.exceptions {
                let sources: Vec<Value> = exception
                    .sources
                    .iter()
                    .map(|source| json!({ "id": source.id, "displayName": source.name }))
                    .collect();
                let row = SettingState {
                    document_kind: one.kind.clone(),
                    document_id: one.id,
                    setting: exception.setting.clone(),
                    state: match exception.why {
                        Withheld::Conflict => state::CONFLICT,
                        Withheld::NotApplicable => state::NOT_APPLICABLE,
                    }
                    .to_owned(),
                    reason: Some(exception.reason.clone()),
                    sources: Value::Array(sources).to_string(),
                    changed_at: self.now,
                };
                want.insert((one.kind.clone(), one.id, exception.setting.clone()), row);
            }
        }
        let rows = known.exceptions(tx, self.tenant, subject.device_id)?;
        let mut others = BTreeSet::new();
        if !rows.is_empty() {
            // A Mac's device and user channel share the device's rows: each touches its documents only.
            written.flush(tx, self.tenant)?;
            others = items::of_device(tx, self.tenant, subject.device_id)?
                .iter()
                .filter(|item| item.enrollment_id != self.enrollment)
                .filter_map(|item| item.document_id)
                .collect();
        }
        let ours: BTreeSet<Uuid> = before
            .values()
            .chain(items.values())
            .filter_map(|item| item.document_id)
            .chain(resolved.iter().map(|one| one.id))
            .collect();
        for row in rows {
            if others.contains(&row.document_id) && !ours.contains(&row.document_id) {
                continue;
            }
            let key = (row.document_kind.clone(), row.document_id, row.setting.clone());
            match want.remove(&key) {
                Some(new) if SettingState { changed_at: row.changed_at, ..new.clone() } != row => {
                    setting_states::put(tx, self.tenant, subject.device_id, &new)?;
                }
                Some(_) => {}
                None => setting_states::remove(tx, self.tenant, subject.device_id, &row)?,
            }
        }
        for row in want.values() {
            setting_states::put(tx, self.tenant, subject.device_id, row)?;
        }
        Ok(())
    }
}

/// What the rules see of a channel; none for a platform we do not deliver to.
pub(crate) fn channel(traits: &Traits) -> Option<Channel> {
    let platform = Platform::of(&traits.platform)?;
    let enrollment = enrollment_kind(&traits.enrollment_type);
    Some(Channel {
        platform,
        version: Version::lenient(traits.os_version.as_deref().unwrap_or("0")),
        supervised: match platform {
            Platform::Ios => traits.is_supervised,
            // Apple counts a Mac with user-approved device enrollment as supervised.
            Platform::MacOs => enrollment == EnrollmentKind::Device,
        },
        enrollment,
        user_channel: traits.user_channel,
    })
}

/// A version names logical content.
pub(crate) fn version(content: &Value) -> reconcile::Version {
    muster_pki::sha256(content.to_string().as_bytes()).to_vec()
}

/// What stands in `item.content`: the logical content, the names of its settings, and what was left out.
pub(super) fn content(one: &Resolved) -> String {
    let conflict = one.exceptions.iter().any(|exception| exception.why == Withheld::Conflict);
    json!({
        "name": one.name,
        "content": one.content,
        "settings": one.settings,
        "conflict": conflict,
    })
    .to_string()
}

/// The state that an administrator sees of an item.
pub(crate) fn shown(item: &Item) -> &'static str {
    let content: Value = serde_json::from_str(&item.content).unwrap_or_default();
    let conflict = content["conflict"].as_bool().unwrap_or(false);
    match (&item.desired_version, &item.reported_version) {
        (None, None) if item.command_id.is_none() && conflict => state::CONFLICT,
        (None, None) if item.command_id.is_none() => state::NOT_APPLICABLE,
        (desired, reported) if desired == reported && item.command_id.is_none() => {
            if item.error.is_some() {
                state::ERROR
            } else if conflict {
                state::CONFLICT
            } else {
                state::SUCCEEDED
            }
        }
        (None, Some(_)) if item.error.is_some() && item.command_id.is_none() => state::ERROR,
        _ => state::PENDING,
    }
}

/// Hashes over (item, desired version) and (item, reported version).
pub(crate) fn hashes<'i>(items: impl Iterator<Item = &'i Item> + Clone) -> ([u8; 32], [u8; 32]) {
    let over = |side: fn(&Item) -> &Option<Vec<u8>>| {
        let mut text = Vec::new();
        for item in items.clone() {
            if let Some(version) = side(item) {
                text.extend_from_slice(item.key.as_bytes());
                text.push(0);
                text.extend_from_slice(version);
                text.push(0);
            }
        }
        muster_pki::sha256(&text)
    };
    (over(|item| &item.desired_version), over(|item| &item.reported_version))
}
