//! PKIOperation: a request is opened, decided on, and answered. Deciding happens in one write
//! transaction; RSA happens outside of it.

use std::sync::Arc;

use muster_pki::{
    Certificate, Csr,
    asn1::Limits,
    scep::{FailInfo, MessageType, server::Message},
    sha256,
};
use muster_storage::{
    Scope, Tx, audit, certificates, devices, enrollment_sessions, lookups,
    scep_challenges::{self, ScepChallenge},
};
use uuid::Uuid;

use super::{AGAIN, Decision, Holder, Refused, refused, undecodable};
use crate::{
    Result, Service,
    certificates::{Authorities, Authority, Decided, blocking},
};

/// Bytes of one request; the edge bounds the body likewise.
const LIMITS: Limits = Limits { bytes: 64 * 1024, depth: 32, elements: 2_048 };

/// States of a device that gets no certificate any more.
const GONE: [&str; 4] = ["leaving", "left", "wiped", "gone"];

/// What one look at a challenge says.
enum Standing {
    /// It may be spent.
    Open,
    /// It was spent by this very request: the certificate that it got.
    Answered(Vec<u8>),
}

/// What a request presents.
#[derive(Clone, Debug)]
struct Presented {
    transaction_id: String,
    public_key_hash: Vec<u8>,
}

impl Service {
    /// Answers a pkiMessage with a CertRep. The only refusal outside of SCEP is for bytes that are
    /// no such message.
    pub async fn scep_operation(&self, message: Vec<u8>) -> Result<Vec<u8>> {
        let authorities = self.authorities().await?;
        let options = self.scep_options();
        let (service, held) = (self.clone(), authorities.clone());
        let opened = blocking(move || {
            let message = Message::decode(&message, LIMITS, options).map_err(|_| undecodable())?;
            let opened = service.open_request(&message, &held);
            Ok((message, opened))
        });
        let (message, opened) = opened.await?;
        let decision = match opened {
            Ok((csr, authority)) => self.decide(&message, csr, named(&authorities, authority)).await?,
            Err(refused) => Err(refused),
        };
        match &decision {
            Ok(_) => metrics::counter!("muster_scep_total", "result" => "issued").increment(1),
            Err(refused) => {
                metrics::counter!("muster_scep_total", "result" => "refused").increment(1);
                let transaction = message.header().transaction_id.as_str();
                tracing::info!(transaction, why = refused.why, "a SCEP request was refused");
            }
        }
        let service = self.clone();
        blocking(move || {
            let random = |bytes: &mut [u8]| service.random.fill(bytes);
            let authority = [&authorities.device, &authorities.access]
                .into_iter()
                .find(|authority| message.is_for(&authority.certificate))
                .unwrap_or(&authorities.device);
            Ok(match decision {
                Ok(der) => message.success(&Certificate::decode(&der)?, authority.issuer(), &random)?,
                Err(refused) => message.failure(refused.info, authority.issuer(), &random)?,
            })
        })
        .await
    }

    /// What can be judged without the database. Names the authority that was asked.
    fn open_request(
        &self,
        message: &Message,
        authorities: &Authorities,
    ) -> std::result::Result<(Csr, &'static str), Refused> {
        let signer = message.signer().map_err(|error| refused(error.into(), "the message's signature is wrong"))?;
        if !signer.public_key().is_rsa() {
            return Err(refused(FailInfo::BadAlg, "the answer cannot be encrypted for the signer's key"));
        }
        if !matches!(message.header().message_type, MessageType::PkcsReq | MessageType::RenewalReq) {
            return Err(refused(FailInfo::BadRequest, "this type of message is not offered"));
        }
        let (authority, name) = [(&authorities.device, "device"), (&authorities.access, "access")]
            .into_iter()
            .find(|(authority, _)| message.is_for(&authority.certificate))
            .ok_or(refused(FailInfo::BadMessageCheck, "the request is encrypted for somebody else"))?;
        let random = |bytes: &mut [u8]| self.random.fill(bytes);
        let csr = message
            .open(authority.issuer(), &random)
            .map_err(|error| refused(error.into(), "the request does not open"))?;
        let key = csr.public_key();
        if !key.is_rsa() {
            return Err(refused(FailInfo::BadAlg, "only RSA keys are certified by SCEP"));
        }
        key.check_policy().map_err(|error| refused(error.into(), "the key is refused by policy"))?;
        Ok((csr, name))
    }

