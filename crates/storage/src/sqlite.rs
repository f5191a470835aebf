//! The embedded engine: one writer thread with group commit, reader threads on snapshots.
//!
//! Full durability (`synchronous = FULL`) is nearly free because closures that arrive together
//! share one commit. What does not live here: the schema (see `migrate.rs`).

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::dialect::Texts;
use crate::queue::{Queue, Ran, Work};
use crate::store::{Counters, Engine};
use crate::{Dialect, Error, Row, Scope, Tx, Value, migrate};

/// Closures that share one commit.
const GROUP: usize = 256;
/// Closures that may wait before a writer has to wait for room.
const WAITING: usize = 8_192;
/// Runs of one closure before its caller is told to come back.
const RUNS: usize = 8;

/// How the file is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// A commit reaches the disk before it is answered. Tests turn it off for speed.
    pub durable: bool,
    /// Reader threads.
    pub readers: usize,
    /// How long to wait for another process that writes (a subcommand, a backup).
    pub busy_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options { durable: true, readers: 4, busy_timeout: Duration::from_secs(10) }
    }
}

pub(crate) fn open(path: &Path, options: &Options) -> crate::Result<Engine> {
    if !path.exists()
        && let Err(error) = create_private(path)
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        return Err(Error::Unavailable(format!("{}: {error}", path.display())));
    }
    let mut writer = connect(path, OpenFlags::default(), options)?;
    // WAL stays a property of the file; a second process finds it set.
    let mode: String = writer.query_row("pragma journal_mode = wal", [], |row| row.get(0)).map_err(unavailable)?;
    if mode != "wal" {
        return Err(Error::Unavailable(format!("the database cannot use a write-ahead log (journal mode {mode})")));
    }
    migrate::sqlite(&mut writer)?;
    let constraints = Arc::new(constraints(&writer)?);
    let counters = Arc::new(Counters::default());
    let job_enqueued = Arc::new(Notify::new());
    let writes = Arc::new(Queue::new(WAITING, 1));
    let reads = Arc::new(Queue::new(WAITING, options.readers));

    let readers: Vec<Connection> = (0..options.readers)
        .map(|_| connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX, options))
        .collect::<crate::Result<_>>()?;
    let thread = |name: String, connection: Connection, queue: &Arc<Queue>, body: fn(&mut Worker, &Queue)| {
        let queue = Arc::clone(queue);
        let (constraints, counters) = (Arc::clone(&constraints), Arc::clone(&counters));
        let job_enqueued = Arc::clone(&job_enqueued);
        std::thread::Builder::new()
            .name(name)
            .spawn(move || {
                let texts = Texts::new(Dialect::Sqlite);
                body(&mut Worker { connection, texts, constraints, counters, job_enqueued, made_job: false }, &queue);
            })
            .map_err(|error| Error::Unavailable(format!("no thread for the database: {error}")))
    };
    thread("store-writer".into(), writer, &writes, write_loop)?;
    for (n, reader) in readers.into_iter().enumerate() {
        thread(format!("store-reader-{n}"), reader, &reads, read_loop)?;
    }
    Ok(Engine { dialect: Dialect::Sqlite, writes, reads, counters, job_enqueued })
}

/// Makes an empty file that only this user can read; its log files take over its mode.
pub(crate) fn create_private(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Opens the file with the settings every connection of Muster uses.
pub(crate) fn connect(path: &Path, flags: OpenFlags, options: &Options) -> crate::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags - OpenFlags::SQLITE_OPEN_URI).map_err(unavailable)?;
    connection.busy_timeout(options.busy_timeout).map_err(unavailable)?;
    connection.set_prepared_statement_cache_capacity(512);
    // like compares byte by byte as on PostgreSQL; deleted secrets are overwritten in the file. Each of a
    // handful of connections keeps 8 MB of pages: the system's cache stands behind them.
    connection
        .execute_batch(&format!(
            "pragma synchronous = {}; pragma foreign_keys = on; pragma case_sensitive_like = on;
             pragma secure_delete = on; pragma temp_store = memory; pragma trusted_schema = off;
             pragma cache_size = -8000; pragma journal_size_limit = 67108864;",
            if options.durable { "full" } else { "off" }
        ))
        .map_err(unavailable)?;
    Ok(connection)
}

