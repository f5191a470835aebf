//! Who gets a document. An assignment names everybody, all devices or a group; the whole set is
//! replaced at once.

use muster_storage::{
    Tx, assignments,
    assignments::Assignment,
    documents,
    groups::{self, MemberKind},
    membership_rules, outbox,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Kind, Reach, Targets, act, mark, unknown};
use crate::{Actor, Error, Result, Service, audit::subject, rules::filters::FILTERS};

/// Most assignments of one document.
const MAX_ASSIGNMENTS: usize = 1000;

/// Whom an assignment names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Every device.
    AllDevices,
    /// Every licensed user's devices.
    AllUsers,
    /// A group; `exclude` takes its members out.
    Group {
        /// The group.
        id: Uuid,
        /// An exclusion.
        exclude: bool,
    },
}

/// One assignment as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAssignment {
    /// Whom.
    pub target: Target,
    /// Assignment filter and whether it includes or excludes.
    pub filter: Option<(Uuid, String)>,
    /// `apply` or `remove`.
    pub intent: String,
}

/// Graph's picture of an assignment.
pub fn assignment_view(assignment: &Assignment, odata_type: &str) -> Map<String, Value> {
    let name = match (assignment.target.as_str(), assignment.exclude) {
        ("allDevices", _) => "allDevicesAssignmentTarget",
        ("allUsers", _) => "allLicensedUsersAssignmentTarget",
        (_, true) => "exclusionGroupAssignmentTarget",
        (_, false) => "groupAssignmentTarget",
    };
    let mut target = json!({
        "@odata.type": format!("#microsoft.graph.{name}"),
        "deviceAndAppManagementAssignmentFilterId": assignment.filter_id,
        "deviceAndAppManagementAssignmentFilterType": assignment.filter_mode,
    });
    if let Some(group) = assignment.group_id {
        target["groupId"] = group.to_string().into();
    }
    let mut view = Map::new();
    view.insert("@odata.type".into(), format!("#microsoft.graph.{odata_type}").into());
    view.insert("id".into(), assignment.id.to_string().into());
    if odata_type == "deviceConfigurationAssignment" || odata_type == "enrollmentConfigurationAssignment" {
        view.insert("source".into(), "direct".into());
        view.insert("sourceId".into(), assignment.document_id.to_string().into());
    }
    if odata_type == "deviceConfigurationAssignment" {
        view.insert("intent".into(), assignment.intent.clone().into());
    }
    view.insert("target".into(), target);
    view
}

impl Service {
    /// The assignments of one document.
    pub async fn assignments(&self, tenant: Uuid, kind: &'static Kind, id: Uuid) -> Result<Vec<Assignment>> {
        self.store
            .read(tenant, move |tx| {
                kind.find(tx, tenant, id)?.ok_or_else(|| unknown(kind, id))?;
                Ok(assignments::of_document(tx, tenant, kind.collection, id)?)
            })
            .await
    }

    /// Replaces the assignments of one document.
    pub async fn assign_document(
        &self,
        actor: &Actor,
        kind: &'static Kind,
        id: Uuid,
        wanted: Vec<NewAssignment>,
    ) -> Result<Vec<Assignment>> {
        self.change_assignments(actor, kind, id, move |_| wanted.clone()).await
    }

    /// Adds one assignment to a document.
    pub async fn add_assignment(
        &self,
        actor: &Actor,
        kind: &'static Kind,
        id: Uuid,
        wanted: NewAssignment,
    ) -> Result<Assignment> {
        let after = self
            .change_assignments(actor, kind, id, move |before| {
                let mut all: Vec<NewAssignment> = before.iter().map(as_new).collect();
                all.retain(|known| known.target != wanted.target);
                all.push(wanted.clone());
                all
            })
            .await?;
        after.into_iter().last().ok_or_else(|| Error::internal("an added assignment is gone"))
    }

    /// Takes one assignment of a document away.
    pub async fn remove_assignment(
        &self,
        actor: &Actor,
        kind: &'static Kind,
        id: Uuid,
        assignment: Uuid,
    ) -> Result<()> {
        let there = self.assignments(actor.tenant, kind, id).await?;
        if !there.iter().any(|known| known.id == assignment) {
            return Err(Error::not_found(format!("there is no assignment with the id {assignment}")));
        }
        self.change_assignments(actor, kind, id, move |before| {
            before.iter().filter(|known| known.id != assignment).map(as_new).collect()
        })
        .await
        .map(|_| ())
    }

    async fn change_assignments(
        &self,
        actor: &Actor,
        kind: &'static Kind,
        id: Uuid,
        change: impl Fn(&[Assignment]) -> Vec<NewAssignment> + Send + 'static,
    ) -> Result<Vec<Assignment>> {
        if kind.reach == Reach::Nobody {
            return Err(Error::bad_request(format!("a {} applies to everybody and is not assigned", kind.base)));
        }
        let now = self.clock.now();
        let ids = self.ids(now);
        let entry = self.audit_entry(actor, act(kind, "Assign"), now);
        let tenant = actor.tenant;
        self.store
            .write(tenant, move |tx| {
                let mut ids = ids.clone();
                let (event, job) = (ids.next(), ids.next());
                let document = kind.find(tx, tenant, id)?.ok_or_else(|| unknown(kind, id))?;
                let before = assignments::of_document(tx, tenant, kind.collection, id)?;
                let wanted = change(&before);
                check(tx, tenant, kind, &document.odata_type, &wanted)?;
                // An assignment that stays keeps its id.
                let after: Vec<Assignment> = wanted
                    .iter()
                    .map(|new| {
                        let kept = before.iter().find(|old| as_new(old) == *new).map(|old| old.id);
                        as_stored(new, kind, id, kept.unwrap_or_else(|| ids.next()))
                    })
                    .collect();
                assignments::replace(tx, tenant, kind.collection, id, &after)?;
                let mut entry = entry.clone();
                let mut resource = subject(&document.odata_type, id, Some(&document.display_name));
                resource.modified.push(("assignments".into(), Some(words(&before)), Some(words(&after))));
                entry.resources.push(resource);
                muster_storage::audit::record(tx, tenant, &entry)?;
                outbox::emit(tx, tenant, event, "documentAssigned", kind.collection, Some(id), "{}", now)?;
                if kind.configures {
                    let targets = Targets::of(before.iter().chain(&after));
                    mark::enqueue_targets(tx, tenant, job, &targets, now)?;
                }
                Ok(after)
            })
            .await
    }
}

