//! [`Store`]: closures run on threads that own a connection.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use crate::queue::{Job, Queue};
use crate::{Dialect, Error, Failure, Tx, postgres, sqlite};

/// Whose rows a closure may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The server-wide tables only (see `migrate.rs`, `SERVER_WIDE`).
    Server,
    /// One tenant's rows, and the server-wide tables.
    Tenant(Uuid),
}

impl From<Uuid> for Scope {
    fn from(tenant: Uuid) -> Self {
        Scope::Tenant(tenant)
    }
}

/// Counters since the store was opened; benches and `/metrics` show them.
#[derive(Debug, Default)]
pub struct Counters {
    /// Statements sent to the engine, without begin, commit and savepoints.
    pub statements: AtomicU64,
    /// Closures that were answered.
    pub closures: AtomicU64,
    /// Commits; several closures share one.
    pub commits: AtomicU64,
    /// Closures that ran more than once.
    pub retries: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}

/// How an engine is reached by the handle.
pub(crate) struct Engine {
    pub(crate) dialect: Dialect,
    pub(crate) writes: Arc<Queue>,
    pub(crate) reads: Arc<Queue>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) job_enqueued: Arc<Notify>,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.writes.close();
        self.reads.close();
    }
}

/// A handle on the database; cheap to clone. The engine's threads end when the last handle is dropped.
#[derive(Clone)]
pub struct Store {
    engine: Arc<Engine>,
}

impl Store {
    /// Opens (and makes or migrates) the embedded database in the file `path`.
    pub fn open_sqlite(path: &Path) -> crate::Result<Store> {
        Store::open_sqlite_with(path, &sqlite::Options::default())
    }

    /// As [`Store::open_sqlite`], with options.
    pub fn open_sqlite_with(path: &Path, options: &sqlite::Options) -> crate::Result<Store> {
        Ok(Store { engine: Arc::new(sqlite::open(path, options)?) })
    }

    /// Connects to PostgreSQL as the role of `url`. With `migrate_url` (a role that owns the
    /// tables) the schema is made or migrated first; without it the role of `url` does so itself.
    /// A role that row-level security does not bind is refused.
    pub fn open_postgres(url: &str, migrate_url: Option<&str>) -> crate::Result<Store> {
        Store::open_postgres_with(url, migrate_url, &postgres::Options::default())
    }

    /// As [`Store::open_postgres`], with options.
    pub fn open_postgres_with(
        url: &str,
        migrate_url: Option<&str>,
        options: &postgres::Options,
    ) -> crate::Result<Store> {
        Ok(Store { engine: Arc::new(postgres::open(url, migrate_url, options)?) })
    }

    /// Runs `op` in a transaction and commits durably before it answers. `op` may run more than
    /// once: it captures no effects; ids and times are drawn before. A statement that fails ends
    /// the transaction on both engines: write `on conflict` where a conflict is expected.
    pub async fn write<T, E>(
        &self,
        scope: impl Into<Scope>,
        op: impl Fn(&mut dyn Tx) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: Failure,
    {
        self.run(&self.engine.writes, scope.into(), false, op).await
    }

    /// Runs `op` on a snapshot.
    pub async fn read<T, E>(
        &self,
        scope: impl Into<Scope>,
        op: impl Fn(&mut dyn Tx) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: Failure,
    {
        self.run(&self.engine.reads, scope.into(), false, op).await
    }

    /// Runs `op`, whose one statement is its own snapshot, outside a transaction: the path of an
    /// idle check-in. A second statement is refused.
    pub async fn read_single<T, E>(
        &self,
        scope: impl Into<Scope>,
        op: impl Fn(&mut dyn Tx) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: Failure,
    {
        self.run(&self.engine.reads, scope.into(), true, op).await
    }

    async fn run<T, E>(
        &self,
        queue: &Queue,
        scope: Scope,
        single: bool,
        op: impl Fn(&mut dyn Tx) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: Failure,
    {
        let (waiter, outcome) = oneshot::channel();
        let queued = queue.push(Box::new(Job { scope, single, op, outcome: None, waiter })).await;
        if queued && let Ok(outcome) = outcome.await {
            return outcome;
        }
        Err(Error::Unavailable("the store is stopping".into()).into())
    }

    /// Waits until this process has committed a new job.
    pub async fn job_enqueued(&self) {
        self.engine.job_enqueued.notified().await;
    }

    /// The engine behind.
    pub fn dialect(&self) -> Dialect {
        self.engine.dialect
    }

    /// Counters since the store was opened.
    pub fn counters(&self) -> &Counters {
        &self.engine.counters
    }

    /// Stops taking work; what waits is still done.
    pub fn close(&self) {
        self.engine.writes.close();
        self.engine.reads.close();
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dialect", &self.engine.dialect).finish_non_exhaustive()
    }
}
