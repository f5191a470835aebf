//! `/muster/v1/emergencyStop`: one person halts, two people lift.

use axum::{Extension, extract::State, http::StatusCode, response::Response};
use muster_service::{Actor, guard::EmergencyStop};
use serde_json::{Value, json};

use super::json::{answer, answer_with};
use crate::{App, problem::Problem};

fn view(stop: &EmergencyStop) -> Value {
    json!({ "stopped": stop.stopped, "epoch": stop.epoch, "approvalId": stop.approval })
}

/// Whether it is on.
pub async fn get(State(app): State<App>, Extension(actor): Extension<Actor>) -> Result<Response, Problem> {
    Ok(answer(StatusCode::OK, &view(&app.service.emergency_stop(actor.tenant).await?)))
}

/// Halts at once.
pub async fn stop(State(app): State<App>, Extension(actor): Extension<Actor>) -> Result<Response, Problem> {
    Ok(answer(StatusCode::OK, &view(&app.service.stop_everything(&actor).await?)))
}

/// Asks to lift it: 202 with the approval that a second person decides.
pub async fn lift(State(app): State<App>, Extension(actor): Extension<Actor>) -> Result<Response, Problem> {
    let stop = app.service.ask_to_lift_stop(&actor).await?;
    Ok(answer_with(StatusCode::ACCEPTED, &view(&stop), stop.approval))
}
