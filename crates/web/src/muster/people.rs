//! /muster/v1/users, licensing, tenantSettings, imports: what Graph has no place for.

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
};
use muster_service::{Actor, people::ImportKind};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{body::Body, json::bad};
use crate::{
    App,
    gate::{Asked, BoundedBytes},
    problem::Problem,
};

type Answer = Result<Json<Value>, Problem>;

/// GET /muster/v1/users/{id}
pub async fn user(State(app): State<App>, Extension(actor): Extension<Actor>, Path(user): Path<String>) -> Answer {
    Ok(Json(app.service.user_extras(actor.tenant, &user).await?))
}

/// PATCH /muster/v1/users/{id} `{managedAppleAccount}`
pub async fn change_user(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Path(user): Path<String>,
    body: Body,
) -> Answer {
    app.service.change_user_extras(&actor, &user, body.0).await?;
    Ok(Json(app.service.user_extras(actor.tenant, &user).await?))
}

/// GET /muster/v1/licensing
pub async fn licensing(State(app): State<App>, Extension(actor): Extension<Actor>) -> Answer {
    let (rules, consumed) = app.service.licensing(actor.tenant).await?;
    Ok(Json(json!({
        "seats": rules.seats,
        "assignToNewUsers": rules.assign_to_new_users,
        "consumedSeats": consumed,
        "availableSeats": rules.seats.map(|seats| (seats - consumed).max(0)),
    })))
}

/// PATCH /muster/v1/licensing `{seats, assignToNewUsers}`
pub async fn change_licensing(state: State<App>, actor: Extension<Actor>, body: Body) -> Answer {
    state.service.change_licensing(&actor, body.0).await?;
    licensing(state, actor).await
}

/// GET /muster/v1/tenantSettings
pub async fn settings(State(app): State<App>, Extension(actor): Extension<Actor>) -> Answer {
    Ok(Json(app.service.tenant_settings(actor.tenant).await?))
}

/// PATCH /muster/v1/tenantSettings `{secondFactorGroups, managedAppleAccount}`
pub async fn change_settings(State(app): State<App>, Extension(actor): Extension<Actor>, body: Body) -> Answer {
    Ok(Json(app.service.change_tenant_settings(&actor, body.0).await?))
}

/// Whether a file is only tried.
#[derive(Deserialize, Default)]
pub struct Import {
    #[serde(default)]
    commit: Option<String>,
}

async fn import(
    app: &App,
    actor: &Actor,
    kind: ImportKind,
    query: &Import,
    headers: &HeaderMap,
    body: &Bytes,
) -> Answer {
    let sent = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !sent.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/csv") {
        let message = "send the file as text/csv";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message));
    }
    let text = std::str::from_utf8(body).map_err(|_| bad("the file must be UTF-8"))?;
    let commit = match query.commit.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(bad("commit must be true or false")),
    };
    Ok(Json(app.service.import(actor, kind, text, commit).await?))
}

/// POST /muster/v1/imports/users?commit=true|false
pub async fn import_users(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Asked(query): Asked<Import>,
    headers: HeaderMap,
    BoundedBytes(body): BoundedBytes,
) -> Answer {
    import(&app, &actor, ImportKind::Users, &query, &headers, &body).await
}

/// POST /muster/v1/imports/memberships?commit=true|false
pub async fn import_memberships(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Asked(query): Asked<Import>,
    headers: HeaderMap,
    BoundedBytes(body): BoundedBytes,
) -> Answer {
    import(&app, &actor, ImportKind::Memberships, &query, &headers, &body).await
}
