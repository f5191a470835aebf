//! Mail to every operator about what the guard is asked to do.

use muster_storage::{Tx, devices, operators, people};
use uuid::Uuid;

use crate::{Ids, Result, Service};

/// Mails every operator, through jobs, so that a mail server's outage loses nothing.
pub(crate) fn operators_of(
    tx: &mut dyn Tx,
    ids: &mut Ids,
    tenant: Uuid,
    subject: &str,
    text: &str,
    now: i64,
) -> Result<()> {
    for operator in operators::all(tx, tenant)? {
        person(tx, ids, tenant, operator.person_id, subject, text, now)?;
    }
    Ok(())
}

/// Mails the users of these devices, each once.
pub(super) fn users_of(
    tx: &mut dyn Tx,
    ids: &mut Ids,
    tenant: Uuid,
    subjects: &[Uuid],
    (subject, text): (&str, &str),
    now: i64,
) -> Result<()> {
    let mut told = std::collections::BTreeSet::new();
    for device in subjects {
        let user = devices::by_id(tx, tenant, *device)?.and_then(|device| device.person_id);
        if let Some(user) = user.filter(|user| told.insert(*user)) {
            person(tx, ids, tenant, user, subject, text, now)?;
        }
    }
    Ok(())
}

fn person(tx: &mut dyn Tx, ids: &mut Ids, tenant: Uuid, id: Uuid, subject: &str, text: &str, now: i64) -> Result<()> {
    let Some(person) = people::by_id(tx, tenant, id)?.filter(|person| person.account_enabled) else { return Ok(()) };
    let to = person.mail.unwrap_or(person.user_principal_name);
    crate::actions::mail(tx, ids, tenant, &to, subject, text, now)
}

impl Service {
    /// Mails every operator in a transaction of its own.
    pub(super) async fn tell_operators(&self, tenant: Uuid, subject: &str, text: &str) -> Result<()> {
        let now = self.clock.now();
        let (ids, subject, text) = (self.ids(now), subject.to_owned(), text.to_owned());
        self.store.write(tenant, move |tx| operators_of(tx, &mut ids.clone(), tenant, &subject, &text, now)).await
    }
}
