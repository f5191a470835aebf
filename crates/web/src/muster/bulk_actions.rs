//! `/muster/v1/bulkActions`: one action for many devices, without Graph's cap of a hundred.

use axum::{
    Extension,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use muster_domain::actions::Verb;
use muster_service::{
    Actor,
    actions::{BulkRequest, BulkState},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::json::{answer, answer_with, bad, id, object, time_or_null};
use crate::{App, gate::BoundedBytes, problem::Problem};

/// Most devices of one request.
const DEVICES: usize = 100_000;

fn view(state: &BulkState) -> Value {
    json!({
        "id": state.bulk,
        "actionName": state.action,
        "approvalId": state.approval,
        "states": state.states,
        "estimatedEndDateTime": time_or_null(state.estimated_end),
    })
}

/// Takes a request: `{"actionName", "deviceIds", ...parameters}`. 202 with the per-device lists.
pub async fn create(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    headers: HeaderMap,
    BoundedBytes(body): BoundedBytes,
) -> Result<Response, Problem> {
    let mut fields = object(&body)?;
    let name = fields.remove("actionName");
    let name = name.as_ref().and_then(Value::as_str).ok_or_else(|| bad("the body names an actionName"))?;
    let verb = Verb::from_name(name).ok_or_else(|| bad(format!("there is no action {name:?}")))?;
    let devices = match fields.remove("deviceIds") {
        Some(Value::Array(ids)) if ids.len() <= DEVICES => ids
            .iter()
            .map(|id| id.as_str().and_then(|id| id.parse::<Uuid>().ok()))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| bad("deviceIds is a list of ids"))?,
        Some(Value::Array(_)) => return Err(bad(format!("deviceIds takes {DEVICES} devices at most"))),
        _ => return Err(bad("the body has deviceIds, a list of ids")),
    };
    let override_personal = headers.get("x-muster-override").and_then(|v| v.to_str().ok()) == Some("personalDevice");
    let request = BulkRequest { verb, parameters: fields, devices, override_personal, cap: None };
    let result = app.service.request_bulk_action(&actor, request).await?;
    let body = json!({
        "id": result.bulk,
        "successfulDeviceIds": result.successful,
        "failedDeviceIds": result.failed,
        "notFoundDeviceIds": result.not_found,
        "notSupportedDeviceIds": result.not_supported,
        "approvalId": result.approval,
        "estimatedEndDateTime": time_or_null(result.estimated_end),
    });
    let mut response = answer_with(StatusCode::ACCEPTED, &body, result.approval);
    let location = format!("{}/muster/v1/bulkActions/{}", app.service.settings.addresses.admin, result.bulk);
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// How far it is.
pub async fn get(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Path(key): Path<String>,
) -> Result<Response, Problem> {
    Ok(answer(StatusCode::OK, &view(&app.service.bulk_action(actor.tenant, id(&key)?).await?)))
}

/// Takes back what no device has in hand.
pub async fn cancel(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Path(key): Path<String>,
) -> Result<Response, Problem> {
    let bulk = id(&key)?;
    let canceled = app.service.cancel_bulk_action(&actor, bulk).await?;
    let mut body = view(&app.service.bulk_action(actor.tenant, bulk).await?);
    body["canceled"] = json!(canceled);
    Ok(answer(StatusCode::OK, &body))
}
