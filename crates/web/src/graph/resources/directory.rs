//! Users, groups, members, the caller, objects by id.

use std::sync::Arc;

use axum::http::StatusCode;
use muster_domain::{
    query::{self, Compare, Filter, Literal},
    roles::Permission,
};
use muster_service::{
    Actor,
    directory::{Matches, MemberKind, NamePage, NameQuery},
    people::{group_view, user_view},
    rules::Asked,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::row;
use crate::{
    graph::{Answer, Call, answer, bad, body, registry::Resource, types::table},
    problem::Problem,
    routes::KIB,
};

use Permission::{DeviceRead, GroupMemberReadWrite, GroupRead, GroupReadWrite, UserRead, UserReadWrite};

pub fn rows() -> Vec<Resource> {
    let mut rows = vec![
        row!(GET "users", Collection "user", UserRead, 0, "List users", users),
        row!(POST "users", Collection "user", UserReadWrite, 64 * KIB, "Create a user", create_user),
        row!(GET "users/{id}", Entity "user", UserRead, 0, "Read a user by id or user principal name", user),
        row!(PATCH "users/{id}", Entity "user", UserReadWrite, 64 * KIB, "Change a user", patch_user),
        row!(DELETE "users/{id}", Entity "user", UserReadWrite, 0, "Delete a user, restorable for 30 days", delete_user),
        row!(POST "users/{id}/assignLicense", Operation "user", Permission::LicenseAssignmentReadWrite, 16 * KIB, "Give and take licences", assign_license),
        row!(GET "users/{id}/memberOf", Collection "directoryObject", GroupRead, 0, "Groups that hold the user", user_groups),
        row!(GET "users/{id}/transitiveMemberOf", Collection "directoryObject", GroupRead, 0, "Groups that hold the user, nested ones too", user_groups_transitive),
        row!(GET "me", Entity "user", UserRead, 0, "The user behind the caller", me),
        row!(GET "me/managedDevices", Collection "managedDevice", Permission::ManagedDevicesRead, 0, "The caller's managed devices", my_devices),
        row!(GET "me/memberOf", Collection "directoryObject", GroupRead, 0, "Groups that hold the caller", my_groups),
        row!(GET "groups", Collection "group", GroupRead, 0, "List groups", groups),
        row!(POST "groups", Collection "group", GroupReadWrite, 256 * KIB, "Create a group", create_group),
        row!(GET "groups/{id}", Entity "group", GroupRead, 0, "Read a group", group),
        row!(PATCH "groups/{id}", Entity "group", GroupReadWrite, 256 * KIB, "Change a group, add members", patch_group),
        row!(DELETE "groups/{id}", Entity "group", GroupReadWrite, 0, "Delete a group", delete_group),
        row!(GET "groups/{id}/members", Collection "directoryObject", GroupRead, 0, "Members of a group", members),
        row!(GET "groups/{id}/members/$ref", Operation "directoryObject", GroupRead, 0, "Addresses of the members of a group", member_references),
        row!(POST "groups/{id}/members/$ref", Operation "directoryObject", GroupMemberReadWrite, 4 * KIB, "Add a member", add_member),
        row!(DELETE "groups/{id}/members/{member}/$ref", Operation "directoryObject", GroupMemberReadWrite, 0, "Remove a member", remove_member),
        row!(GET "groups/{id}/transitiveMembers", Collection "directoryObject", GroupRead, 0, "Members of a group and of groups in it", transitive_members),
        row!(POST "groups/{id}/evaluateDynamicMembership", Operation "group", GroupRead, 16 * KIB, "Whether somebody is in a group by its rule", evaluate, beta),
        row!(POST "groups/evaluateDynamicMembership", Operation "group", GroupRead, 16 * KIB, "Whether somebody would be in a group by a rule", evaluate_rule, beta),
        row!(GET "groups/{id}/memberOf", Collection "directoryObject", GroupRead, 0, "Groups that hold the group", group_groups),
        row!(GET "groups/{id}/transitiveMemberOf", Collection "directoryObject", GroupRead, 0, "Groups that hold the group, nested ones too", group_groups_transitive),
        row!(GET "devices/{id}/memberOf", Collection "directoryObject", DeviceRead, 0, "Groups that hold the device", device_groups),
        row!(GET "devices/{id}/transitiveMemberOf", Collection "directoryObject", DeviceRead, 0, "Groups that hold the device, nested ones too", device_groups_transitive),
        row!(POST "directoryObjects/getByIds", Operation "directoryObject", GroupRead, 64 * KIB, "Users, groups and devices by id", by_ids),
        row!(GET "directoryObjects/{id}", Entity "directoryObject", GroupRead, 0, "A user, group or device by id", by_id),
    ];
    for of in ["users/{id}", "groups/{id}", "devices/{id}", "directoryObjects/{id}", "me"] {
        for name in ["checkMemberGroups", "checkMemberObjects"] {
            rows.push(row!(POST format!("{of}/{name}"), Operation "directoryObject", GroupRead, 16 * KIB, "Which of these groups hold it", check_groups));
        }
        for name in ["getMemberGroups", "getMemberObjects"] {
            rows.push(row!(POST format!("{of}/{name}"), Operation "directoryObject", GroupRead, 16 * KIB, "Ids of the groups that hold it", member_groups));
        }
    }
    rows
}

/// `$filter` and `$search` as a test on an entity.
pub(super) fn test_of(call: &Call) -> Option<Matches> {
    let filter = call.options.filter.clone();
    let search = call.options.search.clone();
    if filter.is_none() && search.is_empty() {
        return None;
    }
    Some(Arc::new(move |entity: &Value| {
        let is_a = |name: &str, base: &str| table().is_a(name, base);
        filter.as_ref().is_none_or(|filter| query::matches(filter, entity, &is_a))
            && search.iter().all(|(named, text)| {
                let names: &[&str] = match named {
                    Some(named) => &[named.as_str()],
                    None => &["displayName", "userPrincipalName", "mail"],
                };
                let text = text.to_lowercase();
                names.iter().any(|name| {
                    entity.get(*name).and_then(Value::as_str).is_some_and(|v| v.to_lowercase().contains(&text))
                })
            })
    }))
}

/// The id or name that `id eq 'x'` or `userPrincipalName eq 'x'` asks for: one row, not a walk.
fn single(call: &Call) -> Option<String> {
    match call.options.filter.as_ref()? {
        Filter::Compare(property, Compare::Eq, Literal::Text(text))
            if property.path == ["id"] || property.path == ["userPrincipalName"] =>
        {
            Some(text.clone())
        }
        _ => None,
    }
}

/// A list by display name is a page; by another property it is read whole and sorted.
enum Way {
    Page(NameQuery),
    Whole(NameQuery),
}

fn way(call: &Call) -> Way {
    let by_name = match call.options.order.first() {
        None => true,
        Some(order) => order.property == "displayName" && !order.descending,
    };
    if by_name {
        return Way::Page(NameQuery {
            matches: test_of(call),
            after: call.options.after.clone(),
            top: if call.count_only { 1 } else { answer::top(&call.options) },
            skip: call.options.skip,
            count: call.options.count || call.count_only,
        });
    }
    Way::Whole(NameQuery { matches: test_of(call), top: MOST_SORTED, ..NameQuery::default() })
}

/// Most entities that are sorted in memory.
const MOST_SORTED: usize = 100_000;

fn answered(page: NamePage, way_was_whole: bool) -> Result<Answer, Problem> {
    if !way_was_whole {
        return Ok(Answer::page(page.items, page.next, page.count));
    }
    if page.next.is_some() {
        return Err(Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "NotImplemented",
            "$orderby by this property is not supported on so many objects; order by displayName or filter first",
        ));
    }
    Ok(Answer::whole(page.items))
}

