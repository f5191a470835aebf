//! `cargo xtask faults` and `cargo xtask bench`: builds the server and the trial beside it,
//! starts PostgreSQL where one is wanted, and kills and restarts it when the trial says so.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
};

use anyhow::{Context as _, bail};

use crate::{
    pg::{Durability, Postgres},
    run,
};

/// `cargo xtask faults [--engine sqlite|postgres] [--kills N] [--database-kills N] [--devices N] [--seed N] [--release]`
pub fn faults(args: &[String]) -> anyhow::Result<()> {
    on_engines("faults", args, args.iter().any(|arg| arg == "--release"))
}

/// What can be measured, by the name of the trial.
const BENCHES: [&str; 5] = ["checkin", "list", "memory", "policy", "swarm"];

/// `cargo xtask bench checkin [--engine sqlite|postgres] [--history 0,1000000] [--seconds N] ...`
pub fn bench(args: &[String]) -> anyhow::Result<()> {
    match args.split_first() {
        Some((what, rest)) if BENCHES.contains(&what.as_str()) => on_engines(what, rest, true),
        _ => bail!("the benches are {}", BENCHES.join(", ")),
    }
}

/// `cargo xtask soak [--engine sqlite|postgres] [--minutes N] [--slow-minutes N] [--connections N] [--devices N]`
pub fn soak(args: &[String]) -> anyhow::Result<()> {
    on_engines("soak", args, true)
}

fn on_engines(trial: &str, args: &[String], release: bool) -> anyhow::Result<()> {
    let mut rest: Vec<String> = args.iter().filter(|arg| *arg != "--release").cloned().collect();
    let only = rest.iter().position(|arg| arg == "--engine").map(|at| rest.drain(at..(at + 2).min(rest.len())).nth(1));
    let only = only.flatten();
    let mut build = vec!["build", "--quiet", "-p", "muster", "--bin", "muster", "--example", "trial"];
    if release {
        build.push("--release");
    }
    run::cargo(&build)?;
    let mut failed = Vec::new();
    for engine in ["sqlite", "postgres"] {
        if only.as_deref().is_some_and(|only| only != engine) {
            continue;
        }
        println!("== {trial} on {engine}");
        let server = match engine {
            "postgres" => match Postgres::start(Durability::Full)? {
                Some(server) => Some(server),
                None => {
                    println!("skipped: {trial} on PostgreSQL: it is not installed");
                    continue;
                }
            },
            _ => None,
        };
        if let Err(error) = one(trial, &rest, release, server.as_ref()) {
            println!("{error:#}");
            failed.push(engine);
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("{trial} failed on {}", failed.join(", ")) }
}

fn one(trial: &str, args: &[String], release: bool, server: Option<&Postgres>) -> anyhow::Result<()> {
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
    let profile = if release { "release" } else { "debug" };
    let mut command = run::command(&format!("{}/{target}/{profile}/examples/trial", run::root().display()));
    command.arg(trial).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    if let Some(server) = server {
        command.args(["--database", &server.url(), "--migrate", &server.migrate_url()]);
    }
    let mut child = command.spawn().context("cannot start the trial")?;
    let mut input = child.stdin.take().context("the trial has an input")?;
    let output = child.stdout.take().context("the trial has an output")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        match (line.as_str(), server) {
            ("database: kill", Some(server)) => {
                server.kill()?;
                server.up_again()?;
                writeln!(input, "up")?;
            }
            ("database: vacuum", Some(server)) => {
                server.vacuum()?;
                writeln!(input, "done")?;
            }
            _ => println!("{line}"),
        }
    }
    let status = child.wait()?;
    if status.success() { Ok(()) } else { bail!("the trial ended with {status}") }
}
