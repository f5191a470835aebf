//! What pages of the device list cost with very many devices: through TLS, token and JSON.

use std::time::Duration;

use anyhow::Context as _;
use muster_storage::{Scope, tenants};
use muster_swarm::shell::{http::Client, url::Url};
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    Options,
    report::{met, quantile},
    seed::{self, Depth},
    stage::{Stage, now},
};

/// What is asked: a title, the options, and the bar in milliseconds.
const QUERIES: &[(&str, &str, f64)] = &[
    ("first page", "$top=50", 30.0),
    ("by name", "$orderby=deviceName&$top=50", 30.0),
    ("newest sync first", "$orderby=lastSyncDateTime desc&$top=50", 30.0),
    ("serial number", "$filter=serialNumber eq 'F2L1007919QX'", 30.0),
    ("user", "$filter=userPrincipalName eq 'user77@fleet.example'", 30.0),
    ("system, by name", "$filter=operatingSystem eq 'macOS'&$orderby=deviceName&$top=50", 30.0),
    (
        "not compliant, newest sync",
        "$filter=complianceState eq 'noncompliant'&$orderby=lastSyncDateTime desc&$top=50",
        30.0,
    ),
    ("name starts with", "$filter=startswith(deviceName,'7919')&$orderby=deviceName&$top=50", 30.0),
    ("count of all", "$count=true&$top=1", 500.0),
    ("count of a system", "$filter=operatingSystem eq 'iOS'&$count=true&$top=1", 500.0),
    ("count of not compliant", "$filter=complianceState eq 'noncompliant'&$count=true&$top=1", 500.0),
    ("count of personal", "$filter=managedDeviceOwnerType eq 'personal'&$count=true&$top=1", 500.0),
    ("name contains, many", "$filter=contains(deviceName,'macbook')&$top=50", 500.0),
    ("name contains, one", "$filter=contains(deviceName,'of user 200123')&$top=50", 500.0),
    ("name contains, none", "$filter=contains(deviceName,'nothing')&$top=50", 500.0),
    (
        "name contains, none, by sync",
        "$filter=contains(deviceName,'nothing')&$orderby=lastSyncDateTime desc&$top=50",
        500.0,
    ),
    (
        "name contains, many, by sync",
        "$filter=contains(deviceName,'macbook')&$orderby=lastSyncDateTime desc&$top=50",
        500.0,
    ),
    ("name contains, counted", "$filter=contains(deviceName,'macbook')&$count=true&$top=50", 500.0),
    ("serial contains, none", "$filter=contains(serialNumber,'zzz')&$top=50", 500.0),
    ("model contains, counted", "$filter=contains(model,'pro')&$count=true&$top=50", 500.0),
    ("search (name, serial number, user), none", "$search=\"nothing\"&$top=50", 500.0),
    (
        "system and name contains, counted",
        "$filter=operatingSystem eq 'iOS' and contains(deviceName,'user 1234')&$count=true&$top=50&$orderby=deviceName",
        500.0,
    ),
];

/// Runs the trial.
pub async fn run(options: &Options, rounds: usize) -> anyhow::Result<()> {
    let stage = Stage::start(options, 0).await?;
    let store = crate::checkin::open(options, &stage).await?;
    let tenant = store.read(Scope::Server, tenants::all).await?[0].id;
    let began = Instant::now();
    seed::fleet(&store, tenant, options.devices as i64, Depth::Records, now()).await?;
    store.close();
    seed::settle(options)?;
    println!("{} devices written in {:.0} s", options.devices, began.elapsed().as_secs_f64());
    println!();
    println!("| list of {} devices | p50 ms | p95 ms | least ms | found | bar ms | |", options.devices);
    println!("|---|---|---|---|---|---|---|");
    let mut client = Client::new(stage.around.network.clone(), false);
    for (title, query, bar) in QUERIES {
        let mut latencies = Vec::new();
        let mut found = String::new();
        for _ in 0..rounds.max(1) {
            let (took, body) = get(&mut client, &stage, query).await?;
            latencies.push(took.as_secs_f64() * 1e3);
            let rows = body["value"].as_array().map_or(0, Vec::len);
            found = body["@odata.count"].as_i64().map_or_else(|| rows.to_string(), |n| format!("{rows} of {n}"));
        }
        latencies.sort_by(f64::total_cmp);
        let (p50, p95, least) = (quantile(&latencies, 0.5), quantile(&latencies, 0.95), latencies[0]);
        let verdict = met(p95 < *bar);
        println!("| {title} | {p50:.1} | {p95:.1} | {least:.1} | {found} | {bar:.0} | {verdict} |");
    }
    println!();
    let mut stage = stage;
    stage.server.stop().await
}

async fn get(client: &mut Client, stage: &Stage, query: &str) -> anyhow::Result<(Duration, Value)> {
    let path = format!("/v1.0/deviceManagement/managedDevices?{}", query.replace(' ', "%20").replace('"', "%22"));
    let url = Url::parse(&format!("{}{path}", stage.api.address()))?;
    let bearer = format!("Bearer {}", stage.api.token());
    let headers = [("authorization", bearer.as_str()), ("accept", "application/json")];
    let began = Instant::now();
    let answer = client.send("GET", &url, &headers, Vec::new(), None).await?;
    let took = began.elapsed();
    anyhow::ensure!(answer.status == 200, "{path}: {}: {}", answer.status, answer.text());
    Ok((took, serde_json::from_slice(&answer.body).context("the answer is JSON")?))
}
