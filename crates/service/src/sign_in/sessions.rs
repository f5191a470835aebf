//! Sessions: a random value in a `__Host-` cookie (console, portal) or a hidden input (the steps of
//! a flow), kept as a hash. Privileged sessions idle out after 15 minutes, end after 12 hours, and
//! at most three of a person live at once.

use muster_storage::{self as storage, Scope, Tx, credentials, lookups, operators, people, sessions};
use serde_json::json;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::bearer;
use crate::{Actor, Error, Kind, PrincipalKind, RequestContext, Result, Service};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// Privileged sessions end after this time without a request.
const IDLE: i64 = 15 * MINUTE;
/// Every session ends after this time.
const ABSOLUTE: i64 = 12 * HOUR;
/// A flow must be finished in this time.
const FLOW: i64 = 30 * MINUTE;
/// Privileged sessions a person may have at once.
const CONCURRENT: usize = 3;
/// Use is recorded at most this often.
const TOUCH: i64 = 30_000;

/// What a session is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The admin listener.
    Console,
    /// The steps of a sign-in or an enrollment.
    Enrollment,
    /// A person's own devices.
    Portal,
}

impl Audience {
    /// The stored word.
    pub fn word(self) -> &'static str {
        match self {
            Audience::Console => "console",
            Audience::Enrollment => "enrollment",
            Audience::Portal => "portal",
        }
    }
}

/// Whether a request changes something, and if so what it sent against cross-site forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent<'a> {
    /// GET or HEAD.
    Read,
    /// Anything else, with the value of `X-Muster-CSRF`.
    Write(Option<&'a str>),
}

/// A session as its owner may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// Its id.
    pub id: Uuid,
    /// What it is good for.
    pub audience: String,
    /// Unix ms.
    pub created_at: i64,
    /// Unix ms.
    pub last_used_at: i64,
    /// Unix ms.
    pub expires_at: i64,
}

/// Makes a session row and its value; the caller inserts it in a transaction.
pub(super) fn new_session(
    service: &Service,
    audience: Audience,
    person: Uuid,
    strong_at: Option<i64>,
    state: String,
    now: i64,
) -> (String, sessions::Session) {
    let value = bearer::new_value(&*service.random);
    let life = if audience == Audience::Enrollment { FLOW } else { ABSOLUTE };
    let session = sessions::Session {
        id: service.random.id(now),
        hash: bearer::hash(&value).to_vec(),
        audience: audience.word().into(),
        person_id: person,
        csrf_hash: Some(bearer::hash(&bearer::csrf_of(&value)).to_vec()),
        strong_at,
        state,
        created_at: now,
        last_used_at: now,
        expires_at: now + life,
    };
    (value, session)
}

/// Inserts a privileged session and ends the oldest beyond the limit.
pub(super) fn insert_privileged(tx: &mut dyn Tx, tenant: Uuid, session: &sessions::Session, now: i64) -> Result<()> {
    let mut live: Vec<_> = sessions::of_person(tx, tenant, session.person_id)?
        .into_iter()
        .filter(|other| other.audience == Audience::Console.word())
        .collect();
    live.retain(|other| other.expires_at > now && other.last_used_at + IDLE > now);
    while live.len() >= CONCURRENT {
        let oldest = live.remove(0);
        sessions::remove(tx, tenant, &oldest)?;
    }
    Ok(sessions::insert(tx, tenant, session)?)
}

/// Since when the rights and credentials of an operator stand unchanged: the cooling period counts
/// from the latest. A time of 0 was set at the server's own keyboard.
pub(crate) fn established_at(tx: &mut dyn Tx, tenant: Uuid, operator: &operators::Operator) -> storage::Result<i64> {
    let password = credentials::password(tx, tenant, operator.person_id)?.map_or(0, |p| p.changed_at);
    let factor = credentials::second_factor(tx, tenant, operator.person_id)?.map_or(0, |f| f.changed_at);
    Ok(operator.established_at.max(password).max(factor))
}

pub(super) fn over() -> Error {
    Error::unauthenticated("the session is over; sign in again")
}

