//! What an idle check-in and a command cost, with more and more history behind them.
//!
//! Messages are signed before the clock starts, and connections are kept, so that what is measured is the
//! server: signature, statements, answer. The bound is the same statements run alone, from this process,
//! against the same database: as many at once, in the same transactions, grouped by the same store. The
//! table counts statements and commits of both, so that a bound that no longer does what the server does
//! is seen.

use std::{sync::Arc, time::Duration};

use muster_service::settings::DAY;
use muster_storage::{
    Dialect, Scope, Store, Tx, args,
    commands::{self, Command, Ending, NewCommand},
    device_identities, devices, facts, tenants,
};
use muster_swarm::{crypto, shell::http::Client};
use tokio::{task::JoinSet, time::Instant};
use uuid::Uuid;

use crate::{
    Options,
    fleet::{Signed, Subject, enroll, send, sign},
    report::quantile,
    seed,
    stage::{Stage, now},
};

/// Commands for each device in a measurement.
const COMMANDS: usize = 150;
/// History rows written in one transaction.
const CHUNK: i64 = 200_000;

/// What a measurement came to.
struct Measured {
    rate: f64,
    p50: f64,
    p99: f64,
    cpu: Option<f64>,
    statements: f64,
    commits: f64,
}

/// Statements and commits of a store, or how many of them something took.
#[derive(Clone, Copy, Default)]
struct Work {
    statements: f64,
    commits: f64,
}

/// Runs the trial.
pub async fn run(options: &Options, history: &[i64], seconds: u64, together: usize) -> anyhow::Result<()> {
    let mut stage = Stage::start(options, 8).await?;
    let store = open(options, &stage).await?;
    let tenant = store.read(Scope::Server, tenants::all).await?[0].id;
    let (subjects, rate) = enroll(options, &stage, &store, tenant, together).await?;
    println!("enroll (pages, SCEP, Authenticate, TokenUpdate, first inventory): {rate:.1} devices/s");
    let (options, subjects, time) = (options.clone(), Arc::new(subjects), Duration::from_secs(seconds));
    let bench = Bench { options, subjects, store, tenant, together, time };
    println!();
    println!("| work | history rows | rate /s | p50 ms | p99 ms | server CPU ms | statements | commits | server MB |");
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut filled = 0;
    for &rows in history {
        bench.fill(filled, rows).await?;
        filled = filled.max(rows);
        let line = |work: &str, m: &Measured| {
            let memory = m.cpu.map_or(String::new(), |_| format!("{:.0}", stage.server.memory() as f64 / 1e6));
            let cpu = m.cpu.map_or(String::new(), |cpu| format!("{cpu:.3}"));
            println!(
                "| {work} | {rows} | {:.0} | {:.2} | {:.2} | {cpu} | {:.2} | {:.2} | {memory} |",
                m.rate, m.p50, m.p99, m.statements, m.commits
            );
        };
        let idle = bench.idle(&stage).await?;
        line("idle check-in", &idle);
        let alone = bench.idle_alone().await?;
        line("its statement alone", &alone);
        let commands = bench.commands(&stage).await?;
        line("command delivered and acknowledged", &commands);
        let alone = bench.commands_alone().await?;
        line("its statements alone", &alone);
        println!("| ratio | {rows} | {:.2} | | | | | | |", commands.rate / alone.rate);
    }
    bench.store.close();
    stage.server.stop().await
}

/// The database under the server, beside it.
pub async fn open(options: &Options, stage: &Stage) -> anyhow::Result<Store> {
    let file = stage.folder.path().join("muster.db");
    let url = options.database.clone();
    Ok(tokio::task::spawn_blocking(move || match url {
        Some(url) => Store::open_postgres(&url, None),
        None => Store::open_sqlite(&file),
    })
    .await??)
}

/// What every measurement has at hand.
struct Bench {
    options: Options,
    subjects: Arc<Vec<Subject>>,
    store: Store,
    tenant: Uuid,
    together: usize,
    time: Duration,
}

