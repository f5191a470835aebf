//! Trials of the server as a process of its own: faults under load, and what its work costs.
//!
//! `cargo xtask faults`, `bench` and `soak` build it, start the database, and read its requests
//! (`database: kill`, `database: vacuum`) from its output.

#![expect(clippy::print_stdout, reason = "a program that reports")]

mod checkin;
mod faults;
mod fleet;
mod list;
mod memory;
mod process;
mod report;
mod seed;
mod stage;

use std::io::{BufRead as _, Write as _};

use clap::{Parser, Subcommand};

/// Options of both trials.
#[derive(Clone, Debug, Parser)]
struct Options {
    /// postgres://... ; SQLite where absent
    #[arg(long, global = true)]
    database: Option<String>,
    /// postgres://... of the role that owns the tables
    #[arg(long, global = true)]
    migrate: Option<String>,
    /// Simulated devices
    #[arg(long, default_value_t = 40, global = true)]
    devices: u64,
    /// Seed of everything drawn
    #[arg(long, default_value_t = 1, global = true)]
    seed: u64,
    #[command(subcommand)]
    trial: Trial,
}

#[derive(Clone, Debug, Subcommand)]
enum Trial {
    /// Kills the server and the database under load and checks what must hold
    Faults {
        /// Kills of the server
        #[arg(long, default_value_t = 5)]
        kills: u32,
        /// Kills of the database
        #[arg(long, default_value_t = 1)]
        database_kills: u32,
    },
    /// Measures pages of the device list
    List {
        /// Requests of each kind
        #[arg(long, default_value_t = 20)]
        rounds: usize,
    },
    /// Measures what the server holds in memory with a fleet and with connections that stay open
    Memory {
        /// Devices in the database
        #[arg(long, default_value_t = 10_000)]
        fleet: i64,
        /// Connections at once
        #[arg(long, default_value_t = 500)]
        connections: usize,
    },
    /// Measures idle check-ins and commands
    Checkin {
        /// Rows of command history, in turn: 0,1000000
        #[arg(long, default_value = "0", value_delimiter = ',')]
        history: Vec<i64>,
        /// Seconds a measurement
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        /// Requests at once
        #[arg(long, default_value_t = 32)]
        together: usize,
    },
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match options.trial.clone() {
            Trial::Faults { kills, database_kills } => faults::run(&options, kills, database_kills).await,
            Trial::List { rounds } => list::run(&options, rounds).await,
            Trial::Memory { fleet, connections } => memory::run(&options, fleet, connections).await,
            Trial::Checkin { history, seconds, together } => checkin::run(&options, &history, seconds, together).await,
        }
    })
}

/// Has the parent do something to the database, and waits until it says that it has.
fn ask_parent(request: &str, done: &str) -> anyhow::Result<()> {
    println!("{request}");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    anyhow::ensure!(answer.trim() == done, "the parent did not do it: {request}");
    Ok(())
}
