//! SCEP (RFC 8894): who gets a certificate (design section 10, ruling 7).
//!
//! A request brings a key and a one-time challenge; everything the certificate says was decided
//! when the challenge was minted. What does not live here: messages (`muster_pki::scep`), HTTP
//! (crate `web`).

mod challenge;
mod operation;
mod renewal;

pub use challenge::{MintedChallenge, NewChallenge, ScepOffer, store};
use muster_pki::{
    certificate::random_serial,
    cms::Ciphers,
    public_key::Legacy,
    scep::{FailInfo, server::Options},
};
use muster_storage::certificates;
use uuid::Uuid;

use crate::{
    Error, PrincipalKind, Result, Service,
    audit::{Act, kind_word, subject},
    certificates::{Authority, Decided},
    settings::MINUTE,
};

/// A lost answer may be asked for again this long.
const AGAIN: i64 = 60 * MINUTE;

/// Why a request is refused: for the answer, and for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refused {
    info: FailInfo,
    why: &'static str,
}

/// A decision that may refuse, or fail by our fault.
type Decision<T> = Result<std::result::Result<T, Refused>>;

const fn refused(info: FailInfo, why: &'static str) -> Refused {
    Refused { info, why }
}

/// Whose a new certificate is: what its row takes over.
#[derive(Clone, Debug)]
struct Holder {
    purpose: String,
    device: Option<Uuid>,
    enrollment: Option<Uuid>,
    session: Option<Uuid>,
    document: Option<Uuid>,
    generation: i64,
}

impl Holder {
    /// True where a certificate belongs to the same device or to the same flow.
    fn holds(&self, certificate: &certificates::Certificate) -> bool {
        let same = |mine: Option<Uuid>, other: Option<Uuid>| mine.is_some() && mine == other;
        same(self.device, certificate.device_id)
            || (same(self.session, certificate.enrollment_session_id)
                && (self.device.is_none() || certificate.device_id.is_none()))
    }
}

impl Service {
    fn scep_options(&self) -> Options {
        let compat = self.settings.compat;
        Options { legacy: Legacy { sha1: compat.cms_sha1 }, ciphers: Ciphers { des: compat.scep_des } }
    }

    /// GetCACaps. SHA-384 stands there for clients that take AES for missing without it (decision 4).
    pub fn scep_capabilities(&self) -> String {
        let mut text = String::from("AES\nSHA-256\nSHA-384\nSHA-512\nPOSTPKIOperation\nRenewal\nSCEPStandard\n");
        let Options { legacy, ciphers } = self.scep_options();
        if legacy.sha1 {
            text.push_str("SHA-1\n");
        }
        if ciphers.des {
            text.push_str("DES3\n");
        }
        text
    }

    /// GetCACert: the authority of this name (`access`), else the one for device identities; DER.
    pub async fn scep_authority(&self, name: Option<&str>) -> Result<Vec<u8>> {
        let authorities = self.authorities().await?;
        let authority = name.and_then(|name| authorities.named(name)).unwrap_or(&authorities.device);
        Ok(authority.certificate.der().to_vec())
    }

    /// Signs the certificate and fills its row.
    fn issue(
        &self,
        decided: &Decided,
        key: &muster_pki::PublicKey,
        holder: &Holder,
        authority: &Authority,
        now: i64,
    ) -> Result<certificates::Certificate> {
        let crl_url = format!("{}/crl/{}.crl", self.settings.addresses.public, authority.purpose);
        let serial = random_serial(&|bytes| self.random.fill(bytes));
        let issued = decided.issue(key, serial, authority.issuer(), crl_url, now)?;
        Ok(certificates::Certificate {
            id: self.random.id(now),
            fingerprint: issued.fingerprint().to_vec(),
            serial: issued.serial().to_vec(),
            issuer: authority.purpose.clone(),
            purpose: holder.purpose.clone(),
            device_id: holder.device,
            enrollment_id: holder.enrollment,
            enrollment_session_id: holder.session,
            document_id: holder.document,
            public_key_hash: key.fingerprint().to_vec(),
            state: certificates::state::ISSUED.to_owned(),
            generation: holder.generation,
            not_before: issued.not_before(),
            not_after: issued.not_after(),
            revoked_at: None,
            revocation_reason: None,
            der: issued.der().to_vec(),
            created_at: now,
        })
    }

    /// The audit row of an issued certificate.
    fn issued_entry(&self, certificate: &certificates::Certificate, now: i64) -> muster_storage::audit::Entry {
        let act =
            Act { operation: "Create", activity: "Issue certificate", category: "Enrollment", component: "Enrollment" };
        muster_storage::audit::Entry {
            actor_kind: kind_word(PrincipalKind::Device).to_owned(),
            actor_id: certificate.device_id.or(certificate.enrollment_session_id),
            resources: vec![subject("certificate", certificate.id, Some(&certificate.purpose))],
            ..self.audit_entry_by_system(act, now)
        }
    }
}

/// A message that cannot even be refused in SCEP's own form.
fn undecodable() -> Error {
    Error::bad_request("this is not a SCEP message: send a DER pkiMessage as RFC 8894 section 3 describes it")
}

#[cfg(test)]
mod tests;
