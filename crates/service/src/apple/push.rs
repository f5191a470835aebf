//! Asking a device to connect: one coalesced job an enrollment, enqueued in the transaction of the
//! cause, sent after its commit. What the push service answers decides whether the channel counts as
//! reachable.

use muster_storage::{Tx, enrollments, jobs, push_certificates};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::push_pause::Because;
use crate::{
    Error, Ids, PushError, PushTarget, Result, Service,
    settings::{MINUTE, SECOND},
};

/// Kind of the push job.
pub const PUSH_JOB: &str = "applePush";

/// Asks the enrollment's device to connect, soon.
pub fn push_soon(
    tx: &mut dyn Tx,
    tenant: Uuid,
    enrollment: Uuid,
    ids: &mut Ids,
    now: i64,
) -> muster_storage::Result<()> {
    enqueue(tx, tenant, enrollment, ids, &enrollment.to_string(), now, now)
}

/// Asks the devices of these enrollments to connect, soon.
pub fn push_all_soon(
    tx: &mut dyn Tx,
    tenant: Uuid,
    enrollments: &[Uuid],
    ids: &mut Ids,
    now: i64,
) -> muster_storage::Result<()> {
    let texts: Vec<(Uuid, String, String)> = enrollments
        .iter()
        .map(|enrollment| (ids.next(), enrollment.to_string(), json!({ "enrollment": enrollment }).to_string()))
        .collect();
    let jobs: Vec<jobs::NewJob<'_>> = texts
        .iter()
        .map(|(id, key, payload)| jobs::NewJob {
            id: *id,
            tenant,
            kind: PUSH_JOB,
            coalesce_key: Some(key),
            payload,
            run_at: now,
            now,
        })
        .collect();
    jobs::enqueue_all(tx, tenant, &jobs)
}

/// Asks the enrollment's device to connect at a later time, beside what is asked now. Of several
/// later times the earliest counts.
pub fn push_at(
    tx: &mut dyn Tx,
    tenant: Uuid,
    enrollment: Uuid,
    ids: &mut Ids,
    at: i64,
    now: i64,
) -> muster_storage::Result<()> {
    enqueue(tx, tenant, enrollment, ids, &format!("{enrollment} later"), at, now)
}

fn enqueue(
    tx: &mut dyn Tx,
    tenant: Uuid,
    enrollment: Uuid,
    ids: &mut Ids,
    key: &str,
    at: i64,
    now: i64,
) -> muster_storage::Result<()> {
    let payload = json!({ "enrollment": enrollment }).to_string();
    let id = ids.next();
    let job = jobs::NewJob { id, tenant, kind: PUSH_JOB, coalesce_key: Some(key), payload: &payload, run_at: at, now };
    jobs::enqueue(tx, &job)
}

/// What to do with a push job after a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// Nothing more.
    Done,
    /// Try again at this time, unix ms.
    Again(i64),
}

#[derive(Deserialize)]
struct PushJob {
    enrollment: Uuid,
    #[serde(default)]
    attempt: i64,
}

impl Service {
    /// Carries out a push job.
    pub(crate) async fn run_push_job(&self, job: jobs::Job) -> Result<()> {
        let push: PushJob = serde_json::from_str(&job.payload).map_err(Error::internal)?;
        let (tenant, attempt) = (job.tenant, push.attempt + 1);
        match self.push_enrollment(tenant, push.enrollment, attempt).await? {
            Pushed::Done => Ok(()),
            Pushed::Again(at) => {
                let now = self.clock.now();
                let ids = self.ids(now);
                let payload = json!({ "enrollment": push.enrollment, "attempt": attempt }).to_string();
                let key = push.enrollment.to_string();
                self.store
                    .write(tenant, move |tx| {
                        let job = jobs::NewJob {
                            id: ids.clone().next(),
                            tenant,
                            kind: PUSH_JOB,
                            coalesce_key: Some(&key),
                            payload: &payload,
                            run_at: at,
                            now,
                        };
                        jobs::enqueue(tx, &job)
                    })
                    .await?;
                Ok(())
            }
        }
    }

