//! Apple's push certificate of a tenant: the request that Apple's portal takes (after the vendor
//! signed it), the import of what comes back, and what the rest of the channel needs of it.
//!
//! The topic ties every enrolled device to the certificate: one with another topic is refused.

use std::sync::Arc;

use muster_apple::push_certificate::{TOPIC_PREFIX, pem};
use muster_pki::{Certificate, CsrTemplate, KeyKind, KeyPair, Name, Secret, oid, pkcs12};
use muster_storage::push_certificates::{self, PushCertificate};
use uuid::Uuid;

use crate::{Actor, Error, Kind, Result, Service, audit, keys::Place, ports::PushIdentity};

/// What administrators see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushCertificateView {
    /// Topic.
    pub topic: String,
    /// PEM, leaf first.
    pub certificate: String,
    /// Hex.
    pub serial: String,
    /// Unix ms.
    pub not_after: i64,
    /// The Apple Account used at Apple's portal.
    pub apple_identifier: Option<String>,
    /// Unix ms.
    pub uploaded_at: i64,
    /// Unix ms.
    pub modified_at: i64,
}

/// What an administrator brings.
#[derive(Clone, Debug, Default)]
pub struct PushImport {
    /// PEM (chain, leaf first) or DER of the certificate; with the key in the same PEM, if wanted.
    pub certificate: Vec<u8>,
    /// The private key, PEM or DER; without it the key of our own request is taken.
    pub private_key: Option<Vec<u8>>,
    /// The Apple Account used.
    pub apple_identifier: Option<String>,
}

impl PushImport {
    /// From a PKCS #12 file, which brings certificate and key; none where the bytes are a
    /// certificate by themselves.
    pub fn from_pkcs12(bytes: &[u8], password: Secret<String>) -> Option<Result<PushImport>> {
        use muster_pki::Error as Wrong;
        let text = String::from_utf8_lossy(bytes);
        if text.contains("-----BEGIN") || Certificate::decode(bytes).is_ok() {
            return None;
        }
        let found = match pkcs12::decode(bytes, &password) {
            Ok(found) => found,
            Err(Wrong::Decrypt) => return Some(Err(refuse("the password of the PKCS #12 file is missing or wrong"))),
            Err(Wrong::Algorithm(_)) => {
                let old = "the PKCS #12 file is encrypted in a way that is no longer read; export it again with AES, \
                           or bring certificate and key as PEM";
                return Some(Err(refuse(old)));
            }
            Err(_) => {
                let what =
                    "this is neither a certificate in PEM or DER nor a PKCS #12 file with one key and its certificate";
                return Some(Err(refuse(what)));
            }
        };
        let chain: String = found.chain.iter().map(Certificate::to_pem).collect();
        let private_key = Some(found.key.to_pem().expose().clone().into_bytes());
        Some(Ok(PushImport { certificate: chain.into_bytes(), private_key, apple_identifier: None }))
    }
}

const CSR: audit::Act = audit::Act {
    operation: "Get",
    activity: "download push certificate request",
    category: "Enrollment",
    component: "ApplePushNotificationCertificate",
};
const IMPORT: audit::Act = audit::Act {
    operation: "Patch",
    activity: "import push certificate",
    category: "Enrollment",
    component: "ApplePushNotificationCertificate",
};

fn place(column: &'static str, tenant: Uuid) -> Place {
    Place { table: "push_certificate", column, row: tenant }
}

impl Service {
    /// The tenant's push certificate.
    pub async fn push_certificate(&self, tenant: Uuid) -> Result<Option<PushCertificateView>> {
        let found = self.store.read(tenant, move |tx| push_certificates::by_tenant(tx, tenant)).await?;
        Ok(found.and_then(|push| {
            Some(PushCertificateView {
                topic: push.topic?,
                certificate: push.certificate?,
                serial: push.serial.unwrap_or_default(),
                not_after: push.not_after?,
                apple_identifier: push.apple_identifier,
                uploaded_at: push.uploaded_at.unwrap_or(push.modified_at),
                modified_at: push.modified_at,
            })
        }))
    }

