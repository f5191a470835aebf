//! The pages of an enrollment, from sign-in to the profile's link.

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header},
};
use muster_service::{
    Actor, RequestContext,
    operators::{NewAdmin, NewKeyboardToken},
    testing,
};
use muster_web::{App, Edge, routes};
use tower::ServiceExt;

const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15";

struct Site {
    test: testing::TestService,
    router: Router,
}

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    html: String,
}

impl Answer {
    /// The value of an attribute in the element that has `marker`.
    fn attribute(&self, marker: &str, name: &str) -> Option<String> {
        let at = self.html.find(marker)?;
        let start = self.html[..at].rfind('<')?;
        let element = &self.html[start..start + self.html[start..].find('>')?];
        let (_, value) = element.split_once(&format!("{name}=\""))?;
        value.split('"').next().map(str::to_owned)
    }

    fn flow(&self) -> String {
        self.attribute("name=\"flow\"", "value").unwrap_or_else(|| panic!("no flow in {}", self.html))
    }

    fn reason(&self) -> String {
        let (_, rest) =
            self.html.split_once("<p id=\"reason\">").unwrap_or_else(|| panic!("no reason in {}", self.html));
        rest.split("</p>").next().unwrap().to_owned()
    }
}

impl Site {
    async fn new() -> Self {
        let site = Site::without_authority().await;
        let actor = site.owner().await;
        site.test.set_mdm_authority(&actor).await.unwrap();
        site.test.give_push_certificate(actor.tenant).await;
        site
    }

    async fn without_authority() -> Self {
        let test = testing::service();
        test.create_admin(NewAdmin {
            tenant: None,
            user: "ada@example.org".into(),
            password: "correct horse".into(),
            role: "owner".into(),
            totp_secret: None,
        })
        .await
        .unwrap();
        let app = App { service: test.service.clone(), edge: std::sync::Arc::new(Edge::default()) };
        let router = routes::router(&app, |route| route.audience == routes::Audience::Public);
        Site { test, router }
    }

    /// The owner at the API.
    async fn owner(&self) -> Actor {
        let new = NewKeyboardToken { tenant: None, name: "test".into(), role: "owner".into(), user: None, life: None };
        let token = self.test.create_keyboard_token(new).await.unwrap();
        self.test.authenticate_token(&token, &RequestContext::default()).await.unwrap()
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        Answer { status, headers, html: String::from_utf8_lossy(&bytes).into_owned() }
    }

    async fn post(&self, fields: &[(&str, &str)]) -> Answer {
        self.post_to("/enroll", fields).await
    }

    async fn post_to(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body: Vec<String> =
            fields.iter().map(|(n, v)| format!("{n}={}", v.replace('@', "%40").replace(' ', "+"))).collect();
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::USER_AGENT, IPHONE)
            .body(Body::from(body.join("&")))
            .unwrap();
        self.send(request).await
    }
}

#[tokio::test]
async fn a_person_signs_in_says_the_kind_of_device_and_gets_the_profile() {
    let site = Site::new().await;
    let first = site.send(Request::get("/enroll").body(Body::empty()).unwrap()).await;
    assert_eq!(first.status, StatusCode::OK);
    assert!(first.html.contains("name=\"username\"") && first.html.contains("name=\"password\""));

    let kinds = site.post(&[("username", "Ada@Example.org"), ("password", "correct horse")]).await;
    assert_eq!(kinds.status, StatusCode::OK, "{}", kinds.html);
    assert!(kinds.html.contains("value=\"iOS\" required checked"), "the browser's kind is preselected: {}", kinds.html);

    let last = site.post(&[("flow", &kinds.flow()), ("platform", "iOS")]).await;
    assert_eq!(last.status, StatusCode::OK, "{}", last.html);
    let link = last.attribute("id=\"profile\"", "href").unwrap();
    assert!(link.starts_with("/enroll/profile/"), "{link}");

    let profile = site.send(Request::get(&link).body(Body::empty()).unwrap()).await;
    assert_eq!(profile.status, StatusCode::OK, "{}", profile.html);
    assert_eq!(profile.headers[header::CONTENT_TYPE], "application/x-apple-aspen-config");
}

