//! Clients that send a byte a second: half of them a header that never ends, half of them a body.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use muster_swarm::shell::{Network, url::Url};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinSet,
    time::Instant,
};

/// What slow clients lived through.
#[derive(Default)]
pub struct Fates {
    /// Connections that were opened.
    pub opened: AtomicU64,
    /// Connections that the server ended.
    pub cut: AtomicU64,
    /// Longest life of a connection, ms.
    pub longest: AtomicU64,
}

/// Keeps `count` slow connections open until the set is dropped; a connection that is cut comes again.
pub fn start(network: &Arc<Network>, target: &Url, count: usize) -> (JoinSet<()>, Arc<Fates>) {
    let fates = Arc::new(Fates::default());
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let (network, target, fates) = (network.clone(), target.clone(), fates.clone());
        tasks.spawn(async move {
            // Not all in the same moment.
            tokio::time::sleep(Duration::from_millis(number as u64 * 5)).await;
            loop {
                let began = Instant::now();
                let ended = one(&network, &target, number % 2 == 0, &fates).await;
                if ended.is_ok() {
                    fates.cut.fetch_add(1, Ordering::Relaxed);
                    fates.longest.fetch_max(began.elapsed().as_millis() as u64, Ordering::Relaxed);
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
    }
    (tasks, fates)
}

/// One connection; an error where it could not be opened.
async fn one(network: &Arc<Network>, target: &Url, header: bool, fates: &Fates) -> anyhow::Result<()> {
    let mut stream = network.dial(target).await?;
    fates.opened.fetch_add(1, Ordering::Relaxed);
    let start = match header {
        true => format!("PUT {} HTTP/1.1\r\nhost: {}\r\nx-slow: ", target.target, target.authority()),
        false => format!(
            "PUT {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-apple-aspen-mdm\r\ncontent-length: 1000\r\n\r\n",
            target.target,
            target.authority()
        ),
    };
    if stream.write_all(start.as_bytes()).await.is_err() || stream.flush().await.is_err() {
        return Ok(());
    }
    let mut answer = [0; 512];
    loop {
        if stream.write_all(b"x").await.is_err() || stream.flush().await.is_err() {
            return Ok(());
        }
        // An answer, or the end, is the server's word that it has waited long enough.
        if tokio::time::timeout(Duration::from_secs(1), stream.read(&mut answer)).await.is_ok() {
            return Ok(());
        }
    }
}