impl Bench {
    /// Brings the history of all devices to `to` rows. Ids are in the order of time, as the server's are.
    async fn fill(&self, from: i64, to: i64) -> anyhow::Result<()> {
        let tenant = self.tenant;
        let mut at = from;
        while at < to {
            let next = (at + CHUNK).min(to);
            self.store
                .write(tenant, move |tx| {
                    let (numbers, id) = match tx.dialect() {
                        Dialect::Sqlite => (
                            "with recursive n(i) as (select cast($2 as integer) union all select i + 1 from n where i + 1 < $3)",
                            "unhex(printf('%012x70008%015x', 1700000000000 + n.i, n.i))",
                        ),
                        Dialect::Postgres => (
                            "with n(i) as (select generate_series(cast($2 as bigint), cast($3 as bigint) - 1))",
                            "cast(lpad(to_hex(1700000000000 + n.i), 12, '0') || '70008' || lpad(to_hex(n.i), 15, '0') as uuid)",
                        ),
                    };
                    let sql = format!(
                        "{numbers}, e as (select id, device_id, row_number() over (order by id) - 1 as k, count(*) over () as c
                                            from enrollment where tenant_id = $1)
                         insert into command_history (tenant_id, id, enrollment_id, device_id, request_type, origin, status,
                                                      attempts, created_at, finished_at)
                         select $1, {id}, e.id, e.device_id, 'DeviceInformation', 'inventory', 'acknowledged', 1,
                                1700000000000 + n.i, 1700000000000 + n.i
                           from n join e on e.k = n.i % e.c"
                    );
                    tx.execute(&sql, args![tenant, at, next])
                })
                .await?;
            at = next;
        }
        if from < to {
            // What was written in bulk is looked after now, not while something is measured.
            let options = self.options.clone();
            tokio::task::spawn_blocking(move || seed::settle(&options)).await??;
        }
        Ok(())
    }

    /// Runs `each` by so many tasks at once, each with its number, and measures what all took.
    async fn measure<F>(&self, server: Option<&Stage>, each: impl Fn(usize) -> F) -> anyhow::Result<Measured>
    where
        F: Future<Output = anyhow::Result<Vec<f64>>> + Send + 'static,
    {
        let before = self.work(server).await;
        let cpu = |stage: &Stage| stage.server.cpu();
        let (cpu_before, began) = (server.map(cpu), Instant::now());
        let mut tasks = JoinSet::new();
        for task in 0..self.together {
            tasks.spawn(each(task));
        }
        let mut latencies = Vec::new();
        while let Some(more) = tasks.join_next().await {
            latencies.extend(more??);
        }
        let wall = began.elapsed();
        let cpu = server.map(cpu).zip(cpu_before).map(|(after, before)| after - before);
        let after = self.work(server).await;
        latencies.sort_by(f64::total_cmp);
        let count = latencies.len().max(1) as f64;
        Ok(Measured {
            rate: count / wall.as_secs_f64(),
            p50: quantile(&latencies, 0.5),
            p99: quantile(&latencies, 0.99),
            cpu: cpu.map(|cpu| cpu.as_secs_f64() * 1e3 / count),
            statements: (after.statements - before.statements) / count,
            commits: (after.commits - before.commits) / count,
        })
    }

    /// What the server has done so far (its counters are told once a second), or this process.
    async fn work(&self, server: Option<&Stage>) -> Work {
        use std::sync::atomic::Ordering::Relaxed;
        let Some(stage) = server else {
            let counters = self.store.counters();
            return Work {
                statements: counters.statements.load(Relaxed) as f64,
                commits: counters.commits.load(Relaxed) as f64,
            };
        };
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let Ok(reply) = stage.api.call("GET", "/metrics", None).await else { return Work::default() };
        let text = reply.body.as_str().unwrap_or_default().to_owned();
        let of = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0)
        };
        Work { statements: of("muster_store_statements_total "), commits: of("muster_store_commits_total ") }
    }

    async fn idle(&self, stage: &Stage) -> anyhow::Result<Measured> {
        let until = Instant::now() + self.time + Duration::from_millis(1_500);
        self.measure(Some(stage), |task| {
            let (subjects, network, together) = (self.subjects.clone(), stage.around.network.clone(), self.together);
            async move {
                let mut client = Client::new(network, false);
                let mut latencies = Vec::new();
                let mut at = task;
                while Instant::now() < until {
                    let sent = Instant::now();
                    let body = send(&mut client, &subjects[at % subjects.len()].idle).await?;
                    anyhow::ensure!(body.is_empty(), "an idle device was given something");
                    latencies.push(sent.elapsed().as_secs_f64() * 1e3);
                    at += together;
                }
                Ok(latencies)
            }
        })
        .await
    }

    async fn idle_alone(&self) -> anyhow::Result<Measured> {
        let until = Instant::now() + self.time.min(Duration::from_secs(3));
        self.measure(None, |task| {
            let (subjects, store, tenant, together) =
                (self.subjects.clone(), self.store.clone(), self.tenant, self.together);
            async move {
                let mut latencies = Vec::new();
                let mut at = task;
                while Instant::now() < until {
                    let sent = Instant::now();
                    standing(&store, tenant, &subjects[at % subjects.len()]).await?;
                    latencies.push(sent.elapsed().as_secs_f64() * 1e3);
                    at += together;
                }
                Ok(latencies)
            }
        })
        .await
    }

    /// Queues the same commands for every device; their ids, by device.
    async fn queue(&self) -> anyhow::Result<Vec<Vec<Uuid>>> {
        let (tenant, mut ids) = (self.tenant, Vec::new());
        for subject in self.subjects.iter() {
            let own: Vec<Uuid> = (0..COMMANDS as u16)
                .map(|number| {
                    let mut random = [0; 10];
                    crypto::fill(&mut random);
                    // In the order drawn, as the server's.
                    random[..2].copy_from_slice(&number.to_be_bytes());
                    uuid::Builder::from_unix_timestamp_millis(now() as u64, &random).into_uuid()
                })
                .collect();
            let (enrollment, device, queued) = (subject.enrollment, subject.device, own.clone());
            self.store
                .write(tenant, move |tx| {
                    for id in &queued {
                        let command = NewCommand {
                            id: *id,
                            enrollment,
                            device,
                            request_type: "SecurityInfo".into(),
                            payload: "{}".into(),
                            origin: "inventory".into(),
                            action: None,
                            destructive: false,
                            priority: 40,
                            held: false,
                            not_before: 0,
                            expires_at: None,
                            now: now(),
                        };
                        commands::enqueue(tx, tenant, &command)?;
                    }
                    Ok::<_, muster_storage::Error>(())
                })
                .await?;
            ids.push(own);
        }
        Ok(ids)
    }

    async fn commands(&self, stage: &Stage) -> anyhow::Result<Measured> {
        let mut answers: Vec<Vec<Signed>> = Vec::new();
        for (subject, ids) in self.subjects.iter().zip(self.queue().await?) {
            let signed = ids.iter().map(|id| {
                let uuid = id.hyphenated().to_string().to_uppercase();
                let body = format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\"><dict><key>CommandUUID</key>\
                     <string>{uuid}</string><key>Status</key><string>Acknowledged</string><key>UDID</key><string>{}</string>\
                     <key>SecurityInfo</key><dict><key>PasscodePresent</key><true/></dict></dict></plist>",
                    subject.protocol_id
                );
                sign(&subject.handset, body.into_bytes())
            });
            answers.push(signed.collect::<anyhow::Result<_>>()?);
        }
        let answers = Arc::new(answers);
        self.measure(Some(stage), |task| {
            let (subjects, answers, together) = (self.subjects.clone(), answers.clone(), self.together);
            let network = stage.around.network.clone();
            async move {
                let mut client = Client::new(network, false);
                let mut latencies = Vec::new();
                for at in (task..subjects.len()).step_by(together) {
                    let mut given = send(&mut client, &subjects[at].idle).await?;
                    for answer in &answers[at] {
                        anyhow::ensure!(!given.is_empty(), "a command is missing");
                        let sent = Instant::now();
                        given = send(&mut client, answer).await?;
                        latencies.push(sent.elapsed().as_secs_f64() * 1e3);
                    }
                    anyhow::ensure!(given.is_empty(), "a command came twice");
                }
                Ok(latencies)
            }
        })
        .await
    }

    /// The statements of [`Bench::commands`], without a server.
    async fn commands_alone(&self) -> anyhow::Result<Measured> {
        let queued = Arc::new(self.queue().await?);
        self.measure(None, |task| {
            let (subjects, queued, together) = (self.subjects.clone(), queued.clone(), self.together);
            let (store, tenant) = (self.store.clone(), self.tenant);
            async move {
                let mut latencies = Vec::new();
                for at in (task..subjects.len()).step_by(together) {
                    let subject = &subjects[at];
                    let (enrollment, device) = (subject.enrollment, subject.device);
                    standing(&store, tenant, subject).await?;
                    store.write(tenant, move |tx| hand_out(tx, tenant, enrollment)).await?;
                    for &id in &queued[at] {
                        let sent = Instant::now();
                        standing(&store, tenant, subject).await?;
                        store.write(tenant, move |tx| turn(tx, tenant, enrollment, device, id)).await?;
                        latencies.push(sent.elapsed().as_secs_f64() * 1e3);
                    }
                }
                Ok(latencies)
            }
        })
        .await
    }
}

async fn standing(store: &Store, tenant: Uuid, subject: &Subject) -> anyhow::Result<()> {
    let (certificate, id) = (subject.certificate, subject.protocol_id.clone());
    let found =
        store.read_single(tenant, move |tx| device_identities::standing(tx, tenant, certificate, &id, now())).await?;
    anyhow::ensure!(found.is_some(), "a device has no standing");
    Ok(())
}

/// What the server's turn runs for a query that is answered as before (`service/src/apple/commands.rs`).
fn turn(
    tx: &mut dyn Tx,
    tenant: Uuid,
    enrollment: Uuid,
    device: Uuid,
    id: Uuid,
) -> muster_storage::Result<Option<Command>> {
    commands::finish(tx, tenant, enrollment, id, Ending::Acknowledged, None, now())?;
    facts::settle_query(tx, tenant, enrollment, id, now() + 7 * DAY, now())?;
    devices::by_id(tx, tenant, device)?;
    facts::of_device(tx, tenant, device)?;
    hand_out(tx, tenant, enrollment)
}

fn hand_out(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid) -> muster_storage::Result<Option<Command>> {
    commands::hand_out_next(tx, tenant, enrollment, Some(enrollment), now())
}
