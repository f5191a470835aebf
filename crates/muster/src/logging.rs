//! Log lines: one a request, text or JSON; secrets never reach them (their types cannot be shown).

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Starts logging to standard error. A second call (tests) does nothing.
pub fn start(format: Option<&str>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_env("MUSTER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let layer =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let _ = match format {
        None | Some("text") => registry.with(layer.with_target(false)).try_init(),
        Some("json") => registry.with(layer.json().flatten_event(true)).try_init(),
        Some(other) => anyhow::bail!("log_format is \"{other}\"; use text or json"),
    };
    Ok(())
}

/// For subcommands: warnings and errors only, unless `MUSTER_LOG` says otherwise.
pub fn start_quiet() {
    let filter = EnvFilter::try_from_env("MUSTER_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    let _ = tracing_subscriber::registry().with(filter).with(layer).try_init();
}
