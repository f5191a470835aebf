//! Renewal of device identities: 30 days before the end the device gets its enrollment profile again,
//! with the same identifiers and a new identity payload. It makes a new key; both certificates are
//! taken until the new one is first used.
//!
//! Apple: a profile of the same `PayloadIdentifier` replaces the former; immutable keys stay as they were.

use muster_apple::{Request, enrollment_profile::Mode, requests};
use muster_storage::{certificates, commands, commands::Command, devices, enrollment_sessions, enrollments, tenants};
use serde_json::json;
use uuid::Uuid;

use super::{commands::priority, enrollment_profile::ProfileFor, hooks::ChallengeFor, push};
use crate::{Error, Result, Service, settings::DAY};

/// Kind of the renewal job.
pub const RENEWAL_JOB: &str = "appleRenewal";
/// How long before its end an identity is renewed.
const AHEAD: i64 = 30 * DAY;
/// Devices of one transaction.
const CHUNK: i64 = 500;

impl Service {
    /// Queues renewals for the identities that end within 30 days; called daily for each tenant.
    pub async fn renew_identities(&self, tenant: Uuid) -> Result<usize> {
        let now = self.clock.now();
        let mut after = None;
        let mut queued = 0;
        loop {
            let ids = self.ids(now);
            let (last, count) = self
                .store
                .write(tenant, move |tx| {
                    let mut ids = ids.clone();
                    let ending =
                        certificates::expiring(tx, tenant, certificates::purpose::IDENTITY, now + AHEAD, after, CHUNK)?;
                    let mut count = 0;
                    for certificate in &ending {
                        let Some(device) = certificate.device_id else { continue };
                        let Some(channel) = enrollments::device_channel(tx, tenant, device)? else { continue };
                        let waiting = commands::pending(tx, tenant, channel.id, commands::PENDING_LIMIT)?;
                        let renewing =
                            waiting.iter().any(|c| c.origin == "system" && c.request_type == "InstallProfile");
                        if channel.state != enrollments::state::ENROLLED || renewing {
                            continue;
                        }
                        let command = commands::NewCommand {
                            id: ids.next(),
                            enrollment: channel.id,
                            device,
                            request_type: "InstallProfile".into(),
                            payload: json!({ "renewal": true }).to_string(),
                            origin: "system".into(),
                            action: None,
                            destructive: false,
                            priority: priority::SYSTEM,
                            held: false,
                            not_before: 0,
                            expires_at: None,
                            now,
                        };
                        commands::enqueue(tx, tenant, &command)?;
                        push::push_soon(tx, tenant, channel.id, &mut ids, now)?;
                        count += 1;
                    }
                    let full = ending.len() as i64 == CHUNK;
                    Ok::<_, Error>((ending.last().map(|last| last.id).filter(|_| full), count))
                })
                .await?;
            queued += count;
            match last {
                Some(last) => after = Some(last),
                None => return Ok(queued),
            }
        }
    }

    /// Renews in every tenant.
    pub async fn renew_all_identities(&self) -> Result<usize> {
        let mut queued = 0;
        for tenant in self.store.read(muster_storage::Scope::Server, tenants::all).await? {
            queued += self.renew_identities(tenant.id).await?;
        }
        Ok(queued)
    }

    /// The renewed enrollment profile, made at hand-out.
    pub(super) async fn render_renewal(&self, tenant: Uuid, command: &Command) -> Result<Option<Request>> {
        let device = command.device;
        let found = self
            .store
            .read(tenant, move |tx| {
                let Some(record) = devices::by_id(tx, tenant, device)? else { return Ok(None) };
                let session = enrollment_sessions::of_device(tx, tenant, device)?;
                Ok::<_, Error>(session.map(|session| (record, session)))
            })
            .await?;
        let Some((_, session)) = found else { return Ok(None) };
        let mode = match session.method.as_str() {
            "byod" => Some(Mode::Byod),
            "adde" => Some(Mode::Adde),
            _ => None,
        };
        let purpose = ProfileFor {
            mode,
            managed_apple_account: session.managed_apple_account,
            challenge: ChallengeFor::Renewal { device, enrollment: command.enrollment, command: command.id },
        };
        let profile = self.build_enrollment_profile(tenant, purpose).await?;
        Ok(Some(requests::install_profile(self.sign_profile(profile.encode()).await?)))
    }
}