#[tokio::test]
async fn b6_a_guessed_link_leads_to_no_profile() {
    let site = Site::new().await;
    let answer = site.send(Request::get("/enroll/profile/AAAAAAAAAAAAAAAA").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.reason().contains("start again"), "{}", answer.reason());
}

#[tokio::test]
async fn an_account_driven_enrollment_ends_with_the_hand_over_to_the_device() {
    let site = Site::new().await;
    let first =
        site.send(Request::get("/authenticate?user-identifier=ada%40example.org").body(Body::empty()).unwrap()).await;
    assert!(first.html.contains("value=\"ada@example.org\""), "{}", first.html);
    let last = site.post_to("/authenticate", &[("username", "ada@example.org"), ("password", "correct horse")]).await;
    assert_eq!(last.status, StatusCode::PERMANENT_REDIRECT, "{}", last.html);
    assert_eq!(last.headers[header::CONTENT_LENGTH], "0");
    let location = last.headers[header::LOCATION].to_str().unwrap();
    let token = location.strip_prefix("apple-remotemanagement-user-login://authentication-results?access-token=");
    assert!(token.is_some_and(|token| token.len() == 43), "{location}");
}

#[tokio::test]
async fn b5_unknown_people_unknown_domains_and_wrong_passwords_read_the_same() {
    let site = Site::new().await;
    let mut seen = Vec::new();
    for username in ["ada@example.org", "eve@example.org", "eve@elsewere.org"] {
        let answer = site.post(&[("username", username), ("password", "wrong guess")]).await;
        seen.push((answer.status, answer.html.replace(username, "NAME")));
    }
    assert_eq!(seen[0].0, StatusCode::FORBIDDEN);
    assert!(seen.iter().all(|answer| *answer == seen[0]), "{seen:?}");
}

#[tokio::test]
async fn b5_guesses_are_slowed_down_for_people_who_do_not_exist_too() {
    let site = Site::new().await;
    for username in ["ada@example.org", "eve@example.org"] {
        let mut statuses = Vec::new();
        for _ in 0..7 {
            statuses.push(site.post(&[("username", username), ("password", "wrong guess")]).await.status.as_u16());
        }
        assert_eq!(statuses, [403, 403, 403, 403, 403, 429, 429], "{username}");
    }
    let answer = site.post(&[("username", "ada@example.org"), ("password", "correct horse")]).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "the right password waits as well");
    site.test.clock.advance(2_000);
    let answer = site.post(&[("username", "ada@example.org"), ("password", "correct horse")]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.html);
}

#[tokio::test]
async fn without_an_mdm_authority_the_refusal_says_so() {
    let site = Site::without_authority().await;
    let answer = site.post(&[("username", "ada@example.org"), ("password", "correct horse")]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.reason().contains("authority"), "{}", answer.reason());
}

#[tokio::test]
async fn e8_a_form_with_a_field_twice_is_refused() {
    let site = Site::new().await;
    let answer =
        site.post(&[("username", "ada@example.org"), ("username", "eve@example.org"), ("password", "x")]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.reason().contains("twice"), "{}", answer.reason());
}

