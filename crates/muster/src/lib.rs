//! The `muster` program as a library, so that the stories in `tests/` start the whole server in
//! process: configuration, wiring, subcommands. Only this crate reads files, the environment, the
//! machine's clock and its randomness.

pub mod ambient;
pub mod cli;
pub mod commands;
pub mod config;
#[cfg(feature = "demo")]
pub mod demo;
pub mod doors;
pub mod logging;
pub mod process;
pub mod serve;
pub mod server;
pub mod wiring;
