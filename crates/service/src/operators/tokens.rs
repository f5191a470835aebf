//! Bearer tokens through the API: never wider than who makes them, always expiring, shown once.

use muster_domain::roles;
use muster_storage::{audit, lookups, tokens, tokens::Token};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    keyboard::known_role,
    manage::{only, text_of},
};
use crate::{
    Actor, Error, PrincipalKind, Result, Service,
    audit::{Act, subject},
    people::time_text,
    sign_in::{OPERATOR, TOKEN, hash_of_value, new_value},
};

const DAY: i64 = 24 * 3_600_000;
/// Life of a token that asks for none, days.
const DEFAULT_DAYS: i64 = 90;
/// Longest life, days.
const LONGEST_DAYS: i64 = 366;

fn view(token: &Token, now: i64) -> Value {
    let scopes: Value = token.scopes.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
    json!({
        "id": token.id,
        "displayName": token.name,
        "role": token.role,
        "scopes": scopes,
        "makerKind": token.maker_kind,
        "makerId": token.maker_id,
        "userId": token.person_id,
        "createdDateTime": time_text(token.created_at),
        "expirationDateTime": token.expires_at.map(time_text),
        "revokedDateTime": token.revoked_at.map(time_text),
        "isActive": token.revoked_at.is_none() && token.expires_at.is_none_or(|end| end > now),
    })
}

fn expiry(body: &Map<String, Value>, now: i64) -> Result<i64> {
    let at = match (body.get("expiresInDays"), body.get("expirationDateTime")) {
        (Some(_), Some(_)) => return Err(Error::bad_request("send expiresInDays or expirationDateTime, not both")),
        (Some(days), None) => {
            let days = days.as_i64().ok_or_else(|| Error::bad_request("expiresInDays must be a whole number"))?;
            now.saturating_add(days.saturating_mul(DAY))
        }
        (None, Some(time)) => time
            .as_str()
            .and_then(|text| text.parse::<jiff::Timestamp>().ok())
            .ok_or_else(|| Error::bad_request("expirationDateTime must be a time like 2026-01-31T12:00:00Z"))?
            .as_millisecond(),
        (None, None) => now + DEFAULT_DAYS * DAY,
    };
    if at <= now || at > now + LONGEST_DAYS * DAY {
        return Err(Error::bad_request(format!("a token lives 1 to {LONGEST_DAYS} days")));
    }
    Ok(at)
}

fn scopes(body: &Map<String, Value>) -> Result<Option<Vec<String>>> {
    let list = match body.get("scopes") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(Error::bad_request("scopes must be a list of scope words")),
    };
    let mut words = Vec::new();
    for item in list {
        let word = item.as_str().ok_or_else(|| Error::bad_request("scopes must be a list of scope words"))?;
        if !roles::is_scope(word) {
            return Err(Error::bad_request(format!("{word:?} is no scope word; see docs for the list")));
        }
        words.push(word.to_owned());
    }
    Ok(Some(words))
}

impl Service {
    /// Makes a token: the answer holds its value, which nobody can read again.
    pub async fn create_token(&self, actor: &Actor, body: Map<String, Value>) -> Result<Value> {
        only(&body, &["displayName", "name", "role", "scopes", "expiresInDays", "expirationDateTime"])?;
        let name = text_of(&body, if body.contains_key("displayName") { "displayName" } else { "name" })?;
        let role = match body.get("role") {
            None | Some(Value::Null) => actor.role.clone(),
            Some(_) => text_of(&body, "role")?,
        };
        known_role(&role)?;
        // A narrowed caller cannot shed its scopes by leaving them out.
        let wanted = scopes(&body)?.or_else(|| actor.scopes.clone());
        if !roles::within(&role, wanted.as_deref(), &actor.role, actor.scopes.as_deref()) {
            return Err(Error::forbidden("a token cannot hold more rights than who makes it"));
        }
        let (tenant, now) = (actor.tenant, self.clock.now());
        let by_token = actor.kind == PrincipalKind::Application;
        let value = format!("muster_{}", new_value(&*self.random));
        let token = Token {
            id: self.random.id(now),
            name,
            hash: hash_of_value(&value).to_vec(),
            role,
            scopes: wanted.map(|words| json!(words).to_string()),
            maker_kind: if by_token { TOKEN } else { OPERATOR }.into(),
            maker_id: Some(actor.id),
            person_id: actor.person,
            created_at: now,
            expires_at: Some(expiry(&body, now)?),
            revoked_at: None,
        };
        let act = Act { operation: "Create", activity: "Make a token", category: "Role", component: "token" };
        let mut entry = self.audit_entry(actor, act, now);
        entry.resources.push(subject("token", token.id, Some(&token.name)));
        let mut answer = view(&token, now);
        self.store
            .write(tenant, move |tx| {
                tokens::insert(tx, tenant, &token)?;
                lookups::put(tx, tokens::LOOKUP, &token.hash, tenant, token.id, token.expires_at)?;
                Ok::<_, Error>(audit::record(tx, tenant, &entry)?)
            })
            .await?;
        answer["token"] = json!(value);
        Ok(answer)
    }

    /// The tokens a caller may see: an owner all, others their own.
    pub async fn list_tokens(&self, actor: &Actor) -> Result<Vec<Value>> {
        let (tenant, now, caller) = (actor.tenant, self.clock.now(), actor.clone());
        let rows = self.store.read(tenant, move |tx| tokens::all(tx, tenant).map_err(Error::from)).await?;
        Ok(rows.iter().filter(|token| may_manage(&caller, token)).map(|token| view(token, now)).collect())
    }

    /// Revokes a token: the next request with it is refused.
    pub async fn revoke_token(&self, actor: &Actor, id: Uuid) -> Result<()> {
        let (tenant, now, caller) = (actor.tenant, self.clock.now(), actor.clone());
        let act = Act { operation: "Delete", activity: "Revoke a token", category: "Role", component: "token" };
        let mut entry = self.audit_entry(actor, act, now);
        entry.resources.push(subject("token", id, None));
        self.store
            .write(tenant, move |tx| {
                let token = tokens::by_id(tx, tenant, id)?
                    .filter(|token| may_manage(&caller, token))
                    .ok_or_else(|| Error::not_found(format!("there is no token {id}")))?;
                lookups::remove(tx, tokens::LOOKUP, &token.hash)?;
                if tokens::revoke(tx, tenant, id, now)? {
                    audit::record(tx, tenant, &entry)?;
                }
                Ok::<_, Error>(())
            })
            .await
    }
}

fn may_manage(actor: &Actor, token: &Token) -> bool {
    let all = roles::allows(&actor.role, actor.scopes.as_deref(), roles::Permission::Operators);
    all || token.maker_id == Some(actor.id) || token.id == actor.id
}
