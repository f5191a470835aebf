//! The PostgreSQL engine: worker threads that each own a connection, grouped closures, row-level
//! security by tenant.
//!
//! Closures of one tenant that wait together share a transaction and its commit. No savepoints:
//! where one of them fails after a write, the transaction is rolled back and each runs again on its
//! own, as the contract of [`crate::Store`] allows. What does not live here: the schema (see
//! `migrate.rs`), values and rows (see `postgres/values.rs`), TLS (see `postgres/connect.rs`).

mod connect;
mod values;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::postgres::error::SqlState;
use ::postgres::fallible_iterator::FallibleIterator;
use ::postgres::types::ToSql;
use ::postgres::{Client, Statement};
use tokio::sync::Notify;

use crate::dialect::Texts;
use crate::queue::{Queue, Ran, Work};
use crate::store::{Counters, Engine};
use crate::{Dialect, Error, Row, Scope, Tx, Value, migrate};
pub(crate) use connect::Target;
use values::PgRow;

/// Closures that share one transaction. Small, so that row locks are short.
const GROUP: usize = 32;
/// Closures that may wait before a writer has to wait for room.
const WAITING: usize = 8_192;
/// Runs of one closure before its caller is told to come back.
const RUNS: usize = 8;
/// A lost connection is tried for this many times `RECONNECT_PAUSE` before callers are told.
const RECONNECTS: usize = 50;
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
/// Prepared statements a connection keeps.
const PREPARED: usize = 1_024;

/// How the server is used.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads for transactions, a connection each.
    pub writers: usize,
    /// Threads for reads, a connection each.
    pub readers: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { writers: 8, readers: 4 }
    }
}

pub(crate) fn open(url: &str, migrate_url: Option<&str>, options: &Options) -> crate::Result<Engine> {
    let target = Target::parse(url)?;
    let owner = migrate_url.map(Target::parse).transpose()?;
    let counters = Arc::new(Counters::default());
    let job_enqueued = Arc::new(Notify::new());
    let writes = Arc::new(Queue::new(WAITING, options.writers));
    let reads = Arc::new(Queue::new(WAITING, options.readers));
    let prepared = target.clone();
    // The client runs a small runtime of its own, which must not start inside another one.
    std::thread::spawn(move || {
        migrate::postgres(owner.as_ref().unwrap_or(&prepared), prepared.user())?;
        let mut client = prepared.connect()?;
        refuse_unbound_role(&mut client)
    })
    .join()
    .map_err(|_| Error::Unavailable("connecting to PostgreSQL failed".into()))??;

    let thread = |name: String, queue: &Arc<Queue>, body: fn(&mut Worker, &Queue)| {
        let queue = Arc::clone(queue);
        let mut worker = Worker {
            target: target.clone(),
            session: None,
            down: false,
            texts: Texts::new(Dialect::Postgres),
            counters: Arc::clone(&counters),
            made_job: false,
            job_enqueued: Arc::clone(&job_enqueued),
        };
        std::thread::Builder::new()
            .name(name)
            .spawn(move || body(&mut worker, &queue))
            .map_err(|error| Error::Unavailable(format!("no thread for the database: {error}")))
    };
    for n in 0..options.writers {
        thread(format!("store-writer-{n}"), &writes, write_loop)?;
    }
    for n in 0..options.readers {
        thread(format!("store-reader-{n}"), &reads, read_loop)?;
    }
    Ok(Engine { dialect: Dialect::Postgres, writes, reads, counters, job_enqueued })
}

/// Row-level security does not bind superusers and roles that bypass it (threats D7).
fn refuse_unbound_role(client: &mut Client) -> crate::Result<()> {
    let row = client
        .query_one("select rolsuper or rolbypassrls from pg_roles where rolname = current_user", &[])
        .map_err(failure)?;
    if row.get(0) {
        return Err(Error::Unavailable(
            "the database role is a superuser or bypasses row-level security: give Muster a plain role, \
             and a second one in migrate_url that owns the tables"
                .into(),
        ));
    }
    Ok(())
}

/// A connection with what was prepared on it.
struct Session {
    client: Client,
    prepared: HashMap<String, Statement>,
    /// Tenant set for the session, used by statements outside transactions.
    tenant: Option<Scope>,
}

/// What a thread owns.
struct Worker {
    target: Target,
    session: Option<Session>,
    /// The last try to connect failed: callers are told at once.
    down: bool,
    texts: Texts,
    counters: Arc<Counters>,
    made_job: bool,
    job_enqueued: Arc<Notify>,
}

/// How a transaction with several closures ended.
enum Group {
    /// Committed.
    Done,
    /// Rolled back; each closure may run on its own.
    Apart,
    /// The connection was lost while committing: nobody knows, so nobody runs again.
    Unknown(String),
}

