//! Which Managed Apple Account belongs to a person.

use muster_storage::{Tx, people::Person};
use serde_json::Value;
use uuid::Uuid;

use super::settings;
use crate::Result;

/// The Managed Apple Account of a person: their own, or by the tenant's rule (`managedAppleAccount`:
/// `userPrincipalName` by default, `mail`, or the name before the @ in a given `domain`).
pub(crate) fn managed_apple_account(tx: &mut dyn Tx, tenant: Uuid, person: &Person) -> Result<String> {
    if let Some(own) = &person.managed_apple_account {
        return Ok(own.clone());
    }
    let settings = settings::read(tx, tenant)?;
    let rule = settings.get("managedAppleAccount");
    let word = rule.and_then(|rule| rule.get("rule")).and_then(Value::as_str).unwrap_or("userPrincipalName");
    let domain = rule.and_then(|rule| rule.get("domain")).and_then(Value::as_str);
    let local = person.user_principal_name.split('@').next().unwrap_or_default();
    Ok(match (word, domain, &person.mail) {
        ("mail", _, Some(mail)) => mail.clone(),
        ("domain", Some(domain), _) => format!("{local}@{domain}"),
        _ => person.user_principal_name.clone(),
    })
}
