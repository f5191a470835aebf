//! `muster`: see `cli.rs` for the subcommands.

fn main() {}
