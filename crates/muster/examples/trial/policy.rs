//! One policy to a whole fleet: how long until every desired state is computed, and what everybody else
//! waits meanwhile. Before that: how long the server takes to its first answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use muster::demo::scenery::{all_devices, create_configuration};
use muster_storage::{Error, Scope, Store, TxExt, args, tenants};
use muster_swarm::shell::{http::Client, url::Url};
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    Options,
    fleet::{Subject, enroll, send},
    report::{met, quantile},
    seed::{self, Depth},
    stage::{Stage, now},
};

/// Starts of the server that are measured.
const STARTS: usize = 3;
/// Devices that check in meanwhile.
const LIVING: u64 = 8;
/// Longest wait for the whole fleet.
const PATIENCE: Duration = Duration::from_secs(600);

/// Runs the trial.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let mut stage = Stage::start(options, 4).await?;
    let store = crate::checkin::open(options, &stage).await?;
    let tenant = store.read(Scope::Server, tenants::all).await?[0].id;
    let living = Options { devices: LIVING, ..options.clone() };
    let (subjects, _) = enroll(&living, &stage, &store, tenant, 8).await?;
    seed::fleet(&store, tenant, options.devices as i64, Depth::Channels, now()).await?;
    seed::settle(options)?;

    println!("| with {} devices | found | least | bar | |", options.devices);
    println!("|---|---|---|---|---|");
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        stage.server.stop().await?;
        starts.push(stage.server.start().await?.as_secs_f64());
    }
    starts.sort_by(f64::total_cmp);
    let slowest = starts.last().copied().unwrap_or_default();
    println!("| start to first answer, s | {slowest:.2} | {:.2} | 2 | {} |", starts[0], met(slowest < 2.0));

    let quiet = watch(&stage, &subjects, async { tokio::time::sleep(Duration::from_secs(5)).await }).await?.0;
    let before = dirty_marks(&store, tenant).await?;
    let memory = stage.server.memory();
    let cpu = stage.server.cpu();
    let (waits, took) = watch(&stage, &subjects, spread(&stage, &store, tenant, before)).await?;
    let took = took?;
    println!("| all {} recomputed, s | {took:.1} | | 60 | {} |", options.devices, met(took < 60.0));
    println!("| recomputed a second | {:.0} | | | |", options.devices as f64 / took);
    for (what, quiet, busy) in
        [("API request", &quiet.requests, &waits.requests), ("idle check-in", &quiet.check_ins, &waits.check_ins)]
    {
        for (title, values) in [("before", quiet), ("meanwhile", busy)] {
            let (p50, p99) = (quantile(values, 0.5), quantile(values, 0.99));
            let worst = values.last().copied().unwrap_or_default();
            let verdict = if title == "meanwhile" { met(worst < 100.0) } else { "" };
            println!(
                "| {what} {title}, ms: worst of {} | {worst:.1} | p50 {p50:.1}, p99 {p99:.1} | 100 | {verdict} |",
                values.len()
            );
        }
    }
    println!("| server CPU, s | {:.1} | | | |", (stage.server.cpu() - cpu).as_secs_f64());
    println!(
        "| server memory, MB | {:.0} | {:.0} before | | |",
        stage.server.memory() as f64 / 1e6,
        memory as f64 / 1e6
    );
    store.close();
    stage.server.stop().await
}

/// Sorted latencies, ms.
struct Waits {
    requests: Vec<f64>,
    check_ins: Vec<f64>,
}

/// Sends requests and check-ins, one of each at a time, while `work` goes on.
async fn watch<T>(stage: &Stage, subjects: &[Subject], work: impl Future<Output = T>) -> anyhow::Result<(Waits, T)> {
    let stop = Arc::new(AtomicBool::new(false));
    let requests = tokio::spawn({
        let (stop, network, api) = (stop.clone(), stage.around.network.clone(), stage.api.clone());
        let device = subjects[0].device;
        let paths = [
            "/v1.0/deviceManagement/managedDevices?$top=20&$orderby=deviceName".to_owned(),
            format!("/v1.0/deviceManagement/managedDevices/{device}"),
            "/v1.0/users?$top=10".to_owned(),
            "/v1.0/deviceManagement/deviceConfigurations".to_owned(),
        ];
        async move {
            let mut client = Client::new(network, false);
            let bearer = format!("Bearer {}", api.token());
            let mut waits = Vec::new();
            for path in paths.iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let url = Url::parse(&format!("{}{path}", api.address()))?;
                let began = Instant::now();
                let answer = client.send("GET", &url, &[("authorization", bearer.as_str())], Vec::new(), None).await?;
                waits.push(began.elapsed().as_secs_f64() * 1e3);
                anyhow::ensure!(answer.status == 200, "{path}: {}: {}", answer.status, answer.text());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            anyhow::Ok(waits)
        }
    });
    let check_ins = tokio::spawn({
        let (stop, network) = (stop.clone(), stage.around.network.clone());
        let messages: Vec<_> = subjects.iter().map(|subject| subject.idle.clone()).collect();
        async move {
            let mut client = Client::new(network, false);
            let mut waits = Vec::new();
            for message in messages.iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let began = Instant::now();
                send(&mut client, message).await?;
                waits.push(began.elapsed().as_secs_f64() * 1e3);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            anyhow::Ok(waits)
        }
    });
    let outcome = work.await;
    stop.store(true, Ordering::Relaxed);
    let (mut requests, mut check_ins) = (requests.await??, check_ins.await??);
    requests.sort_by(f64::total_cmp);
    check_ins.sort_by(f64::total_cmp);
    Ok((Waits { requests, check_ins }, outcome))
}

/// Assigns a policy to all devices and waits until each was marked and computed; seconds from the
/// answer to the assignment.
async fn spread(stage: &Stage, store: &Store, tenant: Uuid, before: i64) -> anyhow::Result<f64> {
    let policy = json!({
        "@odata.type": "#microsoft.graph.iosGeneralDeviceConfiguration",
        "displayName": "Everybody",
        "passcodeRequired": true,
        "passcodeMinimumLength": 8,
        "cameraBlocked": true,
    });
    create_configuration(&stage.api, &policy, all_devices()).await?;
    let began = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (unmarked, dirty) = progress(store, tenant, before).await?;
        if unmarked == 0 && dirty == 0 {
            return Ok(began.elapsed().as_secs_f64());
        }
        anyhow::ensure!(began.elapsed() < PATIENCE, "{unmarked} devices are not marked, {dirty} not computed");
    }
}

/// The highest mark there is.
async fn dirty_marks(store: &Store, tenant: Uuid) -> anyhow::Result<i64> {
    let sql = "select max(computed_at) from device_state where tenant_id = $1";
    let found = store.read(tenant, move |tx| tx.one(sql, args![tenant], |row| row.opt_int(0))).await?;
    found.flatten().context("there is a fleet")
}

/// Channels that were not computed since `before`, and channels that wait to be.
async fn progress(store: &Store, tenant: Uuid, before: i64) -> anyhow::Result<(i64, i64)> {
    let sql = "select count(case when computed_at <= $2 then 1 end), \
                      count(case when dirty_seq > computed_seq then 1 end) \
                 from device_state where tenant_id = $1";
    let found =
        store.read(tenant, move |tx| tx.one(sql, args![tenant, before], |row| Ok((row.int(0)?, row.int(1)?)))).await;
    found.map_err(|error: Error| error.into()).map(Option::unwrap_or_default)
}