fn unavailable(error: rusqlite::Error) -> Error {
    Error::Unavailable(error.to_string())
}

/// What a thread owns.
struct Worker {
    connection: Connection,
    texts: Texts,
    constraints: Arc<Constraints>,
    counters: Arc<Counters>,
    job_enqueued: Arc<Notify>,
    /// Since the last commit a statement made a job.
    made_job: bool,
}

impl Worker {
    fn control(&self, sql: &str) -> crate::Result<()> {
        let done = self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        done.map(|_| ()).map_err(|error| failure(error, &self.constraints))
    }

    fn run(&mut self, work: &mut dyn Work) -> Ran {
        let mut tx = SqliteTx {
            scope: work.scope(),
            left: if work.single() { 1 } else { usize::MAX },
            worker: self,
            failed: None,
        };
        let ran = work.run(&mut tx);
        match (ran, tx.failed.take()) {
            (Ran::Keep, Some(what)) => {
                work.fail(Error::Engine(format!("the closure went on after a failed statement: {what}")));
                Ran::Drop
            }
            (ran, _) => ran,
        }
    }

    /// Runs one closure in a transaction of its own, again where the engine asks for it.
    fn alone(&mut self, work: &mut dyn Work) {
        for run in 1..=RUNS {
            if run > 1 {
                Counters::add(&self.counters.retries, 1);
                std::thread::sleep(Duration::from_millis(5 << run.min(6)));
            }
            if let Err(error) = self.control("begin immediate") {
                work.fail(Error::Unavailable(error.to_string()));
                continue;
            }
            match self.run(work) {
                Ran::Keep => match self.control("commit") {
                    Ok(()) => return Counters::add(&self.counters.commits, 1),
                    Err(error) => {
                        self.roll_back();
                        work.fail(Error::Unavailable(format!("commit: {error}")));
                    }
                },
                Ran::Drop => return self.roll_back(),
                Ran::Again => self.roll_back(),
            }
        }
    }

    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.control("rollback")
        {
            tracing::error!(%error, "rollback failed");
        }
    }

    /// Runs closures in one transaction, each behind a savepoint; false if the transaction was
    /// lost as a whole, and nothing of it stands.
    fn group(&mut self, group: &mut [Box<dyn Work>]) -> bool {
        if self.control("begin immediate").is_err() {
            return false;
        }
        for work in group.iter_mut() {
            if self.control("savepoint closure").is_err() {
                self.roll_back();
                return false;
            }
            let ran = self.run(work.as_mut());
            let ended = match ran {
                // A full disk and the like end the whole transaction.
                _ if self.connection.is_autocommit() => return false,
                Ran::Keep => self.control("release closure"),
                Ran::Drop => self.control("rollback to closure").and_then(|()| self.control("release closure")),
                Ran::Again => {
                    self.roll_back();
                    return false;
                }
            };
            if ended.is_err() {
                self.roll_back();
                return false;
            }
        }
        let committed = self.control("commit").is_ok();
        if !committed {
            self.roll_back();
        }
        committed
    }
}

fn write_loop(worker: &mut Worker, queue: &Queue) {
    while let Some(mut group) = queue.take(GROUP, false) {
        if group.len() > 1 && worker.group(&mut group) {
            Counters::add(&worker.counters.commits, 1);
        } else {
            // A single closure, or a group whose transaction was lost: each on its own.
            for work in &mut group {
                worker.alone(work.as_mut());
            }
        }
        Counters::add(&worker.counters.closures, group.len() as u64);
        for work in group {
            work.answer();
        }
        if std::mem::take(&mut worker.made_job) {
            worker.job_enqueued.notify_one();
        }
    }
    // The last connection to close would checkpoint too; doing it here keeps the log small for a backup.
    let _ = worker.connection.execute_batch("pragma optimize");
}

