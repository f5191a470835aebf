//! The steps of a sign-in as pages: which form comes next, and the same form again with the reason
//! when an answer is refused.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use minijinja::context;
use muster_service::{
    Error, RequestContext,
    sign_in::{Answers, Flow, Purpose, Step},
};

use uuid::Uuid;

use super::{
    form::Fields,
    page::{Brand, Page},
};
use crate::{App, problem};

/// Where the forms of a flow are posted to, and what its first page says.
pub(super) struct Place {
    /// What the flow is for.
    pub(super) purpose: Purpose,
    /// Path of the forms.
    pub(super) action: &'static str,
    /// What the sign-in page says.
    pub(super) lead: &'static str,
}

/// How far a posted form brought the flow.
pub(super) enum Progress {
    /// Another page has to be shown; once the password is proven with whose it is, for its look.
    Show(Box<Page>, Option<(Uuid, Uuid)>),
    /// The sign-in is complete.
    SignedIn(Box<Flow>),
}

/// The sign-in page.
pub(super) fn sign_in_page(place: &Place, username: &str) -> Page {
    Page::new("Sign in", "sign_in.html", context! { action => place.action, lead => place.lead, username => username })
}

/// The page of a flow's step; none once the sign-in is complete.
pub(super) fn step_page(place: &Place, flow: &Flow) -> Option<Page> {
    let mut page = match &flow.step {
        Step::SetUpSecondFactor { secret, address } => Page::new(
            "Set up a second factor",
            "set_up.html",
            context! { action => place.action, flow => flow.value.clone(), secret => secret, address => address },
        ),
        Step::SecondFactor => {
            Page::new("Enter your code", "code.html", context! { action => place.action, flow => flow.value.clone() })
        }
        Step::NewPassword => Page::new(
            "Choose a new password",
            "new_password.html",
            context! { action => place.action, flow => flow.value.clone() },
        ),
        Step::SignedIn => return None,
    };
    page.recovery_codes = flow.recovery_codes.clone();
    Some(page)
}

/// Takes a posted form of a flow: the first one begins it, later ones carry its value.
pub(super) async fn advance(
    app: &App,
    place: &Place,
    context: &RequestContext,
    fields: &Fields,
    device: Option<serde_json::Value>,
) -> Progress {
    let username = fields.get("username").unwrap_or_default();
    let result = match fields.get("flow") {
        None => {
            let password = fields.get("password").unwrap_or_default();
            app.service.begin_flow(context, place.purpose, username, password, device).await
        }
        Some(value) => {
            let answers = Answers { code: fields.owned("code"), new_password: fields.owned("new_password") };
            app.service.continue_flow(context, value, answers).await
        }
    };
    match result {
        Ok(flow) if flow.purpose != place.purpose => {
            let over = Error::unauthenticated("this sign-in was begun for something else; start again");
            Progress::Show(Box::new(refused(sign_in_page(place, ""), &over)), None)
        }
        Ok(flow) => match step_page(place, &flow) {
            Some(page) => Progress::Show(Box::new(page), Some((flow.tenant, flow.person.id))),
            None => Progress::SignedIn(Box::new(flow)),
        },
        Err(error) => {
            let again = match fields.get("flow") {
                // The flow itself still stands: show its step again.
                Some(value) => app
                    .service
                    .continue_flow(context, value, Answers::default())
                    .await
                    .ok()
                    .filter(|flow| flow.purpose == place.purpose)
                    .and_then(|flow| step_page(place, &flow)),
                None => None,
            };
            let page = again.unwrap_or_else(|| sign_in_page(place, username));
            Progress::Show(Box::new(refused(page, &error)), None)
        }
    }
}

/// The page as a refusal, with the reason in words for the person.
pub(super) fn refused(page: Page, error: &Error) -> Page {
    match error {
        Error::Refused(refusal) => {
            // A browser would answer 401 with a password box of its own.
            let status = match problem::status_of(refusal.kind) {
                StatusCode::UNAUTHORIZED => StatusCode::FORBIDDEN,
                other => other,
            };
            page.refused(status, refusal.message.clone())
        }
        error => {
            tracing::error!(%error, "a public page failed");
            page.refused(StatusCode::SERVICE_UNAVAILABLE, "something went wrong on our side; try again in a moment")
        }
    }
}

/// Renders a refusal or a page; a wait is also a header.
pub(super) fn respond(page: Page, brand: &Brand) -> Response {
    let wait = (page.status == StatusCode::TOO_MANY_REQUESTS).then(|| {
        let digits: String =
            page.reason.iter().flat_map(|reason| reason.chars()).filter(char::is_ascii_digit).collect();
        digits.parse::<u32>().unwrap_or(1)
    });
    let mut response = page.respond(brand);
    if let Some(seconds) = wait {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
