//! Recovery keys of Macs: they arrive encrypted to the tenant's escrow certificate, and are sealed
//! again as a secret of the device. Every former key is kept: a disk may still have it.
//!
//! Apple: `com.apple.security.FDERecoveryKeyEscrow`, `SecurityInfo`, `RotateFileVaultKey`.

use muster_apple::{CommandResult, Status, Value};
use muster_pki::{
    Certificate, CertificateTemplate, KeyKind, KeyPair, Name, Usage, asn1,
    certificate::random_serial,
    cms::{Ciphers, EnvelopedData},
};
use muster_storage::secrets;
use uuid::Uuid;

use super::escrow::{FILE_VAULT_KEY, Sealed};
use crate::{Error, Result, Service, keys::Place, settings::DAY};

const KEY: &str = "fileVaultEscrowKey";
const CERTIFICATE: &str = "fileVaultEscrowCertificate";
const ORGANIZATION: &str = "organization";
/// Longer than a disk lives.
const VALIDITY: i64 = 20 * 365 * DAY;

/// A tenant's escrow key and its certificate.
struct EscrowKey {
    certificate: Certificate,
    key: KeyPair,
}

fn place(row: Uuid) -> Place {
    Place::new("secret", "sealed", row)
}

impl Service {
    /// The certificate (DER) to which Macs of this tenant encrypt their recovery keys.
    pub async fn file_vault_escrow_certificate(&self, tenant: Uuid) -> Result<Vec<u8>> {
        Ok(self.escrow_key(tenant).await?.certificate.der().to_vec())
    }

    /// Recovery keys inside a result, opened and sealed anew; nothing where there is none.
    pub(super) async fn recovery_keys(
        &self,
        tenant: Uuid,
        device: Uuid,
        result: &CommandResult,
        now: i64,
    ) -> Result<Vec<Sealed>> {
        if result.status != Status::Acknowledged {
            return Ok(Vec::new());
        }
        let inside = |dictionary: &str, key: &str| {
            result.body.get(dictionary).and_then(Value::as_dictionary).and_then(|d| d.get(key)).and_then(Value::as_data)
        };
        let found = inside("SecurityInfo", "FDE_PersonalRecoveryKeyCMS")
            .or_else(|| inside("RotateResult", "EncryptedNewRecoveryKey"));
        let Some(cms) = found else { return Ok(Vec::new()) };
        let escrow = self.escrow_key(tenant).await?;
        let cms = cms.to_vec();
        let random = self.random.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let enveloped = EnvelopedData::decode(&cms, asn1::Limits::default())?;
            enveloped.decrypt(&escrow.certificate, &escrow.key, Ciphers::default(), &|bytes| random.fill(bytes))
        })
        .await
        .map_err(Error::internal)?;
        let Ok(key) = opened else {
            tracing::warn!(%device, "a recovery key does not open with this organisation's escrow key");
            return Ok(Vec::new());
        };
        let readable = key.expose().len() <= 128 && key.expose().iter().all(u8::is_ascii_graphic);
        let known = self.escrowed(tenant, device, FILE_VAULT_KEY).await?;
        if !readable || known.as_deref() == Some(key.expose().as_slice()) {
            return Ok(Vec::new());
        }
        Ok(vec![self.seal_escrow(tenant, key.expose(), now).await?])
    }

    async fn escrow_key(&self, tenant: Uuid) -> Result<EscrowKey> {
        let read = move |tx: &mut dyn muster_storage::Tx| {
            let key = secrets::newest(tx, tenant, ORGANIZATION, tenant, KEY)?;
            let certificate = secrets::newest(tx, tenant, ORGANIZATION, tenant, CERTIFICATE)?;
            Ok::<_, muster_storage::Error>(key.zip(certificate))
        };
        let found = match self.store.read(tenant, read).await? {
            Some(found) => found,
            None => {
                self.make_escrow_key(tenant).await?;
                let again = self.store.read(tenant, read).await?;
                again.ok_or_else(|| Error::internal("the escrow key was not stored"))?
            }
        };
        let key = self.unseal(tenant, place(found.0.id), &found.0.sealed).await?;
        let certificate = self.unseal(tenant, place(found.1.id), &found.1.sealed).await?;
        Ok(EscrowKey {
            key: KeyPair::from_pkcs8(key.expose())?,
            certificate: Certificate::decode(certificate.expose())?,
        })
    }

    async fn make_escrow_key(&self, tenant: Uuid) -> Result<()> {
        let now = self.clock.now();
        let serial = random_serial(&|bytes| self.random.fill(bytes));
        let (key, certificate) = tokio::task::spawn_blocking(move || {
            let key = KeyPair::generate(KeyKind::Rsa2048)?;
            let template = CertificateTemplate {
                serial,
                subject: Name::common("FileVault escrow"),
                not_before: now - DAY,
                not_after: now + VALIDITY,
                public_key: key.public().clone(),
                usage: Usage::client(),
                alternative_names: Vec::new(),
                crl_url: None,
            };
            let certificate = template.self_sign(&key)?;
            Ok::<_, muster_pki::Error>((key, certificate))
        })
        .await
        .map_err(Error::internal)??;
        let mut rows = Vec::new();
        for (name, value) in [(KEY, key.to_pkcs8().expose().as_slice()), (CERTIFICATE, certificate.der())] {
            let id = self.random.id(now);
            let sealed = self.seal(tenant, place(id), value).await?;
            rows.push(secrets::StoredSecret {
                id,
                owner_kind: ORGANIZATION.into(),
                owner_id: tenant,
                name: name.into(),
                sealed,
                created_at: now,
            });
        }
        self.store
            .write(tenant, move |tx| {
                // Two servers may come here at once: the first pair stays.
                if secrets::newest(tx, tenant, ORGANIZATION, tenant, KEY)?.is_none() {
                    rows.iter().try_for_each(|row| secrets::insert(tx, tenant, row))?;
                }
                Ok::<_, Error>(())
            })
            .await
    }
}
