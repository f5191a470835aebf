//! Recovery keys and PINs for entitled eyes (threats G5): own right, a fresh second factor, a daily
//! limit, and the audit row written before the value exists in the clear.

use muster_domain::{
    guard::{DAY, Refusal, Settings},
    roles::{Permission, allows},
};
use muster_pki::Secret;
use muster_storage::{Tx, documents::Document, guard};
use serde_json::json;
use uuid::Uuid;

use super::{
    escrow::{FILE_VAULT_KEY, LOCK_PIN, WIPE_PIN, newest},
    request::{reason_needed, visible},
};
use crate::{
    Actor, Error, Ids, Kind, PrincipalKind, Result, Service,
    desired::secrets::kept_secret,
    guard::{FRESH, Note, Who, is_api_token, note, principal, refused, rules_of},
    settings::GuardDefaults,
};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revealed {
    /// `getFileVaultKey`.
    FileVaultKey,
    /// The PIN of the last remote lock.
    LockPin,
    /// The PIN an erased Mac asks for.
    WipePin,
}

impl Revealed {
    fn stored(self) -> &'static str {
        match self {
            Revealed::FileVaultKey => FILE_VAULT_KEY,
            Revealed::LockPin => LOCK_PIN,
            Revealed::WipePin => WIPE_PIN,
        }
    }
}

/// Ledger name of reveals.
const LEDGER: &str = "reveal";

/// Whether the caller may see secrets at all, and whether only those of own devices.
fn entitled(actor: &Actor, now: i64) -> Result<bool> {
    let own = match actor.kind {
        PrincipalKind::Person => true,
        PrincipalKind::Operator | PrincipalKind::Application => {
            if !allows(&actor.role, actor.scopes.as_deref(), Permission::Reveal) {
                return Err(Error::forbidden("revealing secrets needs the permission Muster.Reveal"));
            }
            if is_api_token(actor) {
                return Err(Error::refused(
                    Kind::Forbidden,
                    Refusal::ApiToken.code(),
                    "a token made through the API counts as its maker and cannot reveal secrets",
                ));
            }
            false
        }
        _ => return Err(Error::forbidden("this principal reveals nothing")),
    };
    if actor.strong_at.is_none_or(|strong| now - strong > FRESH) {
        return Err(Error::refused(
            Kind::Forbidden,
            "freshSecondFactorRequired",
            "revealing a secret needs a second factor presented in the last five minutes",
        ));
    }
    Ok(own)
}

/// The rules of the tenant that hold for this reveal: a reason, the cooling period.
fn ruled(tx: &mut dyn Tx, actor: &Actor, defaults: &GuardDefaults, own: bool, now: i64) -> Result<Settings> {
    let rules = rules_of(tx, actor.tenant, defaults)?;
    if rules.require_reason && actor.reason.is_none() && !own {
        return Err(reason_needed());
    }
    if !own && crate::guard::party(tx, actor)?.cooling(&rules, now) {
        return Err(refused(Refusal::CoolingPeriod));
    }
    Ok(rules)
}

/// Room within the caller's daily limit: the version of the ledger to take it from.
fn room(tx: &mut dyn Tx, actor: &Actor, rules: &Settings, now: i64) -> Result<i64> {
    // One conditional update, so that parallel reveals count each other.
    let version = guard::budget(tx, actor.tenant, LEDGER)?;
    let today = guard::since(tx, actor.tenant, LEDGER, now.saturating_sub(DAY))?;
    let mine = today.iter().filter(|(_, who)| *who == principal(actor)).count();
    if i64::try_from(mine).unwrap_or(i64::MAX) >= rules.reveals_per_day {
        return Err(Error::refused(
            Kind::TooManyRequests,
            "revealLimit",
            format!("one person reveals {} secrets a day", rules.reveals_per_day),
        ));
    }
    Ok(version)
}

/// Takes the room and writes the audit row, before any value is in the clear.
fn spend(
    tx: &mut dyn Tx,
    actor: &Actor,
    version: i64,
    subject: Uuid,
    row: Note,
    ids: &mut Ids,
    now: i64,
) -> Result<()> {
    if !guard::take(tx, actor.tenant, LEDGER, version)? {
        return Err(muster_storage::Error::Retry("another reveal was faster".into()).into());
    }
    let id = ids.next();
    let entry = guard::Entry {
        id,
        action_name: LEDGER,
        principal_id: principal(actor),
        device_id: subject,
        action_id: id,
        released_at: now,
    };
    guard::note(tx, actor.tenant, &entry)?;
    let row = row.with("reason", json!(actor.reason.as_deref().unwrap_or("none given")));
    note(tx, actor.tenant, ids, &Who::actor(actor), row, now)
}

impl Service {
    /// Opens a secret of a device for the caller; none where none is kept.
    pub async fn reveal(&self, actor: &Actor, device: Uuid, what: Revealed) -> Result<Option<Secret<String>>> {
        let (tenant, now) = (actor.tenant, self.clock.now());
        let own = entitled(actor, now)?;
        let (asker, ids, defaults) = (actor.clone(), self.ids(now), self.settings.guard);
        let sealed = self
            .store
            .write(tenant, move |tx| {
                let mut ids = ids.clone();
                let rules = ruled(tx, &asker, &defaults, own, now)?;
                let device = visible(tx, tenant, device)?;
                if own && (device.person_id.is_none() || device.person_id != asker.person) {
                    return Err(Error::not_found(format!("there is no managed device {}", device.id)));
                }
                let version = room(tx, &asker, &rules, now)?;
                let Some(secret) = newest(tx, tenant, device.id, what.stored())? else { return Ok(None) };
                let row = Note::new("Reveal secret", "Get", "managedDevice", device.id)
                    .named(&device.name)
                    .with("secret", json!(what.stored()));
                spend(tx, &asker, version, device.id, row, &mut ids, now)?;
                Ok(Some(secret))
            })
            .await?;
        // Only now, with the audit row durable, does the value come into the clear.
        let Some(sealed) = sealed else { return Ok(None) };
        let value = self.open_secret(tenant, &sealed).await?;
        let text =
            String::from_utf8(value.expose().clone()).map_err(|_| Error::internal("a revealed secret is text"))?;
        Ok(Some(Secret::new(text)))
    }

    /// Opens one secret property of a configuration for a caller who may also write it; none where none
    /// is kept.
    pub async fn reveal_of_document(
        &self,
        actor: &Actor,
        document: &Document,
        name: &str,
    ) -> Result<Option<Secret<String>>> {
        let (tenant, now) = (actor.tenant, self.clock.now());
        let body = document.properties()?;
        let Some(name) = kept_secret(&body, name) else { return Ok(None) };
        if entitled(actor, now)? || !allows(&actor.role, actor.scopes.as_deref(), Permission::ConfigurationReadWrite) {
            return Err(Error::forbidden("who may not write a configuration does not see its secrets"));
        }
        let (asker, ids, defaults, id) = (actor.clone(), self.ids(now), self.settings.guard, document.id);
        let title = document.display_name.clone();
        self.store
            .write(tenant, move |tx| {
                let rules = ruled(tx, &asker, &defaults, false, now)?;
                let version = room(tx, &asker, &rules, now)?;
                let row = Note::new("Reveal secret", "Get", "deviceConfiguration", id)
                    .named(&title)
                    .with("secret", json!(name));
                spend(tx, &asker, version, id, row, &mut ids.clone(), now)
            })
            .await?;
        self.document_secret(tenant, document.id, name, &body).await
    }
}
