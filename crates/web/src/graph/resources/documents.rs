//! Configuration entities over `service::documents`: the same rows for every kind.

use axum::http::StatusCode;
use muster_domain::roles::Permission;
use muster_pki::Secret;
use muster_service::{
    documents::{self, Document, Draft, KINDS, Kind, NewAssignment, Reach, Target},
    rules::filters::FILTERS,
};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{links, row};
use crate::{
    graph::{Answer, Call, bad, body, filter::short, registry::Resource, types::table},
    problem::Problem,
    routes::{KIB, MIB},
};

/// What a kind's resource is beyond the service's own data.
struct Surface {
    collection: &'static str,
    permission: (Permission, Permission),
    /// Graph's type of its assignments; empty where it has none.
    assignment: &'static str,
    /// Key of the list in the body of `assign`.
    assign_key: &'static str,
    /// PATCH answers 204; else 200 with the entity.
    patch_is_empty: bool,
    beta: bool,
}

const CONFIGURATION: (Permission, Permission) = (Permission::ConfigurationRead, Permission::ConfigurationReadWrite);
const SERVICE: (Permission, Permission) = (Permission::ServiceConfigRead, Permission::ServiceConfigReadWrite);
const DEVICES: (Permission, Permission) = (Permission::ManagedDevicesRead, Permission::ManagedDevicesReadWrite);

const SURFACES: &[Surface] = &[
    Surface {
        collection: "deviceConfigurations",
        permission: CONFIGURATION,
        assignment: "deviceConfigurationAssignment",
        assign_key: "assignments",
        patch_is_empty: true,
        beta: false,
    },
    Surface {
        collection: "deviceCategories",
        permission: DEVICES,
        assignment: "deviceConfigurationAssignment",
        assign_key: "assignments",
        patch_is_empty: false,
        beta: false,
    },
    Surface {
        collection: "appleUserInitiatedEnrollmentProfiles",
        permission: SERVICE,
        assignment: "appleEnrollmentProfileAssignment",
        assign_key: "assignments",
        patch_is_empty: false,
        beta: true,
    },
    Surface {
        collection: "deviceEnrollmentConfigurations",
        permission: SERVICE,
        assignment: "enrollmentConfigurationAssignment",
        assign_key: "enrollmentConfigurationAssignments",
        patch_is_empty: false,
        beta: false,
    },
    Surface {
        collection: "intuneBrandingProfiles",
        permission: SERVICE,
        assignment: "intuneBrandingProfileAssignment",
        assign_key: "assignments",
        patch_is_empty: false,
        beta: true,
    },
    Surface {
        collection: FILTERS,
        permission: CONFIGURATION,
        assignment: "",
        assign_key: "",
        patch_is_empty: false,
        beta: true,
    },
];

pub fn rows() -> Vec<Resource> {
    let mut rows = Vec::new();
    for kind in KINDS {
        let surface = surface_of(kind);
        let path = format!("deviceManagement/{}", kind.collection);
        let item = format!("{path}/{{id}}");
        let (read, write) = surface.permission;
        let base = kind.base;
        // Pictures of branding profiles and payloads are large.
        let limit = 4 * MIB;
        let first = rows.len();
        rows.push(row!(GET path.clone(), Collection base, read, 0, format!("List {}", kind.collection), list));
        rows.push(row!(POST path.clone(), Collection base, write, limit, format!("Create a {base}"), create));
        rows.push(row!(GET item.clone(), Entity base, read, 0, format!("Read a {base}"), get));
        rows.push(row!(PATCH item.clone(), Entity base, write, limit, format!("Change a {base}"), patch));
        rows.push(row!(DELETE item.clone(), Entity base, write, 0, format!("Delete a {base}"), delete));
        let of = surface.assignment;
        if !of.is_empty() {
            rows.push(row!(GET format!("{item}/assignments"), Collection of, read, 0, format!("Who gets a {base}"), assignments));
            rows.push(row!(POST format!("{item}/assign"), Operation of, write, MIB, format!("Replace the assignments of a {base}"), assign));
        }
        if kind.reach != Reach::Nobody {
            rows.push(row!(POST format!("{item}/assignments"), Collection of, write, 64 * KIB, format!("Assign a {base}"), add_assignment));
            rows.push(row!(GET format!("{item}/assignments/{{assignment}}"), Entity of, read, 0, "Read an assignment", assignment));
            rows.push(row!(DELETE format!("{item}/assignments/{{assignment}}"), Entity of, write, 0, "Take an assignment away", remove_assignment));
        }
        if kind.ordered || kind.collection == "deviceEnrollmentConfigurations" {
            rows.push(row!(POST format!("{item}/setPriority"), Operation base, write, KIB, format!("Move a {base} in the order"), set_priority));
        }
        if surface.beta {
            rows[first..].iter_mut().for_each(|row| row.beta = true);
        }
    }
    rows
}

