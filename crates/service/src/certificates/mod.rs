//! Our certificate authorities: a root, and under it one authority for device identities and one
//! for access identities; the listeners' certificate, the signer of profiles, revocation lists.
//!
//! What does not live here: bytes and cryptography (crate `pki`), who may ask (module `scep`).

mod authority;
mod decided;
mod listener;
mod revocation;

use std::sync::Arc;

pub use authority::{Authorities, Authority};
pub use decided::{Alternative, Decided};
pub use listener::ListenerCertificate;
use muster_pki::cms::SignRequest;
pub use revocation::{Reason, revoke};

use crate::{Error, Result, Service};

/// What this module keeps in memory.
#[derive(Default)]
pub struct Certificates {
    authorities: tokio::sync::OnceCell<Arc<Authorities>>,
    /// A configured signer of profiles, in place of our own.
    signer: std::sync::OnceLock<Signer>,
    lists: revocation::Lists,
}

struct Signer {
    key: muster_pki::KeyPair,
    chain: Vec<muster_pki::Certificate>,
}

/// Runs work that takes a core for milliseconds away from the threads that serve.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::internal("a cryptographic task was lost"))?
}

impl Service {
    /// PEM of the roots that a client must trust.
    pub async fn ca_export(&self) -> Result<String> {
        Ok(self.authorities().await?.root.certificate.to_pem())
    }

    /// Signs profiles with a configured certificate (PEM chain, leaf first, and its key) that
    /// devices trust already, in place of our own.
    pub fn use_profile_signer(&self, chain: &str, key: &[u8]) -> Result<()> {
        let chain = muster_pki::Certificate::all_from_pem(chain)?;
        let key = muster_pki::KeyPair::from_der_or_pem(key)?;
        if chain.first().is_none_or(|leaf| leaf.public_key() != key.public()) {
            return Err(Error::internal("the certificate for signing profiles does not belong to its key"));
        }
        // Set once at start; a second call changes nothing.
        let _ = self.certificates.signer.set(Signer { key, chain });
        Ok(())
    }

    /// Signs a configuration profile: CMS with the profile inside, DER.
    pub async fn sign_profile(&self, profile: Vec<u8>) -> Result<Vec<u8>> {
        let authorities = self.authorities().await?;
        let certificates = self.certificates.clone();
        let now = self.clock.now();
        blocking(move || {
            let signed = match certificates.signer.get() {
                Some(Signer { key, chain }) => {
                    let (leaf, above) = chain.split_first().expect("use_profile_signer refuses an empty chain");
                    SignRequest { chain: above, signing_time: Some(now), ..SignRequest::new(key, leaf) }
                        .attached(&profile)
                }
                None => {
                    let Authority { certificate, key, .. } = &authorities.signer;
                    let chain = std::slice::from_ref(&authorities.root.certificate);
                    SignRequest { chain, signing_time: Some(now), ..SignRequest::new(key, certificate) }
                        .attached(&profile)
                }
            };
            Ok(signed?)
        })
        .await
    }
}

#[cfg(test)]
mod tests;