fn read_loop(worker: &mut Worker, queue: &Queue) {
    while let Some(group) = queue.take(1, false) {
        for mut work in group {
            for run in 1..=RUNS {
                if !work.single()
                    && let Err(error) = worker.control("begin")
                {
                    work.fail(error);
                    break;
                }
                let ran = worker.run(work.as_mut());
                worker.roll_back();
                if ran != Ran::Again {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5 << run.min(6)));
            }
            Counters::add(&worker.counters.closures, 1);
            work.answer();
        }
    }
}

struct SqliteTx<'w> {
    worker: &'w mut Worker,
    scope: Scope,
    left: usize,
    failed: Option<String>,
}

impl SqliteTx<'_> {
    fn statement(
        &mut self,
        sql: &str,
        args: &[Value],
        run: &mut dyn FnMut(&mut rusqlite::Statement<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if let Some(what) = &self.failed {
            return Err(Error::Engine(format!("the transaction has failed: {what}")));
        }
        if self.left == 0 {
            return Err(Error::Engine("a second statement where one was promised".into()));
        }
        self.left -= 1;
        let text = self.worker.texts.get(sql);
        self.worker.made_job |= text.makes_job;
        let outcome = text.check(self.scope, args).and_then(|()| {
            Counters::add(&self.worker.counters.statements, 1);
            let constraints = &self.worker.constraints;
            let mut statement =
                self.worker.connection.prepare_cached(&text.sql).map_err(|error| failure(error, constraints))?;
            bind(&mut statement, args).map_err(|error| failure(error, constraints))?;
            run(&mut statement)
        });
        if let Err(error) = &outcome {
            self.failed = Some(error.to_string());
        }
        outcome
    }
}

fn bind(statement: &mut rusqlite::Statement<'_>, args: &[Value]) -> rusqlite::Result<()> {
    let expected = statement.parameter_count();
    if expected != args.len() {
        return Err(rusqlite::Error::InvalidParameterCount(args.len(), expected));
    }
    for (at, arg) in args.iter().enumerate() {
        statement.raw_bind_parameter(at + 1, arg)?;
    }
    Ok(())
}

impl Tx for SqliteTx<'_> {
    fn execute(&mut self, sql: &str, args: &[Value]) -> Result<u64, Error> {
        let constraints = Arc::clone(&self.worker.constraints);
        let mut changed = 0;
        self.statement(sql, args, &mut |statement| {
            changed = statement.raw_execute().map_err(|error| failure(error, &constraints))? as u64;
            Ok(())
        })?;
        Ok(changed)
    }

    fn query(
        &mut self,
        sql: &str,
        args: &[Value],
        each: &mut dyn FnMut(&dyn Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let constraints = Arc::clone(&self.worker.constraints);
        self.statement(sql, args, &mut |statement| {
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next().map_err(|error| failure(error, &constraints))? {
                each(&SqliteRow(row))?;
            }
            Ok(())
        })
    }

    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Bool(value) => ValueRef::Integer((*value).into()),
            Value::Int(value) => ValueRef::Integer(*value),
            Value::Text(value) => ValueRef::Text(value.as_bytes()),
            Value::Bytes(value) => ValueRef::Blob(value),
            Value::Id(value) => ValueRef::Blob(value.as_bytes()),
        }))
    }
}

struct SqliteRow<'r, 's>(&'r rusqlite::Row<'s>);

impl SqliteRow<'_, '_> {
    fn get(&self, column: usize) -> Result<ValueRef<'_>, Error> {
        self.0.get_ref(column).map_err(|error| Error::inconsistent(self.place(column), error.to_string()))
    }

    fn place(&self, column: usize) -> String {
        let statement: &rusqlite::Statement<'_> = self.0.as_ref();
        statement.column_name(column).map_or_else(|_| format!("column {column}"), str::to_owned)
    }

    fn unexpected<T>(&self, column: usize, wanted: &str, found: ValueRef<'_>) -> Result<T, Error> {
        Err(Error::inconsistent(self.place(column), format!("{} where {wanted} was expected", found.data_type())))
    }
}

