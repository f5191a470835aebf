//! Prepared documents, kept by (id, version): what is immutable by version may be cached.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use muster_domain::catalogue::{Prepared, prepare};
use muster_storage::{self as storage, Tx, documents};
use uuid::Uuid;

/// A document ready for resolving.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Display name.
    pub name: String,
    /// What it asks for; none: nothing for any device.
    pub prepared: Option<Arc<Prepared>>,
}

/// Prepared documents by id and version.
#[derive(Default)]
pub struct PreparedDocuments {
    kept: Mutex<HashMap<(Uuid, i64), Ready>>,
    /// Rules of groups, kept by their text.
    pub rules: crate::rules::ReadRules,
}

/// Documents kept at most; then the cache starts anew.
const KEPT: usize = 4096;

impl PreparedDocuments {
    /// The document at this version, read and prepared where it is not kept.
    pub fn get(
        &self,
        tx: &mut dyn Tx,
        tenant: Uuid,
        kind: &str,
        id: Uuid,
        version: i64,
    ) -> storage::Result<Option<Ready>> {
        if let Some(ready) = self.lock().get(&(id, version)) {
            return Ok(Some(ready.clone()));
        }
        let Some(document) = documents::by_id(tx, tenant, kind, id)? else { return Ok(None) };
        let mut body = document.properties()?;
        // An update policy's deadline counts from the day on which it was saved.
        let saved = jiff::Timestamp::from_millisecond(document.modified_at).unwrap_or_default();
        body.insert("lastModifiedDateTime".to_owned(), saved.to_string().into());
        let prepared = prepare(&document.odata_type, &body, &fingerprint).map(Arc::new);
        let ready = Ready { name: document.display_name, prepared };
        let mut kept = self.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert((id, document.version), ready.clone());
        Ok(Some(ready))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(Uuid, i64), Ready>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names bytes in an item's content.
pub(crate) fn fingerprint(bytes: &[u8]) -> String {
    hex::encode(muster_pki::sha256(bytes))
}
