//! What an idle check-in and a command cost.

use crate::Options;

/// Runs the trial.
pub async fn run(_options: &Options, _history: &[i64], _seconds: u64, _together: usize) -> anyhow::Result<()> {
    anyhow::bail!("not built yet")
}
