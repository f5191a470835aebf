//! Recovery keys and PINs for entitled eyes (threats G5): own right, a fresh second factor, a daily
//! limit, and the audit row written before the value exists in the clear.

use muster_domain::{
    guard::{DAY, Refusal},
    roles::{Permission, allows},
};
use muster_pki::Secret;
use muster_storage::guard;
use serde_json::json;
use uuid::Uuid;

use super::{
    escrow::{FILE_VAULT_KEY, LOCK_PIN, WIPE_PIN, newest},
    request::{reason_needed, visible},
};
use crate::{
    Actor, Error, Kind, PrincipalKind, Result, Service,
    guard::{FRESH, Note, Who, is_api_token, note, principal, refused, rules_of},
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

impl Service {
    /// Opens a secret of a device for the caller; none where none is kept.
    pub async fn reveal(&self, actor: &Actor, device: Uuid, what: Revealed) -> Result<Option<Secret<String>>> {
        let (tenant, now) = (actor.tenant, self.clock.now());
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
        let (asker, ids, defaults) = (actor.clone(), self.ids(now), self.settings.guard);
        let sealed = self
            .store
            .write(tenant, move |tx| {
                let mut ids = ids.clone();
                let rules = rules_of(tx, tenant, &defaults)?;
                if rules.require_reason && asker.reason.is_none() && !own {
                    return Err(reason_needed());
                }
                let device = visible(tx, tenant, device)?;
                if own && (device.person_id.is_none() || device.person_id != asker.person) {
                    return Err(Error::not_found(format!("there is no managed device {}", device.id)));
                }
                if rules_cooling(tx, &asker, &rules, now)? {
                    return Err(refused(Refusal::CoolingPeriod));
                }
                // One conditional update, so that parallel reveals count each other.
                let version = guard::budget(tx, tenant, LEDGER)?;
                let today = guard::since(tx, tenant, LEDGER, now.saturating_sub(DAY))?;
                let mine = today.iter().filter(|(_, who)| *who == principal(&asker)).count();
                if i64::try_from(mine).unwrap_or(i64::MAX) >= rules.reveals_per_day {
                    return Err(Error::refused(
                        Kind::TooManyRequests,
                        "revealLimit",
                        format!("one person reveals {} secrets a day", rules.reveals_per_day),
                    ));
                }
                let Some(secret) = newest(tx, tenant, device.id, what.stored())? else { return Ok(None) };
                if !guard::take(tx, tenant, LEDGER, version)? {
                    return Err(muster_storage::Error::Retry("another reveal was faster".into()).into());
                }
                let id = ids.next();
                let entry = guard::Entry {
                    id,
                    action_name: LEDGER,
                    principal_id: principal(&asker),
                    device_id: device.id,
                    action_id: id,
                    released_at: now,
                };
                guard::note(tx, tenant, &entry)?;
                let row = Note::new("Reveal secret", "Get", "managedDevice", device.id)
                    .named(&device.name)
                    .with("secret", json!(what.stored()))
                    .with("reason", json!(asker.reason.as_deref().unwrap_or("none given")));
                note(tx, tenant, &mut ids, &Who::actor(&asker), row, now)?;
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
}

fn rules_cooling(
    tx: &mut dyn muster_storage::Tx,
    actor: &Actor,
    rules: &muster_domain::guard::Settings,
    now: i64,
) -> Result<bool> {
    match actor.kind {
        PrincipalKind::Person => Ok(false),
        _ => Ok(crate::guard::party(tx, actor)?.cooling(rules, now)),
    }
}
