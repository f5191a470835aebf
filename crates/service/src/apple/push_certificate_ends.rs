//! Reminders that the push certificate comes to its end: a timer in the transaction of the import, and
//! each reminder sets the next. Without a renewal no device can be asked to connect any more.

use muster_storage::{Tx, jobs::Job, push_certificates, timers};
use serde_json::json;
use uuid::Uuid;

use super::note::{Origin, alert};
use crate::{Result, Service, guard, settings::DAY};

/// Kind of the timer and its job; its subject is the tenant.
pub const PUSH_CERTIFICATE_ENDS: &str = "pushCertificateEnds";

/// So many days before its end operators are reminded, and when it has come.
const DAYS: [i64; 6] = [30, 14, 7, 3, 1, 0];

/// Sets the next reminder of a certificate that ends at this time; replaces one of its predecessor.
pub(super) fn remind(tx: &mut dyn Tx, tenant: Uuid, ends: i64, now: i64) -> muster_storage::Result<()> {
    match DAYS.iter().map(|days| ends - days * DAY).filter(|at| *at > now).min() {
        Some(at) => timers::set(tx, tenant, PUSH_CERTIFICATE_ENDS, tenant, at, "{}"),
        None => timers::clear(tx, tenant, PUSH_CERTIFICATE_ENDS, tenant).map(|_| ()),
    }
}

impl Service {
    /// Tells the operators how long the push certificate lasts.
    pub(crate) async fn push_certificate_ends_job(&self, job: Job) -> Result<()> {
        let (tenant, now) = (job.tenant, self.clock.now());
        let ids = self.ids(now);
        self.store
            .write(tenant, move |tx| {
                let mut ids = ids.clone();
                let found = push_certificates::by_tenant(tx, tenant)?.and_then(|push| push.not_after);
                // Renewed meanwhile: the import has set a timer of its own.
                let Some(ends) = found.filter(|ends| ends - now <= DAYS[0] * DAY) else { return Ok(()) };
                let subject = match (ends - now).div_euclid(DAY) {
                    ..0 => "Apple's push certificate has expired".to_owned(),
                    0 => "Apple's push certificate expires now".to_owned(),
                    1 => "Apple's push certificate expires in a day".to_owned(),
                    days => format!("Apple's push certificate expires in {days} days"),
                };
                let text = format!(
                    "{subject}.\n\nWithout it no Apple device can be asked to connect, and none can enroll. Renew it at \
                     Apple's portal: choose Renew on the present certificate, with the same Apple Account. A new \
                     certificate instead of a renewed one would lose every enrolled device.\n"
                );
                guard::tell_operators_of(tx, &mut ids, tenant, &subject, &text, now)?;
                let details = json!({ "expirationDateTime": ends });
                alert(tx, tenant, &mut ids, &Origin::default(), PUSH_CERTIFICATE_ENDS, None, details, now)?;
                Ok(remind(tx, tenant, ends, now)?)
            })
            .await
    }
}
