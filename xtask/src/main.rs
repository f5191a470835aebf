//! `cargo xtask <verb>`: everything a developer wants one command for.

mod install;
mod openapi;
mod pg;
mod run;
mod test;
mod tidy;
mod trial;
mod types;

use anyhow::bail;

const HELP: &str = "\
cargo xtask demo [--devices N] [--data DIR]   start Muster on SQLite with a swarm of simulated devices
cargo xtask test [--quick]                    the whole gate: format, lints, tidy, tests on both engines
cargo xtask pg [COMMAND ...]                  a throw-away PostgreSQL; runs COMMAND with the tests' variables set
cargo xtask faults [--kills N]                kills the server and PostgreSQL under load, checks what must hold
cargo xtask bench checkin [--history 0,1000000]   what check-ins and commands cost, on both engines
cargo xtask bench memory                      what the server holds with 10,000 devices and 500 connections
cargo xtask bench list [--devices N]          what pages of the device list cost
cargo xtask bench policy [--devices N]        one policy for a whole fleet, and the server's start
cargo xtask bench swarm [--devices N]         memory of the simulated devices
cargo xtask soak [--minutes N]                what needs a million rows, thousands of connections, or time
cargo xtask tidy                              crate graph, module docs, file sizes, banned words
cargo xtask openapi                           docs/openapi.json from the route table, the registry and the types
cargo xtask types [--check]                     the table of served Graph types, from the public metadata
cargo xtask install                           what the gate needs on Debian (as root)
";

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let verb = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    match verb.as_str() {
        "demo" => run::muster("demo", &rest),
        "test" => test::gate(&rest),
        "pg" => pg::run(&rest),
        "faults" => trial::faults(&rest),
        "bench" => trial::bench(&rest),
        "soak" => trial::soak(&rest),
        "tidy" => tidy::check(),
        "openapi" => openapi::write(),
        "types" => types::run(rest.iter().any(|word| word == "--check")),
        "install" => install::all(),
        "" | "help" | "--help" => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("there is no task \"{other}\"\n{HELP}"),
    }
}
