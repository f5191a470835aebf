//! The two tables of work: job kinds (timers included: a due timer becomes a job of its kind with
//! the payload `{"subject", "payload"}`) and what happens periodically for each tenant.

use muster_storage::jobs::Job;
use uuid::Uuid;

use crate::{Result, Service, ports::Boxed};

/// Takes one job.
pub type Handler = fn(Service, Job) -> Boxed<'static, Result<()>>;

/// Does its work for one tenant at a time.
pub type Sweep = fn(Service, Uuid, i64) -> Boxed<'static, Result<()>>;

/// Work that comes round.
pub struct Periodic {
    /// Name, in logs and of the lease.
    pub name: &'static str,
    /// Milliseconds between two runs.
    pub every: i64,
    /// One node at a time does it, once per period. Without: every node may, the work itself sees
    /// to it that doing it twice is harmless.
    pub exclusive: bool,
    /// It may take long, as with a policy for a whole fleet: it runs beside everything else, once at a time.
    pub apart: bool,
    /// What to do.
    pub run: Sweep,
}

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// Job kind -> handler. Add a row for a new kind.
pub const HANDLERS: &[(&str, Handler)] = &[
    (crate::apple::PUSH_JOB, |service, job| Box::pin(async move { service.run_push_job(job).await })),
    (crate::apple::abandoned::TIMER, |service, job| Box::pin(async move { service.abandoned_job(job).await })),
    (crate::apple::PUSH_CERTIFICATE_ENDS, |service, job| {
        Box::pin(async move { service.push_certificate_ends_job(job).await })
    }),
    ("audit.erase", |service, job| Box::pin(async move { service.erase_audit_job(job).await })),
    (crate::inventory::DUE, |service, job| Box::pin(async move { service.inventory_job(job).await })),
    (crate::actions::LEAVING_TIMER, |service, job| Box::pin(async move { service.leaving_job(job).await })),
    (crate::actions::MAIL_JOB, |service, job| Box::pin(async move { service.mail_job(job).await })),
    (crate::devices::TELL_JOB, |service, job| Box::pin(async move { service.tell_owner_change(job).await })),
    (crate::desired::renewal::TIMER, |service, job| Box::pin(async move { service.renew_certificate_job(job).await })),
    (crate::desired::answers::RETRY, |service, job| Box::pin(async move { service.retry_job(job).await })),
    (crate::documents::MARK_JOB, |service, job| Box::pin(async move { service.run_mark_job(job).await })),
    (crate::rules::walk::JOB, |service, job| Box::pin(async move { service.run_members_job(job).await })),
    (crate::guard::RELEASE_JOB, |service, job| {
        Box::pin(async move { service.release_all(job.tenant).await.map(|_| ()) })
    }),
];

/// Periodic work, in the order in which one round does it.
pub const SCHEDULE: &[Periodic] = &[
    Periodic {
        name: "timers",
        every: SECOND,
        exclusive: false,
        apart: false,
        run: |service, tenant, now| Box::pin(async move { service.ring_timers(tenant, now).await }),
    },
    // Before "dirty": who is in a group decides what a device should have.
    Periodic {
        name: "rules",
        every: SECOND,
        exclusive: false,
        apart: true,
        run: |service, tenant, _| Box::pin(async move { service.settle_subjects(tenant).await }),
    },
    Periodic {
        name: "dirty",
        every: SECOND,
        exclusive: false,
        apart: true,
        run: |service, tenant, _| Box::pin(async move { service.compute_dirty(tenant).await }),
    },
    Periodic {
        name: "seen",
        every: 10 * SECOND,
        exclusive: false,
        apart: false,
        run: |service, _, _| Box::pin(async move { service.flush_seen().await.map(|_| ()) }),
    },
    Periodic {
        name: "commands.expire",
        every: MINUTE,
        exclusive: true,
        apart: false,
        run: |service, tenant, now| Box::pin(async move { service.expire_commands(tenant, now).await }),
    },
    Periodic {
        name: "identities.renew",
        every: 6 * HOUR,
        exclusive: true,
        apart: false,
        run: |service, tenant, _| Box::pin(async move { service.renew_identities(tenant).await.map(|_| ()) }),
    },
    Periodic {
        name: "audit.seal",
        every: SECOND,
        exclusive: false,
        apart: false,
        run: |service, tenant, _| Box::pin(async move { service.seal_audit(tenant).await.map(|_| ()) }),
    },
    Periodic {
        name: "audit.checkpoint",
        every: 10 * MINUTE,
        exclusive: true,
        apart: false,
        run: |service, tenant, now| Box::pin(async move { service.checkpoint_audit(tenant, now).await }),
    },
    Periodic {
        name: "guard",
        every: MINUTE,
        exclusive: true,
        apart: false,
        run: |service, tenant, _| Box::pin(async move { service.guard_sweep(tenant).await }),
    },
    Periodic {
        name: "retention",
        every: HOUR,
        exclusive: true,
        apart: false,
        run: |service, tenant, now| Box::pin(async move { service.apply_retention(tenant, now).await }),
    },
];
