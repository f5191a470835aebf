//! Check-in messages: one arm per Apple message.

use std::net::IpAddr;

use muster_apple::{CheckIn, EnrollmentIds};
use muster_storage::{device_identities, device_identities::Standing};
use serde_json::json;
use uuid::Uuid;

use super::{
    DeviceCertificate,
    identity::{self, Verdict, refused, unrecognized},
    note::{self, Origin},
};
use crate::{Result, Service};

/// One message's surroundings.
#[derive(Clone, Debug)]
pub struct Contact {
    /// Who speaks.
    pub identity: DeviceCertificate,
    /// `Authorization: Bearer` of account-driven enrollments.
    pub bearer: Option<String>,
    /// Id of the request.
    pub correlation: Uuid,
    /// Network address.
    pub address: Option<IpAddr>,
}

impl Contact {
    pub(super) fn origin(&self) -> Origin {
        Origin { correlation: self.correlation, address: self.address }
    }
}

/// What a device gets back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// 200 and zero bytes.
    Empty,
    /// 200 and a property list.
    List(Vec<u8>),
    /// 200 and JSON.
    Json(Vec<u8>),
    /// 404: this declaration is unknown.
    NotFound,
    /// 410: this user is not managed.
    Gone,
}

impl Service {
    /// Takes a check-in message.
    pub async fn apple_check_in(&self, contact: &Contact, message: CheckIn) -> Result<Reply> {
        match message {
            CheckIn::Authenticate(message) => self.authenticate(contact, message).await,
            CheckIn::TokenUpdate(message) => self.token_update(contact, message).await,
            CheckIn::CheckOut(message) => self.check_out(contact, message).await,
            CheckIn::UserAuthenticate(message) => {
                self.standing(contact, &message.ids).await?;
                Ok(Reply::Gone)
            }
            CheckIn::SetBootstrapToken(message) => self.set_bootstrap_token(contact, message).await,
            CheckIn::GetBootstrapToken(message) => self.get_bootstrap_token(contact, message).await,
            CheckIn::DeclarativeManagement(message) => self.declarative_management(contact, message).await,
            CheckIn::GetToken(_) | CheckIn::ReturnToService(_) => {
                Err(refused("this server offers no such token to this enrollment"))
            }
        }
    }

    /// Where the sender stands, refused where it may not speak. Tells somebody about a mismatch.
    pub(super) async fn standing(&self, contact: &Contact, ids: &EnrollmentIds) -> Result<(Standing, bool)> {
        let DeviceCertificate { tenant, certificate } = contact.identity;
        let (now, protocol_id) = (self.clock.now(), ids.protocol_id());
        let standing = self
            .store
            .read_single(tenant, move |tx| device_identities::standing(tx, tenant, certificate, &protocol_id, now))
            .await?
            .ok_or_else(|| refused("this certificate is no device identity"))?;
        let verdict = identity::judge(&standing, ids, now);
        let leaving = self.enforce(contact, &standing, verdict, ids, now).await?;
        self.check_bearer(contact, &standing, now).await?;
        if let Some(channel) = &standing.channel {
            self.apple.seen.note(tenant, channel.enrollment, now);
        }
        Ok((standing, leaving))
    }

    /// Acts on a verdict; answers whether the device is leaving.
    async fn enforce(
        &self,
        contact: &Contact,
        standing: &Standing,
        verdict: Verdict,
        ids: &EnrollmentIds,
        now: i64,
    ) -> Result<bool> {
        match verdict {
            Verdict::Unrecognized => Err(unrecognized()),
            Verdict::Refuse(why) => {
                self.device_alert(contact, why, standing.device, json!({ "claimed": ids.device_id() }), now).await?;
                Err(refused("this certificate may not speak for this device"))
            }
            Verdict::Go { first_use, leaving } => {
                if let (true, Some(device)) = (first_use, standing.device) {
                    let (tenant, certificate) = (contact.identity.tenant, contact.identity.certificate);
                    let (ids, origin) = (self.ids(now), contact.origin());
                    self.store
                        .write(tenant, move |tx| {
                            let mut ids = ids.clone();
                            if device_identities::activate(tx, tenant, device, certificate)? > 0 {
                                note::device_did(
                                    tx,
                                    tenant,
                                    &mut ids,
                                    &origin,
                                    device,
                                    "renew device identity",
                                    vec![],
                                    now,
                                )?;
                            }
                            Ok::<_, muster_storage::Error>(())
                        })
                        .await?;
                }
                Ok(leaving)
            }
        }
    }

    /// A bearer that is sent must be the one the enrollment is bound to; the certificate is the
    /// identity, so a missing one (a proxy that strips it) is no fault.
    async fn check_bearer(&self, contact: &Contact, standing: &Standing, now: i64) -> Result<()> {
        let (Some(bearer), Some(channel)) = (&contact.bearer, &standing.channel) else { return Ok(()) };
        let Some(expected) = &channel.access_token_hash else { return Ok(()) };
        if muster_pki::sha256(bearer.as_bytes()).as_slice() == expected.as_slice() {
            return Ok(());
        }
        self.device_alert(contact, "bearerMismatch", standing.device, json!({}), now).await?;
        Err(refused("this access token belongs to another enrollment"))
    }

    /// Writes an alert about a message that is then refused.
    pub(super) async fn device_alert(
        &self,
        contact: &Contact,
        kind: &'static str,
        device: Option<Uuid>,
        details: serde_json::Value,
        now: i64,
    ) -> Result<()> {
        let (tenant, ids, origin) = (contact.identity.tenant, self.ids(now), contact.origin());
        tracing::warn!(kind, ?device, "a device message was refused");
        self.store
            .write(tenant, move |tx| {
                note::alert(tx, tenant, &mut ids.clone(), &origin, kind, device, details.clone(), now)
            })
            .await?;
        Ok(())
    }
}
