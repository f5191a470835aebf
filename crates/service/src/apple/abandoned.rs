//! Enrollments that began and never ended: Authenticate came, TokenUpdate did not. After a day they are
//! cleared away, so that they do not count against the person's limit, and somebody is told.

use muster_storage::{
    devices,
    enrollment_failures::{self, EnrollmentFailure},
    jobs::Job,
};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{
    hooks,
    note::{self, Origin},
};
use crate::{Result, Service, settings::DAY};

/// Kind of the timer and job; its subject is the device.
pub const TIMER: &str = "apple.enrollmentAbandoned";
/// How long a device may take from Authenticate to TokenUpdate, ms.
pub(super) const PATIENCE: i64 = DAY;

#[derive(Deserialize)]
struct Rung {
    subject: Uuid,
}

impl Service {
    /// The timer of an enrollment rang.
    pub(crate) async fn abandoned_job(&self, job: Job) -> Result<()> {
        let Rung { subject: device } = crate::jobs::payload(&job)?;
        let (tenant, now) = (job.tenant, self.clock.now());
        let ids = self.ids(now);
        self.store
            .write(tenant, move |tx| {
                let Some(record) = devices::by_id(tx, tenant, device)? else { return Ok(()) };
                if record.state != "pending" {
                    return Ok(());
                }
                let mut ids = ids.clone();
                let why = "the device began to enroll and did not finish within a day; start again on the device";
                let failure = EnrollmentFailure {
                    id: ids.next(),
                    person_id: record.person_id,
                    category: "clientDisconnected".into(),
                    reason: why.into(),
                    platform: Some(record.platform.clone()),
                    os_version: record.os_version.clone(),
                    correlation_id: None,
                    at: now,
                };
                enrollment_failures::insert(tx, tenant, &failure)?;
                let details =
                    json!({ "category": failure.category, "reason": why, "serialNumber": record.serial_number });
                note::alert(tx, tenant, &mut ids, &Origin::default(), "enrollmentFailed", Some(device), details, now)?;
                hooks::device_left(tx, &mut ids, tenant, device, why, now)
            })
            .await
    }
}
