//! Leavers: a person's devices removed from management, deleted people and their return.

use muster_domain::roles::Permission;

use super::row;
use crate::{
    graph::{Answer, Call, registry::Resource},
    problem::Problem,
};

pub fn rows() -> Vec<Resource> {
    vec![
        row!(POST "users/{id}/removeAllDevicesFromManagement", Operation "user", Permission::ActionRetire, 1024, "Retire every device of a user", remove_all_devices),
        row!(GET "directory/deletedItems", Collection "directoryObject", Permission::UserRead, 0, "Users deleted in the last 30 days", deleted),
        row!(GET "directory/deletedItems/{id}", Entity "directoryObject", Permission::UserRead, 0, "A deleted user", one),
        row!(POST "directory/deletedItems/{id}/restore", Operation "directoryObject", Permission::UserReadWrite, 1024, "Bring a deleted user back", restore),
    ]
}

async fn remove_all_devices(call: Call) -> Result<Answer, Problem> {
    let approvals = call.app.service.remove_all_devices(&call.actor, call.key(0)).await?;
    Ok(match approvals.first() {
        Some(approval) => Answer::none().with_header("x-muster-approval", approval.to_string()),
        None => Answer::none(),
    })
}

async fn deleted(call: Call) -> Result<Answer, Problem> {
    let mut all = call.app.service.deleted_users(call.actor.tenant).await?;
    for user in &mut all {
        user.insert("@odata.type".into(), "#microsoft.graph.user".into());
    }
    if call.cast.as_deref().is_some_and(|cast| cast != "user") {
        all.clear();
    }
    Ok(Answer::whole(all))
}

async fn one(call: Call) -> Result<Answer, Problem> {
    let id = call.id(0)?.to_string();
    let all = call.app.service.deleted_users(call.actor.tenant).await?;
    all.into_iter()
        .find(|user| user.get("id").and_then(|value| value.as_str()) == Some(id.as_str()))
        .map(Answer::entity)
        .ok_or_else(|| muster_service::Error::not_found(format!("there is no deleted user {id}")).into())
}

async fn restore(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::entity(call.app.service.restore_user(&call.actor, call.id(0)?).await?))
}
