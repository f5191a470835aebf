//! What all simulated devices of a process share: trusted roots, the clock, names, keys.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustls::{
    ClientConfig, RootCertStore,
    client::{ResolvesClientCert, Resumption, WebPkiServerVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, UnixTime},
    sign::CertifiedKey,
    time_provider::TimeProvider,
};
use tokio::sync::Semaphore;

use super::{Error, Result};
use crate::crypto::{self, Identity};

/// Unix milliseconds.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Shared surroundings of simulated devices.
pub struct Network {
    provider: Arc<CryptoProvider>,
    verifier: Arc<WebPkiServerVerifier>,
    now: Now,
    names: Mutex<HashMap<String, SocketAddr>>,
    keys: Semaphore,
    stock: Mutex<Vec<Arc<crypto::Key>>>,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Network")
    }
}

impl Network {
    /// Devices that trust these roots (DER) and live by this clock.
    pub fn new(roots: &[Vec<u8>], now: Now) -> Result<Arc<Self>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut store = RootCertStore::empty();
        for root in roots {
            store
                .add(CertificateDer::from(root.clone()))
                .map_err(|error| Error::Unexpected(format!("a trusted root cannot be used: {error}")))?;
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone())
            .build()
            .map_err(|error| Error::Unexpected(format!("no trusted root: {error}")))?;
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Ok(Arc::new(Network {
            provider,
            verifier,
            now,
            names: Mutex::default(),
            keys: Semaphore::new(cores),
            stock: Mutex::default(),
        }))
    }

    /// Unix milliseconds.
    pub fn now(&self) -> i64 {
        (self.now)()
    }

    /// Makes a name resolve to an address, whatever the port, as a zone of one's own would; or a
    /// `host:port` alone, as a balancer before several servers would.
    pub fn name(&self, place: &str, address: SocketAddr) {
        self.names.lock().expect("no panic holds this lock").insert(place.to_lowercase(), address);
    }

    pub(crate) fn address(&self, host: &str, port: u16) -> Option<SocketAddr> {
        let (names, host) = (self.names.lock().expect("no panic holds this lock"), host.to_lowercase());
        names.get(&format!("{host}:{port}")).or_else(|| names.get(&host)).copied()
    }

    /// Lets identities share a few keys: for load, where key generation would be what is measured.
    pub fn share_keys(&self, keys: Vec<Arc<crypto::Key>>) {
        *self.stock.lock().expect("no panic holds this lock") = keys;
    }

    /// A key for an identity, made apart from the network threads.
    pub async fn key(&self) -> Result<Arc<crypto::Key>> {
        {
            let mut stock = self.stock.lock().expect("no panic holds this lock");
            if let Some(key) = stock.pop() {
                stock.insert(0, key.clone());
                return Ok(key);
            }
        }
        let _place = self.keys.acquire().await.expect("the semaphore is never closed");
        let made = tokio::task::spawn_blocking(crypto::generate).await;
        made.map_err(|error| Error::Device(error.to_string()))?.map(Arc::new).map_err(Error::Device)
    }

    /// TLS as the device (or a browser on it) speaks it.
    pub(crate) fn tls(&self, identity: Option<Arc<Identity>>, http2: bool) -> Result<Arc<ClientConfig>> {
        let builder = ClientConfig::builder_with_details(self.provider.clone(), Arc::new(Time(self.now.clone())))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Unexpected(error.to_string()))?
            .with_webpki_verifier(self.verifier.clone());
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder.with_client_cert_resolver(Arc::new(Presents(identity.certified()?))),
        };
        config.resumption = Resumption::disabled();
        config.alpn_protocols =
            if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
        Ok(Arc::new(config))
    }
}

struct Time(Now);

impl std::fmt::Debug for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Time")
    }
}

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis((self.0)().max(0) as u64)))
    }
}

#[derive(Debug)]
struct Presents(Arc<CertifiedKey>);

impl ResolvesClientCert for Presents {
    fn resolve(&self, _roots: &[&[u8]], _schemes: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
    fn has_certs(&self) -> bool {
        true
    }
}