    /// A certificate request (PEM) for Apple's portal, unsigned by any vendor; its key stays here. The
    /// same request comes again until its certificate is imported.
    pub async fn push_certificate_request(&self, actor: &Actor) -> Result<String> {
        let (tenant, now) = (actor.tenant, self.clock.now());
        let found = self.store.read(tenant, move |tx| push_certificates::by_tenant(tx, tenant)).await?;
        if let Some(csr) = found.as_ref().and_then(|push| push.pending_csr.as_ref()) {
            return Ok(pem("CERTIFICATE REQUEST", csr));
        }
        let (key, csr) = blocking(|| {
            let key = KeyPair::generate(KeyKind::Rsa2048)?;
            let csr = CsrTemplate::new(Name::common("Muster push certificate")).sign(&key)?;
            Ok((key, csr))
        })
        .await?;
        let sealed = self.seal(tenant, place("pending_key", tenant), key.to_pkcs8().expose()).await?;
        let entry = self.audit_entry(actor, CSR, now);
        let der = csr.der().to_vec();
        let stored = self
            .store
            .write(tenant, move |tx| {
                let current = push_certificates::by_tenant(tx, tenant)?.unwrap_or_default();
                // Two administrators at once get the same request.
                if let Some(csr) = current.pending_csr {
                    return Ok(csr);
                }
                let push = PushCertificate {
                    pending_csr: Some(der.clone()),
                    pending_key: Some(sealed.clone()),
                    modified_at: current.modified_at.max(now),
                    ..current
                };
                push_certificates::put(tx, tenant, &push)?;
                muster_storage::audit::record(tx, tenant, &entry)?;
                Ok::<_, Error>(der.clone())
            })
            .await?;
        Ok(pem("CERTIFICATE REQUEST", &stored))
    }

    /// Takes a push certificate into use.
    pub async fn import_push_certificate(&self, actor: &Actor, import: PushImport) -> Result<PushCertificateView> {
        let (tenant, now) = (actor.tenant, self.clock.now());
        let found = self.store.read(tenant, move |tx| push_certificates::by_tenant(tx, tenant)).await?;
        let found = found.unwrap_or_default();
        let chain = read_chain(&import.certificate)?;
        let leaf = chain.first().ok_or_else(|| refuse("the certificate is missing"))?;
        let key = self.import_key(tenant, &import, &found).await?;
        if key.public() != leaf.public_key() {
            return Err(refuse(
                "the private key does not belong to this certificate; import the certificate that answers the request \
                 downloaded here, or bring its key along",
            ));
        }
        let topic = leaf.subject().get(oid::USER_ID).unwrap_or_default();
        if !topic.starts_with(TOPIC_PREFIX) {
            return Err(refuse(
                "this is not an MDM push certificate: its subject has no topic that begins com.apple.mgmt",
            ));
        }
        if leaf.not_after() <= now {
            return Err(refuse("this push certificate has expired; renew it at Apple's portal first"));
        }
        if found.topic.as_ref().is_some_and(|known| *known != topic) {
            return Err(Error::conflict(
                "this push certificate has another topic, and with it every enrolled device would be lost; at Apple's \
                 portal choose Renew on the present certificate, with the same Apple Account",
            ));
        }
        let text: String = chain.iter().map(Certificate::to_pem).collect();
        let push = PushCertificate {
            topic: Some(topic),
            certificate: Some(text),
            private_key: Some(self.seal(tenant, place("private_key", tenant), key.to_pkcs8().expose()).await?),
            serial: Some(hex::encode(leaf.serial())),
            not_after: Some(leaf.not_after()),
            apple_identifier: import.apple_identifier.clone().or(found.apple_identifier),
            uploaded_at: Some(now),
            pending_csr: None,
            pending_key: None,
            // Names the version: clients that hold the former certificate open a new connection.
            modified_at: now.max(found.modified_at + 1),
        };
        let (entry, read, ends) = (self.audit_entry(actor, IMPORT, now), found.modified_at, leaf.not_after());
        self.store
            .write(tenant, move |tx| {
                let current = push_certificates::by_tenant(tx, tenant)?.unwrap_or_default();
                if current.modified_at != read {
                    return Err(Error::conflict("somebody else changed the push certificate meanwhile; look again"));
                }
                push_certificates::put(tx, tenant, &push)?;
                super::push_certificate_ends::remind(tx, tenant, ends, now)?;
                // Pushes that the former certificate held up go now.
                muster_storage::jobs::hasten(tx, tenant, super::PUSH_JOB, now)?;
                Ok(muster_storage::audit::record(tx, tenant, &entry)?)
            })
            .await?;
        self.push_certificate(tenant).await?.ok_or_else(|| Error::internal("the push certificate was not stored"))
    }

