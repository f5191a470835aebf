//! What a tenant lacks before devices can enroll and be reached: for `muster doctor` and the console.

use muster_storage::{Scope, jobs, operators, push_certificates, tenants};
use uuid::Uuid;

use crate::{Result, Service, settings::DAY};

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Nothing to mend.
    pub good: bool,
    /// What was found, and what to do.
    pub text: String,
}

/// A push certificate within this time of its end is reported.
const PUSH_WARNING: i64 = 30 * DAY;

impl Service {
    /// Every tenant of this server.
    pub async fn tenants(&self) -> Result<Vec<tenants::Tenant>> {
        Ok(self.store.read(Scope::Server, tenants::all).await?)
    }

    /// Looks at a tenant.
    pub async fn tenant_findings(&self, tenant: Uuid) -> Result<Vec<Finding>> {
        let now = self.clock.now();
        let (operators, organization, push, poisoned) = self
            .store
            .read(tenant, move |tx| {
                Ok::<_, muster_storage::Error>((
                    operators::all(tx, tenant)?,
                    tenants::organization(tx, tenant)?,
                    push_certificates::by_tenant(tx, tenant)?,
                    jobs::set_aside_list(tx, tenant, 10)?,
                ))
            })
            .await?;
        let finding = |good: bool, text: String| Finding { good, text };
        let approvers = operators.iter().filter(|o| matches!(o.role.as_str(), "owner" | "administrator")).count();
        let authority = organization.is_some_and(|organization| organization.mdm_authority != "unknown");
        let ends = push.and_then(|push| push.topic.and(push.not_after));
        Ok(vec![
            finding(
                !operators.is_empty(),
                format!("{} operators (make one with `muster admin create`)", operators.len()),
            ),
            finding(
                approvers > 1,
                format!("{approvers} people can approve; with one alone destructive requests wait for an hour"),
            ),
            finding(
                authority,
                "the MDM authority is set (setMobileDeviceManagementAuthority); unset refuses enrollment".into(),
            ),
            match ends {
                None => finding(false, "Apple push certificate: none yet; Apple devices cannot enroll".into()),
                Some(ends) if ends < now => finding(false, "Apple push certificate: expired; renew it at Apple".into()),
                Some(ends) => finding(
                    ends - now > PUSH_WARNING,
                    format!(
                        "Apple push certificate: {} days left; renew it with the same Apple Account",
                        (ends - now) / DAY
                    ),
                ),
            },
            finding(poisoned.is_empty(), format!("{} jobs set aside after repeated failures", poisoned.len())),
        ])
    }
}
