//! The full forms of promises whose short forms are tests: what needs a million rows, thousands of
//! connections, a thousand samples, or time.

use std::{collections::HashSet, sync::atomic::Ordering, time::Duration};

use anyhow::Context as _;
use muster_service::Random as _;
use muster_storage::{Dialect, Error, Scope, Store, args, tenants};
use muster_swarm::shell::{Network, http::Client, url::Url};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{
    Options,
    fleet::{Subject, enroll, send},
    report::{met, quantile},
    slow,
    stage::{Stage, now},
};

/// Serial numbers that are drawn (C9).
const SERIALS: usize = 1_000_000;
/// Finished commands of one device (E11).
const FINISHED: i64 = 1_000_000;
/// Samples of each kind where answers' times are compared (B5, D11).
const SAMPLES: usize = 1_000;

/// How long, how many.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Life of the swarm.
    pub live: Duration,
    /// Time with slow connections.
    pub slow: Duration,
    /// Slow connections.
    pub connections: usize,
}

/// Runs everything; every row says whether it met its bar.
pub async fn run(options: &Options, extent: Extent) -> anyhow::Result<()> {
    println!("| promise | found | bar | |");
    println!("|---|---|---|---|");
    let mut missed = Vec::new();
    let mut row = |promise: &str, found: String, bar: &str, holds: bool| {
        println!("| {promise} | {found} | {bar} | {} |", met(holds));
        if !holds {
            missed.push(promise.to_owned());
        }
    };
    let (different, short) = serials();
    row(
        "C9: serial numbers do not repeat",
        format!("{different} of {SERIALS} different, {short} short"),
        "all different, 16 bytes",
        different == SERIALS && short == 0,
    );

    let mut stage = Stage::start(options, 4).await?;
    let store = crate::checkin::open(options, &stage).await?;
    let tenant = store.read(Scope::Server, tenants::all).await?[0].id;
    let (subjects, _) = enroll(&Options { devices: 8, ..options.clone() }, &stage, &store, tenant, 8).await?;
    let network = stage.around.network.clone();

    let start = Url::parse(&stage.around.start)?;
    let discovery = |person: &str| {
        start.join(&format!("/.well-known/com.apple.remotemanagement?user-identifier={person}&model-family=iPhone"))
    };
    let known = discovery(&stage.people[0].principal)?;
    let unknown = discovery("nobody0@trial.example")?;
    let (a, b) = timing(&network, [(&known, None), (&unknown, None)]).await?;
    row(
        "B5: discovery takes as long for nobody as for somebody",
        format!("median {a:.2} and {b:.2} ms over {SAMPLES} each"),
        "within 20 %",
        alike(a, b),
    );
    let api = Url::parse(&format!("{}/v1.0/organization", stage.api.address()))?;
    let token = stage.api.token().to_owned();
    let near = format!("{}{}", &token[..token.len() - 1], if token.ends_with('A') { 'B' } else { 'A' });
    let far: String = token.chars().rev().collect();
    let (near, far) = (format!("Bearer {near}"), format!("Bearer {far}"));
    let (a, b) = timing(&network, [(&api, Some(near.as_str())), (&api, Some(far.as_str()))]).await?;
    row(
        "D11: an almost right token takes as long as a wrong one",
        format!("median {a:.2} and {b:.2} ms over {SAMPLES} each"),
        "within 20 %",
        alike(a, b),
    );

    let before = best(&network, &subjects[..1]).await?;
    finished(&store, tenant, &subjects[0], FINISHED).await?;
    let after = best(&network, &subjects[..1]).await?;
    row(
        "E11: a check-in costs the same behind a million finished commands",
        format!("p50 {:.2} and {:.2} ms, p99 {:.2} and {:.2} ms", before.0, after.0, before.1, after.1),
        "p99 below 1.2 times",
        after.1 < before.1 * 1.2,
    );

    let quiet = legitimate(&network, &stage, &subjects, Duration::from_secs(10)).await?;
    let memory = stage.server.memory();
    let management = subjects[0].handset.device.management.as_ref().context("the device is managed")?;
    let target = Url::parse(&management.server_url)?;
    let (mut tasks, fates) = slow::start(&network, &target, extent.connections);
    sleep(Duration::from_secs(12)).await;
    let busy = legitimate(&network, &stage, &subjects, extent.slow).await?;
    tasks.shutdown().await;
    let (opened, cut) = (fates.opened.load(Ordering::Relaxed), fates.cut.load(Ordering::Relaxed));
    let longest = fates.longest.load(Ordering::Relaxed) as f64 / 1e3;
    row(
        "E6: slow connections do not slow anybody else",
        format!(
            "{} connections for {} s: p99 {quiet:.1} and {busy:.1} ms; server {:.0} and {:.0} MB",
            extent.connections,
            extent.slow.as_secs(),
            memory as f64 / 1e6,
            stage.server.memory() as f64 / 1e6
        ),
        "p99 below 2 times",
        busy < quiet * 2.0,
    );
    row(
        "E6: who is slow is cut",
        format!("{cut} of {opened} connections, the longest after {longest:.0} s"),
        "within 35 s",
        cut > 0 && longest < 35.0,
    );
    store.close();
    stage.server.stop().await?;
    drop(stage);

    let outcome = crate::faults::run(options, 0, 0, extent.live).await;
    let found = outcome.as_ref().map_or_else(ToString::to_string, |()| "every promise held".to_owned());
    row(
        &format!("{} devices live for {} s and nothing is lost or done twice", options.devices, extent.live.as_secs()),
        found,
        "all",
        outcome.is_ok(),
    );
    anyhow::ensure!(missed.is_empty(), "missed: {}", missed.join("; "));
    Ok(())
}