async fn users(call: Call) -> Result<Answer, Problem> {
    let tenant = call.actor.tenant;
    if let Some(name) = single(&call) {
        let found = match call.app.service.person(tenant, &name).await {
            Ok(person) => vec![user_view(&person)],
            Err(_) => Vec::new(),
        };
        return Ok(Answer::whole(found));
    }
    match way(&call) {
        Way::Page(query) => answered(call.app.service.users(tenant, query).await?, false),
        Way::Whole(query) => answered(call.app.service.users(tenant, query).await?, true),
    }
}

async fn groups(call: Call) -> Result<Answer, Problem> {
    let tenant = call.actor.tenant;
    match way(&call) {
        Way::Page(query) => answered(call.app.service.groups(tenant, query).await?, false),
        Way::Whole(query) => answered(call.app.service.groups(tenant, query).await?, true),
    }
}

/// Names that were ignored go into a `Warning` header.
pub(super) fn warned(answer: Answer, ignored: &[String]) -> Answer {
    if ignored.is_empty() {
        return answer;
    }
    let names: Vec<String> =
        ignored.iter().map(|name| name.chars().filter(|c| c.is_ascii_graphic() && *c != '"').collect()).collect();
    answer.with_header("warning", format!("299 - \"ignored properties: {}\"", names.join(", ")))
}

