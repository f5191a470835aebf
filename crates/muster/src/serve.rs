//! `muster serve`.

use crate::{cli::Serve, doors::Doors, logging, server::Running, wiring};

/// Runs the server until it is told to stop (SIGTERM, SIGINT) or a part of it fails.
pub async fn serve(options: &Serve) -> anyhow::Result<()> {
    let config = options.load()?;
    logging::start(config.log_format.as_deref())?;
    config.data()?;
    let told_to_stop = told_to_stop()?;
    let doors = Doors::bind(&config).await?;
    let addresses = doors.addresses.clone();
    let service = wiring::open(&config, Some(addresses.clone())).await?;
    let mut running = Running::start(&config, service.clone(), doors, true).await?;
    tracing::info!(public = addresses.public, device = addresses.device, admin = addresses.admin, "serving");
    if let Some(value) = service.offer_set_up().await? {
        // On standard output, not in the log: whoever has the link makes the first owner.
        println!("Nobody administers this server yet. Make the first owner here, once, within 24 hours:");
        println!("{}/setup?token={value}", addresses.admin);
    }
    tokio::select! {
        ended = running.ended() => ended?,
        () = told_to_stop => {}
    }
    tracing::info!("stopping");
    running.stop().await;
    service.store.close();
    Ok(())
}

/// Listens for SIGTERM and SIGINT from now on; the future ends when one came. Called before a listener
/// answers, so that whoever saw an answer may stop the server and have it end in order.
pub fn told_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
