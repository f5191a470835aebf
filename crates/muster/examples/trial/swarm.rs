//! What a living swarm holds in memory, apart from its server, which is another process.

use std::{sync::atomic::Ordering, time::Duration};

use muster_swarm::{
    fleet::{Fleet, Plan},
    shell::Person,
};
use tokio::time::{Instant, sleep};

use crate::{Options, process::memory, report::met, stage::Stage};

/// Most memory of two thousand devices.
const BAR: f64 = 512e6;
/// Devices that enroll at a time.
const TOGETHER: usize = 8;
/// Longest time without one more device enrolled.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the trial: enrolls `devices` devices and lets them live for a while.
pub async fn run(options: &Options, seconds: u64) -> anyhow::Result<()> {
    let mut stage = Stage::start(options, (options.devices as usize / 5).clamp(4, 200)).await?;
    let persons: Vec<(String, Person)> =
        stage.people.iter().map(|user| (user.name.clone(), Person::new(&user.principal, &user.password))).collect();
    println!("| swarm | MB | kB a device | bar MB | |");
    println!("|---|---|---|---|---|");
    let empty = memory("self", "VmRSS:") as f64;
    println!("| stand-ins and people, no device | {:.0} | | | |", empty / 1e6);
    let began = Instant::now();
    let fleet = Fleet::start(Plan::draw(options.devices, &persons, options.seed), stage.around.clone(), TOGETHER);
    let pulse = fleet.pulse.clone();
    let (mut last, mut since) = (0, Instant::now());
    while pulse.enrolled.load(Ordering::Relaxed) + pulse.failed.load(Ordering::Relaxed) < options.devices {
        sleep(Duration::from_millis(200)).await;
        let enrolled = pulse.enrolled.load(Ordering::Relaxed);
        if enrolled > last {
            (last, since) = (enrolled, Instant::now());
        }
        anyhow::ensure!(since.elapsed() < PATIENCE, "{enrolled} of {} devices enrolled, no more", options.devices);
    }
    let took = began.elapsed().as_secs_f64();
    sleep(Duration::from_secs(seconds)).await;
    let living = pulse.enrolled.load(Ordering::Relaxed);
    let (held, most) = (memory("self", "VmRSS:") as f64, memory("self", "VmHWM:") as f64);
    // In proportion where fewer devices are asked for than the bar speaks of.
    let bar = BAR * (options.devices as f64 / 2_000.0).max(0.25);
    for (title, value) in [("living", held), ("at most", most)] {
        let each = (value - empty) / living.max(1) as f64 / 1e3;
        let (bar_mb, verdict) = (bar / 1e6, met(value < bar));
        println!("| {living} devices, {title} | {:.0} | {each:.0} | {bar_mb:.0} | {verdict} |", value / 1e6);
    }
    println!(
        "{living} of {} devices live, {} sessions, {} of them broken; enrolled in {took:.0} s; server {:.0} MB",
        options.devices,
        pulse.sessions.load(Ordering::Relaxed),
        pulse.broken.load(Ordering::Relaxed),
        stage.server.memory() as f64 / 1e6
    );
    fleet.end().await;
    stage.server.stop().await
}