impl Service {
    /// The operator behind a console cookie. Role, person and session are read here and now:
    /// nothing revocable is remembered between requests.
    pub async fn authenticate_session(
        &self,
        cookie: &str,
        intent: Intent<'_>,
        context: &RequestContext,
    ) -> Result<Actor> {
        let now = self.clock.now();
        let hash = bearer::hash(cookie);
        let csrf = match intent {
            Intent::Read => None,
            Intent::Write(value) => Some(bearer::hash(value.unwrap_or_default()).to_vec()),
        };
        let found = self
            .store
            .read(Scope::Server, move |tx| lookups::find(tx, sessions::LOOKUP, &hash).map_err(Error::from))
            .await?
            .filter(|found| found.expires_at.is_none_or(|end| end > now))
            .ok_or_else(over)?;
        let tenant = found.tenant;
        let (session, person, operator, established_at) = self
            .store
            .read(tenant, move |tx| {
                let session = sessions::by_id(tx, tenant, found.subject)?.ok_or_else(over)?;
                let person = people::by_id(tx, tenant, session.person_id)?.ok_or_else(over)?;
                let operator = operators::by_person(tx, tenant, person.id)?.ok_or_else(over)?;
                let established = established_at(tx, tenant, &operator)?;
                Ok::<_, Error>((session, person, operator, established))
            })
            .await?;
        let live = session.hash == hash
            && session.audience == Audience::Console.word()
            && session.expires_at > now
            && session.last_used_at + IDLE > now
            && person.account_enabled;
        if !live {
            return Err(over());
        }
        if let Some(sent) = csrf {
            let right = session.csrf_hash.as_deref().unwrap_or_default();
            if right.is_empty() || !bool::from(right.ct_eq(&sent)) {
                return Err(Error::refused(
                    Kind::Forbidden,
                    "csrf",
                    "send the session's csrf value in X-Muster-CSRF with every change",
                ));
            }
        }
        if now - session.last_used_at > TOUCH {
            let (id, state) = (session.id, session.state.clone());
            self.store
                .write(tenant, move |tx| sessions::touch(tx, tenant, id, &state, now).map_err(Error::from))
                .await?;
        }
        Ok(Actor {
            tenant,
            kind: PrincipalKind::Operator,
            id: person.id,
            person: Some(person.id),
            name: person.user_principal_name,
            role: operator.role,
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

    /// Ends the session behind a cookie; an unknown one is fine.
    pub async fn sign_out(&self, cookie: &str) -> Result<()> {
        let hash = bearer::hash(cookie);
        let found = self
            .store
            .read(Scope::Server, move |tx| lookups::find(tx, sessions::LOOKUP, &hash).map_err(Error::from))
            .await?;
        let Some(found) = found else { return Ok(()) };
        let tenant = found.tenant;
        self.store
            .write(tenant, move |tx| {
                if let Some(session) = sessions::by_id(tx, tenant, found.subject)? {
                    sessions::remove(tx, tenant, &session)?;
                }
                Ok::<_, Error>(())
            })
            .await
    }

    /// The caller's live sessions, oldest first.
    pub async fn my_sessions(&self, actor: &Actor) -> Result<Vec<SessionView>> {
        let (tenant, person) = (actor.tenant, actor.person.unwrap_or(actor.id));
        let now = self.clock.now();
        let rows =
            self.store.read(tenant, move |tx| sessions::of_person(tx, tenant, person).map_err(Error::from)).await?;
        Ok(rows
            .into_iter()
            .filter(|s| s.expires_at > now && s.audience != Audience::Enrollment.word())
            .map(|s| SessionView {
                id: s.id,
                audience: s.audience,
                created_at: s.created_at,
                last_used_at: s.last_used_at,
                expires_at: s.expires_at,
            })
            .collect())
    }

    /// Ends one of the caller's own sessions.
    pub async fn end_session(&self, actor: &Actor, id: Uuid) -> Result<()> {
        let (tenant, person) = (actor.tenant, actor.person.unwrap_or(actor.id));
        self.store
            .write(tenant, move |tx| {
                let session = sessions::by_id(tx, tenant, id)?
                    .filter(|session| session.person_id == person)
                    .ok_or_else(|| Error::not_found(format!("there is no session {id}")))?;
                Ok(sessions::remove(tx, tenant, &session)?)
            })
            .await
    }
}

/// A session's state as JSON text.
pub(super) fn state_text(state: &super::flow::State) -> String {
    json!(state).to_string()
}
