//! PINs that we choose and tokens that devices entrusted to us: sealed before they are used, opened when
//! a command is rendered or an entitled person reads them.

use muster_domain::actions::{DeviceKind, Parameters, Verb};
use muster_pki::Secret;
use muster_storage::{
    Tx, enrollments,
    secrets::{self, StoredSecret},
};
use uuid::Uuid;

use crate::{Result, Service, keys::Place};

/// The token that clears a passcode.
pub(super) const UNLOCK_TOKEN: &str = "unlockToken";
/// The recovery key of a Mac's disk.
pub(super) const FILE_VAULT_KEY: &str = "fileVaultKey";
/// The PIN that opens a locked Mac.
pub(super) const LOCK_PIN: &str = "lockPin";
/// The PIN an erased Mac asks for.
pub(super) const WIPE_PIN: &str = "wipePin";

/// A PIN ready to be stored with its action.
#[derive(Clone, Debug)]
pub(super) struct SealedPin {
    id: Uuid,
    name: &'static str,
    sealed: Vec<u8>,
}

impl SealedPin {
    /// Stores it under the action's own id, before anything is sent.
    pub(super) fn put(&self, tx: &mut dyn Tx, tenant: Uuid, device: Uuid, now: i64) -> Result<()> {
        let secret = StoredSecret {
            id: self.id,
            owner_kind: "device".into(),
            owner_id: device,
            name: self.name.into(),
            sealed: self.sealed.clone(),
            created_at: now,
        };
        Ok(secrets::insert(tx, tenant, &secret)?)
    }
}

/// The newest value of a name that is kept for a device or for its channel.
pub(super) fn newest(tx: &mut dyn Tx, tenant: Uuid, device: Uuid, name: &str) -> Result<Option<StoredSecret>> {
    if let Some(found) = secrets::newest(tx, tenant, "device", device, name)? {
        return Ok(Some(found));
    }
    match enrollments::device_channel(tx, tenant, device)? {
        Some(channel) => Ok(secrets::newest(tx, tenant, "enrollment", channel.id, name)?),
        None => Ok(None),
    }
}

/// True where a passcode can be cleared.
pub(super) fn has_unlock_token(tx: &mut dyn Tx, tenant: Uuid, device: Uuid) -> Result<bool> {
    Ok(newest(tx, tenant, device, UNLOCK_TOKEN)?.is_some())
}

impl Service {
    /// The PIN a Mac needs for this verb: the one given, or six digits drawn by us; sealed.
    pub(super) async fn pin_for(
        &self,
        tenant: Uuid,
        action: Uuid,
        verb: Verb,
        kind: DeviceKind,
        parameters: &Parameters,
    ) -> Result<Option<SealedPin>> {
        if kind != DeviceKind::MacOs {
            return Ok(None);
        }
        let (name, given) = match (verb, parameters) {
            (Verb::RemoteLock, _) => (LOCK_PIN, None),
            (Verb::Wipe, Parameters::Wipe(options)) => (WIPE_PIN, options.mac_os_unlock_code.clone()),
            _ => return Ok(None),
        };
        let pin = given.unwrap_or_else(|| self.six_digits());
        let sealed = self.seal(tenant, place(action), pin.as_bytes()).await?;
        Ok(Some(SealedPin { id: action, name, sealed }))
    }

    /// Six digits, each code equally likely.
    fn six_digits(&self) -> String {
        const CODES: u32 = 1_000_000;
        loop {
            let mut bytes = [0; 4];
            self.random.fill(&mut bytes);
            let drawn = u32::from_be_bytes(bytes);
            // The last, incomplete run of codes would make some likelier.
            if drawn < u32::MAX - u32::MAX % CODES {
                return format!("{:06}", drawn % CODES);
            }
        }
    }
}

/// Where a row of `secret` is sealed for.
fn place(row: Uuid) -> Place {
    Place { table: "secret", column: "sealed", row }
}

impl Service {
    /// Opens a stored value.
    pub(super) async fn open_secret(&self, tenant: Uuid, secret: &StoredSecret) -> Result<Secret<Vec<u8>>> {
        self.unseal(tenant, place(secret.id), &secret.sealed).await
    }
}
