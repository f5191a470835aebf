//! The first owner: a one-time link that the server prints while nobody is an operator.

use muster_storage::{Scope, lookups, operators, tenants};
use uuid::Uuid;

use super::NewAdmin;
use crate::{
    Error, Kind, Result, Service,
    sign_in::{hash_of_value, new_value, password},
};

const LOOKUP: &str = "setup";
/// The link works this long, ms.
const LIFE: i64 = 24 * 3_600_000;

fn over() -> Error {
    Error::refused(Kind::Gone, "setupOver", "this link was used or is too old; restart the server for another one")
}

impl Service {
    /// A new set-up value while there is no operator; none otherwise. Earlier values are void.
    pub async fn offer_set_up(&self) -> Result<Option<String>> {
        if self.has_operators().await? {
            return Ok(None);
        }
        let now = self.clock.now();
        let value = new_value(&*self.random);
        let hash = hash_of_value(&value);
        self.store
            .write(Scope::Server, move |tx| {
                lookups::remove_subject(tx, Uuid::nil(), LOOKUP, Uuid::nil())?;
                lookups::put(tx, LOOKUP, &hash, Uuid::nil(), Uuid::nil(), Some(now + LIFE)).map_err(Error::from)
            })
            .await?;
        Ok(Some(value))
    }

    /// Refuses a set-up value that is not good any more.
    pub async fn check_set_up(&self, value: &str) -> Result<()> {
        let (hash, now) = (hash_of_value(value), self.clock.now());
        let found =
            self.store.read(Scope::Server, move |tx| lookups::find(tx, LOOKUP, &hash).map_err(Error::from)).await?;
        let live = found.is_some_and(|found| found.expires_at.is_none_or(|end| end > now));
        if live && !self.has_operators().await? { Ok(()) } else { Err(over()) }
    }

    /// Makes the first owner with a set-up value, which is spent by it.
    pub async fn complete_set_up(&self, value: &str, user: &str, new_password: &str) -> Result<()> {
        self.check_set_up(value).await?;
        super::keyboard::domain_of(user)?;
        password::check_new(new_password, user)?;
        let taken = self
            .store
            .write(Scope::Server, move |tx| {
                lookups::remove_subject(tx, Uuid::nil(), LOOKUP, Uuid::nil()).map_err(Error::from)
            })
            .await?;
        if taken != 1 {
            return Err(over());
        }
        let admin = NewAdmin {
            tenant: None,
            user: user.to_owned(),
            password: new_password.to_owned(),
            role: "owner".into(),
            totp_secret: None,
        };
        self.create_admin(admin).await.map(|_| ())
    }

    async fn has_operators(&self) -> Result<bool> {
        let all = self.store.read(Scope::Server, |tx| tenants::all(tx).map_err(Error::from)).await?;
        for tenant in all {
            let id = tenant.id;
            let found = self.store.read(id, move |tx| operators::all(tx, id).map_err(Error::from)).await?;
            if !found.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
