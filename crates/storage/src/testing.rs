//! Databases for tests, thrown away with the test, and [`crate::on_both_engines`].

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;
use uuid::Uuid;

use crate::{Store, migrate, sqlite};

/// A store whose database goes with it.
pub struct TestStore {
    /// The store.
    pub store: Store,
    directory: Option<TempDir>,
    database: Option<TestDatabase>,
}

impl std::ops::Deref for TestStore {
    type Target = Store;
    fn deref(&self) -> &Store {
        &self.store
    }
}

impl TestStore {
    /// The database of a PostgreSQL store.
    pub fn database(&self) -> Option<&TestDatabase> {
        self.database.as_ref()
    }

    /// Another server's handle on the same PostgreSQL database.
    pub fn open_again(&self) -> Option<Store> {
        let options = crate::postgres::Options { writers: 3, readers: 2 };
        let database = self.database.as_ref()?;
        Store::open_postgres_with(&database.url, None, &options).ok()
    }

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
    TestStore { store, directory: Some(directory), database: None }
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

/// An empty PostgreSQL database, gone with the test, or none where `MUSTER_TEST_POSTGRES` (the URL
/// of the server's role) and `MUSTER_TEST_POSTGRES_MIGRATE` (of a role that may make databases)
/// are not set. `cargo xtask pg` prints both.
pub fn postgres_store() -> Option<TestStore> {
    let database = postgres_database()?;
    let options = crate::postgres::Options { writers: 3, readers: 2 };
    let store = Store::open_postgres_with(&database.url, Some(&database.migrate_url), &options)
        .expect("the database made for this test opens");
    Some(TestStore { store, directory: None, database: Some(database) })
}

/// A PostgreSQL database of its own, with the schema in place, dropped with this value.
pub struct TestDatabase {
    /// URL of the server's role.
    pub url: String,
    /// URL of the role that owns the tables.
    pub migrate_url: String,
    name: String,
}

/// See [`postgres_store`].
pub fn postgres_database() -> Option<TestDatabase> {
    static TEMPLATE: std::sync::Once = std::sync::Once::new();
    let app = std::env::var("MUSTER_TEST_POSTGRES").ok()?;
    let owner = std::env::var("MUSTER_TEST_POSTGRES_MIGRATE").ok()?;
    let of = |url: &str, name: &str| match url.rsplit_once('/') {
        Some((server, rest)) => match rest.split_once('?') {
            Some((_, options)) => format!("{server}/{name}?{options}"),
            None => format!("{server}/{name}"),
        },
        None => url.to_owned(),
    };
    let steps: String = migrate::MIGRATIONS.iter().map(|step| migrate::fingerprint(step.text)).collect();
    let template = format!("muster_template_{}", migrate::fingerprint(&steps));
    let made = std::process::id();
    let name = format!("muster_test_{made}_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    TEMPLATE.call_once(|| {
        if sql(&owner, &format!("select 1 from pg_database where datname = '{template}'")) == 0 {
            // Made under another name and renamed, so that another process sees it whole or not at all.
            let draft = format!("{template}_{made}");
            sql(&owner, &format!("create database {draft}"));
            let (app, draft_owner) = (of(&app, &draft), of(&owner, &draft));
            let draft_options = crate::postgres::Options { writers: 0, readers: 0 };
            drop(Store::open_postgres_with(&app, Some(&draft_owner), &draft_options).expect("the schema can be made"));
            sql(&owner, &format!("alter database {draft} rename to {template}"));
        }
    });
    sql(&owner, &format!("create database {name} template {template}"));
    Some(TestDatabase { url: of(&app, &name), migrate_url: of(&owner, &name), name })
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Ok(owner) = std::env::var("MUSTER_TEST_POSTGRES_MIGRATE") {
            // A vacuum of the server's own may still be at work in it; then it goes with the whole
            // throw-away server.
            let _ = try_sql(&owner, &format!("drop database if exists {} with (force)", self.name));
        }
    }
}

impl TestDatabase {
    /// Runs a statement as the role that owns the tables; answers the number of rows.
    pub fn sql_as_owner(&self, statement: &str) -> Result<u64, String> {
        try_sql(&self.migrate_url, statement)
    }

    /// Runs several statements as the role that owns the tables.
    pub fn batch_as_owner(&self, statements: &str) -> Result<(), String> {
        let (url, statements) = (self.migrate_url.clone(), statements.to_owned());
        let run = move || {
            let mut client =
                crate::postgres::Target::parse(&url).and_then(|t| t.connect()).map_err(|e| e.to_string())?;
            client.batch_execute(&statements).map_err(|error| error.to_string())
        };
        std::thread::spawn(run).join().unwrap_or_else(|_| Err("panicked".into()))
    }

    /// Runs a statement as the role that the server works as, outside any tenant's scope.
    pub fn sql_as_server(&self, statement: &str) -> Result<u64, String> {
        try_sql(&self.url, statement)
    }
}

