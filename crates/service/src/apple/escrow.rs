//! Values a device leaves with us, sealed: unlock token, bootstrap token, FileVault recovery keys.

use muster_apple::check_in::{GetBootstrapToken, SetBootstrapToken, bootstrap_token_reply};
use muster_storage::{Tx, secrets};
use uuid::Uuid;

use super::{Contact, Reply, identity::refused, note};
use crate::{Result, Service, keys::Place};

/// Clears the passcode of an iPhone or iPad.
pub const UNLOCK_TOKEN: &str = "unlockToken";
/// Lets a Mac's owner be authorised without them.
pub const BOOTSTRAP_TOKEN: &str = "bootstrapToken";
/// A Mac's personal recovery key; older ones are kept.
pub const FILE_VAULT_KEY: &str = "fileVaultKey";

const DEVICE: &str = "device";

/// A sealed value and the id of the row that it is sealed to.
#[derive(Clone)]
pub(crate) struct Sealed {
    id: Uuid,
    bytes: Vec<u8>,
}

fn place(row: Uuid) -> Place {
    Place { table: "secret", column: "sealed", row }
}

impl Service {
    /// Seals a value that a device sent.
    pub(crate) async fn seal_escrow(&self, tenant: Uuid, value: &[u8], now: i64) -> Result<Sealed> {
        let id = self.random.id(now);
        Ok(Sealed { id, bytes: self.seal(tenant, place(id), value).await? })
    }

    /// The newest value of that name that a device left with us.
    pub async fn escrowed(&self, tenant: Uuid, device: Uuid, name: &'static str) -> Result<Option<Vec<u8>>> {
        let found = self.store.read(tenant, move |tx| secrets::newest(tx, tenant, DEVICE, device, name)).await?;
        match found {
            Some(secret) => {
                let value = self.unseal(tenant, place(secret.id), &secret.sealed).await?;
                Ok(Some(value.expose().clone()))
            }
            None => Ok(None),
        }
    }

    pub(super) async fn set_bootstrap_token(&self, contact: &Contact, message: SetBootstrapToken) -> Result<Reply> {
        let (standing, leaving) = self.standing(contact, &message.ids).await?;
        let (tenant, now) = (contact.identity.tenant, self.clock.now());
        let Some(device) = standing.device.filter(|_| !leaving) else { return Ok(Reply::Empty) };
        if message.ids.is_user_enrollment() {
            return Err(refused("a User Enrollment has no bootstrap token"));
        }
        let sealed = match &message.bootstrap_token {
            Some(token) => Some(self.seal_escrow(tenant, token, now).await?),
            None => None,
        };
        let (ids, origin) = (self.ids(now), contact.origin());
        self.store
            .write(tenant, move |tx| {
                let mut ids = ids.clone();
                let activity = match &sealed {
                    Some(sealed) => {
                        put(tx, tenant, device, BOOTSTRAP_TOKEN, sealed, now)?;
                        "escrow bootstrap token"
                    }
                    None => {
                        secrets::remove(tx, tenant, DEVICE, device, BOOTSTRAP_TOKEN)?;
                        "remove bootstrap token"
                    }
                };
                note::device_did(tx, tenant, &mut ids, &origin, device, activity, vec![], now)
            })
            .await?;
        Ok(Reply::Empty)
    }

    pub(super) async fn get_bootstrap_token(&self, contact: &Contact, message: GetBootstrapToken) -> Result<Reply> {
        let (standing, leaving) = self.standing(contact, &message.ids).await?;
        let Some(device) = standing.device.filter(|_| !leaving) else { return Ok(Reply::Empty) };
        match self.escrowed(contact.identity.tenant, device, BOOTSTRAP_TOKEN).await? {
            Some(token) => Ok(Reply::List(bootstrap_token_reply(&token))),
            None => Ok(Reply::Empty),
        }
    }
}

/// Keeps the newest value only.
pub(super) fn put(
    tx: &mut dyn Tx,
    tenant: Uuid,
    device: Uuid,
    name: &str,
    sealed: &Sealed,
    now: i64,
) -> muster_storage::Result<()> {
    secrets::replace(tx, tenant, &row(device, name, sealed, now))
}

/// Keeps the value beside the earlier ones.
pub(super) fn add(
    tx: &mut dyn Tx,
    tenant: Uuid,
    device: Uuid,
    name: &str,
    sealed: &Sealed,
    now: i64,
) -> muster_storage::Result<()> {
    secrets::insert(tx, tenant, &row(device, name, sealed, now))
}

fn row(device: Uuid, name: &str, sealed: &Sealed, now: i64) -> secrets::StoredSecret {
    secrets::StoredSecret {
        id: sealed.id,
        owner_kind: DEVICE.into(),
        owner_id: device,
        name: name.into(),
        sealed: sealed.bytes.clone(),
        created_at: now,
    }
}

/// What ties to one enrollment goes with it; recovery keys stay with the disk.
pub(super) fn forget_enrollment(tx: &mut dyn Tx, tenant: Uuid, device: Uuid) -> muster_storage::Result<()> {
    secrets::remove(tx, tenant, DEVICE, device, UNLOCK_TOKEN)?;
    secrets::remove(tx, tenant, DEVICE, device, BOOTSTRAP_TOKEN)?;
    Ok(())
}
