//! What is kept for how long: command history, events, challenges, sessions, attempts, deleted people.

use muster_storage::{Scope, commands, credentials, enrollment_failures, lookups, outbox, scep_challenges, sessions};
use uuid::Uuid;

use crate::{Result, Service};

const DAY: i64 = 24 * 60 * 60 * 1_000;
/// Finished commands are kept this long.
const HISTORY: i64 = 90 * DAY;
/// Events are kept this long; a consumer that is away longer starts over.
const EVENTS: i64 = 7 * DAY;
/// Challenges are good for an hour; what became of one can be looked up this long.
const CHALLENGES: i64 = 30 * DAY;
/// Sign-in attempts slow guessing for minutes; counted this long.
const ATTEMPTS: i64 = DAY;
/// Refused enrollments can be looked up this long.
const FAILURES: i64 = 30 * DAY;
/// Rows removed in one transaction, so that none is long.
const AT_ONCE: i64 = 500;

impl Service {
    /// Removes what has been kept long enough.
    pub(crate) async fn apply_retention(&self, tenant: Uuid, now: i64) -> Result<()> {
        let more = |removed: u64| removed == AT_ONCE as u64;
        while more(
            self.store.write(tenant, move |tx| commands::prune_history(tx, tenant, now - HISTORY, AT_ONCE)).await?,
        ) {}
        while more(self.store.write(tenant, move |tx| outbox::prune(tx, tenant, now - EVENTS, AT_ONCE)).await?) {}
        let ended = now - CHALLENGES;
        while more(self.store.write(tenant, move |tx| scep_challenges::prune(tx, tenant, ended, AT_ONCE)).await?) {}
        while self.store.write(tenant, move |tx| sessions::prune(tx, tenant, now, AT_ONCE)).await? == AT_ONCE as usize {
        }
        self.store
            .write(tenant, move |tx| {
                credentials::prune_attempts(tx, tenant, now - ATTEMPTS)?;
                enrollment_failures::prune(tx, tenant, now - FAILURES)
            })
            .await?;
        self.purge_deleted_users(tenant).await?;
        while more(self.store.write(Scope::Server, move |tx| lookups::remove_expired(tx, now, AT_ONCE)).await?) {}
        Ok(())
    }
}