impl TestStore {
    /// Asks the engine to prepare a statement as noun files write it, without running it.
    pub fn prepare(&self, statements: &[String]) -> Vec<(String, String)> {
        let mut texts = crate::dialect::Texts::new(self.dialect());
        let texts: Vec<(String, String)> =
            statements.iter().map(|sql| (sql.clone(), texts.get(sql).sql.clone())).collect();
        match (&self.directory, &self.database) {
            (Some(directory), _) => {
                let flags = rusqlite::OpenFlags::default();
                let options = sqlite::Options::default();
                let connection = sqlite::connect(&directory.path().join("muster.db"), flags, &options)
                    .expect("the test's database opens");
                let mut refused = Vec::new();
                for (sql, text) in texts {
                    if let Err(error) = connection.prepare(&text) {
                        refused.push((sql, error.to_string()));
                    }
                }
                refused
            }
            (None, Some(database)) => {
                let url = database.url.clone();
                let run = move || {
                    let mut client = crate::postgres::Target::parse(&url)
                        .and_then(|t| t.connect())
                        .expect("the test server answers");
                    let refusal = |error: postgres::Error| error.as_db_error().map(|e| e.message().to_owned());
                    let mut refused = Vec::new();
                    for (sql, text) in texts {
                        if let Err(error) = client.prepare(&text) {
                            refused.push((sql, refusal(error).unwrap_or_default()));
                        }
                    }
                    refused
                };
                std::thread::spawn(run).join().expect("statements are prepared")
            }
            (None, None) => Vec::new(),
        }
    }

    /// How the embedded engine would run a statement, one step a line; none for PostgreSQL, which
    /// decides by the size of its tables.
    pub fn plan(&self, statement: &str) -> Option<String> {
        let file = self.directory.as_ref()?.path().join("muster.db");
        let text = crate::dialect::Texts::new(self.dialect()).get(statement).sql.clone();
        let options = sqlite::Options::default();
        let connection = sqlite::connect(&file, rusqlite::OpenFlags::default(), &options).expect("the database opens");
        let mut explain =
            connection.prepare(&format!("explain query plan {text}")).expect("the statement can be prepared");
        let mut rows = explain.raw_query();
        let mut steps = Vec::new();
        while let Some(row) = rows.next().expect("the plan can be read") {
            steps.push(row.get::<_, String>(3).expect("a step is text"));
        }
        Some(steps.join("\n"))
    }

    /// Every text and byte string in every table, one `table.column: value` a line: what a thief of
    /// the database would read. For tests that look for what must not be there.
    pub fn dump(&self) -> String {
        let mut out = String::new();
        for (table, columns) in tables() {
            match (&self.directory, &self.database) {
                (Some(directory), _) => {
                    let connection = rusqlite::Connection::open(directory.path().join("muster.db")).expect("it opens");
                    let mut statement =
                        connection.prepare(&format!("select * from {table}")).expect("the table is there");
                    let mut rows = statement.query([]).expect("it can be read");
                    while let Some(row) = rows.next().expect("it can be read") {
                        for (at, column) in columns.iter().enumerate() {
                            use rusqlite::types::ValueRef::{Blob, Text};
                            if let Ok(Text(bytes) | Blob(bytes)) = row.get_ref(at) {
                                out.push_str(&format!("{table}.{column}: {}\n", bytes.escape_ascii()));
                            }
                        }
                    }
                }
                (None, Some(database)) => out.push_str(&database.dump(&table, &columns)),
                (None, None) => {}
            }
        }
        out
    }
}

impl TestDatabase {
    fn dump(&self, table: &str, columns: &[String]) -> String {
        let (url, table, columns) = (self.migrate_url.clone(), table.to_owned(), columns.to_vec());
        let run = move || {
            let mut client =
                crate::postgres::Target::parse(&url).and_then(|t| t.connect()).expect("the test server answers");
            // The owner of the tables may look past row-level security by switching it off, in a
            // transaction that is rolled back.
            let mut tx = client.transaction().expect("a transaction begins");
            tx.batch_execute(&format!("alter table {table} no force row level security")).expect("the owner may");
            let mut out = String::new();
            for message in tx.simple_query(&format!("select * from {table}")).expect("it can be read") {
                if let postgres::SimpleQueryMessage::Row(row) = message {
                    for (at, column) in columns.iter().enumerate() {
                        let value = row.get(at).unwrap_or_default();
                        // Byte strings come as hexadecimal; shown as the bytes they are, like SQLite's.
                        let bytes = value.strip_prefix("\\x").map(|hex| {
                            (0..hex.len() / 2)
                                .filter_map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).ok())
                                .collect()
                        });
                        let bytes: Vec<u8> = bytes.unwrap_or_else(|| value.as_bytes().to_vec());
                        out.push_str(&format!("{table}.{column}: {}\n", bytes.escape_ascii()));
                    }
                }
            }
            out
        };
        std::thread::spawn(run).join().expect("the table can be dumped")
    }
}

/// The tables of the schema with their columns.
pub fn tables() -> Vec<(String, Vec<String>)> {
    let mut tables = Vec::new();
    for step in migrate::MIGRATIONS {
        for statement in migrate::statements(step.text) {
            if let Some(table) = migrate::created_table(&statement) {
                let body = statement.split_once('(').map_or("", |(_, body)| body);
                let columns = body
                    .split('\n')
                    .filter_map(|line| line.split_whitespace().next())
                    .filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()) && *word != "primary")
                    .map(str::to_owned)
                    .collect();
                tables.push((table.to_owned(), columns));
            }
        }
    }
    tables
}

/// Runs a statement on a connection of its own; answers the number of rows.
fn try_sql(url: &str, statement: &str) -> Result<u64, String> {
    let (url, statement) = (url.to_owned(), statement.to_owned());
    let run = move || {
        let mut client = crate::postgres::Target::parse(&url)
            .and_then(|target| target.connect())
            .map_err(|error| error.to_string())?;
        client
            .execute(&statement, &[])
            .map_err(|error| error.as_db_error().map_or_else(|| error.to_string(), |e| e.message().to_owned()))
    };
    std::thread::spawn(run).join().unwrap_or_else(|_| Err("panicked".into()))
}

fn sql(url: &str, statement: &str) -> u64 {
    try_sql(url, statement).unwrap_or_else(|error| panic!("{statement}: {error}"))
}
