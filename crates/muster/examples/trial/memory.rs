//! What the server holds in memory: with a fleet in its database, and with connections that stay open.

use std::{sync::Arc, time::Duration};

use muster_storage::{Scope, tenants};
use muster_swarm::shell::http::Client;
use tokio::task::JoinSet;

use crate::{
    Options,
    checkin::open,
    fleet::{Subject, enroll, send},
    report::Report,
    seed::{self, Depth},
    stage::{Stage, now},
};

/// Most memory of the server with the fleet and the connections, bytes.
const SERVER: f64 = 150e6;
/// Most memory of one connection on which nothing happens, bytes.
const CONNECTION: f64 = 40e3;
/// When a connection on which nothing happened must be closed, at the latest.
const CLOSED: Duration = Duration::from_secs(65);
/// Check-ins on each connection before it is left alone.
const CHECK_INS: usize = 20;

/// Runs the trial: `devices` in the database, `connections` at once.
pub async fn run(options: &Options, devices: i64, connections: usize) -> anyhow::Result<()> {
    let mut stage = Stage::start(options, 8).await?;
    let store = open(options, &stage).await?;
    let tenant = store.read(Scope::Server, tenants::all).await?[0].id;
    let (subjects, _) = enroll(options, &stage, &store, tenant, 8).await?;
    seed::fleet(&store, tenant, devices - subjects.len() as i64, Depth::Channels, now()).await?;
    seed::settle(options)?;
    store.close();
    let subjects = Arc::new(subjects);
    println!("| server after | connections | MB |");
    println!("|---|---|---|");
    let line = |what: &str, connections: usize| {
        let memory = stage.server.memory() as f64;
        println!("| {what} | {connections} | {:.1} |", memory / 1e6);
        memory
    };
    line("enrolling", 0);
    let mut page = Some("/v1.0/deviceManagement/managedDevices?$top=1000".to_owned());
    while let Some(path) = page {
        let answer = stage.api.get(&path).await?;
        let next = answer["@odata.nextLink"].as_str().and_then(|link| link.find("/v1.0/").map(|at| &link[at..]));
        page = next.map(str::to_owned);
    }
    line("showing every device", 0);
    // Once, so that what the first connections leave behind for all later ones is not counted as theirs.
    drop(connect(&stage, &subjects, connections).await?);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = line("check-ins on connections that ended", 0);
    let sockets = stage.server.sockets();
    let held = connect(&stage, &subjects, connections).await?;
    let after = line("check-ins on connections that stay", connections);

    let mut report = Report::default();
    let each = (after - before).max(0.0) / connections.max(1) as f64;
    report.check("the server stays below 150 MB", after < SERVER, format!("{:.1} MB", after / 1e6));
    report.check("an idle connection takes at most 40 kB", each <= CONNECTION, format!("{:.1} kB", each / 1e3));
    tokio::time::sleep(CLOSED).await;
    let left = stage.server.sockets().saturating_sub(sockets);
    report.check("idle connections are closed after 60 s", left == 0, format!("{left} of {connections} left"));
    drop(held);
    stage.server.stop().await?;
    report.finish()
}

/// Opens connections, each with a few check-ins; they stay open as long as what is answered.
async fn connect(stage: &Stage, subjects: &Arc<Vec<Subject>>, connections: usize) -> anyhow::Result<Vec<Client>> {
    let mut tasks = JoinSet::new();
    for at in 0..connections {
        let (subjects, network) = (subjects.clone(), stage.around.network.clone());
        tasks.spawn(async move {
            // Half of them speak HTTP/2, as devices do where it is offered.
            let mut client = Client::new(network, at % 2 == 0);
            for _ in 0..CHECK_INS {
                let body = send(&mut client, &subjects[at % subjects.len()].idle).await?;
                anyhow::ensure!(body.is_empty(), "an idle device was given something");
            }
            anyhow::Ok(client)
        });
    }
    let mut clients = Vec::new();
    while let Some(client) = tasks.join_next().await {
        clients.push(client??);
    }
    Ok(clients)
}
