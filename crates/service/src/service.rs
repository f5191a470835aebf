//! [`Service`]: what every decision has at hand.

use std::sync::Arc;

use muster_storage::Store;

use crate::{Clock, Mail, Push, Random, Settings, certificates::Certificates, keys::Keys};

/// What a [`Service`] is made of. Later parts of the process (buffers, notifiers) the service makes itself.
pub struct Parts {
    /// The database.
    pub store: Store,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Apple's push service.
    pub push: Arc<dyn Push>,
    /// Mail.
    pub mail: Arc<dyn Mail>,
    /// Process settings.
    pub settings: Settings,
    /// Keys of the key file.
    pub keys: Keys,
}

/// The decisions. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    /// The database.
    pub store: Store,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Apple's push service.
    pub push: Arc<dyn Push>,
    /// Mail.
    pub mail: Arc<dyn Mail>,
    /// Process settings.
    pub settings: Arc<Settings>,
    /// What the Apple channel keeps in memory.
    pub(crate) apple: Arc<crate::apple::Memory>,
    /// Documents read against the catalogue, kept by version.
    pub prepared: Arc<crate::desired::documents::PreparedDocuments>,
    /// Keys that open what the database holds sealed.
    pub keys: Arc<Keys>,
    /// Authorities and revocation lists, once they are made.
    pub certificates: Arc<Certificates>,
}

impl Service {
    /// Puts the parts together; the only way to make a service.
    pub fn new(parts: Parts) -> Self {
        let Parts { store, clock, random, push, mail, settings, keys } = parts;
        Service {
            store,
            clock,
            random,
            push,
            mail,
            settings: Arc::new(settings),
            keys: Arc::new(keys),
            certificates: Arc::default(),
            prepared: Arc::default(),
            apple: Arc::default(),
        }
    }

    /// Asks the database for a trivial answer.
    pub async fn ready(&self) -> crate::Result<()> {
        self.store.read(muster_storage::Scope::Server, |_| Ok(())).await
    }
}
