//! The PostgreSQL engine.

use crate::store::Engine;

/// How the server is reached.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads for transactions, a connection each.
    pub writers: usize,
    /// Threads for reads, a connection each.
    pub readers: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { writers: 8, readers: 4 }
    }
}

pub(crate) fn open(_url: &str, _migrate_url: Option<&str>, _options: &Options) -> crate::Result<Engine> {
    Err(crate::Error::Unavailable("PostgreSQL is not built yet".into()))
}
