//! `/portal`: people look after their own devices. Server-rendered, works without JavaScript; every
//! form repeats a value that only the session's own pages know.

use axum::{
    Extension,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use minijinja::{Value, context};
use muster_domain::actions::Verb;
use muster_service::{
    Actor, Error, RequestContext,
    devices::{OwnDevice, OwnRequest},
    sign_in::{self, Purpose},
};
use uuid::Uuid;

use super::{
    flow::{self, Place, Progress},
    form::{Fields, Posted},
    page::{Brand, Page},
    style::brand,
};
use crate::{
    App,
    authentication::{PORTAL_COOKIE, cookie},
};

const PLACE: Place =
    Place { purpose: Purpose::Portal, action: "/portal", lead: "Sign in with your work account to see your devices." };

/// GET /portal: the devices, or the sign-in page.
pub async fn start(State(app): State<App>, headers: HeaderMap, context: Option<Extension<RequestContext>>) -> Response {
    let context = context.map(|Extension(context)| context).unwrap_or_default();
    let cookie = cookie(&headers, PORTAL_COOKIE).unwrap_or_default();
    match app.service.authenticate_person(cookie, &context).await {
        Ok(actor) => list(&app, &actor, cookie, None).await,
        Err(Error::Refused(_)) => flow::sign_in_page(&PLACE, "").respond(&brand(&app.service, None).await),
        Err(error) => flow::respond(flow::refused(over(), &error), &brand(&app.service, None).await),
    }
}

/// POST /portal: the steps of the sign-in.
pub async fn step(State(app): State<App>, posted: Posted) -> Response {
    let fields = match posted.fields {
        Ok(fields) => fields,
        Err((status, why)) => {
            let brand = brand(&app.service, None).await;
            return flow::sign_in_page(&PLACE, "").refused(status, why).respond(&brand);
        }
    };
    let flow = match flow::advance(&app, &PLACE, &posted.context, &fields, None).await {
        Progress::Show(page, who) => return flow::respond(*page, &brand(&app.service, who).await),
        Progress::SignedIn(flow) => *flow,
    };
    let look = brand(&app.service, Some((flow.tenant, flow.person.id))).await;
    match app.service.open_portal(&flow.value).await {
        Ok(session) => {
            let age = (session.expires_at - app.service.clock.now()).max(0) / 1000;
            let mut response = match flow.recovery_codes.is_empty() {
                true => to("/portal"),
                // Shown once, before anything else.
                false => {
                    let link = context! { link => "/portal", link_text => "Continue" };
                    let mut page = Page::new("You are signed in", "message.html", link);
                    page.recovery_codes = flow.recovery_codes;
                    page.respond(&look)
                }
            };
            set_cookie(&mut response, &session.value, age);
            response
        }
        Err(error) => flow::respond(flow::refused(flow::sign_in_page(&PLACE, ""), &error), &look),
    }
}

/// POST /portal/signout
pub async fn sign_out(State(app): State<App>, headers: HeaderMap, posted: Posted) -> Response {
    let value = cookie(&headers, PORTAL_COOKIE).unwrap_or_default();
    if let Err(page) = own_form(value, posted.fields) {
        return page.respond(&brand(&app.service, None).await);
    }
    if let Err(error) = app.service.sign_out(value).await {
        return flow::respond(flow::refused(over(), &error), &brand(&app.service, None).await);
    }
    let mut response = to("/portal");
    set_cookie(&mut response, "", 0);
    response
}

/// GET /portal/devices/{id}
pub async fn device(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let cookie = cookie(&headers, PORTAL_COOKIE).unwrap_or_default();
    show(&app, &actor, cookie, &id, None).await
}

/// POST /portal/devices/{id}: `act` says what: `rename` (with `name`), `sync`, `lock`, `remove` (with
/// `sure`).
pub async fn act(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    headers: HeaderMap,
    Path(id): Path<String>,
    posted: Posted,
) -> Response {
    let cookie = cookie(&headers, PORTAL_COOKIE).unwrap_or_default();
    let fields = match own_form(cookie, posted.fields) {
        Ok(fields) => fields,
        Err(page) => return page.respond(&brand(&app.service, None).await),
    };
    let done = match id.parse::<Uuid>() {
        Ok(id) => do_it(&app, &actor, id, &fields).await,
        Err(_) => Err(Error::not_found("you have no such device")),
    };
    match done {
        Ok("/portal") => to("/portal"),
        Ok(_) => to(&format!("/portal/devices/{id}")),
        Err(error) => show(&app, &actor, cookie, &id, Some(error)).await,
    }
}

/// Does what a device's form asks; answers where the person goes then.
async fn do_it(app: &App, actor: &Actor, id: Uuid, fields: &Fields) -> muster_service::Result<&'static str> {
    let verb = match fields.get("act") {
        Some("rename") => {
            app.service.rename_own(actor, id, fields.get("name").unwrap_or_default()).await?;
            return Ok("");
        }
        Some("sync") => Verb::SyncDevice,
        Some("lock") => Verb::RemoteLock,
        Some("remove") if fields.get("sure").is_none() => {
            return Err(Error::bad_request("tick the box to say that you are sure"));
        }
        Some("remove") => Verb::Retire,
        _ => return Err(Error::bad_request("choose one of the actions shown")),
    };
    app.service.act_on_own(actor, id, verb).await?;
    Ok(if verb == Verb::Retire { "/portal" } else { "" })
}

