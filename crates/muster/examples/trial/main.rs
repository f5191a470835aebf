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
mod policy;
mod process;
mod report;
mod seed;
mod slow;
mod soak;
mod stage;
mod swarm;

use std::{
    io::{BufRead as _, Write as _},
    time::Duration,
};

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
    /// Measures one policy for the whole fleet, and starts of the server
    Policy,
    /// Measures the memory of the simulated devices
    Swarm {
        /// Seconds that all live before the measurement
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
    /// Checks what needs a million rows, thousands of connections, a thousand samples, or time
    Soak {
        /// Minutes that the swarm lives
        #[arg(long, default_value_t = 10.0)]
        minutes: f64,
        /// Minutes with slow connections
        #[arg(long, default_value_t = 5.0)]
        slow_minutes: f64,
        /// Slow connections
        #[arg(long, default_value_t = 2_000)]
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
            Trial::Faults { kills, database_kills } => {
                faults::run(&options, kills, database_kills, Duration::ZERO).await
            }
            Trial::Policy => policy::run(&options).await,
            Trial::Swarm { seconds } => swarm::run(&options, seconds).await,
            Trial::Soak { minutes, slow_minutes, connections } => {
                let time = |minutes: f64| Duration::from_secs_f64(minutes * 60.0);
                soak::run(&options, soak::Extent { live: time(minutes), slow: time(slow_minutes), connections }).await
            }
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
