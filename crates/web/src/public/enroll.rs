//! `/enroll`: from sign-in to the link of the management profile.

use axum::{
    extract::{Path, Query, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use minijinja::context;
use muster_pki::Secret;
use muster_service::{
    Error, RequestContext,
    apple::enrollment::{Entry, Started},
    people::{ChoiceAnswers, NextChoice},
    sign_in::{Flow, Purpose},
};
use serde::Deserialize;

use super::{
    flow::{self, Place, Progress},
    form::Posted,
    page::Page,
    style::brand,
};
use crate::App;

const PLACE: Place = Place {
    purpose: Purpose::Enroll,
    action: "/enroll",
    lead: "Sign in with your work account to set up this device.",
};

const ACCOUNT: Place = Place {
    purpose: Purpose::Account,
    action: "/authenticate",
    lead: "Sign in with your work account to let this device be managed.",
};

/// What a device adds to the address it opens.
#[derive(Deserialize, Default)]
pub struct Authenticate {
    #[serde(default, rename = "user-identifier")]
    user_identifier: String,
}

/// What the link to the first page may carry.
#[derive(Deserialize, Default)]
pub struct Start {
    #[serde(default)]
    user: String,
}

/// GET /enroll
pub async fn start(State(app): State<App>, Query(start): Query<Start>) -> Response {
    let user: String = start.user.chars().take(320).collect();
    flow::sign_in_page(&PLACE, &user).respond(&brand(&app.service, None).await)
}

/// POST /enroll
pub async fn step(State(app): State<App>, posted: Posted) -> Response {
    advance(app, &PLACE, posted).await
}

/// GET /authenticate: a device opened it for an account-driven enrollment.
pub async fn authenticate(State(app): State<App>, Query(start): Query<Authenticate>) -> Response {
    let user: String = start.user_identifier.chars().take(320).collect();
    flow::sign_in_page(&ACCOUNT, &user).respond(&brand(&app.service, None).await)
}

/// POST /authenticate: the same forms; they end with the hand-over to the device.
pub async fn authenticate_step(State(app): State<App>, posted: Posted) -> Response {
    advance(app, &ACCOUNT, posted).await
}

async fn advance(app: App, place: &Place, posted: Posted) -> Response {
    let fields = match posted.fields {
        Ok(fields) => fields,
        Err((status, why)) => {
            let brand = brand(&app.service, None).await;
            return flow::sign_in_page(place, "").refused(status, why).respond(&brand);
        }
    };
    let flow = match flow::advance(&app, place, &posted.context, &fields, None).await {
        Progress::Show(page, who) => return flow::respond(*page, &brand(&app.service, who).await),
        Progress::SignedIn(flow) => *flow,
    };
    let brand = brand(&app.service, Some((flow.tenant, flow.person.id))).await;
    let answers = ChoiceAnswers {
        accept: fields.get("accept").map(|version| version.parse().unwrap_or(0)),
        category: fields.owned("category"),
        platform: fields.owned("platform"),
        owner: fields.owned("owner"),
    };
    let sent = Sent { context: &posted.context, user_agent: &posted.user_agent };
    match choose(&app, place, &sent, flow, &answers).await {
        Ok(Outcome::Token(token)) => to_device(&token),
        Ok(Outcome::Page(page)) | Err(page) => flow::respond(*page, &brand),
    }
}

/// 308 to the address that ends the system's web view with the access token.
fn to_device(token: &Secret<String>) -> Response {
    let location =
        format!("apple-remotemanagement-user-login://authentication-results?access-token={}", token.expose());
    let mut response = StatusCode::PERMANENT_REDIRECT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::from_str(&location).expect("an access token is base64url"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

/// The steps after the sign-in.
async fn choose(
    app: &App,
    place: &Place,
    posted: &Sent<'_>,
    mut flow: Flow,
    answers: &ChoiceAnswers,
) -> Result<Outcome, Box<Page>> {
    let stop = |error: &Error| Box::new(flow::refused(stop_page(place), error));
    let may = app.service.check_may_enroll(flow.tenant, flow.person.id, posted.context.correlation).await;
    may.map_err(|error| stop(&error))?;
    let mut refused = None;
    let next = match app.service.choose(&mut flow, answers).await {
        Ok(next) => Ok(next),
        Err(error) => {
            let next = app.service.choose(&mut flow, &ChoiceAnswers::default()).await;
            refused = Some(error);
            next
        }
    };
    let mut page = match next.map_err(|error| stop(&error))? {
        NextChoice::Terms(terms) => Page::new(
            "Terms of use",
            "terms.html",
            context! {
                action => place.action,
                flow => flow.value.clone(),
                heading => terms.title,
                text => terms.text,
                version => terms.version,
            },
        ),
        NextChoice::Category(categories) => Page::new(
            "Choose a category",
            "category.html",
            context! {
                action => place.action,
                flow => flow.value.clone(),
                categories => categories
                    .iter()
                    .map(|c| context! { id => c.id.to_string(), name => c.name.clone(), description => c.description.clone() })
                    .collect::<Vec<_>>(),
            },
        ),
        NextChoice::Platform => platform_page(place, &flow, posted.user_agent),
        NextChoice::Ready if refused.is_none() => {
            return hand_over(app, place, posted, &flow).await.map_err(|error| stop(&error));
        }
        NextChoice::Ready => stop_page(place),
    };
    page.recovery_codes = flow.recovery_codes.clone();
    Err(Box::new(match refused {
        Some(error) => flow::refused(page, &error),
        None => page,
    }))
}

/// What of a request the last step looks at.
struct Sent<'a> {
    context: &'a RequestContext,
    user_agent: &'a str,
}

/// Where an enrollment leads.
enum Outcome {
    /// A last page.
    Page(Box<Page>),
    /// The access token that the system takes back to the device.
    Token(Secret<String>),
}

/// Begins the enrollment: the profile, the token, or where else the person goes.
async fn hand_over(app: &App, place: &Place, sent: &Sent<'_>, flow: &Flow) -> muster_service::Result<Outcome> {
    let entry = if place.purpose == Purpose::Account { Entry::Account } else { Entry::Web };
    let mut request = app.service.enrollment_request(sent.context, flow, entry, os_version(sent.user_agent)).await?;
    if entry == Entry::Account {
        request.platform = account_platform(sent.user_agent).map(str::to_owned);
    }
    let platform = request.platform.clone().unwrap_or_default();
    let mut page = match app.service.start_enrollment(flow.tenant, flow.person.id, request).await? {
        Started::AskOwner => owner_page(place, flow),
        Started::UseAccount { account } => {
            Page::new("Continue in Settings", "account.html", context! { username => account, platform => platform })
        }
        Started::Session { token, .. } => {
            app.service.end_flow(&flow.value).await?;
            if entry == Entry::Account {
                return Ok(Outcome::Token(token));
            }
            Page::new(
                "Install the profile",
                "profile.html",
                context! {
                    person => flow.person.display_name.clone(),
                    platform => platform,
                    profile => format!("/enroll/profile/{}", token.expose()),
                },
            )
        }
    };
    page.recovery_codes = flow.recovery_codes.clone();
    Ok(Outcome::Page(Box::new(page)))
}

/// The version of iOS or iPadOS that a browser names.
fn os_version(user_agent: &str) -> Option<String> {
    let (_, after) =
        user_agent.split_once("OS ").filter(|(before, _)| before.ends_with("iPhone ") || before.ends_with("CPU "))?;
    let version = after.split(' ').next()?.replace('_', ".");
    version.starts_with(|c: char| c.is_ascii_digit()).then_some(version)
}

/// The platform of a web view that a device opened; an iPad may call itself a Macintosh.
fn account_platform(user_agent: &str) -> Option<&'static str> {
    if user_agent.contains("iPhone") {
        Some("iOS")
    } else if user_agent.contains("iPad") {
        Some("iPadOS")
    } else {
        None
    }
}

/// The page where an enrollment ends without success.
fn stop_page(place: &Place) -> Page {
    Page::new(
        "This device cannot be enrolled",
        "message.html",
        context! { link => place.action, link_text => "Start again" },
    )
}

fn owner_page(place: &Place, flow: &Flow) -> Page {
    Page::new(
        "Whose device is this?",
        "platform.html",
        context! { action => place.action, flow => flow.value.clone(), ask_owner => true },
    )
}

fn platform_page(place: &Place, flow: &Flow, user_agent: &str) -> Page {
    let guess = guess_platform(user_agent);
    let platforms: Vec<_> = [("iOS", "iPhone"), ("iPadOS", "iPad"), ("macOS", "Mac")]
        .into_iter()
        .map(|(value, name)| context! { value => value, name => name, selected => value == guess })
        .collect();
    Page::new(
        "Choose the kind of device",
        "platform.html",
        context! {
            action => place.action,
            flow => flow.value.clone(),
            ask_platform => true,
            platforms => platforms,
        },
    )
}

/// The platform a browser's description suggests. An iPad's Safari calls itself a Macintosh; the
/// person corrects that.
fn guess_platform(user_agent: &str) -> &'static str {
    if user_agent.contains("iPad") {
        "iPadOS"
    } else if user_agent.contains("Macintosh") || user_agent.contains("Mac OS X") && !user_agent.contains("iPhone") {
        "macOS"
    } else {
        "iOS"
    }
}

/// GET /enroll/profile/{token}
pub async fn profile(State(app): State<App>, Path(token): Path<String>) -> Response {
    match app.service.enrollment_profile(&token).await {
        Ok(profile) => {
            let mut response = profile.into_response();
            let headers = response.headers_mut();
            for (name, value) in [
                (header::CONTENT_TYPE, "application/x-apple-aspen-config"),
                (header::CONTENT_DISPOSITION, "attachment; filename=\"enroll.mobileconfig\""),
            ] {
                headers.insert(name, HeaderValue::from_static(value));
            }
            response
        }
        Err(error) => flow::respond(flow::refused(stop_page(&PLACE), &error), &brand(&app.service, None).await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_device_is_guessed_from_the_browser() {
        let iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15";
        let ipad = "Mozilla/5.0 (iPad; CPU OS 14_8 like Mac OS X) AppleWebKit/605.1.15";
        let mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15";
        assert_eq!([iphone, ipad, mac, "curl"].map(guess_platform), ["iOS", "iPadOS", "macOS", "iOS"]);
        assert_eq!(os_version(iphone).as_deref(), Some("17.5.1"));
        assert_eq!(os_version(ipad).as_deref(), Some("14.8"));
        assert_eq!(os_version(mac), None);
    }
}
