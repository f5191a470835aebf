//! `/enroll`: from sign-in to the link of the management profile.

use axum::{
    extract::{Path, Query, State},
    http::header,
    response::{IntoResponse as _, Response},
};
use minijinja::context;
use muster_domain::enrollment::Owner;
use muster_service::{
    apple::enrollment::{EnrollmentRequest, Entry, Started},
    people::{ChoiceAnswers, NextChoice},
    sign_in::{Flow, Purpose},
};
use serde::Deserialize;

use super::{
    flow::{self, Place, Progress},
    form::Posted,
    page::{Brand, Page},
};
use crate::App;

const PLACE: Place = Place {
    purpose: Purpose::Enroll,
    action: "/enroll",
    lead: "Sign in with your work account to set up this device.",
};

/// What the link to the first page may carry.
#[derive(Deserialize, Default)]
pub struct Start {
    #[serde(default)]
    user: String,
}

/// GET /enroll
pub async fn start(State(_app): State<App>, Query(start): Query<Start>) -> Response {
    let user: String = start.user.chars().take(320).collect();
    flow::sign_in_page(&PLACE, &user).respond(&brand())
}

/// POST /enroll
pub async fn step(State(app): State<App>, posted: Posted) -> Response {
    let brand = brand();
    let fields = match posted.fields {
        Ok(fields) => fields,
        Err((status, why)) => return flow::sign_in_page(&PLACE, "").refused(status, why).respond(&brand),
    };
    let flow = match flow::advance(&app, &PLACE, &posted.context, &fields, None).await {
        Progress::Show(page) => return flow::respond(*page, &brand),
        Progress::SignedIn(flow) => *flow,
    };
    let answers = ChoiceAnswers {
        category: fields.owned("category"),
        platform: fields.owned("platform"),
        owner: fields.owned("owner"),
    };
    let page = choose(&app, &posted.context, flow, &answers, &posted.user_agent).await;
    flow::respond(page, &brand)
}

/// The steps after the sign-in.
async fn choose(
    app: &App,
    context: &muster_service::RequestContext,
    mut flow: Flow,
    answers: &ChoiceAnswers,
    user_agent: &str,
) -> Page {
    if let Err(error) = app.service.check_may_enroll(context, &flow).await {
        return flow::refused(stop_page(), &error);
    }
    let mut refused = None;
    let next = match app.service.choose(&mut flow, answers).await {
        Ok(next) => Ok(next),
        Err(error) => {
            let next = app.service.choose(&mut flow, &ChoiceAnswers::default()).await;
            refused = Some(error);
            next
        }
    };
    let mut page = match next {
        Ok(NextChoice::Terms(terms)) => Page::new(
            "Terms of use",
            "terms.html",
            context! {
                action => PLACE.action,
                flow => flow.value.clone(),
                terms => terms.iter().map(|t| context! { title => t.title.clone(), text => t.text.clone() }).collect::<Vec<_>>(),
            },
        ),
        Ok(NextChoice::Category(categories)) => Page::new(
            "Choose a category",
            "category.html",
            context! {
                action => PLACE.action,
                flow => flow.value.clone(),
                categories => categories
                    .iter()
                    .map(|c| context! { id => c.id.to_string(), name => c.name.clone(), description => c.description.clone() })
                    .collect::<Vec<_>>(),
            },
        ),
        Ok(NextChoice::Platform) => platform_page(&flow, user_agent),
        Ok(NextChoice::Ready) => match hand_over(app, context, &flow, user_agent).await {
            Ok(page) => page,
            Err(error) => return flow::refused(stop_page(), &error),
        },
        Err(error) => return flow::refused(stop_page(), &error),
    };
    page.recovery_codes = flow.recovery_codes.clone();
    match refused {
        Some(error) => flow::refused(page, &error),
        None => page,
    }
}

/// The last page: the profile, or where else the person goes.
async fn hand_over(
    app: &App,
    context: &muster_service::RequestContext,
    flow: &Flow,
    user_agent: &str,
) -> muster_service::Result<Page> {
    let platform = flow.choices.platform.clone().unwrap_or_default();
    let request = EnrollmentRequest {
        entry: Entry::Web,
        platform: flow.choices.platform.clone(),
        os_version: os_major(user_agent).map(|major| major.to_string()),
        owner: flow.choices.owner.as_deref().and_then(Owner::parse),
        category: app.service.chosen_category(flow).await?,
        correlation: context.correlation,
    };
    let token = match app.service.start_enrollment(flow.tenant, flow.person.id, request).await? {
        Started::AskOwner => return Ok(owner_page(flow)),
        Started::UseAccount { account } => {
            return Ok(Page::new(
                "Continue in Settings",
                "account.html",
                context! { username => account, platform => platform },
            ));
        }
        Started::Session { token, .. } => token,
    };
    app.service.end_flow(&flow.value).await?;
    Ok(Page::new(
        "Install the profile",
        "profile.html",
        context! {
            person => flow.person.display_name.clone(),
            platform => platform,
            profile => format!("/enroll/profile/{}", token.expose()),
        },
    ))
}

/// The major version of iOS or iPadOS that a browser names.
fn os_major(user_agent: &str) -> Option<u32> {
    let (_, after) =
        user_agent.split_once("OS ").filter(|(before, _)| before.ends_with("iPhone ") || before.ends_with("CPU "))?;
    after.split(['_', '.', ' ']).next()?.parse().ok()
}

/// The page where an enrollment ends without success.
fn stop_page() -> Page {
    Page::new(
        "This device cannot be enrolled",
        "message.html",
        context! { link => PLACE.action, link_text => "Start again" },
    )
}

fn owner_page(flow: &Flow) -> Page {
    Page::new(
        "Whose device is this?",
        "platform.html",
        context! { action => PLACE.action, flow => flow.value.clone(), ask_owner => true },
    )
}

fn platform_page(flow: &Flow, user_agent: &str) -> Page {
    let guess = guess_platform(user_agent);
    let platforms: Vec<_> = [("iOS", "iPhone"), ("iPadOS", "iPad"), ("macOS", "Mac")]
        .into_iter()
        .map(|(value, name)| context! { value => value, name => name, selected => value == guess })
        .collect();
    Page::new(
        "Choose the kind of device",
        "platform.html",
        context! {
            action => PLACE.action,
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
        Ok(profile) => ([(header::CONTENT_TYPE, "application/x-apple-aspen-config")], profile).into_response(),
        Err(error) => flow::respond(flow::refused(stop_page(), &error), &brand()),
    }
}

fn brand() -> Brand {
    Brand::plain("/style.css")
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
        assert_eq!([iphone, ipad, mac].map(os_major), [Some(17), Some(14), None]);
    }
}