impl Row for SqliteRow<'_, '_> {
    fn value(&self, column: usize) -> Result<Value, Error> {
        Ok(match self.get(column)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(value) => Value::Int(value),
            ValueRef::Text(_) => Value::Text(self.text(column)?),
            ValueRef::Blob(value) => Value::Bytes(value.to_vec()),
            found @ ValueRef::Real(_) => return self.unexpected(column, "a whole number", found),
        })
    }

    fn is_null(&self, column: usize) -> Result<bool, Error> {
        Ok(matches!(self.get(column)?, ValueRef::Null))
    }

    fn id(&self, column: usize) -> Result<Uuid, Error> {
        match self.get(column)? {
            ValueRef::Blob(bytes) if bytes.len() == 16 => {
                Uuid::from_slice(bytes).map_err(|error| Error::inconsistent(self.place(column), error.to_string()))
            }
            found => self.unexpected(column, "an id", found),
        }
    }

    fn int(&self, column: usize) -> Result<i64, Error> {
        match self.get(column)? {
            ValueRef::Integer(value) => Ok(value),
            found => self.unexpected(column, "a number", found),
        }
    }

    fn text(&self, column: usize) -> Result<String, Error> {
        match self.get(column)? {
            ValueRef::Text(text) => String::from_utf8(text.to_vec())
                .map_err(|_| Error::inconsistent(self.place(column), "text that is not UTF-8")),
            found => self.unexpected(column, "text", found),
        }
    }

    fn bytes(&self, column: usize) -> Result<Vec<u8>, Error> {
        match self.get(column)? {
            ValueRef::Blob(bytes) => Ok(bytes.to_vec()),
            found => self.unexpected(column, "bytes", found),
        }
    }

    fn bool(&self, column: usize) -> Result<bool, Error> {
        match self.get(column)? {
            ValueRef::Integer(value @ (0 | 1)) => Ok(value == 1),
            found => self.unexpected(column, "true or false", found),
        }
    }
}

/// The columns that SQLite names in a refusal -> the name PostgreSQL gives the constraint.
type Constraints = HashMap<String, String>;

fn constraints(connection: &Connection) -> crate::Result<Constraints> {
    let mut statement = connection
        .prepare(
            "select t.name, i.name, i.origin,
                    (select group_concat(t.name || '.' || c.name, ', ') from pragma_index_info(i.name) c)
               from sqlite_schema t, pragma_index_list(t.name) i
              where t.type = 'table' and i.\"unique\" = 1",
        )
        .map_err(unavailable)?;
    let rows = statement
        .query_map([], |row| {
            let (table, index, origin): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let name = if origin == "pk" { format!("{table}_pkey") } else { index };
            Ok((row.get::<_, String>(3)?, name))
        })
        .map_err(unavailable)?;
    rows.collect::<Result<_, _>>().map_err(unavailable)
}

fn failure(error: rusqlite::Error, constraints: &Constraints) -> Error {
    let rusqlite::Error::SqliteFailure(code, message) = &error else {
        return Error::Engine(error.to_string());
    };
    let message = message.clone().unwrap_or_else(|| code.to_string());
    match code.code {
        ErrorCode::ConstraintViolation => {
            let columns = message.rsplit_once(": ").map_or(message.as_str(), |(_, columns)| columns);
            Error::Constraint(constraints.get(columns).cloned().unwrap_or_else(|| columns.to_owned()))
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Error::Retry(message),
        ErrorCode::DiskFull
        | ErrorCode::SystemIoFailure
        | ErrorCode::ReadOnly
        | ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::OutOfMemory => Error::Unavailable(message),
        _ if code.extended_code == ffi::SQLITE_BUSY_SNAPSHOT => Error::Retry(message),
        _ => Error::Engine(message),
    }
}
