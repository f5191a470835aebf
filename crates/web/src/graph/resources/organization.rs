//! The organization, its domains and its one licence.

use muster_domain::roles::Permission;
use serde_json::{Value, json};

use super::{directory::warned, row};
use crate::{
    graph::{Answer, Call, bad, body, registry::Resource},
    problem::Problem,
    routes::KIB,
};

use Permission::{DomainRead, DomainReadWrite, OrganizationRead, OrganizationReadWrite};

/// What Graph lets a PATCH change.
const CHANGEABLE: &[&str] = &[
    "marketingNotificationEmails",
    "privacyProfile",
    "securityComplianceNotificationMails",
    "securityComplianceNotificationPhones",
    "technicalNotificationMails",
];

pub fn rows() -> Vec<Resource> {
    vec![
        row!(GET "organization", Collection "organization", OrganizationRead, 0, "The organization", list),
        row!(GET "organization/{id}", Entity "organization", OrganizationRead, 0, "The organization", get),
        row!(PATCH "organization/{id}", Entity "organization", OrganizationReadWrite, 64 * KIB, "Change whom notices go to", patch),
        row!(POST "organization/{id}/setMobileDeviceManagementAuthority", Operation "organization", OrganizationReadWrite, KIB, "Manage devices here", set_authority),
        row!(GET "domains", Collection "domain", DomainRead, 0, "Mail domains", domains),
        row!(POST "domains", Collection "domain", DomainReadWrite, KIB, "Add a mail domain", add_domain),
        row!(GET "domains/{id}", Entity "domain", DomainRead, 0, "Read a mail domain", domain),
        row!(GET "subscribedSkus", Collection "subscribedSku", OrganizationRead, 0, "The licence and its seats", skus),
        row!(GET "subscribedSkus/{id}", Entity "subscribedSku", OrganizationRead, 0, "The licence and its seats", sku),
    ]
}

async fn list(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::whole(vec![call.app.service.organization_view(call.actor.tenant).await?]))
}

/// Only the caller's own organization is there.
fn own(call: &Call) -> Result<(), Problem> {
    if call.id(0)? == call.actor.tenant { Ok(()) } else { Err(call.unknown(call.key(0))) }
}

async fn get(call: Call) -> Result<Answer, Problem> {
    own(&call)?;
    Ok(Answer::entity(call.app.service.organization_view(call.actor.tenant).await?))
}

async fn patch(call: Call) -> Result<Answer, Problem> {
    own(&call)?;
    let mut sent = body::entity("organization", call.body()?, body::Purpose::Patch, true)?;
    let read_only: Vec<String> =
        sent.properties.keys().filter(|name| !CHANGEABLE.contains(&name.as_str())).cloned().collect();
    sent.properties.retain(|name, _| CHANGEABLE.contains(&name.as_str()));
    if !sent.properties.is_empty() {
        call.app.service.update_organization(&call.actor, sent.properties).await?;
    }
    sent.ignored.extend(read_only);
    Ok(warned(Answer::none(), &sent.ignored))
}

async fn set_authority(call: Call) -> Result<Answer, Problem> {
    own(&call)?;
    call.app.service.set_mdm_authority(&call.actor).await?;
    // Graph answers the number of the authority that was set: 1 is this kind.
    Ok(Answer::value(json!(1)))
}

async fn domains(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::whole(call.app.service.domain_views(call.actor.tenant).await?))
}

async fn domain(call: Call) -> Result<Answer, Problem> {
    let all = call.app.service.domain_views(call.actor.tenant).await?;
    let name = call.key(0).to_lowercase();
    let found = all.into_iter().find(|domain| domain.get("id").and_then(Value::as_str) == Some(name.as_str()));
    found.map(Answer::entity).ok_or_else(|| call.unknown(call.key(0)))
}

async fn add_domain(call: Call) -> Result<Answer, Problem> {
    let name = call.body()?.get("id").and_then(Value::as_str).ok_or_else(|| bad("id is needed, the domain's name"))?;
    call.app.service.add_domain(&call.actor, name).await?;
    let name = name.trim().to_lowercase();
    let all = call.app.service.domain_views(call.actor.tenant).await?;
    let found = all.into_iter().find(|domain| domain.get("id").and_then(Value::as_str) == Some(name.as_str()));
    found.map(Answer::created).ok_or_else(|| call.unknown(&name))
}

async fn skus(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::whole(vec![call.app.service.subscribed_sku(call.actor.tenant).await?]))
}

async fn sku(call: Call) -> Result<Answer, Problem> {
    let sku = call.app.service.subscribed_sku(call.actor.tenant).await?;
    match sku.get("id").and_then(Value::as_str) == Some(call.key(0)) {
        true => Ok(Answer::entity(sku)),
        false => Err(call.unknown(call.key(0))),
    }
}
