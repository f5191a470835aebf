//! Members of a group, groups of a member, objects by id.

use muster_storage::{
    Result as StoreResult, Tx, devices,
    groups::{self, Member, MemberKind},
    people,
};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    Error, Result, Service,
    devices::directory_view,
    people::{group_view, user_view},
};

/// Ids that one request may name.
pub const IDS_AT_ONCE: usize = 1000;

fn typed(mut view: Map<String, Value>, name: &str) -> Map<String, Value> {
    view.insert("@odata.type".into(), format!("#microsoft.graph.{name}").into());
    view
}

fn view(tx: &mut dyn Tx, tenant: Uuid, member: Member) -> StoreResult<Option<Map<String, Value>>> {
    Ok(match member.kind {
        MemberKind::User => people::by_id(tx, tenant, member.id)?.map(|person| typed(user_view(&person), "user")),
        MemberKind::Group => groups::by_id(tx, tenant, member.id)?.map(|group| typed(group_view(&group), "group")),
        MemberKind::Device => {
            devices::by_directory_id(tx, tenant, member.id)?.map(|device| typed(directory_view(&device), "device"))
        }
    })
}

fn found(tx: &mut dyn Tx, tenant: Uuid, id: Uuid) -> StoreResult<Option<Map<String, Value>>> {
    for kind in [MemberKind::User, MemberKind::Group, MemberKind::Device] {
        if let Some(view) = view(tx, tenant, Member { kind, id })? {
            return Ok(Some(view));
        }
    }
    Ok(None)
}

impl Service {
    /// Users, devices and groups in a group; `transitive` looks into groups within.
    pub async fn group_members(&self, tenant: Uuid, group: Uuid, transitive: bool) -> Result<Vec<Map<String, Value>>> {
        let members = self
            .store
            .read(tenant, move |tx| {
                groups::by_id(tx, tenant, group)?
                    .ok_or_else(|| Error::not_found(format!("there is no group with the id {group}")))?;
                if transitive {
                    return Ok(groups::transitive_members(tx, tenant, group)?);
                }
                let mut all: Vec<Member> = Vec::new();
                loop {
                    let chunk = groups::members(tx, tenant, group, all.last().copied(), 1000)?;
                    let whole = chunk.len() == 1000;
                    all.extend(chunk);
                    if !whole {
                        return Ok::<_, Error>(all);
                    }
                }
            })
            .await?;
        let mut views = Vec::with_capacity(members.len());
        for chunk in members.chunks(500) {
            let chunk = chunk.to_vec();
            let some = self
                .store
                .read(tenant, move |tx| {
                    let mut some = Vec::with_capacity(chunk.len());
                    for member in &chunk {
                        some.extend(view(tx, tenant, *member)?);
                    }
                    Ok::<_, Error>(some)
                })
                .await?;
            views.extend(some);
        }
        Ok(views)
    }

    /// Groups that hold a member; `transitive` goes through groups that hold those.
    pub async fn member_of(
        &self,
        tenant: Uuid,
        kind: MemberKind,
        id: Uuid,
        transitive: bool,
    ) -> Result<Vec<Map<String, Value>>> {
        self.store
            .read(tenant, move |tx| {
                let member = Member { kind, id };
                let of = match transitive {
                    true => groups::groups_of(tx, tenant, member)?,
                    false => groups::direct_groups_of(tx, tenant, member)?,
                };
                let mut views = Vec::with_capacity(of.len());
                for id in of {
                    views.extend(view(tx, tenant, Member { kind: MemberKind::Group, id })?);
                }
                Ok::<_, Error>(views)
            })
            .await
    }

    /// Users, groups and devices of these ids; others are left out. `kinds` narrows, empty: all.
    pub async fn directory_objects(
        &self,
        tenant: Uuid,
        ids: Vec<Uuid>,
        kinds: Vec<String>,
    ) -> Result<Vec<Map<String, Value>>> {
        if ids.len() > IDS_AT_ONCE {
            return Err(Error::bad_request(format!("send up to {IDS_AT_ONCE} ids at once")));
        }
        self.store
            .read(tenant, move |tx| {
                let mut views = Vec::new();
                for id in &ids {
                    let Some(view) = found(tx, tenant, *id)? else { continue };
                    let name = view.get("@odata.type").and_then(Value::as_str).unwrap_or_default();
                    let wanted = |kind: &String| {
                        kind.eq_ignore_ascii_case("directoryObject") || name.ends_with(&format!(".{kind}"))
                    };
                    if kinds.is_empty() || kinds.iter().any(wanted) {
                        views.push(view);
                    }
                }
                Ok::<_, Error>(views)
            })
            .await
    }
}
