//! The whole gate, in the order in which it fails fastest.

use crate::{
    install,
    pg::{Durability, Postgres},
    run, tidy, trial,
};

/// Runs the gate. `--quick` leaves out the installation and the lints.
pub fn gate(args: &[String]) -> anyhow::Result<()> {
    let quick = args.iter().any(|arg| arg == "--quick");
    step("tidy");
    tidy::check()?;
    if !quick {
        step("install");
        install::all()?;
        step("format");
        run::cargo(&["fmt", "--all", "--check"])?;
        step("lints");
        run::cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])?;
    }
    step("tests");
    let mut command = run::command(&run::cargo_program());
    command.args(["test", "--workspace", "--no-fail-fast"]);
    let server = Postgres::start(Durability::None)?;
    match &server {
        Some(server) => server.configure(&mut command),
        None => println!("skipped: every test on PostgreSQL: it is not installed"),
    }
    run::finish(&mut command)?;
    drop(server);
    step("faults");
    trial::faults(&["--kills", "3", "--devices", "9"].map(str::to_owned))
}

fn step(name: &str) {
    println!("== {name}");
}