/// POST /portal/requests/{id}: `decision` is `agree` or `refuse`.
pub async fn decide(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    headers: HeaderMap,
    Path(id): Path<String>,
    posted: Posted,
) -> Response {
    let cookie = cookie(&headers, PORTAL_COOKIE).unwrap_or_default();
    let fields = match own_form(cookie, posted.fields) {
        Ok(fields) => fields,
        Err(page) => return page.respond(&brand(&app.service, None).await),
    };
    let decided = match (id.parse::<Uuid>(), fields.get("decision")) {
        (Ok(id), Some("agree")) => app.service.decide_about_own(&actor, id, true).await,
        (Ok(id), Some("refuse")) => app.service.decide_about_own(&actor, id, false).await,
        (Ok(_), _) => Err(Error::bad_request("agree or refuse")),
        (Err(_), _) => Err(Error::not_found("nothing of yours waits under this number")),
    };
    match decided {
        Ok(()) => to("/portal"),
        Err(error) => list(&app, &actor, cookie, Some(error)).await,
    }
}

/// The fields of a form that one of the session's own pages sent.
fn own_form(cookie: &str, fields: Result<Fields, (StatusCode, &'static str)>) -> Result<Fields, Box<Page>> {
    let fields = fields.map_err(|(status, why)| Box::new(over().refused(status, why)))?;
    match sign_in::is_own_form(cookie, fields.get("csrf").unwrap_or_default()) {
        true => Ok(fields),
        false => Err(Box::new(over().refused(StatusCode::FORBIDDEN, "this form is not from your session"))),
    }
}

fn over() -> Page {
    Page::new("Your devices", "message.html", context! { link => "/portal", link_text => "Start again" })
}

async fn look(app: &App, actor: &Actor) -> Brand {
    brand(&app.service, Some((actor.tenant, actor.id))).await
}

async fn list(app: &App, actor: &Actor, cookie: &str, refused: Option<Error>) -> Response {
    let look = look(app, actor).await;
    let (devices, requests) = match app.service.own_devices(actor).await {
        Ok(found) => found,
        Err(error) => return flow::respond(flow::refused(over(), &error), &look),
    };
    let page = Page::new(
        "Your devices",
        "portal.html",
        context! {
            username => actor.name.clone(),
            csrf => sign_in::csrf_of(cookie),
            devices => devices.iter().map(device_value).collect::<Vec<_>>(),
            requests => requests.iter().map(request_value).collect::<Vec<_>>(),
        },
    );
    flow::respond(with(page, refused), &look)
}

async fn show(app: &App, actor: &Actor, cookie: &str, id: &str, refused: Option<Error>) -> Response {
    let look = look(app, actor).await;
    let found = app.service.own_devices(actor).await;
    let found = found.map(|(devices, _)| devices.into_iter().find(|device| device.id.to_string() == id));
    let page = match found {
        Ok(Some(device)) => Page::new(
            device.name.clone(),
            "portal_device.html",
            context! { csrf => sign_in::csrf_of(cookie), device => device_value(&device) },
        ),
        Ok(None) => {
            let missing = Error::not_found("you have no such device");
            return flow::respond(flow::refused(back(), &missing), &look);
        }
        Err(error) => return flow::respond(flow::refused(back(), &error), &look),
    };
    flow::respond(with(page, refused), &look)
}

fn back() -> Page {
    Page::new("Your devices", "message.html", context! { link => "/portal", link_text => "Back to your devices" })
}

fn with(page: Page, refused: Option<Error>) -> Page {
    match refused {
        Some(error) => flow::refused(page, &error),
        None => page,
    }
}

fn time(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms);
    time.map(|time| time.strftime("%-d %B %Y, %H:%M UTC").to_string()).unwrap_or_default()
}

