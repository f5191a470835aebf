//! Graph's groups and their members. A change of membership marks the devices it touches in the
//! same transaction.

use muster_storage::{
    Tx, assignments, audit, devices, groups,
    groups::{Group, Member, MemberKind},
    membership_rules, people,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    mark,
    users::{text, time_text},
};
use crate::{
    Actor, Error, Ids, Result, Service,
    audit::{Act, subject},
    rules,
};

/// Members a group takes in one request, as Graph.
const MEMBERS_AT_ONCE: usize = 20;

/// A group as Graph's group.
pub fn group_view(group: &Group) -> Map<String, Value> {
    let mut view = Map::new();
    view.insert("id".into(), json!(group.id));
    view.insert("displayName".into(), json!(group.display_name));
    view.insert("createdDateTime".into(), json!(time_text(group.created_at)));
    if let Ok(Value::Object(document)) = serde_json::from_str(&group.document) {
        for (name, value) in document {
            view.entry(name).or_insert(value);
        }
    }
    for (name, usual) in [
        ("description", Value::Null),
        ("groupTypes", json!([])),
        ("mailEnabled", json!(false)),
        ("mailNickname", Value::Null),
        ("membershipRule", Value::Null),
        ("membershipRuleProcessingState", Value::Null),
        ("securityEnabled", json!(true)),
    ] {
        view.entry(name).or_insert(usual);
    }
    view
}

fn unknown_group(id: impl std::fmt::Display) -> Error {
    Error::not_found(format!("there is no group {id}"))
}

/// Properties with columns of their own, or that only the server writes.
const NOT_IN_DOCUMENT: [&str; 6] = ["id", "displayName", "createdDateTime", "deletedDateTime", "members", "owners"];

fn merge(document: &str, body: &Map<String, Value>) -> Result<String> {
    let mut document: Map<String, Value> = serde_json::from_str(document).map_err(Error::internal)?;
    for (name, value) in body {
        if name.contains('@') || NOT_IN_DOCUMENT.contains(&name.as_str()) {
            continue;
        }
        if value.is_null() {
            document.remove(name);
        } else {
            document.insert(name.clone(), value.clone());
        }
    }
    if rules::wanted(&document)?.is_some() {
        document.entry("membershipRuleProcessingState").or_insert_with(|| json!("On"));
    } else if body.get("membershipRule").is_some_and(|rule| !rule.is_null()) {
        return Err(Error::bad_request("a group with a membershipRule needs DynamicMembership in groupTypes"));
    }
    Ok(Value::Object(document).to_string())
}

/// Writes down the rule that a group's document asks for; a changed one is evaluated for everybody.
fn follow_rule(tx: &mut dyn Tx, tenant: Uuid, group: &Group, ids: &mut Ids, now: i64) -> Result<()> {
    match rules::wanted(&serde_json::from_str(&group.document).map_err(Error::internal)?)? {
        Some((members, rule, active)) => {
            if membership_rules::put(tx, tenant, group.id, members, &rule, active)? {
                rules::walk::enqueue(tx, tenant, ids.next(), group.id, now)?;
            }
        }
        // An assigned group again: whom the rule brought stays until somebody takes them out.
        None => {
            membership_rules::remove(tx, tenant, group.id)?;
        }
    }
    Ok(())
}

/// Refuses to move members of a group that has a rule by hand, as Graph does.
pub(crate) fn must_be_assigned(tx: &mut dyn Tx, tenant: Uuid, group: Uuid) -> Result<()> {
    match membership_rules::by_group(tx, tenant, group)? {
        None => Ok(()),
        Some(_) => Err(Error::refused(
            crate::Kind::BadRequest,
            "Request_BadRequest",
            "this group's members follow its membershipRule and cannot be changed by hand; change the rule",
        )),
    }
}

/// What a directory id means: a person, a device of the directory, or a group.
pub(crate) fn member_of_directory(tx: &mut dyn Tx, tenant: Uuid, id: Uuid) -> Result<Option<Member>> {
    let kind = if people::by_id(tx, tenant, id)?.is_some() {
        MemberKind::User
    } else if groups::by_id(tx, tenant, id)?.is_some() {
        MemberKind::Group
    } else if devices::by_directory_id(tx, tenant, id)?.is_some() {
        MemberKind::Device
    } else {
        return Ok(None);
    };
    Ok(Some(Member { kind, id }))
}

/// A reference as Graph writes it (`.../users/{id}`, `devices/`, `groups/`, `directoryObjects/`):
/// the kind it insists on, and the id.
pub(crate) fn parse_reference(reference: &str) -> Result<(Option<MemberKind>, Uuid)> {
    let bad =
        || Error::bad_request("@odata.id must end in users/{id}, devices/{id}, groups/{id} or directoryObjects/{id}");
    let path = reference.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let normal = path.replace("('", "/").replace("')", "");
    let mut parts = normal.rsplit('/');
    let id = parts.next().and_then(|id| id.parse::<Uuid>().ok()).ok_or_else(bad)?;
    let kind = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "users" => Some(MemberKind::User),
        "devices" => Some(MemberKind::Device),
        "groups" => Some(MemberKind::Group),
        "directoryobjects" => None,
        _ => return Err(bad()),
    };
    Ok((kind, id))
}

