//! Databases for tests, thrown away with the test, and [`crate::on_both_engines`].

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;
use uuid::Uuid;

use crate::{Store, sqlite};

/// A store whose database goes with it.
pub struct TestStore {
    /// The store.
    pub store: Store,
    directory: Option<TempDir>,
}

impl std::ops::Deref for TestStore {
    type Target = Store;
    fn deref(&self) -> &Store {
        &self.store
    }
}

impl TestStore {
    /// The folder of an embedded database.
    pub fn directory(&self) -> Option<&std::path::Path> {
        self.directory.as_ref().map(TempDir::path)
    }
}

/// An empty embedded database in a temporary folder; commits do not wait for the disk.
pub fn store() -> TestStore {
    let directory = tempfile::tempdir().expect("a temporary folder can be made");
    let options = sqlite::Options { durable: false, readers: 2, ..sqlite::Options::default() };
    let store =
        Store::open_sqlite_with(&directory.path().join("muster.db"), &options).expect("an empty database opens");
    TestStore { store, directory: Some(directory) }
}

static NEXT: AtomicU64 = AtomicU64::new(1);

/// An id that no other test of this process got; increasing.
pub fn id() -> Uuid {
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    uuid::Builder::from_unix_timestamp_millis(1_700_000_000_000 + n, &[7; 10]).into_uuid()
}

/// Runs an async test body on a runtime of its own.
pub fn block_on<T>(body: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made").block_on(body)
}

/// Tells, past the test harness's capture, that a test did not run and why.
pub fn skipped(test: &str, reason: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {reason}");
}

/// Runs a storage test on both engines: `on_both_engines! { async fn name(store) { ... } }` makes
/// the tests `name::sqlite` and `name::postgres`; `store` is a `&TestStore` of an empty database. The
/// second is skipped, visibly, where no server is configured (`cargo xtask test` starts one).
#[macro_export]
macro_rules! on_both_engines {
    ($($(#[$meta:meta])* async fn $name:ident($store:ident) $body:block)+) => {$(
        $(#[$meta])*
        mod $name {
            #[expect(unused_imports, reason = "a test may use nothing of its module")]
            use super::*;
            async fn body($store: &$crate::testing::TestStore) $body
            #[test]
            fn sqlite() {
                $crate::testing::block_on(body(&$crate::testing::store()));
            }
            #[test]
            fn postgres() {
                match $crate::testing::postgres_store() {
                    Some(store) => $crate::testing::block_on(body(&store)),
                    None => $crate::testing::skipped(
                        concat!(module_path!(), "::", stringify!($name)),
                        "MUSTER_TEST_POSTGRES is not set",
                    ),
                }
            }
        }
    )+};
}

/// An empty PostgreSQL database, or none where `MUSTER_TEST_POSTGRES` is not set.
pub fn postgres_store() -> Option<TestStore> {
    None
}
