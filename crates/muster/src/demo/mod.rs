//! `muster demo`: a throw-away server with a tenant full of people and a swarm that enrolls and lives.

pub mod api;
pub mod scenery;
pub mod stage;

use std::{
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::Context as _;
use muster_swarm::{
    fleet::{Fleet, Plan},
    shell::Person,
};
use serde_json::json;

use self::stage::Stage;
use crate::{
    ambient::{SystemClock, SystemRandom},
    cli::Demo,
    logging,
    serve::told_to_stop,
};

/// The mail domain of the demo's people.
pub const DOMAIN: &str = "meadow.example";
/// Devices that enroll at the same time.
const TOGETHER: usize = 6;

/// Runs the demo until it is told to stop.
pub async fn demo(options: &Demo) -> anyhow::Result<()> {
    let mut config = options.serve.load()?;
    logging::start(config.log_format.as_deref())?;
    let throw_away = config.data.is_none();
    let folder = match &config.data {
        Some(folder) => folder.clone(),
        None => fresh_folder()?,
    };
    config.data = Some(folder.clone());
    let stage = Stage::start(config, &[DOMAIN], Arc::new(SystemClock), Arc::new(SystemRandom), true).await?;
    let people = (options.devices / 3).clamp(6, 120);
    let scenery = scenery::set(&stage, DOMAIN, people).await?;
    let file = write_demo_file(&folder, &stage, &scenery)?;
    say(&stage, &scenery, &file, options.devices);

    let persons: Vec<(String, Person)> =
        scenery.people.iter().map(|user| (user.name.clone(), Person::new(&user.principal, &user.password))).collect();
    let mut plans = Plan::draw(options.devices as u64, &persons, 2026);
    // Macs that their people enroll at the portal are the company's.
    for plan in plans.iter_mut().filter(|plan| plan.family.is_mac()) {
        plan.person.own_device = false;
    }
    let fleet = Fleet::start(plans, stage.surroundings(), TOGETHER);
    let mut told = 0;
    let mut stage = stage;
    let mut stop = pin!(told_to_stop()?);
    loop {
        tokio::select! {
            () = &mut stop => break,
            ended = stage.running.ended() => return ended,
            () = tokio::time::sleep(Duration::from_secs(5)) => {}
        }
        let enrolled = fleet.pulse.enrolled.load(Ordering::Relaxed);
        if enrolled != told {
            told = enrolled;
            let failed = fleet.pulse.failed.load(Ordering::Relaxed);
            let sessions = fleet.pulse.sessions.load(Ordering::Relaxed);
            tracing::info!(enrolled, failed, sessions, of = options.devices, "the swarm");
        }
    }
    fleet.end().await;
    stage.running.stop().await;
    stage.service.store.close();
    if throw_away {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

/// A folder that nobody else has.
fn fresh_folder() -> anyhow::Result<PathBuf> {
    let mut bytes = [0; 6];
    muster_service::Random::fill(&SystemRandom, &mut bytes);
    let name: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = std::env::temp_dir().join(format!("muster-demo-{name}"));
    std::fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// Writes `demo.json`, whole or not at all.
fn write_demo_file(folder: &Path, stage: &Stage, scenery: &scenery::Scenery) -> anyhow::Result<PathBuf> {
    let ca = std::path::absolute(folder.join("ca.pem"))?;
    std::fs::write(&ca, &stage.roots)?;
    let people = scenery.people.iter();
    let document = json!({
        "public": stage.addresses.public,
        "device": stage.addresses.device,
        "admin": stage.addresses.admin,
        "ca": ca,
        "token": scenery.token,
        "operators": scenery.operators.iter().map(|operator| json!({
            "userPrincipalName": operator.principal,
            "password": operator.password,
            "totpSecret": operator.totp_secret,
            "role": operator.role,
        })).collect::<Vec<_>>(),
        "users": people.map(|user| json!({
            "userPrincipalName": user.principal,
            "password": user.password,
            "displayName": user.name,
        })).collect::<Vec<_>>(),
    });
    let (file, beside) = (folder.join("demo.json"), folder.join("demo.json.new"));
    std::fs::write(&beside, serde_json::to_vec_pretty(&document)?)?;
    std::fs::rename(&beside, &file)?;
    Ok(std::path::absolute(file)?)
}

fn say(stage: &Stage, scenery: &scenery::Scenery, file: &Path, devices: usize) {
    println!("\nMuster runs with {devices} simulated devices that enroll now.\n");
    println!("  Enrollment   {}/enroll", stage.addresses.public);
    println!("  Sign-in      {}/signin", stage.addresses.admin);
    println!("  API          {}/v1.0, /beta, /muster/v1 (openapi.json)", stage.addresses.admin);
    println!("  All of this  {}\n", file.display());
    for operator in &scenery.operators {
        println!(
            "  {:<13}{} / {}   second factor: {}",
            operator.role, operator.principal, operator.password, operator.totp_secret
        );
    }
    if let Some(user) = scenery.people.first() {
        println!("  {:<13}{} / {}", "a person", user.principal, user.password);
    }
    println!("\n  curl --cacert {}/ca.pem \\", file.parent().unwrap_or(Path::new(".")).display());
    println!("    -H 'Authorization: Bearer {}' \\", scenery.token);
    println!("    '{}/v1.0/deviceManagement/managedDevices?$top=5&$count=true'\n", stage.addresses.admin);
    println!("  The Macs of the company may be wiped once a second operator agrees; phones only by their people.\n");
}
