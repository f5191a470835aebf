//! `muster`: see `cli.rs` for the subcommands.

use clap::Parser as _;
use muster::{
    cli::{Cli, Command},
    commands, logging, process, serve,
};

/// The system's allocator keeps the large blocks of password hashing, one for each thread that ever did
/// it, and the server six times its size.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    if let Err(error) = process::keep_memory_private() {
        eprintln!("muster: {error:#}");
        return std::process::ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("muster: cannot start: {error}");
            return std::process::ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli)) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("muster: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let serves = match &cli.command {
        Command::Serve(_) => true,
        #[cfg(feature = "demo")]
        Command::Demo(_) => true,
        _ => false,
    };
    if !serves {
        logging::start_quiet();
    }
    match cli.command {
        Command::Serve(options) => serve::serve(&options).await,
        #[cfg(feature = "demo")]
        Command::Demo(options) => muster::demo::demo(&options).await,
        Command::Tenant(command) => commands::tenant(command).await,
        Command::Admin(command) => commands::admin(command).await,
        Command::Token(command) => commands::token(command).await,
        Command::Ca(command) => commands::ca(command).await,
        Command::Migrate { common } => commands::migrate(common).await,
        Command::Backup { to, common } => commands::backup(&to, common).await,
        Command::Restore { from, common } => commands::restore(&from, common).await,
        Command::Audit(command) => commands::audit(command).await,
        Command::Keys(command) => commands::keys(command).await,
        Command::Approve { id, common } => commands::approve(id, common).await,
        Command::Doctor { common } => commands::doctor(common).await,
    }
}
