//! /muster/v1/operators, /muster/v1/tokens, /muster/v1/session: who administers, and with what.

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use muster_domain::roles::{self, Permission};
use muster_service::{Actor, operators::RoleGiven, sign_in};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    body::{Body, list},
    json::id,
};
use crate::{
    App,
    authentication::{CONSOLE_COOKIE, cookie},
    problem::Problem,
};

type Answer = Result<Json<Value>, Problem>;

fn text<'a>(body: &'a Body, name: &str) -> Result<&'a str, Problem> {
    body.0
        .get(name)
        .and_then(Value::as_str)
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "BadRequest", format!("{name} is needed, as a string")))
}

fn only(body: &Body, known: &[&str]) -> Result<(), Problem> {
    match body.0.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let message = format!("unknown: {name}; known: {}", known.join(", "));
            Err(Problem::new(StatusCode::BAD_REQUEST, "BadRequest", message))
        }
    }
}

/// GET /muster/v1/operators
pub async fn operators(State(app): State<App>, Extension(actor): Extension<Actor>) -> Answer {
    Ok(list(app.service.list_operators(actor.tenant).await?))
}

/// POST /muster/v1/operators `{user, role}`
pub async fn create_operator(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    body: Body,
) -> Result<Response, Problem> {
    only(&body, &["user", "userPrincipalName", "role"])?;
    let user = text(&body, if body.0.contains_key("user") { "user" } else { "userPrincipalName" })?;
    let given = app.service.give_role(&actor, user, text(&body, "role")?).await?;
    role_answer(&app, &actor, given, StatusCode::CREATED).await
}

/// The operator; 202 with `x-muster-approval` where the role waits for a second person.
async fn role_answer(app: &App, actor: &Actor, given: RoleGiven, done: StatusCode) -> Result<Response, Problem> {
    let row = operator(app, actor, given.person).await?;
    Ok(match given.approval {
        Some(id) => (StatusCode::ACCEPTED, [("x-muster-approval", id.to_string())], Json(row)).into_response(),
        None => (done, Json(row)).into_response(),
    })
}

/// PATCH /muster/v1/operators/{id} `{role}`
pub async fn change_operator(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Path(key): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    only(&body, &["role"])?;
    let given = app.service.give_role(&actor, &id(&key)?.to_string(), text(&body, "role")?).await?;
    role_answer(&app, &actor, given, StatusCode::OK).await
}

/// DELETE /muster/v1/operators/{id}
pub async fn remove_operator(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Path(key): Path<String>,
) -> Result<StatusCode, Problem> {
    app.service.take_role(&actor, id(&key)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn operator(app: &App, actor: &Actor, id: Uuid) -> Result<Value, Problem> {
    let all = app.service.list_operators(actor.tenant).await?;
    Ok(all.into_iter().find(|row| row["id"] == json!(id)).unwrap_or(Value::Null))
}

/// DELETE /muster/v1/users/{id}/secondFactor
pub async fn reset_second_factor(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Path(user): Path<String>,
) -> Result<StatusCode, Problem> {
    app.service.reset_second_factor(&actor, &user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// GET /muster/v1/tokens
pub async fn tokens(State(app): State<App>, Extension(actor): Extension<Actor>) -> Answer {
    Ok(list(app.service.list_tokens(&actor).await?))
}

/// POST /muster/v1/tokens
pub async fn create_token(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    Ok((StatusCode::CREATED, Json(app.service.create_token(&actor, body.0).await?)))
}

/// DELETE /muster/v1/tokens/{id}
pub async fn revoke_token(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Path(key): Path<String>,
) -> Result<StatusCode, Problem> {
    app.service.revoke_token(&actor, id(&key)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// GET /muster/v1/session: who calls, what they may do, and the console's csrf value.
pub async fn session(Extension(actor): Extension<Actor>, headers: HeaderMap) -> Json<Value> {
    let permissions: Vec<&str> = Permission::ALL
        .iter()
        .filter(|permission| roles::allows(&actor.role, actor.scopes.as_deref(), **permission))
        .map(|permission| permission.word())
        .collect();
    Json(json!({
        "id": actor.id,
        "displayName": actor.name,
        "userId": actor.person,
        "organizationId": actor.tenant,
        "role": actor.role,
        "scopes": actor.scopes,
        "permissions": permissions,
        "csrf": cookie(&headers, CONSOLE_COOKIE).map(sign_in::csrf_of),
    }))
}

/// GET /muster/v1/sessions: the caller's live sessions.
pub async fn sessions(State(app): State<App>, Extension(actor): Extension<Actor>) -> Answer {
    let rows = app.service.my_sessions(&actor).await?;
    let time = |ms: i64| jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_string();
    let row = |session: sign_in::SessionView| {
        json!({
            "id": session.id,
            "audience": session.audience,
            "createdDateTime": time(session.created_at),
            "lastUsedDateTime": time(session.last_used_at),
            "expirationDateTime": time(session.expires_at),
        })
    };
    Ok(list(rows.into_iter().map(row).collect()))
}

/// DELETE /muster/v1/sessions/{id}
pub async fn end_session(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Path(key): Path<String>,
) -> Result<StatusCode, Problem> {
    app.service.end_session(&actor, id(&key)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
