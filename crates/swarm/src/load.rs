//! Load: requests made and signed beforehand, so that the server is what is measured.

use std::{sync::Arc, time::Duration};

use base64::Engine as _;
use tokio::task::JoinSet;

use crate::{
    model::{Next, session::Kind},
    shell::{Handset, Network, Result, http::Client, url::Url},
};

/// One request, ready to be sent any number of times.
#[derive(Clone, Debug)]
pub struct Prepared {
    url: Url,
    body: Vec<u8>,
    signature: String,
    bearer: Option<String>,
}

/// What a run measured.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Requests answered 200.
    pub answered: u64,
    /// Requests answered otherwise, or not at all.
    pub failed: u64,
    /// Time of the whole run.
    pub elapsed: Duration,
    /// Latency of each answered request, sorted.
    pub latencies: Vec<Duration>,
}

impl Measured {
    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// The latency that this part (0.5, 0.99) of the requests stay under.
    pub fn percentile(&self, part: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get(((last as f64) * part) as usize).copied().unwrap_or_default()
    }
}

/// The idle check-in of an enrolled device, signed once.
pub fn idle(handset: &mut Handset) -> Option<Prepared> {
    let Next::Send(message) = handset.device.connect() else { return None };
    handset.device.disconnected();
    let management = handset.device.management.as_ref()?;
    if message.kind != Kind::Command {
        return None;
    }
    let signature = management.identity.sign_detached(&message.body).ok()?;
    Some(Prepared {
        url: Url::parse(&management.server_url).ok()?,
        signature: base64::engine::general_purpose::STANDARD.encode(signature),
        bearer: management.bearer.as_ref().map(|token| format!("Bearer {token}")),
        body: message.body,
    })
}

/// Sends the prepared requests round and round over so many connections until `total` were sent.
pub async fn run(
    network: Arc<Network>,
    prepared: Arc<Vec<Prepared>>,
    connections: usize,
    total: u64,
) -> Result<Measured> {
    let started = tokio::time::Instant::now();
    let mut tasks = JoinSet::new();
    for worker in 0..connections.max(1) {
        let (network, prepared) = (network.clone(), prepared.clone());
        let share = total / connections.max(1) as u64 + u64::from((worker as u64) < total % connections.max(1) as u64);
        tasks.spawn(async move {
            let mut client = Client::new(network, false);
            let mut measured = Measured::default();
            for turn in 0..share {
                let at = (worker as u64 + turn * connections.max(1) as u64) % prepared.len().max(1) as u64;
                let Some(request) = prepared.get(at as usize) else { break };
                let mut headers = vec![
                    ("user-agent", "MDM/1.0"),
                    ("content-type", "application/x-apple-aspen-mdm"),
                    ("mdm-signature", request.signature.as_str()),
                ];
                headers.extend(request.bearer.as_deref().map(|bearer| ("authorization", bearer)));
                let sent = tokio::time::Instant::now();
                match client.send("PUT", &request.url, &headers, request.body.clone(), None).await {
                    Ok(response) if response.status == 200 => {
                        measured.answered += 1;
                        measured.latencies.push(sent.elapsed());
                    }
                    _ => measured.failed += 1,
                }
            }
            measured
        });
    }
    let mut all = Measured::default();
    while let Some(Ok(part)) = tasks.join_next().await {
        all.answered += part.answered;
        all.failed += part.failed;
        all.latencies.extend(part.latencies);
    }
    all.latencies.sort_unstable();
    all.elapsed = started.elapsed();
    Ok(all)
}
