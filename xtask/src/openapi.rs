//! `cargo xtask openapi`: writes the document that the server serves to where it is checked in.

use anyhow::{Context as _, bail};

use crate::run;

/// Writes `docs/openapi.json`.
pub fn write() -> anyhow::Result<()> {
    let output = run::command(&run::cargo_program())
        .args(["run", "--quiet", "-p", "muster-web", "--example", "openapi"])
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("the example that prints the document ended with {}", output.status);
    }
    let path = run::root().join("docs/openapi.json");
    std::fs::write(&path, &output.stdout)?;
    println!("docs/openapi.json: {} bytes", output.stdout.len());
    Ok(())
}
