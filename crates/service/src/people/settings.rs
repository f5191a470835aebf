//! Small tenant-wide settings: one JSON object in the organization row, one key a subject.

use muster_storage::{Tx, tenants};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{Error, Result};

/// The settings of a tenant.
pub(crate) fn read(tx: &mut dyn Tx, tenant: Uuid) -> Result<Map<String, Value>> {
    let organization =
        tenants::organization(tx, tenant)?.ok_or_else(|| Error::not_found("there is no such organization"))?;
    serde_json::from_str(&organization.settings).map_err(Error::internal)
}

/// Changes the settings of a tenant.
pub(crate) fn change(
    tx: &mut dyn Tx,
    tenant: Uuid,
    edit: impl FnOnce(&mut Map<String, Value>) -> Result<()>,
) -> Result<()> {
    let organization =
        tenants::organization(tx, tenant)?.ok_or_else(|| Error::not_found("there is no such organization"))?;
    let mut settings: Map<String, Value> = serde_json::from_str(&organization.settings).map_err(Error::internal)?;
    edit(&mut settings)?;
    let text = Value::Object(settings).to_string();
    if !tenants::set_settings(tx, tenant, &text, organization.version)? {
        return Err(Error::conflict("the settings changed meanwhile; read them again"));
    }
    Ok(())
}
