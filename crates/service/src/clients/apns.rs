//! Apple's push service over HTTP/2 with the tenant's push certificate: one client a certificate,
//! its connection kept. Base URL and roots are configured, so that a stand-in speaks the same protocol.
//!
//! Apple: "Sending notification requests to APNs", "Handling notification responses from APNs".

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use muster_apple::push as wire;
use uuid::Uuid;

use crate::{
    Clock, Error, Push, PushError, PushTarget, Result,
    ports::{Boxed, PushIdentity},
};

/// A push is worth delivering this long: the device polls by itself once it is back.
const WORTH: i64 = 7 * 24 * 3_600;
/// No answer takes longer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Longest answer that is read.
const ANSWER: usize = 4096;

/// The real client.
pub struct Apns {
    base_url: String,
    roots: Vec<Vec<u8>>,
    clock: Arc<dyn Clock>,
    clients: Mutex<HashMap<Uuid, (Arc<PushIdentity>, reqwest::Client)>>,
}

impl Apns {
    /// A client for `base_url`; `roots` (DER) are trusted beside the system's.
    pub fn new(base_url: &str, roots: &[Vec<u8>], clock: Arc<dyn Clock>) -> Result<Self> {
        for root in roots {
            reqwest::Certificate::from_der(root)
                .map_err(|error| Error::internal(format!("a root for the push service does not read: {error}")))?;
        }
        Ok(Apns {
            base_url: base_url.trim_end_matches('/').into(),
            roots: roots.to_vec(),
            clock,
            clients: Mutex::default(),
        })
    }

    fn client(&self, tenant: Uuid, identity: &Arc<PushIdentity>) -> std::result::Result<reqwest::Client, PushError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, client)) = clients.get(&tenant)
            && of == identity
        {
            return Ok(client.clone());
        }
        let client = self.build(identity).map_err(|error| PushError::Certificate(error.to_string()))?;
        clients.insert(tenant, (identity.clone(), client.clone()));
        Ok(client)
    }

    fn build(&self, identity: &PushIdentity) -> std::result::Result<reqwest::Client, reqwest::Error> {
        let pem = identity.pem();
        let roots = self.roots.iter().filter_map(|der| reqwest::Certificate::from_der(der).ok());
        let mut builder = reqwest::Client::builder()
            .identity(reqwest::Identity::from_pem(pem.expose().as_bytes())?)
            .http2_prior_knowledge()
            .http2_keep_alive_interval(Duration::from_secs(60))
            .http2_keep_alive_timeout(TIMEOUT)
            .http2_keep_alive_while_idle(true)
            .pool_idle_timeout(Duration::from_secs(3600))
            .connect_timeout(Duration::from_secs(10))
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .https_only(true);
        for root in roots {
            builder = builder.add_root_certificate(root);
        }
        builder.build()
    }

    async fn send(&self, target: &PushTarget) -> std::result::Result<(), PushError> {
        let Some(identity) = &target.identity else {
            return Err(PushError::Certificate("there is no push certificate".into()));
        };
        let client = self.client(target.tenant, identity)?;
        let expires = self.clock.now().div_euclid(1000) + WORTH;
        let url = format!("{}/3/device/{}", self.base_url, hex::encode(&target.token));
        let request = client
            .post(url)
            .header("apns-topic", &target.topic)
            .header("apns-push-type", "mdm")
            .header("apns-priority", "10")
            .header("apns-expiration", expires.to_string())
            .header("content-type", "application/json")
            .body(wire::encode(&target.magic));
        let answer = request.send().await.map_err(|error| PushError::Down(chain(&error.without_url())))?;
        let status = answer.status().as_u16();
        if status == 200 {
            return Ok(());
        }
        let after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse::<i64>().ok());
        let short = answer.content_length().is_none_or(|length| length <= ANSWER as u64);
        let body = if short { answer.bytes().await.unwrap_or_default() } else { Default::default() };
        Err(meaning(status, &wire::Failure::decode(&body), after.map(|seconds| seconds.clamp(1, 3600) * 1000)))
    }
}

/// What a transport error says, down to its cause.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What an error answer means for us.
fn meaning(status: u16, failure: &wire::Failure, after: Option<i64>) -> PushError {
    match (status, failure.reason.as_str()) {
        (410, _) => PushError::Unregistered(failure.timestamp),
        (400, "BadDeviceToken" | "DeviceTokenNotForTopic" | "MissingDeviceToken") => {
            PushError::BadToken(failure.reason.clone())
        }
        (
            400 | 403,
            "BadCertificate"
            | "BadCertificateEnvironment"
            | "Forbidden"
            | "TopicDisallowed"
            | "BadTopic"
            | "MissingTopic"
            | "InvalidProviderToken"
            | "MissingProviderToken"
            | "ExpiredProviderToken",
        )
        | (403, _) => PushError::Certificate(failure.reason.clone()),
        (500.., reason) => PushError::Down(format!("{status} {reason}")),
        (_, reason) => PushError::Later { reason: format!("{status} {reason}"), after },
    }
}

impl Push for Apns {
    fn push<'a>(&'a self, target: &'a PushTarget) -> Boxed<'a, std::result::Result<(), PushError>> {
        Box::pin(self.send(target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(reason: &str, timestamp: Option<i64>) -> wire::Failure {
        wire::Failure { reason: reason.into(), timestamp }
    }

    #[test]
    fn answers_mean_what_apple_says() {
        assert_eq!(meaning(410, &failure("Unregistered", Some(7)), None), PushError::Unregistered(Some(7)));
        assert_eq!(meaning(400, &failure("BadDeviceToken", None), None), PushError::BadToken("BadDeviceToken".into()));
        assert!(matches!(meaning(403, &failure("BadCertificate", None), None), PushError::Certificate(_)));
        assert!(matches!(meaning(400, &failure("TopicDisallowed", None), None), PushError::Certificate(_)));
        assert!(matches!(
            meaning(429, &failure("TooManyRequests", None), Some(5)),
            PushError::Later { after: Some(5), .. }
        ));
        assert!(matches!(meaning(400, &failure("", None), None), PushError::Later { .. }));
        for status in [500, 503] {
            assert!(matches!(meaning(status, &failure("", None), None), PushError::Down(_)));
        }
    }
}