/// Finds what a reference means; the object of another kind or tenant is not there.
fn resolve(tx: &mut dyn Tx, tenant: Uuid, reference: &str) -> Result<Member> {
    let (kind, id) = parse_reference(reference)?;
    member_of_directory(tx, tenant, id)?
        .filter(|member| kind.is_none_or(|kind| kind == member.kind))
        .ok_or_else(|| Error::not_found(format!("there is no directory object {id}")))
}

/// Adds a member and marks what follows; answers whether it was new.
pub(crate) fn add(tx: &mut dyn Tx, tenant: Uuid, group: Uuid, member: Member, ids: &mut Ids, now: i64) -> Result<bool> {
    must_be_assigned(tx, tenant, group)?;
    if member.kind == MemberKind::Group {
        let around = groups::groups_of(tx, tenant, Member { kind: MemberKind::Group, id: group })?;
        if member.id == group || around.contains(&member.id) {
            return Err(Error::bad_request("a group cannot be inside itself"));
        }
    }
    let added = groups::add_member(tx, tenant, group, member, now)?;
    if added {
        mark::member(tx, tenant, member, ids, now)?;
    }
    Ok(added)
}

impl Service {
    /// Makes a group from Graph's body of POST /groups; `members@odata.bind` comes as references.
    pub async fn create_group(
        &self,
        actor: &Actor,
        body: Map<String, Value>,
        members: Vec<String>,
    ) -> Result<Map<String, Value>> {
        let name = text(&body, "displayName")?
            .flatten()
            .filter(|name| !name.trim().is_empty())
            .ok_or_else(|| Error::bad_request("a group needs displayName"))?;
        if members.len() > MEMBERS_AT_ONCE {
            return Err(Error::bad_request(format!("at most {MEMBERS_AT_ONCE} members can be added at once")));
        }
        let (tenant, now) = (actor.tenant, self.clock.now());
        let group = Group {
            id: self.random.id(now),
            source: "local".into(),
            external_id: None,
            display_name: name,
            document: merge("{}", &body)?,
            version: 1,
            created_at: now,
            modified_at: now,
        };
        let entry = self.group_entry(actor, "Create", "Create a group", &group, now);
        let (view, ids) = (group_view(&group), self.ids(now));
        self.store
            .write(tenant, move |tx| {
                let mut ids = ids.clone();
                groups::insert(tx, tenant, &group)?;
                follow_rule(tx, tenant, &group, &mut ids, now)?;
                for reference in &members {
                    let member = resolve(tx, tenant, reference)?;
                    add(tx, tenant, group.id, member, &mut ids, now)?;
                }
                Ok::<_, Error>(audit::record(tx, tenant, &entry)?)
            })
            .await?;
        Ok(view)
    }

    fn group_entry(
        &self,
        actor: &Actor,
        operation: &'static str,
        activity: &'static str,
        group: &Group,
        now: i64,
    ) -> audit::Entry {
        let act = Act { operation, activity, category: "Group", component: "group" };
        let mut entry = self.audit_entry(actor, act, now);
        entry.resources.push(subject("group", group.id, Some(&group.display_name)));
        entry
    }

    /// One group.
    pub async fn group(&self, tenant: Uuid, id: Uuid) -> Result<Group> {
        self.store
            .read(tenant, move |tx| groups::by_id(tx, tenant, id).map_err(Error::from))
            .await?
            .ok_or_else(|| unknown_group(id))
    }

    /// Changes a group by Graph's body of PATCH /groups/{id}.
    pub async fn update_group(&self, actor: &Actor, id: Uuid, body: Map<String, Value>) -> Result<()> {
        let (tenant, now) = (actor.tenant, self.clock.now());
        let before = self.group(tenant, id).await?;
        let mut entry = self.group_entry(actor, "Patch", "Change a group", &before, now);
        for name in ["membershipRule", "membershipRuleProcessingState"] {
            if let Some(new) = body.get(name) {
                let old = group_view(&before).remove(name);
                let text = |value: &Value| value.as_str().map(str::to_owned);
                entry.resources[0].modified.push((name.into(), old.as_ref().and_then(text), text(new)));
            }
        }
        let ids = self.ids(now);
        self.store
            .write(tenant, move |tx| {
                let mut group = groups::by_id(tx, tenant, id)?.ok_or_else(|| unknown_group(id))?;
                if let Some(name) = text(&body, "displayName")? {
                    group.display_name = name
                        .filter(|name| !name.trim().is_empty())
                        .ok_or_else(|| Error::bad_request("displayName must not be empty"))?;
                }
                group.document = merge(&group.document, &body)?;
                group.modified_at = now;
                if !groups::update(tx, tenant, &group)? {
                    return Err(Error::conflict("the group changed meanwhile; read it again"));
                }
                follow_rule(tx, tenant, &group, &mut ids.clone(), now)?;
                Ok(audit::record(tx, tenant, &entry)?)
            })
            .await
    }

