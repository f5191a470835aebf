//! `/muster/v1/approvals`: what waits for a second person, and deciding it.

use axum::{
    Extension,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use muster_service::{
    Actor,
    guard::{Approval, Decide},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::json::{answer, bad, id, time, time_or_null};
use crate::{App, gate::Asked, problem::Problem};

/// Words of `state`.
const STATES: [&str; 7] = ["pending", "approved", "denied", "expired", "void", "canceled", "effective"];

/// Query of the list.
#[derive(Debug, Deserialize)]
pub struct ListQuery {
    state: Option<String>,
    after: Option<String>,
}

fn view(row: &Approval) -> Value {
    let parameters: Value = serde_json::from_str(&row.parameters).unwrap_or(Value::Null);
    json!({
        "id": row.id,
        "state": row.state,
        "action": row.action_name,
        "deviceIds": row.subjects,
        "parameters": parameters,
        "requester": row.requester_name,
        "requesterId": row.requester_id,
        "requesterKind": row.requester_kind,
        "reason": row.reason,
        "createdDateTime": time(row.created_at),
        "expirationDateTime": time(row.expires_at),
        "decidedBy": row.decided_by_name,
        "decidedById": row.decided_by_id,
        "decidedDateTime": time_or_null(row.decided_at),
        "selfReleaseDateTime": time_or_null(row.self_release_at),
        "effectiveDateTime": time_or_null(row.effective_at),
    })
}

/// Lists requests, newest first.
pub async fn list(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Asked(query): Asked<ListQuery>,
) -> Result<Response, Problem> {
    if let Some(state) = query.state.as_deref().filter(|state| !STATES.contains(state)) {
        return Err(bad(format!("state has no value {state:?}; it is one of {}", STATES.join(", "))));
    }
    let after = query.after.as_deref().map(id).transpose()?;
    let page = app.service.approvals(actor.tenant, query.state.clone(), after).await?;
    let mut body = json!({ "value": page.rows.iter().map(view).collect::<Vec<_>>() });
    if let Some(next) = page.next {
        let state = query.state.map_or(String::new(), |state| format!("state={state}&"));
        let admin = &app.service.settings.addresses.admin;
        body["@odata.nextLink"] = json!(format!("{admin}/muster/v1/approvals?{state}after={next}"));
    }
    Ok(answer(StatusCode::OK, &body))
}

/// One request.
pub async fn get(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Path(key): Path<String>,
) -> Result<Response, Problem> {
    let row = app.service.approval(actor.tenant, id(&key)?).await?;
    Ok(answer(StatusCode::OK, &view(&row)))
}

async fn decide(app: App, actor: Actor, key: String, decide: Decide) -> Result<Response, Problem> {
    let row = app.service.decide_approval(&actor, id(&key)?, decide).await?;
    Ok(answer(StatusCode::OK, &view(&row)))
}

/// Agrees; the own request answers 403 `selfApproval`.
pub async fn approve(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Path(key): Path<String>,
) -> Result<Response, Problem> {
    decide(app, actor, key, Decide::Approve).await
}

/// Refuses; the own request answers 403 `selfApproval`.
pub async fn deny(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Path(key): Path<String>,
) -> Result<Response, Problem> {
    decide(app, actor, key, Decide::Deny).await
}

/// Takes a request back, as far as no device has it in hand.
pub async fn cancel(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Path(key): Path<String>,
) -> Result<Response, Problem> {
    decide(app, actor, key, Decide::Cancel).await
}