/// How many different serial numbers the server's own source gives, and how many are too short.
fn serials() -> (usize, usize) {
    let mut seen = HashSet::with_capacity(SERIALS);
    let mut short = 0;
    for _ in 0..SERIALS {
        let serial = muster_pki::certificate::random_serial(&|bytes| muster::ambient::SystemRandom.fill(bytes));
        short += usize::from(serial.len() < 16);
        seen.insert(serial);
    }
    (seen.len(), short)
}

fn alike(a: f64, b: f64) -> bool {
    (a - b).abs() <= 0.2 * a.max(b)
}

/// Median times of two requests, sent in turn, ms.
async fn timing(network: &std::sync::Arc<Network>, requests: [(&Url, Option<&str>); 2]) -> anyhow::Result<(f64, f64)> {
    let mut client = Client::new(network.clone(), false);
    let mut times = [Vec::new(), Vec::new()];
    let mut answers: [Option<(u16, usize)>; 2] = [None, None];
    for turn in 0..2 * SAMPLES {
        let (url, token) = requests[turn % 2];
        let headers: Vec<(&str, &str)> = token.map(|token| ("authorization", token)).into_iter().collect();
        let began = Instant::now();
        let answer = client.send("GET", url, &headers, Vec::new(), None).await?;
        times[turn % 2].push(began.elapsed().as_secs_f64() * 1e3);
        answers[turn % 2] = Some((answer.status, answer.body.len()));
    }
    anyhow::ensure!(answers[0].map(|a| a.0) == answers[1].map(|a| a.0), "the answers differ: {answers:?}");
    times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
    Ok((quantile(&times[0], 0.5), quantile(&times[1], 0.5)))
}

/// The best p50 and p99 of a few rounds of idle check-ins, ms: other work on the machine only adds.
async fn best(network: &std::sync::Arc<Network>, subjects: &[Subject]) -> anyhow::Result<(f64, f64)> {
    let mut client = Client::new(network.clone(), false);
    let (mut p50, mut p99) = (f64::MAX, f64::MAX);
    for _ in 0..5 {
        let mut waits = Vec::new();
        for turn in 0..1_000 {
            let began = Instant::now();
            send(&mut client, &subjects[turn % subjects.len()].idle).await?;
            waits.push(began.elapsed().as_secs_f64() * 1e3);
        }
        waits.sort_by(f64::total_cmp);
        p50 = p50.min(quantile(&waits, 0.5));
        p99 = p99.min(quantile(&waits, 0.99));
    }
    Ok((p50, p99))
}

/// p99 of check-ins and API requests in turn for so long, ms.
async fn legitimate(
    network: &std::sync::Arc<Network>,
    stage: &Stage,
    subjects: &[Subject],
    time: Duration,
) -> anyhow::Result<f64> {
    let (mut device, mut admin) = (Client::new(network.clone(), false), Client::new(network.clone(), false));
    let url = Url::parse(&format!("{}/v1.0/deviceManagement/managedDevices?$top=5", stage.api.address()))?;
    let bearer = format!("Bearer {}", stage.api.token());
    let (mut waits, began) = (Vec::new(), Instant::now());
    for turn in 0.. {
        let sent = Instant::now();
        if sent - began > time {
            break;
        }
        if turn % 2 == 0 {
            send(&mut device, &subjects[turn % subjects.len()].idle).await?;
        } else {
            let answer = admin.send("GET", &url, &[("authorization", bearer.as_str())], Vec::new(), None).await?;
            anyhow::ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        }
        waits.push(sent.elapsed().as_secs_f64() * 1e3);
        sleep(Duration::from_millis(5)).await;
    }
    waits.sort_by(f64::total_cmp);
    Ok(quantile(&waits, 0.99))
}

/// Gives one device so many finished commands.
async fn finished(store: &Store, tenant: Uuid, subject: &Subject, count: i64) -> anyhow::Result<()> {
    const CHUNK: i64 = 100_000;
    let (device, enrollment, at) = (subject.device, subject.enrollment, now());
    for from in (0..count).step_by(CHUNK as usize) {
        store
            .write(tenant, move |tx| {
                let (numbers, id) = match tx.dialect() {
                    Dialect::Sqlite => (
                        "with recursive n (i) as (select cast($2 as integer) union all select i + 1 from n where i + 1 < $3)",
                        "unhex(printf('0180%012x0000000000000000', n.i))",
                    ),
                    Dialect::Postgres => (
                        "with n (i) as (select generate_series(cast($2 as bigint), cast($3 as bigint) - 1))",
                        "cast('0180' || lpad(to_hex(n.i), 12, '0') || '0000000000000000' as uuid)",
                    ),
                };
                let sql = format!(
                    "insert into command_history (tenant_id, id, enrollment_id, device_id, request_type, origin, status,
                                                  attempts, created_at, finished_at)
                     {numbers} select $1, {id}, $4, $5, 'DeviceInformation', 'inventory', 'acknowledged', 1, $6, $6 from n"
                );
                tx.execute(&sql, args![tenant, from, (from + CHUNK).min(count), enrollment, device, at])
            })
            .await
            .map_err(|error: Error| anyhow::Error::from(error))
            .context("history cannot be written")?;
    }
    Ok(())
}
