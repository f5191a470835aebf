//! The outside world as small traits. The real clients live in `clients/`; the stand-ins that
//! speak the real protocols live in the crate `swarm`.

use std::{future::Future, pin::Pin, sync::Arc};

use muster_pki::Secret;

/// A boxed future, so that the traits stay object-safe.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The server's clock; tests hold one that they move by hand.
pub trait Clock: Send + Sync {
    /// Unix milliseconds.
    fn now(&self) -> i64;
}

/// The server's randomness.
pub trait Random: Send + Sync {
    /// Fills with bytes fit for keys.
    fn fill(&self, bytes: &mut [u8]);
    /// A UUIDv7 for the given time, unix ms.
    fn id(&self, now: i64) -> uuid::Uuid {
        let mut bytes = [0u8; 10];
        self.fill(&mut bytes);
        uuid::Builder::from_unix_timestamp_millis(now.max(0) as u64, &bytes).into_uuid()
    }
}

/// What a push is sent with: a tenant's push certificate and its key.
pub struct PushIdentity {
    version: i64,
    certificate: String,
    key: Secret<String>,
}

impl PushIdentity {
    /// A certificate chain and its key, both PEM; `version` names it.
    pub fn new(version: i64, certificate: String, key: Secret<String>) -> Self {
        PushIdentity { version, certificate, key }
    }

    /// Changes with every import.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// Chain and key in one PEM text.
    pub fn pem(&self) -> Secret<String> {
        Secret::new(format!("{}\n{}", self.certificate, self.key.expose()))
    }
}

impl PartialEq for PushIdentity {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version && self.certificate == other.certificate
    }
}

impl Eq for PushIdentity {}

impl std::fmt::Debug for PushIdentity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PushIdentity").field("version", &self.version).finish_non_exhaustive()
    }
}

/// Where a push goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushTarget {
    /// Tenant whose push certificate is used.
    pub tenant: uuid::Uuid,
    /// `apns-topic`.
    pub topic: String,
    /// Device token, raw bytes.
    pub token: Vec<u8>,
    /// PushMagic of the enrollment.
    pub magic: String,
    /// The tenant's push certificate; none where there is none.
    pub identity: Option<Arc<PushIdentity>>,
}

/// What a failed push means.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The token is dead since the given time (unix ms, if the service said when).
    #[error("the device token is no longer registered")]
    Unregistered(Option<i64>),
    /// This token does not belong to this topic or environment.
    #[error("the device token is refused: {0}")]
    BadToken(String),
    /// Our certificate or topic is refused: all pushes of the tenant fail.
    #[error("the push certificate is refused: {0}")]
    Certificate(String),
    /// The service cannot be reached or cannot serve anybody.
    #[error("the push service is not there: {0}")]
    Down(String),
    /// Too many pushes to this device: try again after the given milliseconds, or by own back-off.
    #[error("the push service asks to wait: {reason}")]
    Later {
        /// What it said.
        reason: String,
        /// Its Retry-After, milliseconds.
        after: Option<i64>,
    },
}

/// Apple's push service.
pub trait Push: Send + Sync {
    /// Asks the device to connect.
    fn push<'a>(&'a self, target: &'a PushTarget) -> Boxed<'a, Result<(), PushError>>;
}

/// One mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailMessage {
    /// Recipient address.
    pub to: String,
    /// Subject line.
    pub subject: String,
    /// Plain text body.
    pub text: String,
}

/// Why a mail was not taken. Texts name no password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// No server, no connection, or a refusal for now: worth another try.
    #[error("{0}")]
    Later(String),
    /// This mail is never taken: there is no such mailbox, or the address is none.
    #[error("{0}")]
    Refused(String),
}

/// Outgoing mail.
pub trait Mail: Send + Sync {
    /// Hands the mail to the configured server.
    fn send<'a>(&'a self, message: &'a MailMessage) -> Boxed<'a, Result<(), MailError>>;
}
