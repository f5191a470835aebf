//! Who an operator's request comes from, and whether they hold a permission.

use axum::http::{HeaderMap, Method, StatusCode, header};
use muster_domain::roles::{self, Permission};
use muster_service::{Actor, RequestContext, sign_in::Intent};

use crate::{App, problem::Problem};

/// Cookie of a console session.
pub const CONSOLE_COOKIE: &str = "__Host-muster-console";
/// Header that a page of ours sends with everything that changes something.
pub const CSRF_HEADER: &str = "x-muster-csrf";

/// The operator or token behind a request: `Authorization: Bearer`, or the console's cookie with
/// the CSRF header on everything that changes something.
pub async fn operator(
    app: &App,
    method: &Method,
    headers: &HeaderMap,
    context: &RequestContext,
) -> Result<Actor, Problem> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let token =
            value.to_str().ok().and_then(bearer).ok_or_else(|| missing("Authorization must be a bearer token"))?;
        return Ok(app.service.authenticate_token(token, context).await?);
    }
    let cookie = cookie(headers, CONSOLE_COOKIE).ok_or_else(|| missing("send a bearer token in Authorization"))?;
    let intent = if method.is_safe() {
        Intent::Read
    } else {
        if cross_site(headers) {
            return Err(Problem::new(StatusCode::FORBIDDEN, "Forbidden", "the request comes from another site"));
        }
        Intent::Write(headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok()))
    };
    Ok(app.service.authenticate_session(cookie, intent, context).await?)
}

fn missing(message: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", message)
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then(|| token.trim())
}

/// The value of a cookie; the first where a client sends several of one name.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// True where the browser itself says that another site made the request (Fetch Metadata).
pub fn cross_site(headers: &HeaderMap) -> bool {
    headers
        .get("sec-fetch-site")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|site| !matches!(site, "same-origin" | "none"))
}

/// Refuses an actor without the permission.
pub fn permit(actor: &Actor, permission: Permission) -> Result<(), Problem> {
    if roles::allows(&actor.role, actor.scopes.as_deref(), permission) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "Forbidden",
        format!("{} lacks the permission {} that this needs", actor.name, permission.word()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_read_whatever_the_scheme_s_case() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        for bad in ["Basic abc", "Bearer", "Bearer ", "abc"] {
            assert_eq!(bearer(bad), None, "{bad}");
        }
    }

    #[test]
    fn k2_another_site_is_recognised() {
        let with = |value: &str| {
            HeaderMap::from_iter([(header::HeaderName::from_static("sec-fetch-site"), value.parse().unwrap())])
        };
        assert!(cross_site(&with("cross-site")) && cross_site(&with("same-site")));
        assert!(!cross_site(&with("same-origin")) && !cross_site(&HeaderMap::new()));
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let headers = HeaderMap::from_iter([(header::COOKIE, "a=1; __Host-muster-console=x=y; b=2".parse().unwrap())]);
        assert_eq!(cookie(&headers, CONSOLE_COOKIE), Some("x=y"));
        assert_eq!(cookie(&headers, "c"), None);
    }
}
