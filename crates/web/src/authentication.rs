//! Who an operator's request comes from, and whether they hold a permission.

use axum::http::{HeaderMap, Method, StatusCode, header};
use muster_domain::roles::{self, Permission};
use muster_service::{Actor, RequestContext, sign_in::Intent};

use crate::{App, problem::Problem};

/// Cookie of a console session.
pub const CONSOLE_COOKIE: &str = "__Host-muster-console";
/// Cookie of a portal session.
pub const PORTAL_COOKIE: &str = "__Host-muster-portal";
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
        if !same_origin(headers) {
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

/// The value of a cookie. A name that stands twice is no cookie: somebody planted the other one.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut found = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value);
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// False for a request that a browser made on behalf of another site: Fetch Metadata where the
/// browser sends it, `Origin` otherwise.
pub fn same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("sec-fetch-site") {
        Some("same-origin" | "none") => return true,
        Some(_) => return false,
        None => {}
    }
    match (text("origin"), text("host")) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, authority)| authority == host),
        (Some(_), None) => false,
    }
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

    fn sent(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (header::HeaderName::from_static(n), v.parse().unwrap())).collect()
    }

    #[test]
    fn k2_another_site_is_recognised() {
        assert!(same_origin(&sent(&[("host", "a.example")])));
        assert!(same_origin(&sent(&[("host", "a.example"), ("origin", "https://a.example")])));
        assert!(same_origin(&sent(&[("sec-fetch-site", "same-origin")])));
        assert!(!same_origin(&sent(&[("host", "a.example"), ("origin", "https://b.example")])));
        assert!(!same_origin(&sent(&[("host", "a.example"), ("origin", "null")])));
        assert!(!same_origin(&sent(&[("sec-fetch-site", "cross-site")])));
        assert!(!same_origin(&sent(&[("sec-fetch-site", "same-site")])));
    }

    #[test]
    fn k1_a_planted_second_cookie_counts_as_none() {
        let planted = sent(&[("cookie", "__Host-muster-console=abc; __Host-muster-console=evil")]);
        assert_eq!(cookie(&planted, CONSOLE_COOKIE), None);
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let headers = HeaderMap::from_iter([(header::COOKIE, "a=1; __Host-muster-console=x=y; b=2".parse().unwrap())]);
        assert_eq!(cookie(&headers, CONSOLE_COOKIE), Some("x=y"));
        assert_eq!(cookie(&headers, "c"), None);
    }
}