fn check(tx: &mut dyn Tx, tenant: Uuid, kind: &Kind, odata_type: &str, wanted: &[NewAssignment]) -> Result<()> {
    if wanted.len() > MAX_ASSIGNMENTS {
        return Err(Error::bad_request(format!("a document may have at most {MAX_ASSIGNMENTS} assignments")));
    }
    for (i, one) in wanted.iter().enumerate() {
        if let Some((filter, _)) = &one.filter {
            check_filter(tx, tenant, kind, odata_type, &one.target, *filter)?;
        }
        if wanted[..i].iter().any(|other| other.target == one.target) {
            return Err(Error::bad_request("the same target stands twice in the assignments"));
        }
        match &one.target {
            Target::Group { id, .. } => {
                groups::by_id(tx, tenant, *id)?
                    .ok_or_else(|| Error::not_found(format!("there is no group with the id {id}")))?;
                let by_rule =
                    membership_rules::by_group(tx, tenant, *id)?.is_some_and(|r| r.members == MemberKind::Device);
                if kind.reach == Reach::People
                    && (by_rule
                        || groups::transitive_members(tx, tenant, *id)?.iter().any(|m| m.kind == MemberKind::Device))
                {
                    return Err(Error::bad_request(format!(
                        "the group {id} holds devices; a {} is decided before there is a device, so it takes groups of users",
                        kind.base
                    )));
                }
            }
            Target::AllDevices if kind.reach == Reach::People => {
                return Err(Error::bad_request(format!(
                    "a {} cannot be assigned to all devices; assign it to all users or to groups of users",
                    kind.base
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A filter narrows an include of a document for devices of its platform.
fn check_filter(
    tx: &mut dyn Tx,
    tenant: Uuid,
    kind: &Kind,
    odata_type: &str,
    target: &Target,
    filter: Uuid,
) -> Result<()> {
    let found = documents::by_id(tx, tenant, FILTERS, filter)?
        .ok_or_else(|| Error::not_found(format!("there is no assignment filter with the id {filter}")))?;
    if kind.reach != Reach::Everything {
        return Err(Error::bad_request(format!(
            "a {} is decided before there is a device and takes no filter",
            kind.base
        )));
    }
    if matches!(target, Target::Group { exclude: true, .. }) {
        return Err(Error::bad_request("an exclusion takes no filter; put it on the include that it narrows"));
    }
    let properties = found.properties()?;
    let platform = properties.get("platform").and_then(Value::as_str).unwrap_or_default();
    match muster_domain::catalogue::platform(odata_type) {
        Some(own) if own.name() != platform => Err(Error::bad_request(format!(
            "the filter '{}' is for {platform}, this {odata_type} for {}",
            found.display_name,
            own.name()
        ))),
        _ => Ok(()),
    }
}

fn as_new(stored: &Assignment) -> NewAssignment {
    NewAssignment {
        target: match (stored.target.as_str(), stored.group_id) {
            ("allDevices", _) => Target::AllDevices,
            (_, Some(id)) => Target::Group { id, exclude: stored.exclude },
            _ => Target::AllUsers,
        },
        filter: stored.filter_id.map(|id| (id, stored.filter_mode.clone())),
        intent: stored.intent.clone(),
    }
}

fn as_stored(new: &NewAssignment, kind: &Kind, document: Uuid, id: Uuid) -> Assignment {
    let (target, group_id, exclude) = match &new.target {
        Target::AllDevices => ("allDevices", None, false),
        Target::AllUsers => ("allUsers", None, false),
        Target::Group { id, exclude } => ("group", Some(*id), *exclude),
    };
    Assignment {
        id,
        kind: kind.collection.to_owned(),
        document_id: document,
        target: target.to_owned(),
        exclude,
        group_id,
        filter_id: new.filter.as_ref().map(|(id, _)| *id),
        filter_mode: new.filter.as_ref().map_or_else(|| "none".to_owned(), |(_, mode)| mode.clone()),
        intent: new.intent.clone(),
    }
}

fn words(assignments: &[Assignment]) -> String {
    let word = |one: &Assignment| {
        let whom = match (one.group_id, one.exclude) {
            (Some(group), true) => format!("not {group}"),
            (Some(group), false) => group.to_string(),
            (None, _) => one.target.clone(),
        };
        match one.filter_id {
            Some(filter) => format!("{whom} ({} {filter})", one.filter_mode),
            None => whom,
        }
    };
    assignments.iter().map(word).collect::<Vec<_>>().join(", ")
}
