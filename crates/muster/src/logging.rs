//! Log lines: one a request, text or JSON; secrets never reach them (their types cannot be shown).

use std::io::IsTerminal as _;

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer,
    field::MakeExt as _,
    fmt::{MakeWriter, format},
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

/// Starts logging to standard error. A second call (tests) does nothing.
pub fn start(format: Option<&str>) -> anyhow::Result<()> {
    let filter = filter("info");
    let layer = layer(format, std::io::stderr, std::io::stderr().is_terminal())?;
    let _ = tracing_subscriber::registry().with(filter).with(layer).try_init();
    Ok(())
}

/// For subcommands: warnings and errors only, unless `MUSTER_LOG` says otherwise.
pub fn start_quiet() {
    let filter = filter("warn");
    let layer = text(std::io::stderr, std::io::stderr().is_terminal());
    let _ = tracing_subscriber::registry().with(filter).with(layer).try_init();
}

/// `MUSTER_LOG`, else the level given. Whatever it asks for, the database's client does not tell the
/// values of its statements, which it does when it debugs (threats I3).
fn filter(default: &str) -> EnvFilter {
    let asked = EnvFilter::try_from_env("MUSTER_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    ["tokio_postgres=info", "postgres=info"].into_iter().fold(asked, |filter, quiet| match quiet.parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    })
}

/// What writes events, as `text` (the default) or `json`; coloured only for a terminal.
pub fn layer<S, W>(format: Option<&str>, writer: W, coloured: bool) -> anyhow::Result<Box<dyn Layer<S> + Send + Sync>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    match format {
        None | Some("text") => Ok(Box::new(text(writer, coloured))),
        Some("json") => {
            let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
            Ok(Box::new(layer.json().flatten_event(true)))
        }
        Some(other) => anyhow::bail!("log_format is \"{other}\"; use text or json"),
    }
}

/// One line an event, whatever a device or a person put into a value: what could end the line or
/// steer a terminal is written as its escape (threats I4).
fn text<S, W>(writer: W, coloured: bool) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let fields = format::debug_fn(|out, field, value| match field.name() {
        "message" => out.write_str(&escaped(&format!("{value:?}"))),
        name => write!(out, "{name}={}", escaped(&format!("{value:?}"))),
    });
    tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_target(false)
        .fmt_fields(fields.delimited(" "))
        .with_ansi(coloured)
}

fn escaped(text: &str) -> String {
    // Beside control characters the separators of lines and paragraphs, and what turns the direction of writing.
    let steers = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match steers(c) {
            true => safe.extend(c.escape_default()),
            false => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn i4_what_a_device_sends_stays_on_its_own_line() {
        let evil = "phone\r\n2026-01-01T00:00:00Z  INFO forged\u{1b}[2J\u{2028}\u{202e}";
        for format in ["text", "json"] {
            let buffer = Buffer::default();
            let writer = buffer.clone();
            let layer = layer(Some(format), move || writer.clone(), false).unwrap();
            tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
                tracing::warn!(name = evil, shown = %evil, debug = ?evil, "refused {evil}");
            });
            let log = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
            assert_eq!(log.lines().count(), 1, "{log}");
            let line = log.strip_suffix('\n').unwrap();
            assert!(line.contains("forged"), "nothing is lost: {line}");
            assert!(!line.chars().any(char::is_control), "{line:?}");
            assert!(format == "json" || !line.contains(['\u{2028}', '\u{202e}']), "{line:?}");
        }
    }
}
