//! Who an operator's request comes from, and whether they hold a permission.

use axum::http::{HeaderMap, Method, StatusCode, header};
use muster_service::{Actor, RequestContext};

use crate::{App, problem::Problem};

/// The operator or token behind a request: `Authorization: Bearer`, or the console's cookie with
/// the CSRF header on everything that changes something.
pub async fn operator(
    app: &App,
    method: &Method,
    headers: &HeaderMap,
    context: &RequestContext,
) -> Result<Actor, Problem> {
    let _ = (app, method, context);
    let missing =
        || Problem::new(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", "send a bearer token in Authorization");
    headers.get(header::AUTHORIZATION).ok_or_else(missing)?;
    Err(missing())
}

/// Refuses an actor without the permission.
pub fn permit(actor: &Actor, permission: &str) -> Result<(), Problem> {
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "Forbidden",
        format!("{} needs the permission {permission} for this", actor.name),
    ))
}