async fn create_user(call: Call) -> Result<Answer, Problem> {
    let sent = body::entity("user", call.body()?, body::Purpose::Create, true)?;
    let user = call.app.service.create_user(&call.actor, sent.properties).await?;
    Ok(warned(Answer::created(user), &sent.ignored))
}

async fn user(call: Call) -> Result<Answer, Problem> {
    let person = call.app.service.person(call.actor.tenant, call.key(0)).await?;
    Ok(Answer::entity(user_view(&person)))
}

async fn patch_user(call: Call) -> Result<Answer, Problem> {
    let sent = body::entity("user", call.body()?, body::Purpose::Patch, true)?;
    call.app.service.update_user(&call.actor, call.key(0), sent.properties).await?;
    Ok(warned(Answer::none(), &sent.ignored))
}

async fn delete_user(call: Call) -> Result<Answer, Problem> {
    call.app.service.delete_user(&call.actor, call.key(0)).await?;
    Ok(Answer::none())
}

async fn assign_license(call: Call) -> Result<Answer, Problem> {
    let Value::Object(body) = call.body()? else { return Err(bad("the body must be a JSON object")) };
    let body = body.clone();
    Ok(Answer::entity(call.app.service.assign_license(&call.actor, call.key(0), body).await?))
}

/// The person behind the caller.
fn own(actor: &Actor) -> Result<Uuid, Problem> {
    actor.person.ok_or_else(|| bad("/me needs a caller who is a user; this token acts for none"))
}

async fn me(call: Call) -> Result<Answer, Problem> {
    let person = call.app.service.person(call.actor.tenant, &own(&call.actor)?.to_string()).await?;
    Ok(Answer::entity(user_view(&person)))
}

async fn my_devices(call: Call) -> Result<Answer, Problem> {
    let query =
        muster_service::devices::DeviceQuery { person: Some(own(&call.actor)?), ..super::devices::query(&call) };
    Ok(super::devices::paged(call.app.service.managed_devices(call.actor.tenant, query).await?))
}

async fn my_groups(call: Call) -> Result<Answer, Problem> {
    let of = call.app.service.member_of(call.actor.tenant, MemberKind::User, own(&call.actor)?, false).await?;
    Ok(Answer::whole(of))
}

async fn create_group(call: Call) -> Result<Answer, Problem> {
    let sent = body::entity("group", call.body()?, body::Purpose::Create, true)?;
    let members = bound_members(&sent.bindings);
    let group = call.app.service.create_group(&call.actor, sent.properties, members).await?;
    Ok(warned(Answer::created(group), &sent.ignored))
}

fn bound_members(bindings: &[(String, Vec<String>)]) -> Vec<String> {
    bindings.iter().filter(|(link, _)| link.eq_ignore_ascii_case("members")).flat_map(|(_, all)| all.clone()).collect()
}

async fn group(call: Call) -> Result<Answer, Problem> {
    let group = call.app.service.group(call.actor.tenant, call.id(0)?).await?;
    Ok(Answer::entity(group_view(&group)))
}

async fn patch_group(call: Call) -> Result<Answer, Problem> {
    let id = call.id(0)?;
    let sent = body::entity("group", call.body()?, body::Purpose::Patch, true)?;
    let members = bound_members(&sent.bindings);
    if !members.is_empty() {
        call.app.service.add_members(&call.actor, id, members).await?;
    }
    if !sent.properties.is_empty() {
        call.app.service.update_group(&call.actor, id, sent.properties).await?;
    }
    Ok(warned(Answer::none(), &sent.ignored))
}

