//! Keys at rest: the key file wraps a data key per tenant, which seals every secret column; private
//! keys of the authorities are wrapped by the key file directly.
//!
//! A sealed value opens only in its place: tenant, table, column and row are its additional data.
//! What does not live here: the cipher (`muster_pki::seal`), and reading the key file (the binary).

mod file;
mod rotate;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

pub use file::KeyFile;
use muster_pki::{Secret, seal::SealKey};
use muster_storage::{Scope, Store, authorities, tenant_keys, tenants};
pub use rotate::Rotated;
use uuid::Uuid;

use crate::{Error, Random, Result, Service};

/// Where a sealed value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Table.
    pub table: &'static str,
    /// Column.
    pub column: &'static str,
    /// Row.
    pub row: Uuid,
}

impl Place {
    /// A place.
    pub const fn new(table: &'static str, column: &'static str, row: Uuid) -> Self {
        Place { table, column, row }
    }

    fn aad(&self, tenant: Uuid) -> Vec<u8> {
        [tenant.as_bytes(), self.row.as_bytes(), self.table.as_bytes(), b"\0", self.column.as_bytes()].concat()
    }
}

/// Data keys of one tenant by version, the newest last.
type DataKeys = Arc<Vec<(i64, SealKey)>>;
/// Reads the key file again.
type Reread = Box<dyn Fn() -> Option<Vec<u8>> + Send + Sync>;

/// The keys of the process.
pub struct Keys {
    file: RwLock<KeyFile>,
    reread: Option<Reread>,
    /// Immutable by version, so that caching is safe.
    data: Mutex<HashMap<Uuid, DataKeys>>,
}

impl Keys {
    /// Keys of a key file.
    pub fn new(file: KeyFile) -> Self {
        Keys { file: RwLock::new(file), reread: None, data: Mutex::default() }
    }

    /// With a way to read the key file again: another process may have rotated it.
    pub fn with_reread(file: KeyFile, reread: impl Fn() -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        Keys { reread: Some(Box::new(reread)), ..Keys::new(file) }
    }

    fn file(&self) -> KeyFile {
        self.file.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the key file as it is now, where there is a way to read it.
    fn read_again(&self) -> Result<()> {
        if let Some(bytes) = self.reread.as_ref().and_then(|reread| reread()) {
            self.set_file(KeyFile::parse(&bytes)?);
        }
        Ok(())
    }

    fn set_file(&self, file: KeyFile) {
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = file;
    }

    /// Wraps a key for a place of the server-wide or tenant tables.
    pub(crate) fn wrap(&self, aad: &[u8], plain: &[u8], random: &dyn Random) -> Vec<u8> {
        let file = self.file();
        let (name, key) = file.current();
        [&name[..], &key.seal(aad, plain, &|bytes| random.fill(bytes))].concat()
    }

    /// Opens what [`Keys::wrap`] made.
    pub(crate) fn unwrap(&self, aad: &[u8], wrapped: &[u8]) -> Result<Secret<Vec<u8>>> {
        let damaged = || Error::internal("a wrapped key is damaged");
        let (name, sealed) = wrapped.split_at_checked(file::NAME).ok_or_else(damaged)?;
        let mut found = self.file().by_name(name).cloned();
        if found.is_none() {
            self.read_again()?;
            found = self.file().by_name(name).cloned();
        }
        let key = found.ok_or_else(|| {
            Error::internal(
                "the key file does not belong to this database: it lacks the key that wrapped its data; \
                 put the right key file back",
            )
        })?;
        key.open(aad, sealed).map_err(|_| damaged())
    }

    /// Name of the key in use.
    #[cfg(feature = "testing")]
    pub(crate) fn name(&self) -> Vec<u8> {
        self.file().current().0.to_vec()
    }

    fn cached(&self, tenant: Uuid) -> Option<DataKeys> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner).get(&tenant).cloned()
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Keys(..)")
    }
}

/// Seals and opens values of one tenant; cheap to clone into closures.
#[derive(Clone)]
pub struct Sealer {
    tenant: Uuid,
    keys: DataKeys,
    random: Arc<dyn Random>,
}