/// What waits, in words.
fn waiting(verb: &str) -> &'static str {
    match verb {
        "syncDevice" => "Checking in",
        "remoteLock" => "Lock on its way",
        "retire" => "Removal on its way",
        "wipe" => "Erasure asked for",
        "delete" => "Removal asked for",
        _ => "A change is on its way",
    }
}

fn device_value(device: &OwnDevice) -> Value {
    let kind = match device.platform.as_str() {
        "macOS" => "Mac",
        "iPadOS" => "iPad",
        _ => "iPhone",
    };
    let model = if device.model.is_empty() { kind } else { &device.model };
    let state = match (device.state.as_str(), device.compliance.as_str()) {
        ("leaving", _) => ("Being removed", "quiet"),
        (_, "noncompliant" | "error" | "conflict") => ("Needs attention", "danger"),
        (_, "compliant") => ("Fine", "success"),
        _ => ("Managed", "success"),
    };
    context! {
        id => device.id.to_string(),
        name => device.name.clone(),
        about => format!("{model}, {} {}", device.platform, device.os_version).trim_end().to_owned(),
        owner => match device.owner.as_str() {
            "company" => "Your organisation's",
            "personal" => "Your own",
            _ => "Not known",
        },
        state => state.0,
        tone => state.1,
        last_contact => device.last_contact.map_or_else(|| "never".into(), time),
        waiting => device.waiting.iter().map(|verb| waiting(verb)).collect::<Vec<_>>(),
        removable => device.removable,
        leaving => device.state == "leaving",
    }
}

fn request_value(request: &OwnRequest) -> Value {
    let what = match request.action.as_str() {
        "wipe" => "erase everything on",
        "retire" => "remove work apps and data from",
        "delete" => "remove the record of",
        _ => "change",
    };
    context! {
        id => request.id.to_string(),
        what => what,
        device => request.device.clone(),
        requester => request.requester.clone(),
        reason => request.reason.clone(),
        until => time(request.expires_at),
    }
}

fn to(path: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let path = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/portal"));
    response.headers_mut().insert(header::LOCATION, path);
    response
}

/// The portal's cookie: only for this host, only over TLS, never for scripts or forms of other sites.
fn set_cookie(response: &mut Response, value: &str, age: i64) {
    let cookie = format!("{PORTAL_COOKIE}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={age}");
    let cookie = HeaderValue::from_str(&cookie).expect("a session value is base64url");
    response.headers_mut().insert(header::SET_COOKIE, cookie);
}
