//! Secrets in documents: kept sealed beside the document, never in its body.
//!
//! The body holds a mark in their place that changes with the value, so that a changed password
//! becomes a new version of the profile.

use muster_pki::Secret;
use muster_storage::{
    Tx,
    secrets::{self, StoredSecret},
};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{Error, Result, Service, keys::Place};

/// Properties of documents that are secrets, with the least and the most characters.
pub const SECRETS: &[(&str, usize, usize)] = &[("preSharedKey", 5, 64), ("sharedSecret", 1, 256)];
/// What stands in the body instead: this and the id of the sealed value.
const MARK: &str = "sealed:";
/// Owner kind of the sealed rows.
const OWNER: &str = "document";

/// Secrets taken out of a body, sealed; stored in the transaction that stores the body.
#[derive(Clone, Debug, Default)]
pub struct SealedSecrets(Vec<StoredSecret>);

impl SealedSecrets {
    /// Stores them in place of earlier ones of the same name.
    pub fn store(&self, tx: &mut dyn Tx, tenant: Uuid) -> muster_storage::Result<()> {
        self.0.iter().try_for_each(|secret| secrets::replace(tx, tenant, secret))
    }
}

/// The name of a secret property that this body has a sealed value for.
pub(crate) fn kept_secret(body: &Map<String, Value>, name: &str) -> Option<&'static str> {
    let (name, ..) = SECRETS.iter().find(|(known, ..)| *known == name)?;
    body.get(*name).and_then(Value::as_str).filter(|text| text.starts_with(MARK)).map(|_| *name)
}

/// Forgets the secrets of a document that is deleted.
pub fn forget(tx: &mut dyn Tx, tenant: Uuid, document: Uuid) -> muster_storage::Result<()> {
    secrets::remove_all(tx, tenant, OWNER, document).map(|_| ())
}

fn place(secret: Uuid) -> Place {
    Place::new("secret", "sealed", secret)
}

impl Service {
    /// Takes the secrets out of a document's body and seals them.
    pub async fn seal_document(
        &self,
        tenant: Uuid,
        document: Uuid,
        body: &mut Map<String, Value>,
    ) -> Result<SealedSecrets> {
        let now = self.clock.now();
        let mut sealed = Vec::new();
        for (name, least, most) in SECRETS {
            let Some(Value::String(text)) = body.get_mut(*name) else { continue };
            if text.is_empty() || text.starts_with(MARK) {
                continue;
            }
            if !(*least..=*most).contains(&text.len()) {
                return Err(Error::bad_request(format!("{name} must have {least} to {most} characters")));
            }
            let id = self.random.id(now);
            let bytes = self.seal(tenant, place(id), text.as_bytes()).await?;
            *text = format!("{MARK}{id}");
            sealed.push(StoredSecret {
                id,
                owner_kind: OWNER.to_owned(),
                owner_id: document,
                name: (*name).to_owned(),
                sealed: bytes,
                created_at: now,
            });
        }
        Ok(SealedSecrets(sealed))
    }

    /// A secret of a document, opened. None where the document has none.
    pub async fn document_secret(
        &self,
        tenant: Uuid,
        document: Uuid,
        name: &'static str,
        body: &Map<String, Value>,
    ) -> Result<Option<Secret<String>>> {
        let Some(text) = body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        if !text.starts_with(MARK) {
            return Ok(Some(Secret::new(text.to_owned())));
        }
        let found = self.store.read(tenant, move |tx| secrets::newest(tx, tenant, OWNER, document, name)).await?;
        let Some(found) = found else { return Ok(None) };
        let opened = self.unseal(tenant, place(found.id), &found.sealed).await?;
        Ok(Some(Secret::new(String::from_utf8_lossy(opened.expose()).into_owned())))
    }
}
