//! Configuration entities: create, read, change, delete, assign; one code for every kind.
//!
//! `kinds.rs` is the data, `rules.rs` what each kind insists on, `assign.rs` who gets a document,
//! `mark.rs` which devices must look again. Property names and types were checked before (`web`).

mod assign;
mod kinds;
mod mark;
mod rules;

pub use assign::{NewAssignment, Target, assignment_view};
pub use kinds::{Draft, KINDS, Kind, Reach};
pub use mark::{JOB as MARK_JOB, Targets, enqueue_targets, look_again};
pub use rules::device_limit;

pub use muster_storage::{assignments::Assignment, documents::Document};

use muster_storage::{documents, outbox};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    Actor, Error, Kind as Refused, Result, Service,
    audit::{Act, subject},
};

/// Rows a chunk of a long read has.
const CHUNK: i64 = 1000;

fn unknown(kind: &Kind, id: Uuid) -> Error {
    Error::not_found(format!("there is no {} with the id {id}", kind.base))
}

fn stale() -> Error {
    Error::precondition_failed("the object was changed since this ETag was read; read it again")
}

fn act(kind: &Kind, operation: &'static str) -> Act {
    Act { operation, activity: kind.base, category: kind.category, component: kind.base }
}

/// Graph's picture of a document, secrets aside (they are not in it).
pub fn view(document: &Document) -> Result<Map<String, Value>> {
    let mut view = Map::new();
    view.insert("@odata.type".into(), format!("#microsoft.graph.{}", document.odata_type).into());
    view.insert("id".into(), document.id.to_string().into());
    view.extend(document.properties()?);
    view.insert("createdDateTime".into(), time(document.created_at));
    view.insert("lastModifiedDateTime".into(), time(document.modified_at));
    view.insert("version".into(), document.version.into());
    if let Some(priority) = document.priority {
        view.insert("priority".into(), priority.into());
    }
    Ok(view)
}

fn time(ms: i64) -> Value {
    jiff::Timestamp::from_millisecond(ms).map_or(Value::Null, |time| time.to_string().into())
}

impl Service {
    /// Makes a document.
    pub async fn create_document(&self, actor: &Actor, kind: &'static Kind, mut draft: Draft) -> Result<Document> {
        let now = self.clock.now();
        let id = self.random.id(now);
        let event = self.random.id(now);
        let mut entry = self.audit_entry(actor, act(kind, "Create"), now);
        let name = draft.text(kind.name).unwrap_or_default().to_owned();
        entry.resources.push(subject(&draft.odata_type, id, Some(&name)));
        let tenant = actor.tenant;
        let sealed = self.seal_document(tenant, id, &mut draft.properties).await?;
        self.store
            .write(tenant, move |tx| {
                let mut draft = draft.clone();
                (kind.fill)(&mut draft.properties);
                (kind.check)(tx, tenant, &draft, None)?;
                sealed.store(tx, tenant)?;
                let priority = match kind.ordered {
                    true => Some(documents::all_by_priority(tx, tenant, kind.collection)?.len() as i64 + 1),
                    false => None,
                };
                let document = Document {
                    kind: kind.collection.to_owned(),
                    id,
                    odata_type: draft.odata_type,
                    display_name: name.clone(),
                    body: Value::Object(draft.properties).to_string(),
                    priority,
                    version: 1,
                    created_at: now,
                    modified_at: now,
                };
                documents::insert(tx, tenant, &document)?;
                muster_storage::audit::record(tx, tenant, &entry)?;
                outbox::emit(tx, tenant, event, "documentCreated", kind.collection, Some(id), "{}", now)?;
                Ok(document)
            })
            .await
    }

    /// One document.
    pub async fn document(&self, tenant: Uuid, kind: &'static Kind, id: Uuid) -> Result<Document> {
        self.store.read(tenant, move |tx| kind.find(tx, tenant, id)?.ok_or_else(|| unknown(kind, id))).await
    }

    /// Every document of a kind, read in chunks.
    pub async fn documents(&self, tenant: Uuid, kind: &'static Kind) -> Result<Vec<Document>> {
        let mut all: Vec<Document> = Vec::new();
        loop {
            let after = all.last().map(|document| document.id);
            let chunk: Vec<Document> = self
                .store
                .read(tenant, move |tx| -> Result<_> {
                    Ok(documents::page(tx, tenant, kind.collection, after, CHUNK)?)
                })
                .await?;
            let more = chunk.len() as i64 == CHUNK;
            all.extend(chunk);
            if !more {
                break;
            }
        }
        if let Some(default) = kind.default_document(tenant)
            && !all.iter().any(|document| document.id == tenant)
        {
            all.insert(0, default);
        }
        if kind.ordered {
            all.sort_by_key(|document| (document.priority, document.id));
        }
        Ok(all)
    }

