//! Assignment filters at work: which devices pass one, what uses it, and whom it would let through.

use std::collections::{BTreeMap, BTreeSet};

use muster_domain::rules::{self, Facts, Rule};
use muster_storage::{
    self as storage, Tx,
    assignments::{self, Assignment},
    devices::{self, Device},
    documents::{self, Document},
    facts as known,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ReadRules, facts};
use crate::{Error, Result, Service};

/// The collection that filters are documents of.
pub const FILTERS: &str = "assignmentFilters";
/// Devices that a transaction of a preview looks at.
const CHUNK: i64 = 250;
/// Most rows of one answer of a preview.
pub const MOST_ROWS: usize = 1000;

/// What Graph calls everybody where a group's id is expected.
const ALL_USERS: &str = "acacacac-9df4-4c7d-9d50-4ef0226f57a9";
const ALL_DEVICES: &str = "adadadad-808e-44e2-905a-0b7873a8a531";

/// The platform a device's filters are for, by Graph's `devicePlatformType`.
pub fn platform_of(device: &str) -> Option<&'static str> {
    muster_domain::catalogue::Platform::of(device).map(muster_domain::catalogue::Platform::name)
}

/// What filters see of a device, with the one fact that is no column.
pub(crate) fn seen(tx: &mut dyn Tx, tenant: Uuid, device: &Device) -> storage::Result<Facts> {
    let silicon = match device.operating_system == "macOS" {
        true => known::value(tx, tenant, device.id, known::APPLE_SILICON)?,
        false => None,
    };
    Ok(facts::of_filter(device, silicon.map(|value| value == "true")))
}

/// What these filters say of a device. One that is not there, cannot be read, or is for another platform
/// says nothing.
pub(crate) fn passed(
    tx: &mut dyn Tx,
    tenant: Uuid,
    read: &ReadRules,
    device: Uuid,
    filters: &BTreeSet<Uuid>,
) -> storage::Result<BTreeMap<Uuid, bool>> {
    let mut passed = BTreeMap::new();
    if filters.is_empty() {
        return Ok(passed);
    }
    let Some(device) = devices::by_id(tx, tenant, device)? else { return Ok(passed) };
    let facts = seen(tx, tenant, &device)?;
    for id in filters {
        let Some(document) = documents::by_id(tx, tenant, FILTERS, *id)? else { continue };
        let properties = document.properties()?;
        let text = |name: &str| properties.get(name).and_then(Value::as_str).unwrap_or_default();
        if platform_of(&device.platform) != Some(text("platform")) {
            continue;
        }
        if let Some(rule) = read.filter(text("platform"), text("rule")) {
            passed.insert(*id, rule.matches(&facts));
        }
    }
    Ok(passed)
}

/// Graph's payloadByFilter of an assignment that stands on a filter.
fn payload(assignment: &Assignment) -> Value {
    let everybody = if assignment.target == "allUsers" { ALL_USERS } else { ALL_DEVICES };
    json!({
        "payloadId": assignment.document_id,
        "payloadType": "deviceConfigurationAndCompliance",
        "groupId": assignment.group_id.map_or_else(|| everybody.to_owned(), |group| group.to_string()),
        "assignmentFilterType": assignment.filter_mode,
    })
}

/// A device that a preview found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The managed device's id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Model.
    pub model: Option<String>,
    /// OS version.
    pub os_version: Option<String>,
    /// The primary user's name.
    pub user_principal_name: Option<String>,
}

/// What a preview is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// Graph's `devicePlatformType`.
    pub platform: String,
    /// The rule, not yet stored anywhere.
    pub rule: String,
    /// Only devices with this in their name.
    pub search: Option<String>,
    /// Rows to leave out.
    pub skip: usize,
    /// Rows wanted.
    pub top: usize,
}

/// Reads a filter's rule for whoever wrote it.
pub fn read(rule: &str, platform: &str) -> Result<Rule> {
    rules::filter(rule, platform).map_err(|error| Error::bad_request(format!("rule: {error}")))
}

impl Service {
    /// What uses each filter of the tenant, as Graph's payloadByFilter.
    pub async fn filter_payloads(&self, tenant: Uuid) -> Result<BTreeMap<Uuid, Vec<Value>>> {
        let standing =
            self.store.read(tenant, move |tx| Ok::<_, Error>(assignments::with_filters(tx, tenant)?)).await?;
        let mut payloads: BTreeMap<Uuid, Vec<Value>> = BTreeMap::new();
        for assignment in &standing {
            if let Some(filter) = assignment.filter_id {
                payloads.entry(filter).or_default().push(payload(assignment));
            }
        }
        Ok(payloads)
    }

    /// The devices that a rule would let through: how many, and those of them that were asked for.
    pub async fn preview_filter(&self, tenant: Uuid, preview: Preview) -> Result<(usize, Vec<Found>)> {
        let rule = read(&preview.rule, &preview.platform)?;
        let search = preview.search.map(|text| text.to_lowercase());
        let (mut count, mut found, mut after) = (0, Vec::new(), None);
        loop {
            let page = self
                .store
                .read(tenant, move |tx| -> Result<_> {
                    let page = devices::page_by_directory_id(tx, tenant, after, CHUNK)?;
                    page.into_iter().map(|device| Ok((seen(tx, tenant, &device)?, device))).collect::<Result<Vec<_>>>()
                })
                .await?;
            for (facts, device) in &page {
                let wanted = platform_of(&device.platform) == Some(preview.platform.as_str())
                    && search.as_ref().is_none_or(|text| device.name.to_lowercase().contains(text.as_str()))
                    && rule.matches(facts);
                if wanted {
                    count += 1;
                    if count > preview.skip && found.len() < preview.top.min(MOST_ROWS) {
                        found.push(Found {
                            id: device.id,
                            name: device.name.clone(),
                            model: device.model.clone(),
                            os_version: device.os_version.clone(),
                            user_principal_name: device.user_principal_name.clone(),
                        });
                    }
                }
            }
            after = page.last().map(|(_, device)| device.directory_id);
            if (page.len() as i64) < CHUNK {
                return Ok((count, found));
            }
        }
    }
}

/// Refuses to take away a filter that an assignment stands on.
pub(crate) fn must_be_unused(tx: &mut dyn Tx, tenant: Uuid, filter: &Document) -> Result<()> {
    let uses = assignments::of_filter(tx, tenant, filter.id)?;
    let Some(first) = uses.first() else { return Ok(()) };
    let name = documents::by_id(tx, tenant, &first.kind, first.document_id)?
        .map_or_else(|| first.document_id.to_string(), |document| document.display_name);
    Err(Error::conflict(format!(
        "this filter is in use by {} assignments, one of them of '{name}'; take it off them first",
        uses.len()
    )))
}
