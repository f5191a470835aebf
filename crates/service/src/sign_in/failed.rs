//! Sign-ins that failed, in the audit log of the organisation whose name was typed: by account where
//! there is one, never with what was typed. So that nobody can fill the log by guessing, only so many
//! an hour are written one by one; the next one says that there are more.

use muster_storage::{
    Tx, audit,
    credentials::{self, Attempts},
    people::Person,
};
use uuid::Uuid;

use crate::{
    Error, PrincipalKind, RequestContext, Result, Service,
    audit::{Act, kind_word, subject},
};

/// Failures of a tenant that are written one by one in any hour.
const LISTED: i64 = 100;
const HOUR: i64 = 3_600_000;

const FAILED: Act = Act { operation: "SignIn", activity: "Failed sign-in", category: "User", component: "session" };
const MORE: &str = "Further failed sign-ins of this hour are not listed";

/// Why, as the audit row says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The name is not known, or the password is not right.
    Password,
    /// The code of the second factor is not right.
    Code,
    /// The account is turned off.
    Disabled,
    /// An account without a role at the console.
    NoRole,
}

impl Why {
    fn word(self) -> &'static str {
        match self {
            Why::Password => "password",
            Why::Code => "secondFactor",
            Why::Disabled => "accountDisabled",
            Why::NoRole => "notAnOperator",
        }
    }
}

/// Counts a failure of this hour; answers the how manyth it is.
fn count(tx: &mut dyn Tx, tenant: Uuid, now: i64) -> muster_storage::Result<i64> {
    let scope = format!("failed:{tenant}");
    let before = credentials::attempts(tx, Uuid::nil(), &scope)?.filter(|hour| now - hour.updated_at < HOUR);
    let began = before.map_or(now, |hour| hour.updated_at);
    let failures = before.map_or(0, |hour| hour.failures) + 1;
    credentials::set_attempts(tx, Uuid::nil(), &scope, Attempts { failures, not_before: 0, updated_at: began })?;
    Ok(failures)
}

impl Service {
    /// Notes a failed sign-in in the tenant's audit log; `person` where the name is somebody's.
    pub(super) async fn note_failed_sign_in(
        &self,
        context: &RequestContext,
        tenant: Uuid,
        person: Option<&Person>,
        why: Why,
    ) -> Result<()> {
        if tenant.is_nil() {
            // Nobody's domain: there is no log it belongs to.
            return Ok(());
        }
        let now = self.clock.now();
        let nth = self.store.write(Uuid::nil(), move |tx| count(tx, tenant, now).map_err(Error::from)).await?;
        if nth > LISTED + 1 {
            return Ok(());
        }
        let mut resource = match person {
            Some(person) => subject("user", person.id, Some(&person.user_principal_name)),
            None => subject("user", Uuid::nil(), Some("no such user")),
        };
        resource.modified.push(("reason".into(), None, Some(why.word().into())));
        let mut entry = audit::Entry {
            success: false,
            actor_kind: kind_word(PrincipalKind::Person).into(),
            actor_id: person.map(|person| person.id),
            actor_name: person.map(|person| person.user_principal_name.clone()),
            actor_address: context.address.map(|address| address.to_string()),
            correlation: Some(context.correlation),
            resources: vec![resource],
            ..self.audit_entry_by_system(FAILED, now)
        };
        if nth == LISTED + 1 {
            entry = audit::Entry { success: false, activity: MORE.into(), ..self.audit_entry_by_system(FAILED, now) };
        }
        self.store.write(tenant, move |tx| audit::record(tx, tenant, &entry).map_err(Error::from)).await
    }
}
