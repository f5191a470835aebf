//! Challenges: minted when a profile is handed out, good for one certificate (threats C1).

use muster_pki::{Secret, sha256};
use muster_storage::{Result as StorageResult, Tx, scep_challenges, scep_challenges::ScepChallenge};
use uuid::Uuid;

use super::AGAIN;
use crate::{Result, Service, certificates::Decided, settings::MINUTE};

/// A challenge lives this long.
const LIFE: i64 = 60 * MINUTE;

/// What a challenge is minted for.
#[derive(Clone, Debug)]
pub struct NewChallenge {
    /// Tenant.
    pub tenant: Uuid,
    /// Purpose of the certificate: `identity` is issued by the device authority, all others by the
    /// access authority.
    pub purpose: String,
    /// The enrollment it belongs to. One of session and device is there.
    pub enrollment_session: Option<Uuid>,
    /// The device, where known.
    pub device: Option<Uuid>,
    /// Its channel, where known.
    pub enrollment: Option<Uuid>,
    /// The certificate profile, if one asks.
    pub document: Option<Uuid>,
    /// The command it travels in: handing that out again voids the earlier challenge.
    pub command: Option<Uuid>,
    /// What the certificate will say.
    pub decided: Decided,
}

/// A challenge before it is stored.
#[derive(Clone, Debug)]
pub struct MintedChallenge {
    tenant: Uuid,
    row: ScepChallenge,
    /// What the device gets; only its hash is kept.
    pub challenge: Secret<String>,
}

/// What a SCEP payload needs to know.
#[derive(Clone, Debug)]
pub struct ScepOffer {
    /// URL
    pub url: String,
    /// Name of the authority (`Name` of Apple's payload).
    pub name: String,
    /// SHA-256 of the authority's certificate (`CAFingerprint`).
    pub fingerprint: [u8; 32],
    /// The authority's certificate, DER.
    pub authority: Vec<u8>,
}

/// Stores a minted challenge in the transaction that hands it out.
pub fn store(tx: &mut dyn Tx, minted: &MintedChallenge) -> StorageResult<()> {
    scep_challenges::insert(tx, minted.tenant, &minted.row, minted.row.expires_at + AGAIN)
}

impl Service {
    /// Draws a challenge; [`store`] makes it good.
    pub fn prepare_scep_challenge(&self, new: NewChallenge) -> MintedChallenge {
        let now = self.clock.now();
        let mut bytes = [0; 20];
        self.random.fill(&mut bytes);
        let challenge = Secret::new(hex::encode(bytes));
        let row = ScepChallenge {
            id: self.random.id(now),
            hash: sha256(challenge.expose().as_bytes()).to_vec(),
            purpose: new.purpose,
            enrollment_session_id: new.enrollment_session,
            device_id: new.device,
            enrollment_id: new.enrollment,
            document_id: new.document,
            command_id: new.command,
            subject: new.decided.to_json(),
            created_at: now,
            expires_at: now + LIFE,
            ..ScepChallenge::default()
        };
        MintedChallenge { tenant: new.tenant, row, challenge }
    }

    /// Draws a challenge and stores it.
    pub async fn mint_scep_challenge(&self, new: NewChallenge) -> Result<Secret<String>> {
        let minted = self.prepare_scep_challenge(new);
        let challenge = minted.challenge.clone();
        self.store.write(minted.tenant, move |tx| store(tx, &minted)).await?;
        Ok(challenge)
    }

    /// Where certificates of a purpose are asked for.
    pub async fn scep_offer(&self, purpose: &str) -> Result<ScepOffer> {
        let authorities = self.authorities().await?;
        let authority = authorities.for_purpose(purpose);
        Ok(ScepOffer {
            url: format!("{}/scep", self.settings.addresses.public),
            name: authority.purpose.clone(),
            fingerprint: authority.certificate.fingerprint(),
            authority: authority.certificate.der().to_vec(),
        })
    }
}