    /// Sends the push of an enrollment; `attempt` counts from 1. Never an error for what the push
    /// service says: that is state.
    pub async fn push_enrollment(&self, tenant: Uuid, enrollment: Uuid, attempt: i64) -> Result<Pushed> {
        let found = self
            .store
            .read(tenant, move |tx| {
                let found = enrollments::by_id(tx, tenant, enrollment)?;
                Ok::<_, Error>(found.zip(Some(push_certificates::by_tenant(tx, tenant)?.unwrap_or_default())))
            })
            .await?;
        let Some((found, certificate)) = found else { return Ok(Pushed::Done) };
        let reachable = ["enrolled", "leaving"].contains(&found.state.as_str()) && found.push_state != "unreachable";
        let (Some(topic), Some(token), Some(magic)) = (found.topic, found.push_token, found.push_magic) else {
            return Ok(Pushed::Done);
        };
        if !reachable {
            return Ok(Pushed::Done);
        }
        let as_of = found.push_changed_at.unwrap_or(0);
        let version = certificate.modified_at;
        let pauses = &self.apple.push_pauses;
        if let Some(at) = pauses.wait(tenant, version, self.clock.now()) {
            return Ok(Pushed::Again(at));
        }
        let answer = match certificate.not_after.is_some_and(|ends| ends <= self.clock.now()) {
            // Nobody would take it; without a try the service is not to blame.
            true => Err(PushError::Certificate("it has expired; renew it with the same Apple Account".into())),
            false => {
                let identity = self.push_identity(tenant, &certificate).await?;
                self.push.push(&PushTarget { tenant, topic, token, magic, identity }).await
            }
        };
        let now = self.clock.now();
        if !matches!(answer, Err(PushError::Down(_) | PushError::Certificate(_))) {
            pauses.end(tenant);
        }
        match answer {
            Ok(()) => {
                self.push_state(tenant, enrollment, "reachable", as_of).await?;
                Ok(Pushed::Done)
            }
            // A 410 that speaks of a time before the last TokenUpdate is about the former token.
            Err(PushError::Unregistered(Some(since))) if since < as_of => Ok(Pushed::Done),
            Err(PushError::Unregistered(_)) => {
                self.push_state(tenant, enrollment, "unreachable", as_of).await?;
                Ok(Pushed::Done)
            }
            Err(PushError::BadToken(reason)) => {
                self.push_state(tenant, enrollment, "unreachable", as_of).await?;
                self.push_alert(tenant, "pushTokenRefused", Some(found.device_id), &reason, now).await?;
                Ok(Pushed::Done)
            }
            Err(PushError::Certificate(reason)) => {
                let (at, new) = pauses.start(tenant, version, Because::Certificate, now);
                if new {
                    self.push_alert(tenant, "pushCertificateRefused", None, &reason, now).await?;
                }
                Ok(Pushed::Again(at))
            }
            Err(PushError::Down(reason)) => {
                let (at, new) = pauses.start(tenant, version, Because::Down, now);
                tracing::warn!(%tenant, reason, "the push service is not there; pushes wait");
                if new {
                    self.push_alert(tenant, "pushServiceDown", None, &reason, now).await?;
                }
                Ok(Pushed::Again(at))
            }
            Err(PushError::Later { after, .. }) => {
                let step = (10 * SECOND) << attempt.clamp(1, 9);
                let wait = after.unwrap_or(step.min(30 * MINUTE)).max(SECOND);
                // Spread over as much again: what was refused together does not come back together.
                Ok(Pushed::Again(self.spread(now + wait, enrollment, wait)))
            }
        }
    }

    fn spread(&self, at: i64, enrollment: Uuid, width: i64) -> i64 {
        let bytes = enrollment.as_bytes();
        let part = i64::from(u16::from_be_bytes([bytes[14], bytes[15]]));
        at + width * part / i64::from(u16::MAX)
    }

    async fn push_state(&self, tenant: Uuid, enrollment: Uuid, state: &'static str, as_of: i64) -> Result<()> {
        let changed = self
            .store
            .read(tenant, move |tx| enrollments::by_id(tx, tenant, enrollment))
            .await?
            .is_some_and(|found| found.push_state != state);
        if changed {
            self.store
                .write(tenant, move |tx| enrollments::set_push_state(tx, tenant, enrollment, state, as_of))
                .await?;
        }
        Ok(())
    }

    async fn push_alert(
        &self,
        tenant: Uuid,
        kind: &'static str,
        device: Option<Uuid>,
        reason: &str,
        now: i64,
    ) -> Result<()> {
        let (ids, reason) = (self.ids(now), reason.to_owned());
        self.store
            .write(tenant, move |tx| {
                let origin = super::note::Origin::default();
                let details = json!({ "reason": reason });
                super::note::alert(tx, tenant, &mut ids.clone(), &origin, kind, device, details, now)
            })
            .await?;
        Ok(())
    }
}
