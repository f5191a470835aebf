//! What time does by itself: undecided requests expire, delayed changes take effect, what no device
//! fetched dies.

use muster_storage::{actions, approvals};
use uuid::Uuid;

use super::{Who, decided};
use crate::{Result, Service};

/// Rows of one closure.
const CHUNK: i64 = 100;

impl Service {
    /// Lets time do its work for a tenant; asked for again and again it does nothing more.
    pub async fn guard_sweep(&self, tenant: Uuid) -> Result<()> {
        loop {
            let now = self.clock.now();
            let ids = self.ids(now);
            let done: i64 = self
                .store
                .write(tenant, move |tx| {
                    let mut ids = ids.clone();
                    let mut done = 0;
                    for approval in approvals::overdue(tx, tenant, now, CHUNK)? {
                        decided::expire(tx, &mut ids, tenant, &approval, now)?;
                        done += 1;
                    }
                    for approval in approvals::due(tx, tenant, now)? {
                        decided::take_effect(tx, &mut ids, tenant, &approval, now)?;
                    }
                    for action in actions::overdue(tx, tenant, now, CHUNK)? {
                        crate::actions::expire(tx, &mut ids, tenant, &action, &Who::server_in(tenant), now)?;
                        done += 1;
                    }
                    Ok::<_, crate::Error>(done)
                })
                .await?;
            if done == 0 {
                // Releases have jobs of their own; this is for one that was set aside.
                return self.release_all(tenant).await.map(|_| ());
            }
        }
    }
}
