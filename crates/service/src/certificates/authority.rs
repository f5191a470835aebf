//! The authorities: made at the first need, then loaded.

use std::sync::Arc;

use muster_pki::{
    Certificate, CertificateTemplate, KeyKind, KeyPair, Name, Usage,
    certificate::{Issuer, random_serial},
    oid,
};
use muster_storage::{Scope, authorities, authorities::purpose};
use uuid::Uuid;

use super::blocking;
use crate::{Error, Result, Service, keys::private_key_aad, settings::DAY};

/// Validity of root and issuing authorities.
const AUTHORITY_DAYS: i64 = 20 * 365;
/// Validity of the certificate that signs profiles.
const SIGNER_DAYS: i64 = 10 * 365;

/// One authority with its key.
#[derive(Debug)]
pub struct Authority {
    /// Id of its row.
    pub id: Uuid,
    /// `root`, `device`, `access`, `signer`, `listener`.
    pub purpose: String,
    /// Certificate.
    pub certificate: Certificate,
    /// Key.
    pub key: KeyPair,
}

impl Authority {
    /// For signing.
    pub fn issuer(&self) -> Issuer<'_> {
        Issuer::new(&self.certificate, &self.key)
    }
}

/// Our authorities.
#[derive(Debug)]
pub struct Authorities {
    /// What clients trust.
    pub root: Authority,
    /// Issues device identities and answers SCEP for them.
    pub device: Authority,
    /// Issues access identities (Wi-Fi and VPN too) and answers SCEP for them.
    pub access: Authority,
    /// Signs configuration profiles.
    pub signer: Authority,
}

impl Authorities {
    /// The authority that issues certificates of a purpose.
    pub fn for_purpose(&self, purpose: &str) -> &Authority {
        if purpose == muster_storage::certificates::purpose::IDENTITY { &self.device } else { &self.access }
    }

    /// The issuing authority of a name in URLs: `device` or `access`.
    pub fn named(&self, name: &str) -> Option<&Authority> {
        [&self.device, &self.access].into_iter().find(|authority| authority.purpose == name)
    }
}

impl Service {
    /// The authorities; made at the first run.
    pub async fn authorities(&self) -> Result<Arc<Authorities>> {
        self.certificates.authorities.get_or_try_init(|| self.load_or_make_authorities()).await.cloned()
    }

    async fn load_or_make_authorities(&self) -> Result<Arc<Authorities>> {
        if let Some(found) = self.load_authorities().await? {
            return Ok(found);
        }
        let made = self.make_authorities().await?;
        let written: Result<()> = self
            .store
            .write(Scope::Server, move |tx| {
                for row in &made {
                    authorities::insert(tx, row)?;
                }
                Ok(())
            })
            .await;
        match written {
            Ok(()) => tracing::info!("a certificate authority was made for this installation"),
            // Another process was faster; its rows are the ones.
            Err(Error::Storage(muster_storage::Error::Constraint(_))) => {}
            Err(error) => return Err(error),
        }
        self.load_authorities().await?.ok_or_else(|| Error::internal("the certificate authorities are incomplete"))
    }

    async fn load_authorities(&self) -> Result<Option<Arc<Authorities>>> {
        let rows: Vec<_> = self.store.read(Scope::Server, authorities::current).await?;
        let find = |wanted: &str| -> Result<Option<Authority>> {
            rows.iter().find(|row| row.purpose == wanted).map(|row| self.open_authority(row)).transpose()
        };
        let Some(root) = find(purpose::ROOT)? else { return Ok(None) };
        let need = |wanted: &str| {
            find(wanted)?.ok_or_else(|| Error::internal(format!("the {wanted} authority is missing from the database")))
        };
        let (device, access, signer) = (need(purpose::DEVICE)?, need(purpose::ACCESS)?, need(purpose::SIGNER)?);
        Ok(Some(Arc::new(Authorities { root, device, access, signer })))
    }

    /// Certificate and key of a row.
    pub(super) fn open_authority(&self, row: &authorities::Authority) -> Result<Authority> {
        let key = self.keys.unwrap(&private_key_aad(row.id), &row.private_key)?;
        Ok(Authority {
            id: row.id,
            purpose: row.purpose.clone(),
            certificate: Certificate::decode(&row.certificate)?,
            key: KeyPair::from_pkcs8(key.expose())?,
        })
    }

    /// A row to store.
    pub(super) fn seal_authority(
        &self,
        purpose: &str,
        certificate: &Certificate,
        key: &KeyPair,
        now: i64,
    ) -> authorities::Authority {
        let id = self.random.id(now);
        let sealed = self.keys.wrap(&private_key_aad(id), key.to_pkcs8().expose(), &*self.random);
        authorities::Authority {
            id,
            purpose: purpose.to_owned(),
            certificate: certificate.der().to_vec(),
            private_key: sealed,
            created_at: now,
        }
    }

    async fn make_authorities(&self) -> Result<Vec<authorities::Authority>> {
        #[cfg(feature = "testing")]
        if let Some(rows) = crate::testing::remembered_authorities(&self.keys) {
            return Ok(rows);
        }
        let service = self.clone();
        blocking(move || {
            let now = service.clock.now();
            let fill = |bytes: &mut [u8]| service.random.fill(bytes);
            let mut mark = [0; 3];
            service.random.fill(&mut mark);
            // Installations are told apart by name, so that two of them never look like one authority.
            let name = |what: &str| {
                let common = format!("{what} {}", hex::encode(mark));
                Name::new(&[(oid::ORGANIZATION, "Muster"), (oid::COMMON_NAME, common.as_str())])
            };
            let template = |what: &str, key: &KeyPair, usage: Usage, days: i64| CertificateTemplate {
                serial: random_serial(&fill),
                subject: name(what),
                not_before: now - DAY,
                not_after: now + days * DAY,
                public_key: key.public().clone(),
                usage,
                alternative_names: Vec::new(),
                crl_url: None,
            };
            let root_key = KeyPair::generate(KeyKind::P256)?;
            let root = template("Muster Root CA", &root_key, Usage::root(), AUTHORITY_DAYS).self_sign(&root_key)?;
            let issuer = Issuer::new(&root, &root_key);
            let mut rows = vec![service.seal_authority(purpose::ROOT, &root, &root_key, now)];
            // SCEP encrypts for the authority itself, which only RSA keys can do.
            for (word, what, usage, days) in [
                (purpose::DEVICE, "Muster Device CA", Usage::issuing(), AUTHORITY_DAYS),
                (purpose::ACCESS, "Muster Access CA", Usage::issuing(), AUTHORITY_DAYS),
                (purpose::SIGNER, "Muster Profile Signer", Usage::signer(), SIGNER_DAYS),
            ] {
                let key = KeyPair::generate(KeyKind::Rsa3072)?;
                let certificate = template(what, &key, usage, days).sign(issuer)?;
                rows.push(service.seal_authority(word, &certificate, &key, now));
            }
            #[cfg(feature = "testing")]
            crate::testing::remember_authorities(&service.keys, &rows);
            Ok(rows)
        })
        .await
    }
}
