//! Renewal of certificates that profiles brought: when the last part of a certificate's life begins, its
//! profile is sent again with a new challenge. The device makes a new key, and the former certificate
//! falls when the device says that the profile is there.
//!
//! How long before the end is the certificate profile's `renewalThresholdPercentage`, 20 where it says
//! nothing.

use muster_domain::{catalogue::built, reconcile::UNKNOWN};
use muster_storage::{
    self as storage, Tx,
    certificates::{self, Certificate, state},
    device_states, documents, items,
    jobs::Job,
    timers,
};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::CONFIGURATIONS;
use crate::{Ids, Result, Service, apple::push_soon, settings::DAY};

/// Kind of the timer and job; its subject is the certificate.
pub const TIMER: &str = "certificates.renew";
/// Percent of a certificate's life that begin its renewal where the profile says nothing.
const USUAL_PERCENT: i64 = 20;

#[derive(Deserialize)]
struct Rung {
    subject: Uuid,
}

/// A profile that brings a certificate is installed: its renewal is put on the calendar. A device that
/// kept the certificate it had is asked again the next day, not at once.
pub(super) fn plan(tx: &mut dyn Tx, tenant: Uuid, certificate: &Certificate, now: i64) -> storage::Result<()> {
    let percent = match certificate.document_id {
        Some(document) => threshold(tx, tenant, document)?,
        None => USUAL_PERCENT,
    };
    let life = certificate.not_after - certificate.not_before;
    let due = (certificate.not_after - life / 100 * percent).max(now + DAY);
    timers::set(tx, tenant, TIMER, certificate.id, due, "{}")
}

/// The percentage of the certificate profile that a document is, or that it links to.
fn threshold(tx: &mut dyn Tx, tenant: Uuid, document: Uuid) -> storage::Result<i64> {
    let Some(own) = documents::by_id(tx, tenant, CONFIGURATIONS, document)? else { return Ok(USUAL_PERCENT) };
    let mut profiles = vec![own.properties()?];
    for linked in built::links(&profiles[0]) {
        if let Some(linked) = documents::by_id(tx, tenant, CONFIGURATIONS, linked)? {
            profiles.push(linked.properties()?);
        }
    }
    let percent = profiles.iter().find_map(|body| body.get("renewalThresholdPercentage").and_then(Value::as_i64));
    Ok(percent.filter(|percent| (1..=99).contains(percent)).unwrap_or(USUAL_PERCENT))
}

fn renew(tx: &mut dyn Tx, tenant: Uuid, id: Uuid, ids: &mut Ids, now: i64) -> storage::Result<()> {
    let Some(certificate) = certificates::by_id(tx, tenant, id)? else { return Ok(()) };
    let good = [state::ISSUED, state::ACTIVE].contains(&certificate.state.as_str());
    let (Some(enrollment), Some(document)) = (certificate.enrollment_id, certificate.document_id) else {
        return Ok(());
    };
    if !good {
        return Ok(());
    }
    // Until the device has another one it is asked every day.
    timers::set(tx, tenant, TIMER, id, now + DAY, "{}")?;
    for mut item in items::of_enrollment(tx, tenant, enrollment)? {
        let there = item.desired_version.is_some() && item.reported_version == item.desired_version;
        if item.document_id != Some(document) || item.command_id.is_some() || item.error.is_some() || !there {
            continue;
        }
        item.reported_version = Some(UNKNOWN.to_vec());
        item.changed_at = now;
        items::put(tx, tenant, &item)?;
        device_states::mark_dirty(tx, tenant, enrollment)?;
        push_soon(tx, tenant, enrollment, ids, now)?;
    }
    Ok(())
}

impl Service {
    /// The last part of a certificate's life has begun.
    pub(crate) async fn renew_certificate_job(&self, job: Job) -> Result<()> {
        let Rung { subject } = crate::jobs::payload(&job)?;
        let (tenant, now) = (job.tenant, self.clock.now());
        let ids = self.ids(now);
        self.store.write(tenant, move |tx| Ok(renew(tx, tenant, subject, &mut ids.clone(), now)?)).await
    }
}
