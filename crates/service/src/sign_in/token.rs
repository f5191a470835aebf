//! Bearer tokens at the door. Making and revoking them lives in `operators/tokens.rs`.

use muster_domain::roles::{self, Role};
use muster_storage::{Scope, Tx, lookups, operators, people, tokens};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{bearer, sessions::established_at};
use crate::{Actor, Error, PrincipalKind, RequestContext, Result, Service};

/// The maker of tokens made at the server's own keyboard.
pub(crate) const COMMAND_LINE: &str = "commandLine";
/// The maker of tokens made through the API by a person.
pub(crate) const OPERATOR: &str = "operator";
/// The maker of tokens made through the API by another token.
pub(crate) const TOKEN: &str = "token";

fn refused() -> Error {
    Error::unauthenticated("the token is unknown, expired or revoked; make a new one")
}

impl Service {
    /// The caller behind `Authorization: Bearer`. Token, maker and role are read here and now.
    pub async fn authenticate_token(&self, bearer: &str, context: &RequestContext) -> Result<Actor> {
        let now = self.clock.now();
        let hash = bearer::hash(bearer.trim());
        let found = self
            .store
            .read(Scope::Server, move |tx| lookups::find(tx, tokens::LOOKUP, &hash).map_err(Error::from))
            .await?;
        // 256 random bits cannot be guessed, so a wrong token costs one read and no counter.
        let found = found.filter(|found| found.expires_at.is_none_or(|end| end > now)).ok_or_else(refused)?;
        let tenant = found.tenant;
        let (token, maker, acts_for) = self
            .store
            .read(tenant, move |tx| {
                let token = tokens::by_id(tx, tenant, found.subject)?.ok_or_else(refused)?;
                let maker = maker_of(tx, tenant, &token, now)?;
                let acts_for = match token.person_id {
                    None => None,
                    Some(id) => Some(
                        people::by_id(tx, tenant, id)?.filter(|person| person.account_enabled).ok_or_else(refused)?,
                    ),
                };
                Ok::<_, Error>((token, maker, acts_for))
            })
            .await?;
        let live = token.revoked_at.is_none()
            && token.expires_at.is_none_or(|end| end > now)
            && bool::from(token.hash.as_slice().ct_eq(&hash));
        if !live || Role::parse(&token.role).is_none() {
            return Err(refused());
        }
        let scopes = scopes_of(&token)?;
        let own_person = token.maker_kind == COMMAND_LINE;
        // A token never outlives the rights of the person who made it.
        if let Some(maker) = &maker
            && !roles::within(&token.role, scopes.as_deref(), &maker.role, maker.scopes.as_deref())
        {
            return Err(refused());
        }
        if !own_person && maker.is_none() {
            return Err(refused());
        }
        Ok(Actor {
            tenant,
            kind: PrincipalKind::Application,
            id: token.id,
            person: acts_for.map(|person| person.id).or(maker.as_ref().and_then(|maker| maker.person)),
            name: token.name,
            role: token.role,
            scopes,
            maker: token.maker_id,
            own_person,
            strong_at: own_person.then_some(now),
            established_at: maker.map_or(0, |maker| maker.established_at.max(token.created_at)),
            address: context.address,
            correlation: context.correlation,
            reason: context.reason.clone(),
        })
    }
}

/// Who made a token through the API, as they stand now.
struct Maker {
    role: String,
    scopes: Option<Vec<String>>,
    person: Option<Uuid>,
    established_at: i64,
}

/// The maker of a token, where it has one: a living operator, or a live token. A token whose maker
/// is gone is refused.
fn maker_of(tx: &mut dyn Tx, tenant: Uuid, token: &tokens::Token, now: i64) -> Result<Option<Maker>> {
    let Some(id) = token.maker_id else { return Ok(None) };
    if token.maker_kind == TOKEN {
        let maker = tokens::by_id(tx, tenant, id)?
            .filter(|maker| maker.revoked_at.is_none() && maker.expires_at.is_none_or(|end| end > now))
            .ok_or_else(refused)?;
        return Ok(Some(Maker {
            scopes: scopes_of(&maker)?,
            role: maker.role,
            person: maker.person_id,
            established_at: maker.created_at,
        }));
    }
    let person = people::by_id(tx, tenant, id)?.filter(|person| person.account_enabled).ok_or_else(refused)?;
    let operator = operators::by_person(tx, tenant, person.id)?.ok_or_else(refused)?;
    let established_at = established_at(tx, tenant, &operator)?;
    Ok(Some(Maker { role: operator.role, scopes: None, person: Some(person.id), established_at }))
}

fn scopes_of(token: &tokens::Token) -> Result<Option<Vec<String>>> {
    token.scopes.as_deref().map(|text| serde_json::from_str(text).map_err(Error::internal)).transpose()
}
