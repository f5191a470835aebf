//! The organization as Graph shows it.

use muster_storage::tenants;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{Error, Result, Service, people::organization::written};

fn time(ms: i64) -> Value {
    jiff::Timestamp::from_millisecond(ms).map_or(Value::Null, |time| time.to_string().into())
}

/// Lists of the organization that nobody has written yet.
const LISTS: &[&str] = &[
    "marketingNotificationEmails",
    "securityComplianceNotificationMails",
    "securityComplianceNotificationPhones",
    "technicalNotificationMails",
];

impl Service {
    /// Graph's organization.
    pub async fn organization_view(&self, tenant: Uuid) -> Result<Map<String, Value>> {
        let (row, domains, organization) = self
            .store
            .read(tenant, move |tx| {
                let row = tenants::by_id(tx, tenant)?.ok_or_else(|| Error::internal("a caller without a tenant"))?;
                Ok::<_, Error>((row, tenants::domains(tx, tenant)?, tenants::organization(tx, tenant)?))
            })
            .await?;
        let written = match &organization {
            Some(found) => written(&found.settings()?),
            None => Map::new(),
        };
        let authority = organization.map_or_else(|| "unknown".to_owned(), |found| found.mdm_authority);
        let verified: Vec<Value> = domains
            .iter()
            .enumerate()
            .map(|(i, domain)| {
                json!({
                    "name": domain.name,
                    "isDefault": i == 0,
                    "isInitial": i == 0,
                    "type": "Managed",
                    "capabilities": "",
                })
            })
            .collect();
        let view = json!({
            "id": row.id,
            "displayName": row.name,
            "createdDateTime": time(row.created_at),
            "mobileDeviceManagementAuthority": authority,
            "verifiedDomains": verified,
            "tenantType": "AAD",
            "businessPhones": [],
            "assignedPlans": [],
            "provisionedPlans": [],
        });
        let mut view = match view {
            Value::Object(view) => view,
            _ => Map::new(),
        };
        for list in LISTS {
            view.insert((*list).to_owned(), json!([]));
        }
        view.extend(written);
        Ok(view)
    }

    /// Graph's domains.
    pub async fn domain_views(&self, tenant: Uuid) -> Result<Vec<Map<String, Value>>> {
        let domains = self.store.read(tenant, move |tx| Ok::<_, Error>(tenants::domains(tx, tenant)?)).await?;
        let views = domains.iter().enumerate().filter_map(|(i, domain)| {
            let view = json!({
                "id": domain.name,
                "authenticationType": "Managed",
                "availabilityStatus": null,
                "isAdminManaged": true,
                "isDefault": i == 0,
                "isInitial": i == 0,
                "isRoot": true,
                "isVerified": true,
                "supportedServices": [],
                "passwordValidityPeriodInDays": null,
                "passwordNotificationWindowInDays": null,
            });
            match view {
                Value::Object(view) => Some(view),
                _ => None,
            }
        });
        Ok(views.collect())
    }
}
