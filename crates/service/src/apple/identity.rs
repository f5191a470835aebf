//! Who holds a certificate, and whether it may speak. The bytes were proven at the edge (TLS,
//! `Mdm-Signature`, or a configured proxy); here the certificate becomes a record.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use muster_apple::{Channel, EnrollmentIds};
use muster_storage::{Scope, device_identities::Standing, lookups};
use uuid::Uuid;

use crate::{Error, Kind, Result, Service};

/// A certificate that is one record of ours. Its state is read anew with every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceCertificate {
    /// Tenant it belongs to.
    pub tenant: Uuid,
    /// The record.
    pub certificate: Uuid,
}

/// Fingerprint -> record: immutable once issued, so it may be kept.
#[derive(Default)]
pub(super) struct Known(Mutex<HashMap<[u8; 32], DeviceCertificate>>);

/// Entries kept; a fleet larger than that looks up more often.
const KNOWN: usize = 100_000;

impl Known {
    fn get(&self, hash: &[u8; 32]) -> Option<DeviceCertificate> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(hash).copied()
    }

    fn put(&self, hash: [u8; 32], found: DeviceCertificate) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN {
            known.clear();
        }
        known.insert(hash, found);
    }
}

/// 400: a certificate that we do not know, or no longer listen to.
pub(super) fn refused(what: &str) -> Error {
    Error::refused(Kind::BadRequest, "deviceRefused", what)
}

/// 403: the certificate was once ours; the device removes management.
pub(super) fn unrecognized() -> Error {
    Error::refused(
        Kind::Forbidden,
        muster_apple::refusal::UNRECOGNIZED_DEVICE,
        "This device is no longer managed by your organisation.",
    )
}

impl Service {
    /// The record of a certificate whose possession was proven; a stranger's is refused.
    pub async fn device_certificate(&self, der: &[u8]) -> Result<DeviceCertificate> {
        let hash = muster_pki::sha256(der);
        if let Some(found) = self.apple.identities.get(&hash) {
            return Ok(found);
        }
        let found = self
            .store
            .read(Scope::Server, move |tx| lookups::find(tx, "certificate", &hash))
            .await?
            .ok_or_else(|| refused("this certificate was not issued by this server"))?;
        let found = DeviceCertificate { tenant: found.tenant, certificate: found.subject };
        self.apple.identities.put(hash, found);
        Ok(found)
    }
}

/// What a standing allows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Goes on. `first_use`: the certificate was not used before by its bound device.
    Go {
        /// A renewed identity speaks for the first time.
        first_use: bool,
        /// Only the removal may be fetched and acknowledged.
        leaving: bool,
    },
    /// 400, and somebody is told why.
    Refuse(&'static str),
    /// 403 `com.apple.unrecognized.device`.
    Unrecognized,
}

/// Judges who speaks: state of the certificate, and that the body names the device it is bound to.
pub(super) fn judge(standing: &Standing, ids: &EnrollmentIds, now: i64) -> Verdict {
    let leaving = match standing.certificate_state.as_str() {
        "issued" | "active" => false,
        "leaving" => true,
        "revoked" => return Verdict::Unrecognized,
        _ => return Verdict::Refuse("supersededCertificate"),
    };
    if standing.not_after < now {
        return Verdict::Refuse("expiredCertificate");
    }
    match (&standing.device, &standing.device_protocol_id) {
        (Some(_), Some(own)) if own == ids.device_id() => {}
        (None, None) => return Verdict::Refuse("notAuthenticated"),
        _ => return Verdict::Refuse("identityMismatch"),
    }
    if ids.channel() == Channel::Device
        && standing.channel.as_ref().is_some_and(|channel| channel.channel != "appleDevice")
    {
        return Verdict::Refuse("identityMismatch");
    }
    Verdict::Go { first_use: standing.certificate_state == "issued", leaving }
}
