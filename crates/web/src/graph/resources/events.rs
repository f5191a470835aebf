//! Audit events and refused enrollments.

use axum::http::StatusCode;
use muster_domain::{
    query::{Compare, Filter, Literal},
    roles::Permission,
};
use muster_service::directory::{EventPage, EventQuery};

use super::{directory::test_of, row};
use crate::{
    graph::{Answer, Call, answer, registry::Resource},
    problem::Problem,
};

pub fn rows() -> Vec<Resource> {
    let events = "deviceManagement/troubleshootingEvents";
    let of = "deviceManagementTroubleshootingEvent";
    vec![
        row!(GET "deviceManagement/auditEvents", Collection "auditEvent", Permission::AuditRead, 0, "Audit events, new ones first", list),
        row!(GET "deviceManagement/auditEvents/{id}", Entity "auditEvent", Permission::AuditRead, 0, "Read an audit event", get),
        row!(GET events, Collection of, Permission::ManagedDevicesRead, 0, "Refused and failed enrollments", troubles),
        row!(GET "users/{id}/deviceManagementTroubleshootingEvents", Collection of, Permission::ManagedDevicesRead, 0, "A user's refused and failed enrollments", troubles_of_user),
    ]
}

/// Events go from new to old; that is the one order there is.
fn query(call: &Call, time: &str) -> Result<EventQuery, Problem> {
    if let Some(order) = call.options.order.first()
        && !(order.property == time && order.descending)
    {
        return Err(Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "NotImplemented",
            format!("$orderby is supported as '{time} desc' only"),
        ));
    }
    let mut query = EventQuery {
        matches: test_of(call),
        after: call.options.after.clone(),
        top: if call.count_only { 1 } else { answer::top(&call.options) },
        skip: call.options.skip,
        count: call.options.count || call.count_only,
        ..EventQuery::default()
    };
    if let Some(filter) = &call.options.filter {
        narrow(filter, time, &mut query);
    }
    Ok(query)
}

/// What the index can do of a filter: its category and its span of time. The rest is tested row by row.
fn narrow(filter: &Filter, time: &str, query: &mut EventQuery) {
    match filter {
        Filter::And(parts) => parts.iter().for_each(|part| narrow(part, time, query)),
        Filter::Compare(property, compare, literal) => match (property.path.as_slice(), compare, literal) {
            ([name], Compare::Ge | Compare::Gt, Literal::Time(at)) if name == time => {
                query.from = Some(query.from.map_or(*at, |known| known.max(*at)));
            }
            ([name], Compare::Le | Compare::Lt, Literal::Time(at)) if name == time => {
                query.until = Some(query.until.map_or(*at, |known| known.min(*at)));
            }
            ([name], Compare::Eq, Literal::Text(category)) if name == "category" => {
                query.category = Some(category.clone());
            }
            _ => {}
        },
        _ => {}
    }
}

fn paged(page: EventPage) -> Answer {
    Answer::page(page.items, page.next, page.count)
}

async fn list(call: Call) -> Result<Answer, Problem> {
    let query = query(&call, "activityDateTime")?;
    Ok(paged(call.app.service.audit_events(call.actor.tenant, query).await?))
}

async fn get(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::entity(call.app.service.audit_event(call.actor.tenant, call.id(0)?).await?))
}

async fn troubles(call: Call) -> Result<Answer, Problem> {
    let query = query(&call, "eventDateTime")?;
    Ok(paged(call.app.service.troubleshooting_events(call.actor.tenant, None, query).await?))
}

async fn troubles_of_user(call: Call) -> Result<Answer, Problem> {
    let query = query(&call, "eventDateTime")?;
    let person = call.app.service.person(call.actor.tenant, call.key(0)).await?;
    Ok(paged(call.app.service.troubleshooting_events(call.actor.tenant, Some(person.id), query).await?))
}
