//! Revocation. It takes effect at the device's next message, because every message looks at the
//! certificate's record; the lists are for others and follow within a minute (threats C8).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use muster_pki::crl::{CrlTemplate, Reason as Code, Revoked};
use muster_storage::{Result as StorageResult, Scope, Tx, certificates, tenants};
use uuid::Uuid;

use super::blocking;
use crate::{
    Result, Service,
    settings::{DAY, MINUTE},
};

/// A list older than this is made anew when it is asked for.
const FRESH: i64 = MINUTE;
/// Validity of a list: others may go on with it while this server is away.
const VALID: i64 = DAY;
/// Rows a statement.
const CHUNK: i64 = 1_000;

/// Why a certificate is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No reason given.
    Unspecified,
    /// The key is in wrong hands.
    KeyCompromise,
    /// Another certificate took its place.
    Superseded,
    /// The device left.
    CessationOfOperation,
}

impl Reason {
    /// Word in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Unspecified => "unspecified",
            Reason::KeyCompromise => "keyCompromise",
            Reason::Superseded => "superseded",
            Reason::CessationOfOperation => "cessationOfOperation",
        }
    }

    fn code(word: &str) -> Code {
        match word {
            "keyCompromise" => Code::KeyCompromise,
            "superseded" => Code::Superseded,
            "cessationOfOperation" => Code::CessationOfOperation,
            _ => Code::Unspecified,
        }
    }
}

/// Revokes one certificate; false where it was revoked before.
pub fn revoke(tx: &mut dyn Tx, tenant: Uuid, certificate: Uuid, reason: Reason, now: i64) -> StorageResult<bool> {
    certificates::revoke(tx, tenant, certificate, reason.as_str(), now)
}

/// Lists by authority, with the time they were made.
pub(super) type Lists = Mutex<HashMap<String, (i64, Arc<Vec<u8>>)>>;

impl Service {
    /// The revocation list of `device` or `access`, DER; none for another name.
    pub async fn crl(&self, name: &str) -> Result<Option<Arc<Vec<u8>>>> {
        let authorities = self.authorities().await?;
        let Some(authority) = authorities.named(name) else { return Ok(None) };
        let now = self.clock.now();
        let known = self.certificates.lists.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some((made, list)) = known
            && (0..FRESH).contains(&(now - made))
        {
            return Ok(Some(list));
        }
        let revoked = self.revoked(&authority.purpose, now).await?;
        let (name, holder) = (name.to_owned(), authorities.clone());
        let list = blocking(move || {
            let template =
                CrlTemplate { number: now / 1_000, this_update: now, next_update: now + VALID, revoked: &revoked };
            let authority = holder.named(&name).expect("it was found by this name above");
            Ok((name, Arc::new(template.sign(authority.issuer())?)))
        });
        let (name, list) = list.await?;
        self.certificates.lists.lock().unwrap_or_else(PoisonError::into_inner).insert(name, (now, list.clone()));
        Ok(Some(list))
    }

    async fn revoked(&self, issuer: &str, now: i64) -> Result<Vec<Revoked>> {
        let mut revoked = Vec::new();
        for tenant in self.store.read(Scope::Server, tenants::all).await? {
            let tenant = tenant.id;
            let mut after = None;
            loop {
                let issuer = issuer.to_owned();
                let read = move |tx: &mut dyn Tx| certificates::revoked_after(tx, tenant, &issuer, now, after, CHUNK);
                let rows: Vec<_> = self.store.read(tenant, read).await?;
                let Some((last, ..)) = rows.last() else { break };
                after = Some(*last);
                revoked.extend(rows.into_iter().map(|(_, serial, at, word)| Revoked {
                    serial,
                    at,
                    reason: Reason::code(&word),
                }));
            }
        }
        Ok(revoked)
    }
}
