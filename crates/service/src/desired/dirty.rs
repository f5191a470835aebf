//! Dirty by time: settled errors are tried again. What follows a change of documents, assignments and
//! groups is marked by `documents::mark`, in chunks.

use muster_storage::{self as storage, device_states, enrollments};
use serde::Deserialize;
use uuid::Uuid;

use crate::{Result, Service, apple::push_soon, jobs};

/// What a timer's job says.
#[derive(Deserialize)]
struct Rung {
    subject: Uuid,
}

impl Service {
    /// The job behind [`super::answers::RETRY`]: has the channel computed again, which tries settled
    /// errors whose time has come.
    pub(crate) async fn retry_job(&self, job: storage::jobs::Job) -> Result<()> {
        let rung: Rung = jobs::payload(&job)?;
        let (tenant, enrollment, now) = (job.tenant, rung.subject, self.clock.now());
        let ids = self.ids(now);
        self.store
            .write(tenant, move |tx| {
                let channel = enrollments::by_id(tx, tenant, enrollment)?;
                if channel.is_some_and(|channel| channel.state == enrollments::state::ENROLLED) {
                    device_states::mark_dirty(tx, tenant, enrollment)?;
                    push_soon(tx, tenant, enrollment, &mut ids.clone(), now)?;
                }
                Ok::<_, storage::Error>(())
            })
            .await?;
        Ok(())
    }
}