    /// Deletes a group: its memberships and the assignments to it go with it.
    pub async fn delete_group(&self, actor: &Actor, id: Uuid) -> Result<()> {
        let (tenant, now) = (actor.tenant, self.clock.now());
        let before = self.group(tenant, id).await?;
        let entry = self.group_entry(actor, "Delete", "Delete a group", &before, now);
        let ids = self.ids(now);
        self.store
            .write(tenant, move |tx| {
                mark::inside(tx, tenant, id, &mut ids.clone(), now)?;
                assignments::forget_group(tx, tenant, id)?;
                if !groups::remove(tx, tenant, id)? {
                    return Err(unknown_group(id));
                }
                Ok(audit::record(tx, tenant, &entry)?)
            })
            .await
    }

    /// Adds members by Graph's references; one that is not there refuses the whole list.
    pub async fn add_members(&self, actor: &Actor, id: Uuid, references: Vec<String>) -> Result<()> {
        if references.is_empty() || references.len() > MEMBERS_AT_ONCE {
            return Err(Error::bad_request(format!("send 1 to {MEMBERS_AT_ONCE} members at once")));
        }
        let (tenant, now, single) = (actor.tenant, self.clock.now(), references.len() == 1);
        let before = self.group(tenant, id).await?;
        let mut entry = self.group_entry(actor, "Create", "Add group members", &before, now);
        let ids = self.ids(now);
        for reference in &references {
            entry.resources.push(subject("directoryObject", parse_reference(reference)?.1, None));
        }
        self.store
            .write(tenant, move |tx| {
                groups::by_id(tx, tenant, id)?.ok_or_else(|| unknown_group(id))?;
                let mut ids = ids.clone();
                // All or nothing: every reference is resolved before the first is added.
                let members = references
                    .iter()
                    .map(|reference| resolve(tx, tenant, reference))
                    .collect::<Result<Vec<_>>>()?;
                for member in members {
                    let added = add(tx, tenant, id, member, &mut ids, now)?;
                    if single && !added {
                        return Err(Error::refused(
                            crate::Kind::BadRequest,
                            "Request_BadRequest",
                            "One or more added object references already exist for the following modified properties: 'members'.",
                        ));
                    }
                }
                Ok(audit::record(tx, tenant, &entry)?)
            })
            .await
    }

    /// Removes a member.
    pub async fn remove_member(&self, actor: &Actor, id: Uuid, member: Uuid) -> Result<()> {
        let (tenant, now) = (actor.tenant, self.clock.now());
        let before = self.group(tenant, id).await?;
        let mut entry = self.group_entry(actor, "Delete", "Remove a group member", &before, now);
        entry.resources.push(subject("directoryObject", member, None));
        let ids = self.ids(now);
        self.store
            .write(tenant, move |tx| {
                must_be_assigned(tx, tenant, id)?;
                let removed = groups::remove_member(tx, tenant, id, member)?
                    .ok_or_else(|| Error::not_found(format!("{member} is not a member of this group")))?;
                mark::member(tx, tenant, removed, &mut ids.clone(), now)?;
                Ok::<_, Error>(audit::record(tx, tenant, &entry)?)
            })
            .await
    }

    /// Which of the given groups hold the object, directly or through other groups.
    pub async fn check_member_groups(&self, tenant: Uuid, id: Uuid, wanted: Vec<Uuid>) -> Result<Vec<Uuid>> {
        self.store
            .read(tenant, move |tx| {
                let member = member_of_directory(tx, tenant, id)?
                    .ok_or_else(|| Error::not_found(format!("there is no directory object {id}")))?;
                let of = groups::groups_of(tx, tenant, member)?;
                Ok::<_, Error>(wanted.iter().copied().filter(|group| of.contains(group)).collect())
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_in_every_form_tools_send() {
        let id = Uuid::from_u128(7);
        for (text, kind) in [
            (format!("https://graph.microsoft.com/v1.0/users/{id}"), Some(MemberKind::User)),
            (format!("https://localhost:9443/beta/Devices/{id}/"), Some(MemberKind::Device)),
            (format!("groups('{id}')"), Some(MemberKind::Group)),
            (format!("https://graph.microsoft.com/v1.0/directoryObjects/{id}"), None),
        ] {
            assert_eq!(parse_reference(&text).unwrap(), (kind, id), "{text}");
        }
        assert!(parse_reference(&format!("https://x/managedDevices/{id}")).is_err());
        assert!(parse_reference("https://x/users/ada").is_err());
    }
}
