//! The style sheet of the public pages.

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};

const STYLE: &str = include_str!("style.css");

/// GET /style.css
pub async fn plain() -> Response {
    sheet(STYLE.to_owned())
}

fn sheet(css: String) -> Response {
    let mut response = css.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}
