//! Sessions of people who look after their own devices. The person, whether they may still sign in,
//! and since when their credentials stand are read with every request.

use muster_storage::{Scope, credentials, lookups, people, sessions};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{
    bearer,
    flow::Purpose,
    sessions::{Audience, new_session, over},
};
use crate::{Actor, Error, PrincipalKind, RequestContext, Result, Service};

/// A session ends after this time without a request.
const IDLE: i64 = 30 * 60_000;
/// Use is recorded at most this often.
const TOUCH: i64 = 30_000;

impl Service {
    /// Turns a completed flow into a portal session; answers the cookie's value. The flow's is void.
    pub async fn open_portal(&self, value: &str) -> Result<super::ConsoleSession> {
        let flow = self.signed_in_flow(value).await?;
        if flow.purpose != Purpose::Portal {
            return Err(over());
        }
        let now = self.clock.now();
        let (cookie, session) = new_session(self, Audience::Portal, flow.person.id, flow.strong_at, "{}".into(), now);
        let (tenant, old, expires_at) = (flow.tenant, bearer::hash(value), session.expires_at);
        self.store
            .write(tenant, move |tx| {
                // The flow's value is taken by exactly one caller.
                let found = lookups::find(tx, sessions::LOOKUP, &old)?.ok_or_else(over)?;
                let flow = sessions::by_id(tx, tenant, found.subject)?.ok_or_else(over)?;
                sessions::remove(tx, tenant, &flow)?;
                Ok::<_, Error>(sessions::insert(tx, tenant, &session)?)
            })
            .await?;
        Ok(super::ConsoleSession { value: cookie, expires_at })
    }

    /// The person behind a portal cookie.
    pub async fn authenticate_person(&self, cookie: &str, context: &RequestContext) -> Result<Actor> {
        let now = self.clock.now();
        let hash = bearer::hash(cookie);
        let found = self
            .store
            .read(Scope::Server, move |tx| lookups::find(tx, sessions::LOOKUP, &hash).map_err(Error::from))
            .await?
            .filter(|found| found.expires_at.is_none_or(|end| end > now))
            .ok_or_else(over)?;
        let tenant = found.tenant;
        let (session, person, established_at) = self
            .store
            .read(tenant, move |tx| {
                let session = sessions::by_id(tx, tenant, found.subject)?.ok_or_else(over)?;
                let person = people::by_id(tx, tenant, session.person_id)?.ok_or_else(over)?;
                let password = credentials::password(tx, tenant, person.id)?.map_or(0, |p| p.changed_at);
                let factor = credentials::second_factor(tx, tenant, person.id)?.map_or(0, |f| f.changed_at);
                let established = person.created_at.max(password).max(factor);
                Ok::<_, Error>((session, person, established))
            })
            .await?;
        let live = session.hash == hash
            && session.audience == Audience::Portal.word()
            && session.expires_at > now
            && session.last_used_at + IDLE > now
            && person.account_enabled;
        if !live {
            return Err(over());
        }
        if now - session.last_used_at > TOUCH {
            let id: Uuid = session.id;
            self.store.write(tenant, move |tx| sessions::touch(tx, tenant, id, "{}", now).map_err(Error::from)).await?;
        }
        Ok(Actor {
            tenant,
            kind: PrincipalKind::Person,
            id: person.id,
            person: Some(person.id),
            name: person.user_principal_name,
            role: String::new(),
            scopes: None,
            maker: None,
            own_person: true,
            strong_at: session.strong_at,
            established_at,
            address: context.address,
            correlation: context.correlation,
            reason: context.reason.clone(),
        })
    }
}

/// True where a form of the session's own pages was sent: it repeats what only they know.
pub fn is_own_form(cookie: &str, sent: &str) -> bool {
    bearer::csrf_of(cookie).as_bytes().ct_eq(sent.as_bytes()).into()
}
