//! Audit: how rows begin (`entry.rs`), sealing and verifying the chain.

mod entry;

pub use entry::{Act, kind_word, subject};
