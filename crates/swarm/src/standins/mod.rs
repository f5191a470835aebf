//! Stand-ins for outside services that speak the real protocols: Apple's push service, the factory
//! that gives devices their identity, a mail server, the website of an organisation's mail domain.

pub mod authority;
pub mod factory;
pub mod push;
pub mod smtp;
pub mod website;

use std::{net::SocketAddr, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::CertificateDer,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{crypto::Identity, shell::Error};

/// A running stand-in; it ends when this is dropped.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen() -> Result<(TcpListener, SocketAddr), Error> {
    let broken = |error: std::io::Error| Error::Connection("127.0.0.1".into(), error.to_string());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(broken)?;
    let address = listener.local_addr().map_err(broken)?;
    Ok((listener, address))
}

/// TLS of a stand-in, with client certificates of an authority where one is given.
fn tls(identity: &Identity, clients: Option<&[u8]>, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, Error> {
    let failed = |error: String| Error::Device(error);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(root) => {
            let mut store = RootCertStore::empty();
            store.add(CertificateDer::from(root.to_vec())).map_err(|error| failed(error.to_string()))?;
            let verifier: Arc<dyn ClientCertVerifier> =
                WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider)
                    .build()
                    .map_err(|error| failed(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(Serves(identity.certified()?)));
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct Serves(Arc<rustls::sign::CertifiedKey>);

impl rustls::server::ResolvesServerCert for Serves {
    fn resolve(&self, _hello: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }
}
