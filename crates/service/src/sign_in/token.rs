//! Bearer tokens at the door. Making and revoking them lives in `operators/tokens.rs`.

use muster_domain::roles::{self, Role};
use muster_storage::{Scope, lookups, operators, people, tokens};
use subtle::ConstantTimeEq;

use super::{bearer, sessions::established_at};
use crate::{Actor, Error, PrincipalKind, RequestContext, Result, Service};

/// The maker of tokens made at the server's own keyboard.
pub(crate) const COMMAND_LINE: &str = "commandLine";
/// The maker of tokens made through the API.
pub(crate) const OPERATOR: &str = "operator";

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
                let maker = match token.maker_id {
                    None => None,
                    Some(id) => {
                        let person = people::by_id(tx, tenant, id)?
                            .filter(|person| person.account_enabled)
                            .ok_or_else(refused)?;
                        let operator = operators::by_person(tx, tenant, person.id)?.ok_or_else(refused)?;
                        let established = established_at(tx, tenant, &operator)?;
                        Some((operator, established))
                    }
                };
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
        let scopes: Option<Vec<String>> = match &token.scopes {
            None => None,
            Some(text) => Some(serde_json::from_str(text).map_err(Error::internal)?),
        };
        let own_person = token.maker_kind == COMMAND_LINE;
        // A token never outlives the rights of the person who made it.
        if let Some((operator, _)) = &maker
            && !roles::within(&token.role, scopes.as_deref(), &operator.role, None)
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
            person: acts_for.map(|person| person.id).or(token.maker_id),
            name: token.name,
            role: token.role,
            scopes,
            maker: token.maker_id,
            own_person,
            strong_at: own_person.then_some(now),
            established_at: maker.map_or(0, |(_, established)| established.max(token.created_at)),
            address: context.address,
            correlation: context.correlation,
            reason: context.reason.clone(),
        })
    }
}