    async fn import_key(&self, tenant: Uuid, import: &PushImport, found: &PushCertificate) -> Result<KeyPair> {
        let unreadable = |_| refuse("the private key does not read: bring it unencrypted, as PKCS#8 or PKCS#1 in PEM");
        if let Some(key) = &import.private_key {
            return KeyPair::from_der_or_pem(key).map_err(unreadable);
        }
        if String::from_utf8_lossy(&import.certificate).contains("PRIVATE KEY-----") {
            return KeyPair::from_der_or_pem(&import.certificate).map_err(unreadable);
        }
        let sealed = found.pending_key.as_ref().or(found.private_key.as_ref());
        let column = if found.pending_key.is_some() { "pending_key" } else { "private_key" };
        let sealed = sealed.ok_or_else(|| refuse("the private key is missing, and no request was made here"))?;
        let key = self.unseal(tenant, place(column, tenant), sealed).await?;
        Ok(KeyPair::from_pkcs8(key.expose())?)
    }

    /// What the push client signs in with; none where the tenant has no certificate.
    pub(super) async fn push_identity(
        &self,
        tenant: Uuid,
        push: &PushCertificate,
    ) -> Result<Option<Arc<PushIdentity>>> {
        let (Some(certificate), Some(sealed)) = (&push.certificate, &push.private_key) else { return Ok(None) };
        if let Some(known) = self.apple.push_identity(tenant, push.modified_at) {
            return Ok(Some(known));
        }
        let key = self.unseal(tenant, place("private_key", tenant), sealed).await?;
        let key = Secret::new(pem("PRIVATE KEY", key.expose()));
        let identity = Arc::new(PushIdentity::new(push.modified_at, certificate.clone(), key));
        self.apple.keep_push_identity(tenant, identity.clone());
        Ok(Some(identity))
    }
}

fn read_chain(bytes: &[u8]) -> Result<Vec<Certificate>> {
    let unreadable = |_| refuse("the certificate does not read: bring it as PEM or DER");
    match std::str::from_utf8(bytes) {
        Ok(text) if text.contains("-----BEGIN CERTIFICATE") => Certificate::all_from_pem(text).map_err(unreadable),
        _ => Ok(vec![Certificate::from_der_or_pem(bytes).map_err(unreadable)?]),
    }
}

fn refuse(message: &str) -> Error {
    Error::refused(Kind::BadRequest, "BadRequest", message)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::result::Result<T, muster_pki::Error> + Send + 'static,
) -> Result<T> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(Error::internal)??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_is_no_certificate_is_taken_for_a_pkcs12_file() {
        let service = crate::testing::service();
        let root = &service.authorities().await.unwrap().root.certificate;
        let open = |bytes: &[u8]| PushImport::from_pkcs12(bytes, Secret::new(String::new()));
        assert!(open(root.der()).is_none() && open(root.to_pem().as_bytes()).is_none());
        let refused = open(b"neither").unwrap().unwrap_err().to_string();
        assert!(refused.contains("PKCS #12"), "{refused}");
    }
}
