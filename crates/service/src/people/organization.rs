//! The organization: MDM authority, domains.

use muster_storage::tenants;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::settings;
use crate::{Actor, Error, Kind, Result, Service, audit::Act, operators::check_domain};

/// Graph's word for this server as MDM authority.
pub const MDM_AUTHORITY: &str = "intune";

/// Key of the tenant's settings that holds what a PATCH of the organization wrote.
const SETTINGS_KEY: &str = "organization";

/// What was written on the organization, by Graph's names.
pub(crate) fn written(settings: &Map<String, Value>) -> Map<String, Value> {
    settings.get(SETTINGS_KEY).and_then(Value::as_object).cloned().unwrap_or_default()
}

impl Service {
    /// PATCH of Graph's organization: whom notices go to, where the privacy statement stands. Null
    /// takes a property away.
    pub async fn update_organization(&self, actor: &Actor, properties: Map<String, Value>) -> Result<()> {
        let (tenant, now) = (actor.tenant, self.clock.now());
        let act = Act {
            operation: "Patch",
            activity: "Change the organization",
            category: "Organization",
            component: "organization",
        };
        let mut entry = self.audit_entry(actor, act, now);
        entry.resources.push(crate::audit::subject("organization", tenant, None));
        self.store
            .write(tenant, move |tx| {
                settings::change(tx, tenant, |all| {
                    let mut written = written(all);
                    for (name, value) in &properties {
                        match value {
                            Value::Null => written.remove(name),
                            value => written.insert(name.clone(), value.clone()),
                        };
                    }
                    all.insert(SETTINGS_KEY.to_owned(), Value::Object(written));
                    Ok(())
                })?;
                Ok::<_, Error>(muster_storage::audit::record(tx, tenant, &entry)?)
            })
            .await
    }

    /// Graph's setMobileDeviceManagementAuthority: from now on people may enroll devices here.
    pub async fn set_mdm_authority(&self, actor: &Actor) -> Result<()> {
        let (tenant, now) = (actor.tenant, self.clock.now());
        let act = Act {
            operation: "Action",
            activity: "Set the MDM authority",
            category: "Enrollment",
            component: "organization",
        };
        let entry = self.audit_entry(actor, act, now);
        self.store
            .write(tenant, move |tx| {
                tenants::set_mdm_authority(tx, tenant, MDM_AUTHORITY)?;
                Ok::<_, Error>(muster_storage::audit::record(tx, tenant, &entry)?)
            })
            .await
    }

    /// The tenant's mail domains, the oldest first.
    pub async fn domains(&self, tenant: Uuid) -> Result<Vec<tenants::Domain>> {
        self.store.read(tenant, move |tx| tenants::domains(tx, tenant).map_err(Error::from)).await
    }

    /// Gives another mail domain to the tenant; a domain belongs to one tenant.
    pub async fn add_domain(&self, actor: &Actor, domain: &str) -> Result<()> {
        let domain = domain.trim().to_lowercase();
        check_domain(&domain)?;
        let (tenant, now) = (actor.tenant, self.clock.now());
        let act =
            Act { operation: "Create", activity: "Add a mail domain", category: "Organization", component: "domain" };
        let mut entry = self.audit_entry(actor, act, now);
        entry.resources.push(crate::audit::subject("domain", &domain, Some(&domain)));
        self.store
            .write(tenant, move |tx| {
                if !tenants::add_domain(tx, tenant, &domain, now)? {
                    return Err(Error::refused(
                        Kind::BadRequest,
                        "Request_BadRequest",
                        "this domain already belongs to an organization",
                    ));
                }
                Ok(muster_storage::audit::record(tx, tenant, &entry)?)
            })
            .await
    }
}
