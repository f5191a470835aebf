//! When a channel was last heard: buffered in memory, flushed in batches within 30 seconds, so
//! that an idle check-in writes nothing.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use muster_storage::enrollments;
use uuid::Uuid;

use crate::{Result, Service};

/// The buffer: (tenant, enrollment) -> unix ms.
#[derive(Default)]
pub(super) struct Seen(Mutex<HashMap<(Uuid, Uuid), i64>>);

/// Rows of one flush transaction.
const CHUNK: usize = 500;

impl Seen {
    pub(super) fn note(&self, tenant: Uuid, enrollment: Uuid, now: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((tenant, enrollment), now);
    }

    fn take(&self) -> HashMap<(Uuid, Uuid), i64> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Service {
    /// Writes what was heard since the last flush; called every few seconds and at shutdown.
    pub async fn flush_seen(&self) -> Result<usize> {
        let mut by_tenant: HashMap<Uuid, Vec<(Uuid, i64)>> = HashMap::new();
        for ((tenant, enrollment), at) in self.apple.seen.take() {
            by_tenant.entry(tenant).or_default().push((enrollment, at));
        }
        let mut written = 0;
        for (tenant, mut heard) in by_tenant {
            heard.sort();
            for chunk in heard.chunks(CHUNK) {
                let rows = chunk.to_vec();
                written += rows.len();
                self.store
                    .write(tenant, move |tx| {
                        rows.iter().try_for_each(|(enrollment, at)| enrollments::touch(tx, tenant, *enrollment, *at))
                    })
                    .await?;
            }
        }
        Ok(written)
    }
}
