//! `/muster/v1/guardSettings`: limits and periods of the guard.

use axum::{Extension, extract::State, http::StatusCode, response::Response};
use muster_service::{Actor, guard::GuardSettings};
use serde_json::{Value, json};

use super::json::{answer, answer_with, bad, object};
use crate::{App, gate::BoundedBytes, problem::Problem};

fn view(settings: &GuardSettings) -> Value {
    serde_json::to_value(settings).unwrap_or(Value::Null)
}

/// The rules in force.
pub async fn get(State(app): State<App>, Extension(actor): Extension<Actor>) -> Result<Response, Problem> {
    Ok(answer(StatusCode::OK, &view(&app.service.guard_settings(actor.tenant).await?)))
}

/// Changes rules. 200 with the new rules where nothing becomes weaker; else 202 with the rules still in
/// force, the weakened fields and the approval.
pub async fn patch(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    BoundedBytes(body): BoundedBytes,
) -> Result<Response, Problem> {
    let changes = object(&body)?;
    if changes.is_empty() {
        return Err(bad("the body names no property to change"));
    }
    let change = app.service.change_guard_settings(&actor, changes).await?;
    let mut body = view(&change.rules);
    let status = match change.approval {
        None => StatusCode::OK,
        Some(approval) => {
            body["pendingChange"] = json!({ "approvalId": approval, "weakens": change.weakened });
            StatusCode::ACCEPTED
        }
    };
    Ok(answer_with(status, &body, change.approval))
}