fn surface_of(kind: &Kind) -> &'static Surface {
    SURFACES.iter().find(|surface| surface.collection == kind.collection).unwrap_or(&SURFACES[0])
}

/// The kind that a row is about: the second part of its path.
fn kind_of(call: &Call) -> Result<(&'static Kind, &'static Surface), Problem> {
    let kind = call.resource.parts().nth(1).and_then(Kind::of);
    kind.map(|kind| (kind, surface_of(kind))).ok_or_else(|| bad("this collection has no documents"))
}

const LIMIT_SUFFIX: &str = "_DefaultLimit";

/// A document's id; the default limit's has Graph's suffix.
fn id_of(call: &Call) -> Result<Uuid, Problem> {
    let key = call.key(0);
    let bare = key.get(..36).filter(|_| key.get(36..).is_some_and(|s| s.eq_ignore_ascii_case(LIMIT_SUFFIX)));
    Uuid::try_parse(bare.unwrap_or(key)).map_err(|_| call.unknown(key))
}

/// A document as Graph shows it.
pub fn shown(document: &Document) -> Result<Map<String, Value>, Problem> {
    let mut view = documents::view(document)?;
    links::hide(&mut view);
    if document.odata_type == "deviceEnrollmentLimitConfiguration" {
        view.insert("id".into(), format!("{}{LIMIT_SUFFIX}", document.id).into());
        view.insert("priority".into(), 0.into());
    }
    if document.kind == "deviceConfigurations" {
        view.insert("supportsScopeTags".into(), true.into());
    }
    if table().property(&document.odata_type, "version").is_none() {
        view.remove("version");
    }
    // What was never set is null, not absent: tools compare whole objects.
    for property in table().properties(&document.odata_type) {
        if !property.link && !view.contains_key(&property.name) {
            let empty = if property.collection { Value::Array(Vec::new()) } else { Value::Null };
            view.insert(property.name.clone(), empty);
        }
    }
    Ok(view)
}

async fn list(call: Call) -> Result<Answer, Problem> {
    let (kind, _) = kind_of(&call)?;
    let all = call.app.service.documents(call.actor.tenant, kind).await?;
    let mut views = all.iter().map(shown).collect::<Result<Vec<_>, _>>()?;
    show_uses(&call, kind, &mut views).await?;
    Ok(Answer::whole(views))
}

async fn get(call: Call) -> Result<Answer, Problem> {
    let (kind, _) = kind_of(&call)?;
    let document = call.app.service.document(call.actor.tenant, kind, id_of(&call)?).await?;
    let mut views = [shown(&document)?];
    show_uses(&call, kind, &mut views).await?;
    let [view] = views;
    let mut answer = Answer::entity(view).with_version(document.version);
    answer.revealed = revealed(&call, &document).await?;
    Ok(answer)
}