impl Worker {
    /// The connection, made anew where it was lost.
    fn session(&mut self) -> crate::Result<&mut Session> {
        if self.session.as_ref().is_some_and(|session| session.client.is_closed()) {
            self.session = None;
        }
        if self.session.is_none() {
            let mut tries = if self.down { 1 } else { RECONNECTS };
            let client = loop {
                match self.target.connect() {
                    Ok(client) => break client,
                    Err(error) if tries <= 1 => {
                        self.down = true;
                        return Err(error);
                    }
                    Err(_) => tries -= 1,
                }
                std::thread::sleep(RECONNECT_PAUSE);
            };
            self.down = false;
            self.session = Some(Session { client, prepared: HashMap::new(), tenant: None });
        }
        Ok(self.session.as_mut().expect("a session was made above"))
    }

    fn batch(&mut self, sql: &str) -> crate::Result<()> {
        self.session()?.client.batch_execute(sql).map_err(failure)
    }

    fn begin(&mut self, scope: Scope, how: &str) -> crate::Result<()> {
        self.batch(&format!("begin {how}; select set_config('muster.tenant', '{}', true)", tenant_setting(scope)))
    }

    /// Ends the transaction without a trace; a connection that cannot is dropped.
    fn roll_back(&mut self) {
        if let Some(session) = &mut self.session
            && session.client.batch_execute("rollback").is_err()
        {
            self.session = None;
        }
    }

