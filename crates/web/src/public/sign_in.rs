//! `/signin` and `/setup` on the admin listener: operators, always with a second factor.

use axum::{
    extract::{Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use minijinja::context;
use muster_service::sign_in::{ConsoleSession, Flow, Purpose};
use serde::Deserialize;

use super::{
    flow::{self, Place, Progress},
    form::Posted,
    page::{Brand, Page},
};
use crate::{
    App,
    authentication::{self, CONSOLE_COOKIE},
};

const PLACE: Place =
    Place { purpose: Purpose::Console, action: "/signin", lead: "Sign in to manage your organisation's devices." };

/// Where the admin listener keeps the style sheet.
pub const STYLE: &str = "/signin/style.css";

fn brand() -> Brand {
    Brand::plain(STYLE)
}

/// GET /signin
pub async fn start() -> Response {
    flow::sign_in_page(&PLACE, "").respond(&brand())
}

/// POST /signin
pub async fn step(State(app): State<App>, posted: Posted) -> Response {
    let fields = match posted.fields {
        Ok(fields) => fields,
        Err((status, why)) => return flow::sign_in_page(&PLACE, "").refused(status, why).respond(&brand()),
    };
    let flow = match flow::advance(&app, &PLACE, &posted.context, &fields, None).await {
        Progress::Show(page, _) => return flow::respond(*page, &brand()),
        Progress::SignedIn(flow) => *flow,
    };
    match app.service.open_console(&posted.context, &flow.value).await {
        Ok(session) => signed_in(&flow, &session, app.service.clock.now()),
        Err(error) => flow::respond(flow::refused(flow::sign_in_page(&PLACE, ""), &error), &brand()),
    }
}

fn signed_in(flow: &Flow, session: &ConsoleSession, now: i64) -> Response {
    let mut page = Page::new(
        "You are signed in",
        "message.html",
        context! {
            lead => format!("Signed in as {}.", flow.person.user_principal_name),
            link => "/muster/v1/session",
            link_text => "Continue",
        },
    );
    page.recovery_codes = flow.recovery_codes.clone();
    let mut response = page.respond(&brand());
    let age = (session.expires_at - now).max(0) / 1000;
    set_cookie(&mut response, &session.value, age);
    response
}

/// The console's cookie: only for this host, only over TLS, never for scripts or other sites.
fn set_cookie(response: &mut Response, value: &str, age: i64) {
    let cookie = format!("{CONSOLE_COOKIE}={value}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={age}");
    let cookie = HeaderValue::from_str(&cookie).expect("a session value is base64url");
    response.headers_mut().insert(header::SET_COOKIE, cookie);
}

/// POST /signout
pub async fn sign_out(State(app): State<App>, headers: HeaderMap) -> Response {
    let page = Page::new(
        "You are signed out",
        "message.html",
        context! { link => PLACE.action, link_text => "Sign in again" },
    );
    if !authentication::same_origin(&headers) {
        return page.refused(StatusCode::FORBIDDEN, "this form was sent by another site").respond(&brand());
    }
    if let Some(cookie) = authentication::cookie(&headers, CONSOLE_COOKIE)
        && let Err(error) = app.service.sign_out(cookie).await
    {
        return flow::respond(flow::refused(page, &error), &brand());
    }
    let mut response = page.respond(&brand());
    set_cookie(&mut response, "", 0);
    response
}

/// The one-time value of the set-up link.
#[derive(Deserialize, Default)]
pub struct SetUp {
    #[serde(default)]
    token: String,
}

fn set_up_page(token: &str, username: &str) -> Page {
    Page::new("Set up Muster", "first.html", context! { action => "/setup", token => token, username => username })
}

fn set_up_over() -> Page {
    Page::new("Set up Muster", "message.html", context! { link => PLACE.action, link_text => "Sign in" })
}

/// GET /setup
pub async fn set_up(State(app): State<App>, Query(query): Query<SetUp>) -> Response {
    match app.service.check_set_up(&query.token).await {
        Ok(()) => set_up_page(&query.token, "").respond(&brand()),
        Err(error) => flow::respond(flow::refused(set_up_over(), &error), &brand()),
    }
}

/// POST /setup
pub async fn set_up_step(State(app): State<App>, posted: Posted) -> Response {
    let fields = match posted.fields {
        Ok(fields) => fields,
        Err((status, why)) => return set_up_over().refused(status, why).respond(&brand()),
    };
    let field = |name: &str| fields.get(name).unwrap_or_default();
    let (token, username) = (field("token"), field("username"));
    if let Err(error) = app.service.check_set_up(token).await {
        return flow::respond(flow::refused(set_up_over(), &error), &brand());
    }
    match app.service.complete_set_up(token, username, field("new_password")).await {
        Ok(()) => Page::new(
            "The first owner is made",
            "message.html",
            context! {
                lead => "Sign in now, and protect the account with a second factor.",
                link => PLACE.action,
                link_text => "Sign in",
            },
        )
        .respond(&brand()),
        Err(error) => flow::respond(flow::refused(set_up_page(token, username), &error), &brand()),
    }
}