/// Secrets that `$select` names, for a caller who may see them, audited; for others they stay null
/// (design section 6).
async fn revealed(call: &Call, document: &Document) -> Result<Vec<(String, Secret<String>)>, Problem> {
    let mut revealed = Vec::new();
    for name in &call.options.select {
        if !table().property(&document.odata_type, name).is_some_and(|found| found.secret) {
            continue;
        }
        match call.app.service.reveal_of_document(&call.actor, document, name).await {
            Ok(secret) => revealed.extend(secret.map(|secret| (name.clone(), secret))),
            Err(muster_service::Error::Refused(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(revealed)
}

/// A filter shows what uses it.
async fn show_uses(call: &Call, kind: &Kind, views: &mut [Map<String, Value>]) -> Result<(), Problem> {
    if kind.collection != FILTERS {
        return Ok(());
    }
    let mut uses = call.app.service.filter_payloads(call.actor.tenant).await?;
    for view in views {
        let id = view.get("id").and_then(Value::as_str).and_then(|id| Uuid::try_parse(id).ok());
        if let Some(payloads) = id.and_then(|id| uses.remove(&id)) {
            view.insert("payloads".into(), Value::Array(payloads));
        }
    }
    Ok(())
}

async fn create(call: Call) -> Result<Answer, Problem> {
    let (kind, _) = kind_of(&call)?;
    let mut entity = body::entity(kind.base, call.body()?, body::Purpose::Create, false)?;
    links::bind(&call, &mut entity).await?;
    let draft = Draft { odata_type: entity.odata_type, properties: entity.properties };
    let document = call.app.service.create_document(&call.actor, kind, draft).await?;
    Ok(Answer::created(shown(&document)?).with_version(document.version))
}

async fn patch(call: Call) -> Result<Answer, Problem> {
    let (kind, surface) = kind_of(&call)?;
    let id = id_of(&call)?;
    let mut sent = call.body()?.clone();
    let named = sent.get("@odata.type").is_some();
    if let (false, Some(map)) = (named, sent.as_object_mut()) {
        // The stored type says which properties there are.
        let stored = call.app.service.document(call.actor.tenant, kind, id).await?;
        map.insert("@odata.type".into(), format!("#microsoft.graph.{}", stored.odata_type).into());
    }
    let mut entity = body::entity(kind.base, &sent, body::Purpose::Patch, false)?;
    links::bind(&call, &mut entity).await?;
    let document = call
        .app
        .service
        .patch_document(&call.actor, kind, id, Some(entity.odata_type), entity.properties, call.if_match)
        .await?;
    if surface.patch_is_empty {
        return Ok(Answer::none().with_version(document.version));
    }
    Ok(Answer::entity(shown(&document)?).with_version(document.version))
}

async fn delete(call: Call) -> Result<Answer, Problem> {
    let (kind, _) = kind_of(&call)?;
    call.app.service.delete_document(&call.actor, kind, id_of(&call)?, call.if_match).await?;
    Ok(Answer::none())
}

async fn assignments(call: Call) -> Result<Answer, Problem> {
    let (kind, surface) = kind_of(&call)?;
    let found = call.app.service.assignments(call.actor.tenant, kind, id_of(&call)?).await?;
    Ok(Answer::whole(found.iter().map(|one| documents::assignment_view(one, surface.assignment)).collect()))
}

async fn assignment(call: Call) -> Result<Answer, Problem> {
    let (kind, surface) = kind_of(&call)?;
    let wanted = Uuid::try_parse(call.key(1)).map_err(|_| call.unknown(call.key(1)))?;
    let found = call.app.service.assignments(call.actor.tenant, kind, id_of(&call)?).await?;
    let one = found.iter().find(|one| one.id == wanted).ok_or_else(|| call.unknown(call.key(1)))?;
    Ok(Answer::entity(documents::assignment_view(one, surface.assignment)))
}

async fn assign(call: Call) -> Result<Answer, Problem> {
    let (kind, surface) = kind_of(&call)?;
    let wanted = read_assignments(&call, surface)?;
    let after = call.app.service.assign_document(&call.actor, kind, id_of(&call)?, wanted).await?;
    let views: Vec<Value> =
        after.iter().map(|one| Value::Object(documents::assignment_view(one, surface.assignment))).collect();
    Ok(Answer::value(Value::Array(views)))
}

async fn add_assignment(call: Call) -> Result<Answer, Problem> {
    let (kind, surface) = kind_of(&call)?;
    let wanted = read_assignment(call.body()?)?;
    let one = call.app.service.add_assignment(&call.actor, kind, id_of(&call)?, wanted).await?;
    Ok(Answer::created(documents::assignment_view(&one, surface.assignment)))
}

async fn remove_assignment(call: Call) -> Result<Answer, Problem> {
    let (kind, _) = kind_of(&call)?;
    let wanted = Uuid::try_parse(call.key(1)).map_err(|_| call.unknown(call.key(1)))?;
    call.app.service.remove_assignment(&call.actor, kind, id_of(&call)?, wanted).await?;
    Ok(Answer::none())
}

async fn set_priority(call: Call) -> Result<Answer, Problem> {
    let (kind, _) = kind_of(&call)?;
    let priority = call.parameter("priority").and_then(Value::as_i64);
    let priority = priority.ok_or_else(|| bad("priority is needed, a whole number from 1"))?;
    call.app.service.set_document_priority(&call.actor, kind, id_of(&call)?, priority).await?;
    Ok(Answer::none().with_status(StatusCode::OK))
}

/// Every shape tools send: `assignments`, the kind's own key, and the older group assignments.
fn read_assignments(call: &Call, surface: &Surface) -> Result<Vec<NewAssignment>, Problem> {
    call.body()?;
    let list = [surface.assign_key, "assignments", "deviceConfigurationAssignments"]
        .iter()
        .find_map(|key| call.parameter(key));
    if let Some(list) = list {
        let items = list.as_array().ok_or_else(|| bad(format!("{} must be a list", surface.assign_key)))?;
        let mut read: Vec<NewAssignment> = Vec::with_capacity(items.len());
        for item in items {
            let one = read_assignment(item)?;
            // Tools repeat a target; once is enough.
            if !read.contains(&one) {
                read.push(one);
            }
        }
        return Ok(read);
    }
    let groups = call.parameter("deviceConfigurationGroupAssignments").and_then(Value::as_array);
    let groups = groups.ok_or_else(|| bad(format!("the body needs {}, a list", surface.assign_key)))?;
    groups
        .iter()
        .map(|item| {
            let id = group_id(item.get("targetGroupId"))?;
            let exclude = item.get("excludeGroup").and_then(Value::as_bool).unwrap_or(false);
            Ok(NewAssignment { target: Target::Group { id, exclude }, filter: None, intent: "apply".into() })
        })
        .collect()
}

fn group_id(value: Option<&Value>) -> Result<Uuid, Problem> {
    let text = value.and_then(Value::as_str).ok_or_else(|| bad("groupId is needed, the id of a group"))?;
    // An id that cannot be one is the id of no group.
    Uuid::try_parse(text).map_err(|_| {
        let text: String = text.chars().take(80).collect();
        Problem::new(StatusCode::NOT_FOUND, "ResourceNotFound", format!("there is no group with the id '{text}'"))
    })
}

fn read_assignment(item: &Value) -> Result<NewAssignment, Problem> {
    let target = item.get("target").ok_or_else(|| bad("an assignment needs a target"))?;
    let named = target.get("@odata.type").and_then(Value::as_str);
    let named =
        named.ok_or_else(|| bad("target.@odata.type is needed, such as #microsoft.graph.groupAssignmentTarget"))?;
    let intent = match item.get("intent").filter(|intent| !intent.is_null()) {
        None => "apply".to_owned(),
        Some(intent) => match intent.as_str().map(str::to_ascii_lowercase).as_deref() {
            Some("apply") => "apply".to_owned(),
            Some("remove") => "remove".to_owned(),
            _ => return Err(bad("intent must be apply or remove")),
        },
    };
    let kind = table().canonical(&short(named)).unwrap_or_default();
    let target_of = match kind {
        "allDevicesAssignmentTarget" => Target::AllDevices,
        "allLicensedUsersAssignmentTarget" => Target::AllUsers,
        "groupAssignmentTarget" => Target::Group { id: group_id(target.get("groupId"))?, exclude: false },
        "exclusionGroupAssignmentTarget" => Target::Group { id: group_id(target.get("groupId"))?, exclude: true },
        _ => {
            return Err(bad(
                "target.@odata.type must be one of groupAssignmentTarget, exclusionGroupAssignmentTarget, allDevicesAssignmentTarget, allLicensedUsersAssignmentTarget",
            ));
        }
    };
    let mode = target.get("deviceAndAppManagementAssignmentFilterType").and_then(Value::as_str).unwrap_or("none");
    let filter = target
        .get("deviceAndAppManagementAssignmentFilterId")
        .and_then(Value::as_str)
        .filter(|id| !id.is_empty())
        .map(|id| Uuid::try_parse(id).map_err(|_| bad("deviceAndAppManagementAssignmentFilterId must be a GUID")))
        .transpose()?
        .filter(|id| !id.is_nil());
    let filter = match (filter, mode.to_ascii_lowercase().as_str()) {
        (_, "none") | (None, "include" | "exclude") => None,
        (Some(id), mode @ ("include" | "exclude")) => Some((id, mode.to_owned())),
        _ => return Err(bad("deviceAndAppManagementAssignmentFilterType must be none, include or exclude")),
    };
    Ok(NewAssignment { target: target_of, filter, intent })
}