impl Sealer {
    /// Seals a value for a place.
    pub fn seal(&self, place: Place, plain: &[u8]) -> Vec<u8> {
        let (version, key) = self.keys.last().expect("a sealer is made with a key");
        let sealed = key.seal(&place.aad(self.tenant), plain, &|bytes| self.random.fill(bytes));
        let version = u32::try_from(*version).expect("versions count rotations");
        [&version.to_be_bytes()[..], &sealed].concat()
    }

    /// Opens what [`Sealer::seal`] made for the same place.
    pub fn unseal(&self, place: Place, sealed: &[u8]) -> Result<Secret<Vec<u8>>> {
        let wrong = || Error::internal(format!("{}.{} of {} does not open", place.table, place.column, place.row));
        let (version, sealed) = sealed.split_first_chunk().ok_or_else(wrong)?;
        let version = i64::from(u32::from_be_bytes(*version));
        let (_, key) = self.keys.iter().find(|(known, _)| *known == version).ok_or_else(wrong)?;
        key.open(&place.aad(self.tenant), sealed).map_err(|_| wrong())
    }
}

fn data_key_aad(tenant: Uuid, version: i64) -> Vec<u8> {
    [b"tenant_key\0wrapped\0", &tenant.as_bytes()[..], &version.to_be_bytes()].concat()
}

/// Additional data of an authority's wrapped private key.
pub(crate) fn private_key_aad(authority: Uuid) -> Vec<u8> {
    [b"authority\0private_key\0", &authority.as_bytes()[..]].concat()
}

/// True where nothing in the database needs a key file yet.
pub async fn database_is_fresh(store: &Store) -> Result<bool> {
    let used: Result<bool> = store
        .read(Scope::Server, |tx| Ok(!authorities::current(tx)?.is_empty() || !tenants::all(tx)?.is_empty()))
        .await;
    used.map(|used| !used)
}

impl Service {
    /// Seals and opens values of a tenant; makes its first data key where it has none.
    pub async fn sealer(&self, tenant: Uuid) -> Result<Sealer> {
        let keys = match self.keys.cached(tenant) {
            Some(keys) => keys,
            None => self.load_data_keys(tenant).await?,
        };
        Ok(Sealer { tenant, keys, random: self.random.clone() })
    }

    /// Seals one value for a place.
    pub async fn seal(&self, tenant: Uuid, place: Place, plain: &[u8]) -> Result<Vec<u8>> {
        Ok(self.sealer(tenant).await?.seal(place, plain))
    }

    /// Opens one value.
    pub async fn unseal(&self, tenant: Uuid, place: Place, sealed: &[u8]) -> Result<Secret<Vec<u8>>> {
        self.sealer(tenant).await?.unseal(place, sealed)
    }

    async fn load_data_keys(&self, tenant: Uuid) -> Result<DataKeys> {
        let mut rows = self.store.read(tenant, move |tx| tenant_keys::all(tx, tenant)).await?;
        if rows.is_empty() {
            let first = SealKey::generate(&|bytes| self.random.fill(bytes));
            let wrapped = self.keys.wrap(&data_key_aad(tenant, 1), first.to_bytes().expose(), &*self.random);
            let row = tenant_keys::TenantKey { version: 1, wrapped, created_at: self.clock.now() };
            // Two processes may come here at once: the first row stays, both read it.
            let all = move |tx: &mut dyn muster_storage::Tx| {
                tenant_keys::insert(tx, tenant, &row)?;
                tenant_keys::all(tx, tenant)
            };
            rows = self.store.write(tenant, all).await?;
        }
        let mut keys = Vec::new();
        for row in rows {
            let plain = self.keys.unwrap(&data_key_aad(tenant, row.version), &row.wrapped)?;
            keys.push((row.version, SealKey::from_bytes(plain.expose())?));
        }
        let keys = Arc::new(keys);
        self.keys.data.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant, keys.clone());
        Ok(keys)
    }

    /// Refuses to go on where the key file does not open the database.
    pub async fn check_keys(&self) -> Result<()> {
        let wrapped: Vec<(Uuid, Vec<u8>)> = self.store.read(Scope::Server, authorities::private_keys).await?;
        for (id, wrapped) in wrapped {
            self.keys.unwrap(&private_key_aad(id), &wrapped)?;
        }
        for tenant in self.store.read(Scope::Server, tenants::all).await? {
            let id = tenant.id;
            for row in self.store.read(id, move |tx| tenant_keys::all(tx, id)).await? {
                self.keys.unwrap(&data_key_aad(id, row.version), &row.wrapped)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
