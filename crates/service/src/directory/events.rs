//! Audit events and refused enrollments as Graph shows them, from new to old.

use muster_domain::query::After;
use muster_storage::{
    audit::{self, Recorded},
    enrollment_failures::{self, EnrollmentFailure},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Matches;
use crate::{Error, Result, Service};

/// What a list of events is asked for; it goes from new to old.
#[derive(Clone, Default)]
pub struct EventQuery {
    /// Only this category.
    pub category: Option<String>,
    /// Not before, unix ms.
    pub from: Option<i64>,
    /// Not after, unix ms.
    pub until: Option<i64>,
    /// Only events that pass.
    pub matches: Option<Matches>,
    /// Where the last page ended: time and id.
    pub after: Option<After>,
    /// Events of a page.
    pub top: usize,
    /// Events to leave out first.
    pub skip: usize,
    /// The number of all is wanted.
    pub count: bool,
}

/// A page of events.
#[derive(Clone, Debug, Default)]
pub struct EventPage {
    /// Graph's entities.
    pub items: Vec<Map<String, Value>>,
    /// Where it ended, if there is more.
    pub next: Option<After>,
    /// The number of all, if asked for.
    pub count: Option<i64>,
}

const CHUNK: i64 = 500;

fn time(ms: i64) -> Value {
    jiff::Timestamp::from_millisecond(ms).map_or(Value::Null, |time| time.to_string().into())
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn audit_view(event: &Recorded) -> Map<String, Value> {
    let personal = |name: &str| event.personal.get(name).cloned().unwrap_or(Value::Null);
    let names = personal("names");
    let values = personal("values");
    let resources: Vec<Value> = event
        .resources
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(i, resource)| {
            let modified: Vec<Value> = resource["modified"]
                .as_array()
                .into_iter()
                .flatten()
                .enumerate()
                .map(|(j, name)| {
                    let pair = &values[i][j];
                    json!({"displayName": name, "oldValue": pair[0], "newValue": pair[1]})
                })
                .collect();
            json!({
                "auditResourceType": resource["type"],
                "type": resource["type"],
                "resourceId": resource["resourceId"],
                "displayName": names[i],
                "modifiedProperties": modified,
            })
        })
        .collect();
    let application = event.actor_kind == "application";
    let kind = if application { "Application" } else { "ItPro" };
    object(json!({
        "id": event.id,
        "displayName": event.activity,
        "activity": event.activity,
        "activityType": event.activity_type,
        "activityDateTime": time(event.at),
        "activityOperationType": event.operation,
        "activityResult": event.result,
        "category": event.category,
        "componentName": event.component,
        "correlationId": event.correlation.unwrap_or_default(),
        "actor": {
            "type": kind,
            "auditActorType": kind,
            "userId": (!application).then_some(event.actor_id),
            "applicationId": application.then_some(event.actor_id),
            "applicationDisplayName": if application { personal("actorName") } else { Value::Null },
            "userPrincipalName": if application { Value::Null } else { personal("actorName") },
            "servicePrincipalName": null,
            "ipAddress": personal("actorAddress"),
            "userPermissions": [],
        },
        "resources": resources,
    }))
}

fn failure_view(failure: &EnrollmentFailure) -> Map<String, Value> {
    object(json!({
        "@odata.type": "#microsoft.graph.enrollmentTroubleshootingEvent",
        "id": failure.id,
        "eventDateTime": time(failure.at),
        "eventName": "Enrollment failed",
        "correlationId": failure.correlation_id,
        "managedDeviceIdentifier": null,
        "operatingSystem": failure.platform,
        "osVersion": failure.os_version,
        "userId": failure.person_id,
        "deviceId": null,
        "enrollmentType": "unknown",
        "failureCategory": failure.category,
        "failureReason": failure.reason,
        "troubleshootingErrorDetails": null,
        "additionalInformation": [],
    }))
}

impl Service {
    /// A page of audit events.
    pub async fn audit_events(&self, tenant: Uuid, query: EventQuery) -> Result<EventPage> {
        let read = |behind: Option<(i64, Uuid)>| {
            let (category, from, until) = (query.category.clone(), query.from, query.until);
            self.store.read(tenant, move |tx| {
                let page = audit::Page { category: category.as_deref(), from, until, behind, limit: CHUNK };
                let rows = audit::list(tx, tenant, &page)?;
                Ok::<_, Error>(rows.iter().map(|row| ((row.at, row.id), audit_view(row))).collect::<Vec<_>>())
            })
        };
        collect(&query, read).await
    }

    /// One audit event.
    pub async fn audit_event(&self, tenant: Uuid, id: Uuid) -> Result<Map<String, Value>> {
        let found = self.store.read(tenant, move |tx| Ok::<_, Error>(audit::by_id(tx, tenant, id)?)).await?;
        let found = found.ok_or_else(|| Error::not_found(format!("there is no auditEvent with the id {id}")))?;
        Ok(audit_view(&found))
    }

    /// A page of refused enrollments, of one person where one is named.
    pub async fn troubleshooting_events(
        &self,
        tenant: Uuid,
        person: Option<Uuid>,
        query: EventQuery,
    ) -> Result<EventPage> {
        let read = |behind: Option<(i64, Uuid)>| {
            let before = behind.map(|(_, id)| id);
            self.store.read(tenant, move |tx| {
                let rows = enrollment_failures::page(tx, tenant, before, CHUNK)?;
                Ok::<_, Error>(rows.iter().map(|row| ((row.at, row.id), failure_view(row))).collect::<Vec<_>>())
            })
        };
        let person = person.map(|person| person.to_string());
        let inner = query.matches.clone();
        let matches: Matches = std::sync::Arc::new(move |value| {
            let own = person.as_ref().is_none_or(|person| value["userId"] == person.as_str());
            own && inner.as_ref().is_none_or(|inner| inner(value))
        });
        let query = EventQuery { matches: Some(matches), ..query.clone() };
        collect(&query, read).await
    }
}

type Placed = ((i64, Uuid), Map<String, Value>);

/// Walks from new to old until a page is full; counts to the end where the number is wanted.
async fn collect<F>(query: &EventQuery, read: impl Fn(Option<(i64, Uuid)>) -> F) -> Result<EventPage>
where
    F: Future<Output = Result<Vec<Placed>>>,
{
    let matches =
        |view: &Map<String, Value>| query.matches.as_ref().is_none_or(|matches| matches(&Value::Object(view.clone())));
    let top = query.top.max(1);
    let mut page = EventPage::default();
    let (mut skip, mut last) = (query.skip, None);
    let mut at = query.after.as_ref().map(|after| (after.key.as_i64().unwrap_or(i64::MAX), after.id));
    'pages: loop {
        let chunk = read(at).await?;
        let whole = chunk.len() as i64 == CHUNK;
        for (place, view) in chunk {
            at = Some(place);
            if !matches(&view) {
                continue;
            }
            if skip > 0 {
                skip -= 1;
                continue;
            }
            if page.items.len() == top {
                page.next = last.map(|(at, id): (i64, Uuid)| After { key: at.into(), id });
                break 'pages;
            }
            page.items.push(view);
            last = Some(place);
        }
        if !whole {
            break;
        }
    }
    if query.count {
        let (mut count, mut at) = (0, None);
        loop {
            let chunk = read(at).await?;
            let whole = chunk.len() as i64 == CHUNK;
            at = chunk.last().map(|(place, _)| *place);
            count += chunk.iter().filter(|(_, view)| matches(view)).count() as i64;
            if !whole {
                break;
            }
        }
        page.count = Some(count);
    }
    Ok(page)
}
