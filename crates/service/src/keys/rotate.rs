//! `keys rotate`: a new key in the key file, and every wrapped key under it. Sealed values stay as
//! they are, so nothing stops meanwhile.

use muster_pki::Secret;
use muster_storage::{Scope, Tx, authorities, leases, tenant_keys, tenants};

use super::{data_key_aad, private_key_aad};
use crate::{Error, Result, Service, settings::MINUTE};

const LEASE: &str = "keys rotate";

/// What a rotation wrapped anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Data keys of tenants.
    pub data_keys: usize,
    /// Private keys of authorities and listeners.
    pub private_keys: usize,
}

impl Service {
    /// Makes a new key, has the key file written (durably, before anything is wrapped under the new
    /// key), and wraps every key under it. May be run again after a crash.
    pub async fn rotate_keys(&self, write: impl FnOnce(&Secret<String>) -> std::io::Result<()>) -> Result<Rotated> {
        // Two rotations at once would each write a file without the other's key.
        let (holder, now) = (self.random.id(self.clock.now()), self.clock.now());
        let take = move |tx: &mut dyn Tx| leases::take(tx, LEASE, holder, now, 10 * MINUTE);
        if !self.store.write(Scope::Server, take).await? {
            return Err(Error::conflict("another rotation of the keys is under way; try again when it has ended"));
        }
        let rotated = self.rotate_under_lease(write).await;
        self.store.write(Scope::Server, move |tx| leases::release(tx, LEASE, holder)).await?;
        rotated
    }

    async fn rotate_under_lease(&self, write: impl FnOnce(&Secret<String>) -> std::io::Result<()>) -> Result<Rotated> {
        self.keys.read_again()?;
        let file = self.keys.file().with_new_key(&*self.random);
        write(&file.to_text()).map_err(|error| Error::internal(format!("the key file cannot be written: {error}")))?;
        self.keys.set_file(file);
        let mut rotated = Rotated::default();
        let private_keys: Vec<_> = self.store.read(Scope::Server, authorities::private_keys).await?;
        for (id, old) in private_keys {
            let plain = self.keys.unwrap(&private_key_aad(id), &old)?;
            let new = self.keys.wrap(&private_key_aad(id), plain.expose(), &*self.random);
            let replaced: Result<bool> =
                self.store.write(Scope::Server, move |tx| Ok(authorities::reseal(tx, id, &old, &new)?)).await;
            rotated.private_keys += usize::from(replaced?);
        }
        for tenant in self.store.read(Scope::Server, tenants::all).await? {
            let tenant = tenant.id;
            for row in self.store.read(tenant, move |tx| tenant_keys::all(tx, tenant)).await? {
                let aad = data_key_aad(tenant, row.version);
                let plain = self.keys.unwrap(&aad, &row.wrapped)?;
                let new = self.keys.wrap(&aad, plain.expose(), &*self.random);
                let replaced: Result<bool> = self
                    .store
                    .write(tenant, move |tx| Ok(tenant_keys::rewrap(tx, tenant, row.version, &row.wrapped, &new)?))
                    .await;
                rotated.data_keys += usize::from(replaced?);
            }
        }
        Ok(rotated)
    }
}