    /// The certificate to answer with, DER.
    async fn decide(&self, message: &Message, csr: Csr, authority: Asked) -> Decision<Vec<u8>> {
        match message.header().message_type {
            MessageType::RenewalReq => self.renew(message, csr, authority).await,
            _ => self.enroll(message, csr, authority).await,
        }
    }

    async fn enroll(&self, message: &Message, csr: Csr, asked: Asked) -> Decision<Vec<u8>> {
        if message.signer().ok().map(Certificate::public_key) != Some(csr.public_key()) {
            // Else somebody on the way could put a request of another into an envelope of their own.
            return Ok(Err(refused(FailInfo::BadMessageCheck, "the message is not signed by the requested key")));
        }
        let Some(challenge) = csr.challenge() else {
            return Ok(Err(refused(FailInfo::BadRequest, "there is no challenge")));
        };
        let hash = sha256(challenge.expose().as_bytes());
        let found: Option<lookups::Lookup> =
            self.store.read(Scope::Server, move |tx| lookups::find(tx, scep_challenges::LOOKUP, &hash)).await?;
        let Some(found) = found else {
            return Ok(Err(refused(FailInfo::BadRequest, "the challenge is unknown")));
        };
        let (tenant, id, now) = (found.tenant, found.subject, self.clock.now());
        let presented = Presented {
            transaction_id: message.header().transaction_id.clone(),
            public_key_hash: csr.public_key().fingerprint().to_vec(),
        };
        let (look, at) = (presented.clone(), now);
        let seen: Decision<(ScepChallenge, Standing)> = self
            .store
            .read(tenant, move |tx| {
                let Some(challenge) = scep_challenges::by_id(tx, tenant, id)? else {
                    return Ok(Err(refused(FailInfo::BadRequest, "the challenge is unknown")));
                };
                Ok(standing(tx, tenant, &challenge, &look, at)?.map(|standing| (challenge, standing)))
            })
            .await;
        let challenge = match seen? {
            Err(refused) => return Ok(Err(refused)),
            Ok((_, Standing::Answered(der))) => return Ok(Ok(der)),
            Ok((challenge, Standing::Open)) => challenge,
        };
        if asked.authority().purpose != asked.authorities.for_purpose(&challenge.purpose).purpose {
            return Ok(Err(refused(FailInfo::BadRequest, "the challenge is for the other authority")));
        }
        let holder = Holder {
            purpose: challenge.purpose.clone(),
            device: challenge.device_id,
            enrollment: challenge.enrollment_id,
            session: challenge.enrollment_session_id,
            document: challenge.document_id,
            generation: 1,
        };
        let decided = Decided::from_json(&challenge.subject)?;
        let (service, owner) = (self.clone(), holder.clone());
        let row = blocking(move || service.issue(&decided, csr.public_key(), &owner, asked.authority(), now)).await?;
        let entry = self.issued_entry(&row, now);
        self.store
            .write(tenant, move |tx| {
                if taken(tx, tenant, &holder, &presented.public_key_hash)? {
                    return Ok(Err(refused(FailInfo::BadRequest, "the key is certified for another device")));
                }
                let generation = next_generation(tx, tenant, &holder)?;
                let Presented { transaction_id, public_key_hash } = &presented;
                if !scep_challenges::spend(tx, tenant, id, transaction_id, public_key_hash, row.id, now)? {
                    // Somebody was faster: the same request again, or another with the same challenge.
                    let Some(challenge) = scep_challenges::by_id(tx, tenant, id)? else {
                        return Ok(Err(refused(FailInfo::BadRequest, "the challenge is unknown")));
                    };
                    return Ok(match standing(tx, tenant, &challenge, &presented, now)? {
                        Ok(Standing::Answered(der)) => Ok(der),
                        Ok(Standing::Open) => Err(refused(FailInfo::BadRequest, "the challenge cannot be spent")),
                        Err(refused) => Err(refused),
                    });
                }
                certificates::insert(tx, tenant, &certificates::Certificate { generation, ..row.clone() })?;
                audit::record(tx, tenant, &entry)?;
                Ok(Ok(row.der.clone()))
            })
            .await
    }
}

