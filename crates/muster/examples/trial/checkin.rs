//! What an idle check-in and a command cost, with more and more history behind them.
//!
//! Devices enroll by the real protocol; their messages are signed before the clock starts, and
//! connections are kept, so that what is measured is the server: signature, statements, answer. The
//! bound is the same statements run alone, from this process, against the same database.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use base64::Engine as _;
use muster_storage::{
    Dialect, Scope, Store, TxExt, args,
    commands::{self, Ending, NewCommand},
    device_identities, tenants,
};
use muster_swarm::{
    crypto,
    fleet::{self, Path, Plan},
    model::{Family, Next, Version},
    random::Seeded,
    shell::{Handset, Network, Person, http::Client, url::Url},
};
use tokio::{task::JoinSet, time::Instant};
use uuid::Uuid;

use crate::{Options, process::Server, report::quantile, stage::Stage, stage::now};

/// Commands for each device in a measurement.
const COMMANDS: usize = 150;
/// History rows written in one transaction.
const CHUNK: i64 = 200_000;

/// A message made and signed beforehand.
#[derive(Clone)]
struct Signed {
    url: Url,
    body: Vec<u8>,
    signature: String,
}

/// A device as the measurement needs it.
struct Subject {
    idle: Signed,
    protocol_id: String,
    handset: Handset,
    device: Uuid,
    enrollment: Uuid,
    certificate: Uuid,
}

/// What a measurement came to.
struct Measured {
    rate: f64,
    p50: f64,
    p99: f64,
    cpu: f64,
    statements: f64,
}