async fn delete_group(call: Call) -> Result<Answer, Problem> {
    call.app.service.delete_group(&call.actor, call.id(0)?).await?;
    Ok(Answer::none())
}

/// A cast in the path leaves only entities of that type.
fn of_cast(call: &Call, mut all: Vec<Map<String, Value>>) -> Answer {
    if let Some(cast) = &call.cast {
        let name = format!("#microsoft.graph.{cast}");
        all.retain(|one| one.get("@odata.type").and_then(Value::as_str) == Some(name.as_str()));
    }
    Answer::whole(all)
}

async fn members(call: Call) -> Result<Answer, Problem> {
    let all = call.app.service.group_members(call.actor.tenant, call.id(0)?, false).await?;
    Ok(of_cast(&call, all))
}

async fn transitive_members(call: Call) -> Result<Answer, Problem> {
    let all = call.app.service.group_members(call.actor.tenant, call.id(0)?, true).await?;
    Ok(of_cast(&call, all))
}

async fn member_references(call: Call) -> Result<Answer, Problem> {
    let all = call.app.service.group_members(call.actor.tenant, call.id(0)?, false).await?;
    let base = format!("{}/{}/directoryObjects", call.app.service.settings.addresses.admin, call.version.as_str());
    let ids = all.iter().filter_map(|one| one.get("id").and_then(Value::as_str));
    Ok(Answer::value(ids.map(|id| json!({"@odata.id": format!("{base}/{id}")})).collect()))
}

async fn add_member(call: Call) -> Result<Answer, Problem> {
    let address = call.body()?.get("@odata.id").and_then(Value::as_str);
    let address = address.ok_or_else(|| bad("@odata.id is needed, the address of a user, device or group"))?;
    call.app.service.add_members(&call.actor, call.id(0)?, vec![address.to_owned()]).await?;
    Ok(Answer::none())
}

async fn remove_member(call: Call) -> Result<Answer, Problem> {
    let member = Uuid::try_parse(call.key(1)).map_err(|_| call.unknown(call.key(1)))?;
    call.app.service.remove_member(&call.actor, call.id(0)?, member).await?;
    Ok(Answer::none())
}

async fn evaluate(call: Call) -> Result<Answer, Problem> {
    let group = call.id(0)?;
    call.app.service.group(call.actor.tenant, group).await?;
    evaluated(call, Asked::Group(group)).await
}

async fn evaluate_rule(call: Call) -> Result<Answer, Problem> {
    let rule = call.parameter("membershipRule").and_then(Value::as_str);
    let rule = rule.ok_or_else(|| bad("membershipRule is needed"))?.to_owned();
    evaluated(call, Asked::Rule(rule)).await
}

/// Graph's evaluateDynamicMembershipResult.
async fn evaluated(call: Call, asked: Asked) -> Result<Answer, Problem> {
    let member = call.parameter("memberId").and_then(Value::as_str).and_then(|id| Uuid::try_parse(id).ok());
    let member = member.ok_or_else(|| bad("memberId is needed, the id of a user or device of the directory"))?;
    let (rule, holds) = call.app.service.evaluate_membership(call.actor.tenant, asked, member).await?;
    let mut result = Map::new();
    result.insert("membershipRule".into(), rule.into());
    result.insert("membershipRuleEvaluationResult".into(), holds.into());
    Ok(Answer::entity(result))
}

async fn groups_of(call: &Call, kind: MemberKind, id: Uuid, transitive: bool) -> Result<Answer, Problem> {
    Ok(of_cast(call, call.app.service.member_of(call.actor.tenant, kind, id, transitive).await?))
}

async fn user_groups(call: Call) -> Result<Answer, Problem> {
    let person = call.app.service.person(call.actor.tenant, call.key(0)).await?;
    groups_of(&call, MemberKind::User, person.id, false).await
}