#[tokio::test]
async fn k2_a_form_of_another_site_is_refused() {
    let site = Site::new().await;
    let request = Request::post("/enroll")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "cross-site")
        .body(Body::from("username=ada%40example.org&password=correct+horse"))
        .unwrap();
    assert_eq!(site.send(request).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_choice_that_was_not_offered_is_refused_and_asked_again() {
    let site = Site::new().await;
    let kinds = site.post(&[("username", "ada@example.org"), ("password", "correct horse")]).await;
    let again = site.post(&[("flow", &kinds.flow()), ("platform", "toaster")]).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    assert!(again.reason().contains("kinds of device"), "{}", again.reason());
    let last = site.post(&[("flow", &again.flow()), ("platform", "iOS")]).await;
    assert_eq!(last.status, StatusCode::OK);
}

#[tokio::test]
async fn terms_of_use_are_asked_for_once_a_version() {
    let site = Site::new().await;
    let owner = site.owner().await;
    let terms = async |version: i64, text: &str| {
        let body = serde_json::json!({ "terms": { "title": "House rules", "text": text, "version": version } });
        site.test.change_tenant_settings(&owner, body.as_object().unwrap().clone()).await
    };
    let sign_in = [("username", "ada@example.org"), ("password", "correct horse")];
    terms(1, "Be kind.").await.unwrap();
    let shown = site.post(&sign_in).await;
    assert!(shown.html.contains("House rules") && shown.html.contains("Be kind."), "{}", shown.html);
    // Nothing goes on without them, nor with a version that was not shown.
    let skipped = site.post(&[("flow", &shown.flow()), ("platform", "iOS")]).await;
    assert!(skipped.html.contains("House rules"), "{}", skipped.html);
    let other = site.post(&[("flow", &shown.flow()), ("accept", "2")]).await;
    assert_eq!(other.status, StatusCode::BAD_REQUEST);
    assert!(other.reason().contains("have changed"), "{}", other.reason());
    let accepted = shown.attribute("name=\"accept\"", "value").unwrap();
    let kinds = site.post(&[("flow", &shown.flow()), ("accept", &accepted)]).await;
    assert_eq!(kinds.status, StatusCode::OK, "{}", kinds.html);
    assert!(!site.post(&sign_in).await.html.contains("House rules"), "once a version");

    // A typo is mended without asking again; a new version asks; it never goes down.
    terms(1, "Be kind!").await.unwrap();
    assert!(!site.post(&sign_in).await.html.contains("House rules"));
    terms(2, "Be kind, and back up.").await.unwrap();
    assert!(site.post(&sign_in).await.html.contains("back up"));
    assert!(terms(1, "Be kind.").await.unwrap_err().to_string().contains("never goes down"));
    let tenant = owner.tenant;
    let rows = site
        .test
        .store
        .read(tenant, move |tx| {
            let page = muster_storage::audit::Page { limit: 100, ..Default::default() };
            muster_storage::audit::list(tx, tenant, &page)
        })
        .await
        .unwrap();
    assert_eq!(rows.iter().filter(|row| row.activity == "Accept terms of use").count(), 1);
}

#[tokio::test]
async fn d11_failed_sign_ins_are_audited_without_what_was_typed_and_cannot_fill_the_log() {
    let site = Site::new().await;
    let tenant = site.owner().await.tenant;
    let failed = async || {
        let read = move |tx: &mut dyn muster_storage::Tx| {
            let page = muster_storage::audit::Page { limit: 1000, ..Default::default() };
            muster_storage::audit::list(tx, tenant, &page)
        };
        let rows = site.test.store.read(tenant, read).await.unwrap();
        rows.into_iter().filter(|row| row.activity_type == "SignIn session").collect::<Vec<_>>()
    };
    site.post(&[("username", "ada@example.org"), ("password", "canary-guess")]).await;
    site.post(&[("username", "canary-guess@example.org"), ("password", "x")]).await;
    site.post(&[("username", "canary@elsewhere.example"), ("password", "x")]).await;
    let rows = failed().await;
    assert_eq!(rows.len(), 2, "nobody's domain has no log: {rows:?}");
    assert!(rows.iter().all(|row| row.result == "Failure" && !format!("{row:?}").contains("canary")), "{rows:?}");
    assert!(rows.iter().any(|row| row.personal["actorName"] == "ada@example.org"), "{rows:?}");
    // A right password is no failure.
    site.post(&[("username", "ada@example.org"), ("password", "correct horse")]).await;
    assert_eq!(failed().await.len(), 2);
    for n in 0..105 {
        site.post(&[("username", &format!("nobody{n}@example.org")), ("password", "x")]).await;
    }
    let rows = failed().await;
    assert_eq!(rows.len(), 101, "a hundred an hour, and one row that says there are more");
    assert!(rows.iter().any(|row| row.activity.contains("not listed")), "{rows:?}");
    site.test.clock.advance(3_600_000);
    site.post(&[("username", "nobody@example.org"), ("password", "x")]).await;
    assert_eq!(failed().await.len(), 102, "the next hour is listed again");
}