    /// True where a commit failed because the connection went away: it may have been done.
    fn is_lost(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.client.is_closed())
    }

    /// Runs the closure in the transaction that is open; also says whether it wrote.
    fn run(&mut self, work: &mut dyn Work) -> (Ran, bool) {
        let left = if work.single() { 1 } else { usize::MAX };
        let mut tx = PgTx { scope: work.scope(), left, worker: self, failed: None, wrote: false };
        let ran = work.run(&mut tx);
        let wrote = tx.wrote || tx.failed.is_some();
        match (ran, tx.failed.take()) {
            (Ran::Keep, Some(what)) => {
                work.fail(Error::Engine(format!("the closure went on after a failed statement: {what}")));
                (Ran::Drop, wrote)
            }
            (ran, _) => (ran, wrote),
        }
    }

    fn alone(&mut self, work: &mut dyn Work) {
        for run in 1..=RUNS {
            if run > 1 {
                Counters::add(&self.counters.retries, 1);
                std::thread::sleep(Duration::from_millis(2 << run.min(7)));
            }
            if let Err(error) = self.begin(work.scope(), "") {
                match error {
                    Error::Retry(_) => work.fail(Error::Unavailable(error.to_string())),
                    error => return work.fail(error),
                }
                continue;
            }
            match self.run(work).0 {
                Ran::Keep => match self.batch("commit") {
                    Ok(()) => return Counters::add(&self.counters.commits, 1),
                    Err(error) if self.is_lost() => {
                        return work
                            .fail(Error::Unavailable(format!("whether the commit was done is not known: {error}")));
                    }
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

    fn group(&mut self, group: &mut [Box<dyn Work>]) -> Group {
        // A lock that another group holds is not waited for: two groups that wait for each other
        // would stand until the server's deadlock check.
        if self.begin(group[0].scope(), "; set local lock_timeout = '200ms'").is_err() {
            return Group::Apart;
        }
        for work in group.iter_mut() {
            match self.run(work.as_mut()) {
                (Ran::Keep, _) | (Ran::Drop, false) => {}
                _ => {
                    self.roll_back();
                    return Group::Apart;
                }
            }
        }
        match self.batch("commit") {
            Ok(()) => Group::Done,
            Err(error) if self.is_lost() => Group::Unknown(error.to_string()),
            Err(_) => {
                self.roll_back();
                Group::Apart
            }
        }
    }

    /// Sets the tenant of the session, for a statement outside a transaction.
    fn set_session_tenant(&mut self, scope: Scope) -> crate::Result<()> {
        let session = self.session()?;
        // Server-wide tables have no row-level security, and the scope check lets nothing else through.
        if scope == Scope::Server || session.tenant == Some(scope) {
            return Ok(());
        }
        session.tenant = None;
        let sql = format!("select set_config('muster.tenant', '{}', false)", tenant_setting(scope));
        session.client.batch_execute(&sql).map_err(failure)?;
        session.tenant = Some(scope);
        Ok(())
    }

    fn read(&mut self, work: &mut dyn Work) {
        for run in 1..=RUNS {
            if run > 1 {
                Counters::add(&self.counters.retries, 1);
                std::thread::sleep(Duration::from_millis(2 << run.min(7)));
            }
            let ready = if work.single() {
                self.set_session_tenant(work.scope())
            } else {
                self.begin(work.scope(), "isolation level repeatable read read only")
            };
            match ready {
                Ok(()) => {}
                Err(Error::Retry(what)) => {
                    work.fail(Error::Unavailable(what));
                    continue;
                }
                Err(error) => return work.fail(error),
            }
            let ran = self.run(work).0;
            if !work.single() {
                self.roll_back();
            }
            if ran != Ran::Again {
                return;
            }
        }
    }
}

fn tenant_setting(scope: Scope) -> String {
    match scope {
        Scope::Server => String::new(),
        Scope::Tenant(tenant) => tenant.to_string(),
    }
}

fn write_loop(worker: &mut Worker, queue: &Queue) {
    while let Some(mut group) = queue.take(GROUP, true) {
        let ended = if group.len() > 1 { worker.group(&mut group) } else { Group::Apart };
        match ended {
            Group::Done => Counters::add(&worker.counters.commits, 1),
            Group::Apart => {
                for work in &mut group {
                    worker.alone(work.as_mut());
                }
            }
            Group::Unknown(what) => {
                for work in &mut group {
                    work.fail(Error::Unavailable(format!("whether the commit was done is not known: {what}")));
                }
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
}

fn read_loop(worker: &mut Worker, queue: &Queue) {
    while let Some(group) = queue.take(1, false) {
        for mut work in group {
            worker.read(work.as_mut());
            Counters::add(&worker.counters.closures, 1);
            work.answer();
        }
    }
}

struct PgTx<'w> {
    worker: &'w mut Worker,
    scope: Scope,
    left: usize,
    failed: Option<String>,
    wrote: bool,
}

impl PgTx<'_> {
    fn statement(
        &mut self,
        sql: &str,
        args: &[Value],
        run: &mut dyn FnMut(&mut Client, &Statement, &[Value]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if let Some(what) = &self.failed {
            return Err(Error::Engine(format!("the transaction has failed: {what}")));
        }
        if self.left == 0 {
            return Err(Error::Engine("a second statement where one was promised".into()));
        }
        self.left -= 1;
        let outcome = self.prepare_and_run(sql, args, run);
        if let Err(error) = &outcome {
            self.failed = Some(error.to_string());
        }
        outcome
    }

    fn prepare_and_run(
        &mut self,
        sql: &str,
        args: &[Value],
        run: &mut dyn FnMut(&mut Client, &Statement, &[Value]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let text = self.worker.texts.get(sql);
        text.check(self.scope, args)?;
        self.worker.made_job |= text.makes_job;
        self.wrote |= text.writes;
        Counters::add(&self.worker.counters.statements, 1);
        let Some(session) = &mut self.worker.session else {
            return Err(Error::Retry("the connection is lost".into()));
        };
        let statement = match session.prepared.get(&text.sql) {
            Some(statement) => statement.clone(),
            None => {
                if session.prepared.len() >= PREPARED {
                    session.prepared.clear();
                }
                let statement = session.client.prepare(&text.sql).map_err(failure)?;
                session.prepared.insert(text.sql.clone(), statement.clone());
                statement
            }
        };
        if statement.params().len() != args.len() {
            let expected = statement.params().len();
            return Err(Error::Engine(format!("{} parameters where the statement has {expected}", args.len())));
        }
        run(&mut session.client, &statement, args)
    }
}

impl Tx for PgTx<'_> {
    fn execute(&mut self, sql: &str, args: &[Value]) -> Result<u64, Error> {
        let mut changed = 0;
        self.statement(sql, args, &mut |client, statement, args| {
            let args: Vec<&(dyn ToSql + Sync)> = args.iter().map(|arg| arg as &(dyn ToSql + Sync)).collect();
            changed = client.execute(statement, &args).map_err(failure)?;
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
        self.statement(sql, args, &mut |client, statement, args| {
            let mut rows = client.query_raw(statement, args).map_err(failure)?;
            while let Some(row) = rows.next().map_err(failure)? {
                each(&PgRow(&row))?;
            }
            Ok(())
        })
    }

    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }
}

/// What an error of the client means to a caller.
fn failure(error: ::postgres::Error) -> Error {
    let Some(refusal) = error.as_db_error() else {
        // The text of the client alone says little; its source says what happened.
        let text = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        return if error.is_closed() || text.contains("communicating with the server") {
            Error::Retry(text)
        } else {
            Error::Engine(text)
        };
    };
    let message = refusal.message().to_owned();
    match refusal.code() {
        &SqlState::T_R_SERIALIZATION_FAILURE
        | &SqlState::T_R_DEADLOCK_DETECTED
        | &SqlState::LOCK_NOT_AVAILABLE
        | &SqlState::ADMIN_SHUTDOWN
        | &SqlState::CRASH_SHUTDOWN
        | &SqlState::CANNOT_CONNECT_NOW => Error::Retry(message),
        code if code.code().starts_with("23") => {
            let name = refusal.constraint().or(refusal.column()).unwrap_or(&message);
            Error::Constraint(name.to_owned())
        }
        code if ["53", "57", "58", "08"].iter().any(|class| code.code().starts_with(class)) => {
            Error::Unavailable(message)
        }
        code => Error::Engine(format!("{message} ({})", code.code())),
    }
}
