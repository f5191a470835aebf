//! Lists and single reads of devices.

use muster_domain::query::{After, Compare, Filter, Literal, Order, Property, TextTest};
use muster_storage::{
    device_list::{self, Condition, Page, Surface, Unsupported},
    devices,
    devices::Device,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::view::{device_view, directory_view, results_of, users_of};
use crate::{Error, Result, Service};

/// What a list is asked for.
#[derive(Clone, Debug, Default)]
pub struct DeviceQuery {
    /// `$filter`
    pub filter: Option<Filter>,
    /// `$search`: property, if named, and text of each term.
    pub search: Vec<(Option<String>, String)>,
    /// `$orderby`
    pub order: Option<Order>,
    /// Where the last page ended.
    pub after: Option<After>,
    /// `$skip`
    pub skip: usize,
    /// Items of a page.
    pub top: usize,
    /// The number of all is wanted.
    pub count: bool,
    /// Only the number is wanted.
    pub count_only: bool,
    /// Results of actions are wanted on each item.
    pub results: bool,
    /// Only devices of this person.
    pub person: Option<Uuid>,
}

/// A page of a list.
#[derive(Clone, Debug, Default)]
pub struct DevicePage {
    /// Graph's entities.
    pub items: Vec<Map<String, Value>>,
    /// Where it ended, if there is more.
    pub next: Option<After>,
    /// The number of all, if asked for.
    pub count: Option<i64>,
}

fn refusal(unsupported: Unsupported) -> Error {
    match unsupported {
        Unsupported::Property(_) => Error::not_implemented(format!("$filter and $orderby: {unsupported}")),
        Unsupported::Test(_) => Error::bad_request(format!("$filter: {unsupported}")),
    }
}

fn property(name: &str) -> Property {
    Property { cast: None, path: vec![name.to_owned()], lower: false }
}

impl DeviceQuery {
    /// Everything that narrows the list, as one condition.
    fn condition(&self, surface: Surface) -> Result<Option<Condition>> {
        let mut all: Vec<Filter> = self.filter.iter().cloned().collect();
        let searched: &[&str] = match surface {
            Surface::Managed => &["deviceName", "serialNumber", "userPrincipalName"],
            Surface::Directory => &["displayName"],
        };
        for (named, text) in &self.search {
            let contains = |name: &str| Filter::Text(property(name), TextTest::Contains, text.clone());
            all.push(match named {
                Some(named) => contains(named),
                None => Filter::Or(searched.iter().map(|name| contains(name)).collect()),
            });
        }
        if let Some(person) = self.person {
            all.push(Filter::Compare(property("userId"), Compare::Eq, Literal::Text(person.to_string())));
        }
        match all.len() {
            0 => Ok(None),
            _ => device_list::condition(surface, &Filter::And(all)).map(Some).map_err(refusal),
        }
    }
}

impl Service {
    /// A page of managed devices.
    pub async fn managed_devices(&self, tenant: Uuid, query: DeviceQuery) -> Result<DevicePage> {
        let results = query.results;
        let (rows, next, count) = self.device_rows(tenant, Surface::Managed, query).await?;
        let items = self
            .store
            .read(tenant, move |tx| -> Result<_> {
                let users = users_of(tx, tenant, &rows)?;
                let mut items = Vec::with_capacity(rows.len());
                for row in &rows {
                    let found = if results { results_of(tx, tenant, row.id)? } else { Vec::new() };
                    items.push(device_view(row, row.person_id.and_then(|id| users.get(&id)), found));
                }
                Ok(items)
            })
            .await?;
        Ok(DevicePage { items, next, count })
    }

    /// A page of the directory's devices.
    pub async fn directory_devices(&self, tenant: Uuid, query: DeviceQuery) -> Result<DevicePage> {
        let (rows, next, count) = self.device_rows(tenant, Surface::Directory, query).await?;
        Ok(DevicePage { items: rows.iter().map(directory_view).collect(), next, count })
    }

    async fn device_rows(
        &self,
        tenant: Uuid,
        surface: Surface,
        query: DeviceQuery,
    ) -> Result<(Vec<Device>, Option<After>, Option<i64>)> {
        let condition = query.condition(surface)?;
        if let Some(order) = &query.order {
            device_list::sortable(surface, order).map_err(refusal)?;
        }
        let top = query.top.max(1);
        let page = Page {
            surface,
            condition,
            order: query.order.clone(),
            after: query.after,
            skip: query.skip as i64,
            limit: top as i64 + 1,
        };
        let (count, count_only) = (query.count || query.count_only, query.count_only);
        let (mut rows, count) = self
            .store
            .read(tenant, move |tx| -> Result<_> {
                let count = match count {
                    true => Some(device_list::count(tx, tenant, page.condition.as_ref())?),
                    false => None,
                };
                let rows = if count_only { Vec::new() } else { device_list::page(tx, tenant, &page)? };
                Ok((rows, count))
            })
            .await?;
        let more = rows.len() > top;
        rows.truncate(top);
        let next = rows.last().filter(|_| more).map(|last| After {
            key: query.order.as_ref().map_or(Value::Null, |order| device_list::key(surface, last, order)),
            id: last.id,
        });
        Ok((rows, next, count))
    }

    /// One managed device with the results of its actions.
    pub async fn managed_device(&self, tenant: Uuid, id: Uuid) -> Result<(Map<String, Value>, i64)> {
        self.store
            .read(tenant, move |tx| {
                let device = listed(devices::by_id(tx, tenant, id)?).ok_or_else(|| unknown(id))?;
                let users = users_of(tx, tenant, std::slice::from_ref(&device))?;
                let results = results_of(tx, tenant, id)?;
                let user = device.person_id.and_then(|id| users.get(&id));
                Ok((device_view(&device, user, results), device.version))
            })
            .await
    }

    /// One device of the directory.
    pub async fn directory_device(&self, tenant: Uuid, id: Uuid) -> Result<Map<String, Value>> {
        self.store
            .read(tenant, move |tx| {
                let device = listed(devices::by_directory_id(tx, tenant, id)?)
                    .ok_or_else(|| Error::not_found(format!("there is no device with the id {id}")))?;
                Ok(directory_view(&device))
            })
            .await
    }

    /// Counts by operating system (Graph's managedDeviceOverview).
    pub async fn device_overview(&self, tenant: Uuid) -> Result<Map<String, Value>> {
        let counts = self
            .store
            .read(tenant, move |tx| -> Result<_> { Ok(device_list::by_operating_system(tx, tenant)?) })
            .await?;
        let of = |names: &[&str]| -> i64 {
            counts.iter().filter(|(name, _)| names.contains(&name.as_str())).map(|(_, count)| count).sum()
        };
        let all: i64 = counts.iter().map(|(_, count)| count).sum();
        let known = of(&["iOS", "iPadOS", "macOS"]);
        let view = json!({
            "id": tenant,
            "enrolledDeviceCount": all,
            "mdmEnrolledCount": all,
            "dualEnrolledDeviceCount": 0,
            "deviceOperatingSystemSummary": {
                "androidCount": 0,
                "iosCount": of(&["iOS", "iPadOS"]),
                "macOSCount": of(&["macOS"]),
                "windowsMobileCount": 0,
                "windowsCount": 0,
                "unknownCount": all - known,
            },
            "deviceExchangeAccessStateSummary": {
                "allowedDeviceCount": 0,
                "blockedDeviceCount": 0,
                "quarantinedDeviceCount": 0,
                "unknownDeviceCount": 0,
                "unavailableDeviceCount": all,
            },
        });
        match view {
            Value::Object(view) => Ok(view),
            _ => Ok(Map::new()),
        }
    }
}

/// Only what a list would show: an enrolled device, or one on its way out.
pub(super) fn listed(device: Option<Device>) -> Option<Device> {
    device.filter(|device| device.state == "enrolled" || device.state == "leaving")
}

pub(super) fn unknown(id: Uuid) -> Error {
    Error::not_found(format!("there is no managedDevice with the id {id}"))
}