/// Runs the trial.
pub async fn run(options: &Options, history: &[i64], seconds: u64, together: usize) -> anyhow::Result<()> {
    let stage = Stage::start(options, 8).await?;
    let store = open(options, &stage).await?;
    let tenant = store.read(Scope::Server, tenants::all).await?[0].id;
    let (subjects, rate) = enroll(options, &stage, &store, tenant, together).await?;
    println!("enroll (pages, SCEP, Authenticate, TokenUpdate, first inventory): {rate:.1} devices/s");
    println!();
    println!("| work | history rows | rate /s | p50 ms | p99 ms | server CPU ms | statements | server MB |");
    println!("|---|---|---|---|---|---|---|---|");
    let mut filled = 0;
    for &rows in history {
        fill(&store, tenant, filled, rows).await?;
        filled = filled.max(rows);
        let line = |work: &str, m: &Measured| {
            let memory = stage.server.memory() as f64 / 1e6;
            println!(
                "| {work} | {rows} | {:.0} | {:.2} | {:.2} | {:.3} | {:.2} | {memory:.0} |",
                m.rate, m.p50, m.p99, m.cpu, m.statements
            );
        };
        let idle = idle(&stage.server, &stage.around.network, &stage.api, &subjects, seconds, together).await?;
        line("idle check-in", &idle);
        let alone = idle_alone(&store, tenant, &subjects, seconds, together).await?;
        println!("| its statement alone | {rows} | {alone:.0} | | | | 1 | |");
        let commands = command_cycle(&stage, &store, tenant, &subjects, together).await?;
        line("command delivered and acknowledged", &commands);
        let bound = commands_alone(&store, tenant, &subjects, together).await?;
        println!("| its statements alone | {rows} | {bound:.0} | | | | 4 | |");
        println!("| ratio | {rows} | {:.2} | | | | | |", commands.rate / bound);
    }
    store.close();
    let mut stage = stage;
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

async fn enroll(
    options: &Options,
    stage: &Stage,
    store: &Store,
    tenant: Uuid,
    together: usize,
) -> anyhow::Result<(Arc<Vec<Subject>>, f64)> {
    // Key generation is the device's work, not the server's. A key of its own each: SCEP refuses a key twice.
    let keys = (0..options.devices).map(|_| crypto::generate().map(Arc::new)).collect::<Result<Vec<_>, _>>();
    stage.around.network.share_keys(keys.map_err(anyhow::Error::msg)?);
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    let mut handsets = Vec::new();
    for number in 0..options.devices {
        if tasks.len() >= together.min(16) {
            handsets.push(tasks.join_next().await.context("a device is enrolling")???);
        }
        let user = &stage.people[number as usize % stage.people.len()];
        let mut person = Person::new(&user.principal, &user.password);
        let plan = Plan {
            number,
            family: Family::IPhone,
            system: Version(26, 0, 0),
            supervised: false,
            path: Path::Profile,
            person: person.clone(),
            owner: user.name.clone(),
        };
        let around = stage.around.clone();
        tasks.spawn(async move {
            let mut random = Seeded::new(number + 1);
            let mut handset = fleet::make(&plan, &around, &mut random);
            handset.enroll_by_profile(&around.start, &mut person).await?;
            anyhow::Ok(handset)
        });
    }
    while let Some(handset) = tasks.join_next().await {
        handsets.push(handset??);
    }
    let rate = options.devices as f64 / began.elapsed().as_secs_f64();
    let mut subjects = Vec::new();
    for mut handset in handsets {
        for _ in 0..3 {
            handset.session().await?;
        }
        let Next::Send(message) = handset.device.connect() else { anyhow::bail!("a device has nothing to send") };
        anyhow::ensure!(message.name == "Idle", "a device sends {} where it should be idle", message.name);
        let idle = sign(&handset, message.body)?;
        let protocol_id = handset.device.protocol_id().context("the device has an id")?.to_owned();
        let id = protocol_id.clone();
        let (enrollment, device, certificate) = store
            .read(tenant, move |tx| {
                tx.one(
                    "select e.id, e.device_id, c.id from enrollment e
                       join certificate c on c.tenant_id = $1 and c.device_id = e.device_id and c.state = 'active'
                      where e.tenant_id = $1 and e.protocol_id = $2",
                    args![tenant, &id],
                    |row| Ok((row.id(0)?, row.id(1)?, row.id(2)?)),
                )
            })
            .await?
            .context("the device is in the database")?;
        subjects.push(Subject { idle, protocol_id, handset, device, enrollment, certificate });
    }
    Ok((Arc::new(subjects), rate))
}

fn sign(handset: &Handset, body: Vec<u8>) -> anyhow::Result<Signed> {
    let management = handset.device.management.as_ref().context("the device is managed")?;
    let signature = management.identity.sign_detached(&body)?;
    let signature = base64::engine::general_purpose::STANDARD.encode(signature);
    Ok(Signed { url: Url::parse(&management.server_url)?, body, signature })
}

async fn send(client: &mut Client, message: &Signed) -> anyhow::Result<Vec<u8>> {
    let headers = [
        ("user-agent", "MDM/1.0"),
        ("content-type", "application/x-apple-aspen-mdm; charset=UTF-8"),
        ("mdm-signature", message.signature.as_str()),
    ];
    let answer = client.send("PUT", &message.url, &headers, message.body.clone(), None).await?;
    anyhow::ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
    Ok(answer.body)
}

/// Brings the history of all devices to `to` rows.
async fn fill(store: &Store, tenant: Uuid, from: i64, to: i64) -> anyhow::Result<()> {
    let mut at = from;
    while at < to {
        let next = (at + CHUNK).min(to);
        store
            .write(tenant, move |tx| {
                let (numbers, id) = match tx.dialect() {
                    Dialect::Sqlite => (
                        "with recursive n(i) as (select cast($2 as integer) union all select i + 1 from n where i + 1 < $3)",
                        "unhex(printf('%032x', n.i + 1))",
                    ),
                    Dialect::Postgres => (
                        "with n(i) as (select generate_series(cast($2 as bigint), cast($3 as bigint) - 1))",
                        "cast(lpad(to_hex(n.i + 1), 32, '0') as uuid)",
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
    Ok(())
}

/// Statements the server has sent so far; its counters are told once a second.
async fn statements(api: &muster::demo::api::Api) -> f64 {
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let Ok(reply) = api.call("GET", "/metrics", None).await else { return 0.0 };
    let text = reply.body.as_str().unwrap_or_default().to_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("muster_store_statements_total "));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0)
}

fn measured(mut latencies: Vec<f64>, wall: Duration, cpu: Duration, statements: f64) -> Measured {
    latencies.sort_by(f64::total_cmp);
    let count = latencies.len().max(1) as f64;
    Measured {
        rate: count / wall.as_secs_f64(),
        p50: quantile(&latencies, 0.5),
        p99: quantile(&latencies, 0.99),
        cpu: cpu.as_secs_f64() * 1e3 / count,
        statements: statements / count,
    }
}

async fn idle(
    server: &Server,
    network: &Arc<Network>,
    api: &muster::demo::api::Api,
    subjects: &Arc<Vec<Subject>>,
    seconds: u64,
    together: usize,
) -> anyhow::Result<Measured> {
    let before = statements(api).await;
    let (cpu, began) = (server.cpu(), Instant::now());
    let until = began + Duration::from_secs(seconds);
    let mut tasks = JoinSet::new();
    for task in 0..together {
        let (subjects, network) = (subjects.clone(), network.clone());
        tasks.spawn(async move {
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
            anyhow::Ok(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(more) = tasks.join_next().await {
        latencies.extend(more??);
    }
    let (wall, cpu) = (began.elapsed(), server.cpu() - cpu);
    let sent = statements(api).await - before;
    Ok(measured(latencies, wall, cpu, sent))
}

async fn idle_alone(
    store: &Store,
    tenant: Uuid,
    subjects: &Arc<Vec<Subject>>,
    seconds: u64,
    together: usize,
) -> anyhow::Result<f64> {
    let began = Instant::now();
    let until = began + Duration::from_secs(seconds.min(5));
    let mut tasks = JoinSet::new();
    for task in 0..together {
        let (subjects, store) = (subjects.clone(), store.clone());
        tasks.spawn(async move {
            let (mut at, mut done) = (task, 0u64);
            while Instant::now() < until {
                let subject = &subjects[at % subjects.len()];
                let (certificate, id) = (subject.certificate, subject.protocol_id.clone());
                let standing = store
                    .read_single(tenant, move |tx| device_identities::standing(tx, tenant, certificate, &id, now()))
                    .await?;
                anyhow::ensure!(standing.is_some(), "a device has no standing");
                at += together;
                done += 1;
            }
            anyhow::Ok(done)
        });
    }
    let mut done = 0;
    while let Some(more) = tasks.join_next().await {
        done += more??;
    }
    Ok(done as f64 / began.elapsed().as_secs_f64())
}

/// Queues the same commands for every device; their ids, by device.
async fn queue(store: &Store, tenant: Uuid, subjects: &[Subject]) -> anyhow::Result<Vec<Vec<Uuid>>> {
    let mut ids = Vec::new();
    for subject in subjects {
        let mut random = [0; 16];
        crypto::fill(&mut random);
        let base = u128::from_be_bytes(random) >> 12 << 12;
        let own: Vec<Uuid> = (0..COMMANDS as u128).map(|n| Uuid::from_u128(base + n)).collect();
        let (enrollment, device, queued) = (subject.enrollment, subject.device, own.clone());
        store
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

async fn command_cycle(
    stage: &Stage,
    store: &Store,
    tenant: Uuid,
    subjects: &Arc<Vec<Subject>>,
    together: usize,
) -> anyhow::Result<Measured> {
    let queued = queue(store, tenant, subjects).await?;
    let mut answers: Vec<Vec<Signed>> = Vec::new();
    for (subject, ids) in subjects.iter().zip(&queued) {
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
    let before = statements(&stage.api).await;
    let (cpu, began) = (stage.server.cpu(), Instant::now());
    let mut tasks = JoinSet::new();
    for task in 0..together {
        let (subjects, answers) = (subjects.clone(), answers.clone());
        let network = stage.around.network.clone();
        tasks.spawn(async move {
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
            anyhow::Ok(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(more) = tasks.join_next().await {
        latencies.extend(more??);
    }
    let (wall, cpu) = (began.elapsed(), stage.server.cpu() - cpu);
    let sent = statements(&stage.api).await - before;
    Ok(measured(latencies, wall, cpu, sent))
}

/// Standing, finishing (two statements) and handing out, as the server does them, without a server.
async fn commands_alone(
    store: &Store,
    tenant: Uuid,
    subjects: &Arc<Vec<Subject>>,
    together: usize,
) -> anyhow::Result<f64> {
    let queued = Arc::new(queue(store, tenant, subjects).await?);
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for task in 0..together {
        let (subjects, queued, store) = (subjects.clone(), queued.clone(), store.clone());
        tasks.spawn(async move {
            let mut done = 0u64;
            for at in (task..subjects.len()).step_by(together) {
                let subject = &subjects[at];
                let (enrollment, certificate) = (subject.enrollment, subject.certificate);
                let hand_out =
                    move |tx: &mut dyn muster_storage::Tx| commands::hand_out_next(tx, tenant, enrollment, None, now());
                store.write(tenant, hand_out).await?;
                for &id in &queued[at] {
                    let protocol_id = subject.protocol_id.clone();
                    store
                        .read_single(tenant, move |tx| {
                            device_identities::standing(tx, tenant, certificate, &protocol_id, now())
                        })
                        .await?;
                    store
                        .write(tenant, move |tx| {
                            commands::finish(tx, tenant, enrollment, id, Ending::Acknowledged, None, now())
                        })
                        .await?;
                    store.write(tenant, hand_out).await?;
                    done += 1;
                }
            }
            anyhow::Ok(done)
        });
    }
    let mut done = 0;
    while let Some(more) = tasks.join_next().await {
        done += more??;
    }
    Ok(done as f64 / began.elapsed().as_secs_f64())
}