/// The authority that a message was encrypted for.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) authorities: Arc<Authorities>,
    name: &'static str,
}

impl Asked {
    pub(super) fn authority(&self) -> &Authority {
        self.authorities.named(self.name).expect("the name is one of the two issuing authorities")
    }
}

fn named(authorities: &Arc<Authorities>, name: &'static str) -> Asked {
    Asked { authorities: authorities.clone(), name }
}

/// Whether a challenge may be spent, or was spent by the same request.
fn standing(
    tx: &mut dyn Tx,
    tenant: Uuid,
    challenge: &ScepChallenge,
    presented: &Presented,
    now: i64,
) -> Decision<Standing> {
    match challenge.state.as_str() {
        "open" if challenge.expires_at <= now => {
            return Ok(Err(refused(FailInfo::BadRequest, "the challenge has expired")));
        }
        "open" => {}
        "used" => {
            let same = challenge.transaction_id.as_deref() == Some(&presented.transaction_id)
                && challenge.public_key_hash.as_deref() == Some(&presented.public_key_hash)
                && challenge.used_at.is_some_and(|used| now - used < AGAIN);
            let (true, Some(id)) = (same, challenge.certificate_id) else {
                return Ok(Err(refused(FailInfo::BadRequest, "the challenge is spent")));
            };
            let good = [certificates::state::ISSUED, certificates::state::ACTIVE];
            return Ok(match certificates::by_id(tx, tenant, id)? {
                Some(issued) if good.contains(&issued.state.as_str()) => Ok(Standing::Answered(issued.der)),
                _ => Err(refused(FailInfo::BadRequest, "the certificate is no longer good")),
            });
        }
        _ => return Ok(Err(refused(FailInfo::BadRequest, "the challenge is void"))),
    }
    let mut device = challenge.device_id;
    if let Some(session) = challenge.enrollment_session_id {
        let session = enrollment_sessions::by_id(tx, tenant, session)?;
        let Some(session) = session.filter(|session| session.state != enrollment_sessions::state::CLOSED) else {
            return Ok(Err(refused(FailInfo::BadRequest, "the enrollment is over")));
        };
        device = device.or(session.device_id);
    }
    // A challenge that was handed out before a device left is worth nothing after (design, ruling 1).
    if let Some(device) = device {
        let device = devices::by_id(tx, tenant, device)?;
        if device.is_none_or(|device| GONE.contains(&device.state.as_str())) {
            return Ok(Err(refused(FailInfo::BadRequest, "the device has left")));
        }
    }
    Ok(Ok(Standing::Open))
}

/// True where a key is certified for another device (threats C3).
pub(super) fn taken(tx: &mut dyn Tx, tenant: Uuid, holder: &Holder, public_key_hash: &[u8]) -> Result<bool> {
    let others = certificates::by_public_key(tx, tenant, public_key_hash)?;
    Ok(others.iter().any(|other| !holder.holds(other)))
}

/// One more than the device's newest certificate of the purpose.
pub(super) fn next_generation(tx: &mut dyn Tx, tenant: Uuid, holder: &Holder) -> Result<i64> {
    let Some(device) = holder.device else { return Ok(holder.generation) };
    let newest = certificates::of_device(tx, tenant, device)?
        .into_iter()
        .filter(|other| other.purpose == holder.purpose && other.document_id == holder.document)
        .map(|other| other.generation)
        .max();
    Ok(newest.map_or(holder.generation, |generation| generation + 1))
}
