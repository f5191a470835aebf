//! [`Store`]: closures run on threads that own a connection.

use uuid::Uuid;

use crate::{Failure, Tx};

/// Whose rows a closure may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The server-wide tables only (see `migrate.rs`, `SERVER_WIDE`).
    Server,
    /// One tenant's rows, and the server-wide tables.
    Tenant(Uuid),
}

impl From<Uuid> for Scope {
    fn from(tenant: Uuid) -> Self {
        Scope::Tenant(tenant)
    }
}

/// A handle on the database; cheap to clone.
#[derive(Clone)]
pub struct Store {}

impl Store {
    /// Runs `op` in a transaction and commits durably before it answers. `op` may run more than
    /// once: it captures no effects; ids and times are drawn before.
    pub async fn write<T, E>(
        &self,
        scope: impl Into<Scope>,
        op: impl Fn(&mut dyn Tx) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: Failure,
    {
        let _ = (scope.into(), op);
        Err(crate::Error::Unavailable("no engine".into()).into())
    }

    /// Runs `op` on a snapshot.
    pub async fn read<T, E>(
        &self,
        scope: impl Into<Scope>,
        op: impl Fn(&mut dyn Tx) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E>
    where
        T: Send + 'static,
        E: Failure,
    {
        let _ = (scope.into(), op);
        Err(crate::Error::Unavailable("no engine".into()).into())
    }
}
