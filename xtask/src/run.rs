//! Running cargo and other programs from the workspace root.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

/// The workspace root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").to_owned()
}

/// A command that runs in the workspace root.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// Runs cargo with arguments; an unsuccessful end is an error.
pub fn cargo(args: &[&str]) -> anyhow::Result<()> {
    finish(command(&cargo_program()).args(args))
}

/// The cargo that runs us.
pub fn cargo_program() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

/// Runs a command to its end; an unsuccessful end is an error that names it.
pub fn finish(command: &mut Command) -> anyhow::Result<()> {
    let shown = format!("{command:?}");
    let status = command.status().with_context(|| format!("cannot start {shown}"))?;
    if !status.success() {
        bail!("{shown} ended with {status}");
    }
    Ok(())
}

/// Builds and runs a subcommand of the server.
pub fn muster(subcommand: &str, rest: &[String]) -> anyhow::Result<()> {
    let mut command = command(&cargo_program());
    command.args(["run", "--quiet", "--package", "muster", "--", subcommand]).args(rest);
    finish(&mut command)
}