async fn user_groups_transitive(call: Call) -> Result<Answer, Problem> {
    let person = call.app.service.person(call.actor.tenant, call.key(0)).await?;
    groups_of(&call, MemberKind::User, person.id, true).await
}

async fn group_groups(call: Call) -> Result<Answer, Problem> {
    let group = call.app.service.group(call.actor.tenant, call.id(0)?).await?;
    groups_of(&call, MemberKind::Group, group.id, false).await
}

async fn group_groups_transitive(call: Call) -> Result<Answer, Problem> {
    let group = call.app.service.group(call.actor.tenant, call.id(0)?).await?;
    groups_of(&call, MemberKind::Group, group.id, true).await
}

async fn device_groups(call: Call) -> Result<Answer, Problem> {
    call.app.service.directory_device(call.actor.tenant, call.id(0)?).await?;
    groups_of(&call, MemberKind::Device, call.id(0)?, false).await
}

async fn device_groups_transitive(call: Call) -> Result<Answer, Problem> {
    call.app.service.directory_device(call.actor.tenant, call.id(0)?).await?;
    groups_of(&call, MemberKind::Device, call.id(0)?, true).await
}

fn texts(call: &Call, name: &str) -> Result<Vec<String>, Problem> {
    match call.parameter(name) {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| bad(format!("{name} must be a list of texts"))),
        Some(_) => Err(bad(format!("{name} must be a list of texts"))),
    }
}

/// Ids that cannot be ours are ids of nothing.
fn guids(texts: &[String]) -> Vec<Uuid> {
    texts.iter().filter_map(|text| Uuid::try_parse(text).ok()).collect()
}

async fn by_ids(call: Call) -> Result<Answer, Problem> {
    call.body()?;
    call.parameter("ids").ok_or_else(|| bad("ids is needed, a list of ids"))?;
    let ids = texts(&call, "ids")?;
    let kinds = texts(&call, "types")?;
    let found = call.app.service.directory_objects(call.actor.tenant, guids(&ids), kinds).await?;
    Ok(Answer::value(found.into_iter().map(Value::Object).collect()))
}

async fn by_id(call: Call) -> Result<Answer, Problem> {
    let found = call.app.service.directory_objects(call.actor.tenant, vec![call.id(0)?], Vec::new()).await?;
    found.into_iter().next().map(Answer::entity).ok_or_else(|| call.unknown(call.key(0)))
}

/// The object that the path names: a user by name too, the caller, or any by id.
async fn subject(call: &Call) -> Result<Uuid, Problem> {
    match call.resource.parts().next() {
        Some("me") => own(&call.actor),
        Some("users") => Ok(call.app.service.person(call.actor.tenant, call.key(0)).await?.id),
        _ => call.id(0),
    }
}

/// Graph's cap of groups that one request checks.
const MOST_CHECKED: usize = 20;

async fn check_groups(call: Call) -> Result<Answer, Problem> {
    call.body()?;
    let mut wanted = texts(&call, "groupIds")?;
    wanted.extend(texts(&call, "ids")?);
    if wanted.is_empty() || wanted.len() > MOST_CHECKED {
        return Err(bad(format!("groupIds is needed, a list of 1 to {MOST_CHECKED} ids")));
    }
    let subject = subject(&call).await?;
    let held = call.app.service.check_member_groups(call.actor.tenant, subject, guids(&wanted)).await?;
    Ok(Answer::value(held.into_iter().map(|id| Value::String(id.to_string())).collect()))
}

async fn member_groups(call: Call) -> Result<Answer, Problem> {
    let subject = subject(&call).await?;
    let tenant = call.actor.tenant;
    let found = call.app.service.directory_objects(tenant, vec![subject], Vec::new()).await?;
    let name = found.first().and_then(|view| view.get("@odata.type")).and_then(Value::as_str).unwrap_or_default();
    let kind = match name.rsplit('.').next() {
        Some("user") => MemberKind::User,
        Some("group") => MemberKind::Group,
        Some("device") => MemberKind::Device,
        _ => return Err(call.unknown(call.key(0))),
    };
    let of = call.app.service.member_of(tenant, kind, subject, true).await?;
    Ok(Answer::value(of.iter().filter_map(|group| group.get("id").cloned()).collect()))
}
