//! RenewalReq: signed by the certificate that is renewed, for the same device and purpose (threats C4).

use muster_pki::{
    AlternativeName, Certificate, Csr,
    scep::{FailInfo, server::Message},
};
use muster_storage::{Scope, Tx, audit, certificates, certificates::state, lookups};
use uuid::Uuid;

use super::{
    AGAIN, Decision, Holder,
    operation::{Asked, next_generation, taken},
    refused,
};
use crate::{
    Error, Result, Service,
    certificates::{Alternative, Decided, blocking},
    settings::DAY,
};

impl Service {
    pub(super) async fn renew(&self, message: &Message, csr: Csr, asked: Asked) -> Decision<Vec<u8>> {
        let Ok(signer) = message.signer() else {
            return Ok(Err(refused(FailInfo::BadMessageCheck, "the message's signature is wrong")));
        };
        let fingerprint = signer.fingerprint();
        let found: Option<lookups::Lookup> =
            self.store.read(Scope::Server, move |tx| lookups::find(tx, certificates::LOOKUP, &fingerprint)).await?;
        let Some(found) = found else {
            return Ok(Err(refused(FailInfo::BadRequest, "the signer is none of our certificates")));
        };
        let (tenant, id, now) = (found.tenant, found.subject, self.clock.now());
        let key_hash = csr.public_key().fingerprint().to_vec();
        let (issuer, look) = (asked.authority().purpose.clone(), key_hash.clone());
        let seen: Decision<Current> =
            self.store.read(tenant, move |tx| current(tx, tenant, id, &issuer, &look, now)).await;
        let old = match seen? {
            Err(refused) => return Ok(Err(refused)),
            Ok(Current { again: Some(der), .. }) => return Ok(Ok(der)),
            Ok(Current { certificate, .. }) => certificate,
        };
        let holder = Holder {
            purpose: old.purpose.clone(),
            device: old.device_id,
            enrollment: old.enrollment_id,
            session: old.enrollment_session_id,
            document: old.document_id,
            generation: old.generation + 1,
        };
        let decided = as_before(&old.der)?;
        let (service, owner, asking) = (self.clone(), holder.clone(), asked.clone());
        let row = blocking(move || service.issue(&decided, csr.public_key(), &owner, asking.authority(), now)).await?;
        let entry = self.issued_entry(&row, now);
        let issuer = asked.authority().purpose.clone();
        self.store
            .write(tenant, move |tx| {
                match current(tx, tenant, id, &issuer, &key_hash, now)? {
                    Err(refused) => return Ok(Err(refused)),
                    Ok(Current { again: Some(der), .. }) => return Ok(Ok(der)),
                    Ok(Current { .. }) => {}
                }
                if taken(tx, tenant, &holder, &key_hash)? {
                    return Ok(Err(refused(FailInfo::BadRequest, "the key is certified for another device")));
                }
                let generation = next_generation(tx, tenant, &holder)?;
                certificates::insert(tx, tenant, &certificates::Certificate { generation, ..row.clone() })?;
                audit::record(tx, tenant, &entry)?;
                Ok(Ok(row.der.clone()))
            })
            .await
    }
}

/// The certificate that may be renewed, or what was issued to the same request before.
struct Current {
    certificate: certificates::Certificate,
    again: Option<Vec<u8>>,
}

fn current(tx: &mut dyn Tx, tenant: Uuid, id: Uuid, issuer: &str, key_hash: &[u8], now: i64) -> Decision<Current> {
    let Some(certificate) = certificates::by_id(tx, tenant, id)? else {
        return Ok(Err(refused(FailInfo::BadRequest, "the signer is none of our certificates")));
    };
    let good = [state::ISSUED, state::ACTIVE].contains(&certificate.state.as_str());
    if !good || now > certificate.not_after {
        return Ok(Err(refused(FailInfo::BadCertId, "the certificate is no longer good")));
    }
    if certificate.issuer != issuer {
        return Ok(Err(refused(FailInfo::BadCertId, "the certificate is of the other authority")));
    }
    let again = certificates::by_public_key(tx, tenant, key_hash)?.into_iter().find(|other| {
        other.id != certificate.id
            && other.purpose == certificate.purpose
            && other.device_id == certificate.device_id
            && other.enrollment_session_id == certificate.enrollment_session_id
            && other.document_id == certificate.document_id
            && other.state == state::ISSUED
            && now - other.created_at < AGAIN
    });
    Ok(Ok(Current { certificate, again: again.map(|other| other.der) }))
}

/// What the old certificate says: it was our decision.
fn as_before(der: &[u8]) -> Result<Decided> {
    let old = Certificate::decode(der)?;
    let names = old.extensions().alternative_names.iter().map(|name| match name.clone() {
        AlternativeName::Email(text) => Ok(Alternative::Email(text)),
        AlternativeName::Dns(text) => Ok(Alternative::Dns(text)),
        AlternativeName::Uri(text) => Ok(Alternative::Uri(text)),
        AlternativeName::UserPrincipalName(text) => Ok(Alternative::UserPrincipalName(text)),
        AlternativeName::Ip(_) => Err(Error::internal("a certificate for an address is not renewed")),
    });
    let days = (old.not_after() - old.not_before()) / DAY;
    Ok(Decided {
        subject: old.subject().attributes().into_iter().map(|(kind, value)| (kind.to_string(), value)).collect(),
        alternative_names: names.collect::<Result<_>>()?,
        extended_key_usage: old.extensions().extended_key_usage.iter().map(ToString::to_string).collect(),
        days: u32::try_from(days).unwrap_or(1).max(1),
    })
}