    /// Changes the named properties of a document. `if_match` is the version the caller read.
    pub async fn patch_document(
        &self,
        actor: &Actor,
        kind: &'static Kind,
        id: Uuid,
        named_type: Option<String>,
        mut properties: Map<String, Value>,
        if_match: Option<i64>,
    ) -> Result<Document> {
        let now = self.clock.now();
        let mut ids = self.ids(now);
        let (event, job) = (ids.next(), ids.next());
        let entry = self.audit_entry(actor, act(kind, "Patch"), now);
        let tenant = actor.tenant;
        let sealed = self.seal_document(tenant, id, &mut properties).await?;
        self.store
            .write(tenant, move |tx| {
                sealed.store(tx, tenant)?;
                let before = kind.find(tx, tenant, id)?.ok_or_else(|| unknown(kind, id))?;
                if if_match.is_some_and(|version| version != before.version) {
                    return Err(stale());
                }
                if let Some(named) = &named_type
                    && *named != before.odata_type
                {
                    return Err(Error::bad_request(format!(
                        "this object is a microsoft.graph.{} and stays one; @odata.type says {named}",
                        before.odata_type
                    )));
                }
                let mut merged = before.properties()?;
                let mut modified = Vec::new();
                for (name, value) in &properties {
                    let old = merged.insert(name.clone(), value.clone());
                    if old.as_ref() != Some(value) {
                        modified.push((name.clone(), old.map(|value| short(&value)), Some(short(value))));
                    }
                }
                let draft = Draft { odata_type: before.odata_type.clone(), properties: merged };
                (kind.check)(tx, tenant, &draft, Some(&before))?;
                let after = Document {
                    display_name: draft.text(kind.name).unwrap_or_default().to_owned(),
                    body: Value::Object(draft.properties).to_string(),
                    version: before.version + 1,
                    modified_at: now,
                    created_at: if before.version == 0 { now } else { before.created_at },
                    ..before.clone()
                };
                if before.version == 0 {
                    documents::insert(tx, tenant, &after)?;
                } else if !documents::update(tx, tenant, &after, before.version, now)? {
                    return Err(stale());
                }
                (kind.change)(tx, tenant, &before, Some(&after), now)?;
                let mut entry = entry.clone();
                let mut resource = subject(&after.odata_type, id, Some(&after.display_name));
                resource.modified = modified;
                entry.resources.push(resource);
                muster_storage::audit::record(tx, tenant, &entry)?;
                outbox::emit(tx, tenant, event, "documentChanged", kind.collection, Some(id), "{}", now)?;
                if kind.configures {
                    mark::enqueue_document(tx, tenant, job, kind.collection, id, now)?;
                }
                Ok(after)
            })
            .await
    }

    /// Deletes a document and its assignments.
    pub async fn delete_document(
        &self,
        actor: &Actor,
        kind: &'static Kind,
        id: Uuid,
        if_match: Option<i64>,
    ) -> Result<()> {
        let now = self.clock.now();
        let mut ids = self.ids(now);
        let (event, job) = (ids.next(), ids.next());
        let entry = self.audit_entry(actor, act(kind, "Delete"), now);
        let tenant = actor.tenant;
        self.store
            .write(tenant, move |tx| {
                if kind.default.is_some() && id == tenant {
                    return Err(Error::bad_request("the default object stays; change it instead"));
                }
                let before = kind.find(tx, tenant, id)?.ok_or_else(|| unknown(kind, id))?;
                if if_match.is_some_and(|version| version != before.version) {
                    return Err(stale());
                }
                let assignments = muster_storage::assignments::of_document(tx, tenant, kind.collection, id)?;
                muster_storage::assignments::replace(tx, tenant, kind.collection, id, &[])?;
                (kind.change)(tx, tenant, &before, None, now)?;
                documents::delete(tx, tenant, kind.collection, id)?;
                crate::desired::secrets::forget(tx, tenant, id)?;
                if kind.ordered {
                    renumber(tx, tenant, kind, now)?;
                }
                let mut entry = entry.clone();
                entry.resources.push(subject(&before.odata_type, id, Some(&before.display_name)));
                muster_storage::audit::record(tx, tenant, &entry)?;
                outbox::emit(tx, tenant, event, "documentDeleted", kind.collection, Some(id), "{}", now)?;
                if kind.configures {
                    mark::enqueue_targets(tx, tenant, job, &Targets::of(&assignments), now)?;
                }
                Ok(())
            })
            .await
    }

    /// Puts a document of an ordered kind at a place; the others close up.
    pub async fn set_document_priority(
        &self,
        actor: &Actor,
        kind: &'static Kind,
        id: Uuid,
        priority: i64,
    ) -> Result<()> {
        if !kind.ordered {
            return Err(Error::refused(Refused::BadRequest, "BadRequest", "this kind of object has no priority"));
        }
        let now = self.clock.now();
        let entry = self.audit_entry(actor, act(kind, "SetPriority"), now);
        let tenant = actor.tenant;
        self.store
            .write(tenant, move |tx| {
                let mut all = documents::all_by_priority(tx, tenant, kind.collection)?;
                let at = all.iter().position(|document| document.id == id).ok_or_else(|| unknown(kind, id))?;
                if priority < 1 || priority > all.len() as i64 {
                    return Err(Error::bad_request(format!("priority must be between 1 and {}", all.len())));
                }
                let moved = all.remove(at);
                let mut entry = entry.clone();
                let mut resource = subject(&moved.odata_type, id, Some(&moved.display_name));
                resource.modified.push((
                    "priority".into(),
                    moved.priority.map(|priority| priority.to_string()),
                    Some(priority.to_string()),
                ));
                entry.resources.push(resource);
                all.insert(priority as usize - 1, moved);
                for (place, document) in all.iter().enumerate() {
                    let place = place as i64 + 1;
                    if document.priority != Some(place) {
                        documents::set_priority(tx, tenant, kind.collection, document.id, place, now)?;
                    }
                }
                muster_storage::audit::record(tx, tenant, &entry)?;
                Ok(())
            })
            .await
    }
}

fn renumber(tx: &mut dyn muster_storage::Tx, tenant: Uuid, kind: &Kind, now: i64) -> Result<()> {
    for (place, document) in documents::all_by_priority(tx, tenant, kind.collection)?.iter().enumerate() {
        let place = place as i64 + 1;
        if document.priority != Some(place) {
            documents::set_priority(tx, tenant, kind.collection, document.id, place, now)?;
        }
    }
    Ok(())
}

/// Values in audit rows are clipped: a payload of a megabyte says nothing there.
fn short(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(200) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}
