//! The portal: a person's own devices, nobody else's.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};
use muster_domain::actions::Verb;
use muster_service::{
    Actor, RequestContext,
    actions::ActionRequest,
    operators::{NewAdmin, NewKeyboardToken},
    testing::{self, START, TestService},
};
use muster_storage::{
    actions,
    devices::{self, Device},
    enrollments::{self, Enrollment},
};
use muster_web::{App, Edge, routes, routes::Audience};
use serde_json::json;
use tower::ServiceExt;
use uuid::Uuid;

const PASSWORD: &str = "correct horse battery";
const TOTP: &str = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";
const DAY: i64 = 86_400_000;

struct Site {
    test: TestService,
    router: Router,
    actor: Actor,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    html: String,
}

impl Answer {
    fn reason(&self) -> &str {
        let (_, rest) = self.html.split_once("<p id=\"reason\">").unwrap_or_else(|| panic!("no reason: {}", self.html));
        rest.split("</p>").next().unwrap_or_default()
    }
    fn hidden(&self, name: &str) -> String {
        let marker = format!("name=\"{name}\" value=\"");
        let (_, rest) = self.html.split_once(&marker).unwrap_or_else(|| panic!("no {name}: {}", self.html));
        rest.split('"').next().unwrap_or_default().to_owned()
    }
}

/// A signed-in browser.
struct Browser<'a> {
    site: &'a Site,
    cookie: String,
    csrf: String,
}

impl Site {
    async fn new() -> Site {
        let test = testing::service();
        let admin = |user: &str, role: &str, totp: Option<&str>| NewAdmin {
            tenant: None,
            user: user.into(),
            password: PASSWORD.into(),
            role: role.into(),
            totp_secret: totp.map(str::to_owned),
        };
        test.create_admin(admin("ada@example.org", "owner", None)).await.unwrap();
        test.create_admin(admin("tom@example.org", "readonly", Some(TOTP))).await.unwrap();
        let new = NewKeyboardToken { tenant: None, name: "test".into(), role: "owner".into(), user: None, life: None };
        let token = test.create_keyboard_token(new).await.unwrap();
        let actor = test.authenticate_token(&token, &RequestContext::default()).await.unwrap();
        let app = App { service: test.service.clone(), edge: Arc::new(Edge::default()) };
        let router = routes::router(&app, |route| route.audience == Audience::Public);
        Site { test, router, actor }
    }

    async fn person(&self, name: &str) -> Uuid {
        let body = json!({
            "accountEnabled": true, "displayName": name, "mailNickname": name,
            "userPrincipalName": format!("{name}@example.org"),
            "passwordProfile": { "password": PASSWORD, "forceChangePasswordNextSignIn": false },
        });
        let user = self.test.create_user(&self.actor, body.as_object().unwrap().clone()).await.unwrap();
        user["id"].as_str().unwrap().parse().unwrap()
    }

    async fn device(&self, tenant: Uuid, person: Uuid, name: &str, owner: &str) -> Uuid {
        let id = self.test.random.id(START);
        let device = Device {
            id,
            directory_id: self.test.random.id(START),
            azure_ad_device_id: self.test.random.id(START),
            source: "mdm".into(),
            person_id: Some(person),
            name: name.into(),
            platform: "iOS".into(),
            operating_system: "iOS".into(),
            owner_type: owner.into(),
            enrollment_type: "userEnrollment".into(),
            management_state: "managed".into(),
            compliance_state: "unknown".into(),
            state: "enrolled".into(),
            document: "{}".into(),
            scope_tags: "[]".into(),
            version: 1,
            created_at: START,
            modified_at: START,
            ..Device::default()
        };
        let channel = Enrollment {
            id: self.test.random.id(START),
            device_id: id,
            channel: enrollments::channel::DEVICE.into(),
            protocol_id: id.to_string(),
            state: enrollments::state::ENROLLED.into(),
            push_state: "unknown".into(),
            push_past: "[]".into(),
            created_at: START,
            ..Enrollment::default()
        };
        let write = move |tx: &mut dyn muster_storage::Tx| {
            devices::put(tx, tenant, &device)?;
            enrollments::put(tx, tenant, &channel)
        };
        self.test.store.write(tenant, write).await.unwrap();
        id
    }

    async fn record(&self, id: Uuid) -> Device {
        let tenant = self.actor.tenant;
        let read = move |tx: &mut dyn muster_storage::Tx| devices::by_id(tx, tenant, id);
        self.test.store.read(tenant, read).await.unwrap().unwrap()
    }

    async fn waiting(&self, id: Uuid) -> Vec<String> {
        let tenant = self.actor.tenant;
        let read = move |tx: &mut dyn muster_storage::Tx| actions::waiting_of_device(tx, tenant, id);
        self.test.store.read(tenant, read).await.unwrap().into_iter().map(|action| action.name).collect()
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, html: String::from_utf8_lossy(&bytes).into_owned() }
    }

    async fn post(&self, path: &str, cookie: &str, fields: &[(&str, &str)]) -> Answer {
        let encoded = |value: &str| value.replace('@', "%40").replace(' ', "+").replace('’', "%E2%80%99");
        let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::COOKIE, cookie)
            .body(Body::from(body.join("&")));
        self.send(request.unwrap()).await
    }

    async fn sign_in(&self, name: &str) -> Browser<'_> {
        let user = format!("{name}@example.org");
        let mut answer = self.post("/portal", "", &[("username", &user), ("password", PASSWORD)]).await;
        if answer.html.contains("name=\"code\"") {
            let code = testing::totp_code(TOTP, self.test.clock.now_ms());
            answer = self.post("/portal", "", &[("flow", &answer.hidden("flow")), ("code", &code)]).await;
        }
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.html);
        let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap();
        assert!(cookie.starts_with("__Host-") && cookie.contains("; Secure; HttpOnly; SameSite=Lax"), "{cookie}");
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let mut browser = Browser { site: self, cookie, csrf: String::new() };
        browser.csrf = browser.get("/portal").await.hidden("csrf");
        browser
    }
}

impl Browser<'_> {
    async fn get(&self, path: &str) -> Answer {
        let request = Request::get(path).header(header::COOKIE, &self.cookie).body(Body::empty());
        self.site.send(request.unwrap()).await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut all = vec![("csrf", self.csrf.as_str())];
        all.extend(fields);
        self.site.post(path, &self.cookie, &all).await
    }

    async fn act(&self, device: impl std::fmt::Display, fields: &[(&str, &str)]) -> Answer {
        self.post(&format!("/portal/devices/{device}"), fields).await
    }
}

#[tokio::test]
async fn a_person_names_syncs_locks_and_removes_an_own_phone() {
    let site = Site::new().await;
    let grace = site.person("grace").await;
    let phone = site.device(site.actor.tenant, grace, "phone-1", "personal").await;
    let browser = site.sign_in("grace").await;
    let list = browser.get("/portal").await;
    assert!(list.html.contains(&format!("href=\"/portal/devices/{phone}\"")), "{}", list.html);

    let renamed = browser.act(phone, &[("act", "rename"), ("name", "Grace’s phone")]).await;
    assert_eq!(renamed.headers[header::LOCATION], format!("/portal/devices/{phone}"), "{}", renamed.html);
    assert!(browser.get("/portal").await.html.contains("Grace’s phone"));
    assert_eq!(site.record(phone).await.name, "phone-1", "the device keeps its own name");
    for bad in ["", &"x".repeat(65)] {
        let refused = browser.act(phone, &[("act", "rename"), ("name", bad)]).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(refused.reason().contains("64"), "{}", refused.reason());
    }

    for (act, verb) in [("sync", "syncDevice"), ("lock", "remoteLock")] {
        assert_eq!(browser.act(phone, &[("act", act)]).await.status, StatusCode::SEE_OTHER);
        assert!(site.waiting(phone).await.contains(&verb.to_owned()));
    }
    assert!(browser.get(&format!("/portal/devices/{phone}")).await.html.contains("Lock on its way"));

    let unsure = browser.act(phone, &[("act", "remove")]).await;
    assert_eq!(unsure.status, StatusCode::BAD_REQUEST, "not by a single press");
    assert_eq!(site.record(phone).await.state, "enrolled");
    let removed = browser.act(phone, &[("act", "remove"), ("sure", "yes")]).await;
    assert_eq!(removed.headers[header::LOCATION], "/portal", "{}", removed.html);
    assert_eq!(site.record(phone).await.state, "leaving", "an own phone needs no second person");
    assert!(browser.get("/portal").await.html.contains("Being removed"));
}

#[tokio::test]
async fn an_own_removal_does_not_wait_for_a_request_of_others() {
    let site = Site::new().await;
    let grace = site.person("grace").await;
    let phone = site.device(site.actor.tenant, grace, "phone", "personal").await;
    let always = json!({ "retireApproval": "always" }).as_object().unwrap().clone();
    site.test.change_guard_settings(&site.actor, always).await.unwrap();
    let asked = site.test.request_action(&site.actor, phone, ActionRequest::bare(Verb::Retire)).await.unwrap();
    assert!(asked.approval.is_some());
    let browser = site.sign_in("grace").await;
    let page = browser.get(&format!("/portal/devices/{phone}")).await;
    assert!(!page.html.contains("on its way"), "nothing was agreed to yet: {}", page.html);
    let removed = browser.act(phone, &[("act", "remove"), ("sure", "yes")]).await;
    assert_eq!(removed.status, StatusCode::SEE_OTHER, "{}", removed.html);
    assert_eq!(site.record(phone).await.state, "leaving");
}

#[tokio::test]
async fn pages_can_be_read_and_used_without_seeing_them() {
    let site = Site::new().await;
    let grace = site.person("grace").await;
    let phone = site.device(site.actor.tenant, grace, "phone", "personal").await;
    let browser = site.sign_in("grace").await;
    let mut pages = vec![browser.get("/portal").await, browser.get(&format!("/portal/devices/{phone}")).await];
    pages.push(browser.act(phone, &[("act", "remove")]).await);
    for path in ["/portal", "/enroll", "/authenticate", "/enroll/profile/x"] {
        pages.push(site.send(Request::get(path).body(Body::empty()).unwrap()).await);
    }
    pages.push(site.post("/enroll", "", &[("username", "grace@example.org"), ("password", "wrong")]).await);
    for page in pages {
        let html = &page.html;
        assert!(html.contains("<html lang=\"en\">") && html.contains("name=\"viewport\""), "{html}");
        assert!(html.matches("<title>").count() == 1 && !html.contains("<title> "), "{html}");
        assert_eq!(html.matches("<h1>").count(), 1, "one heading says what the page is: {html}");
        assert_eq!((html.matches("<main>").count(), html.contains("<script")), (1, false), "{html}");
        if page.status.is_client_error() {
            assert!(html.contains("role=\"alert\""), "a refusal is read out: {html}");
        }
        // Every field has a label: by its id, or around it.
        for element in html.split('<').filter(|element| element.starts_with("input ")) {
            if element.contains("type=\"hidden\"") {
                continue;
            }
            let id = element.split("id=\"").nth(1).and_then(|rest| rest.split('"').next());
            let labelled = match id {
                Some(id) => html.contains(&format!("<label for=\"{id}\">")),
                None => html.split("<label class=\"choice\">").skip(1).any(|label| {
                    label.split("</label>").next().is_some_and(|inside| inside.contains(element.trim_end()))
                }),
            };
            assert!(labelled, "{element}");
        }
    }
}

#[tokio::test]
async fn d12_nobody_reaches_a_device_of_somebody_else() {
    let site = Site::new().await;
    let (grace, eve) = (site.person("grace").await, site.person("eve").await);
    let tenant = site.actor.tenant;
    site.device(tenant, grace, "graces-phone", "personal").await;
    let company = site.device(tenant, grace, "company-phone", "company").await;
    let eves = site.device(tenant, eve, "eves-phone", "personal").await;
    let elsewhere = site.test.create_tenant("Fabrikam", "fabrikam.example").await.unwrap();
    let foreign = site.device(elsewhere, grace, "foreign-phone", "personal").await;
    let asked = site.test.request_action(&site.actor, eves, ActionRequest::bare(Verb::Delete)).await.unwrap();
    assert_eq!(asked.approval, None);

    let browser = site.sign_in("grace").await;
    let list = browser.get("/portal").await;
    assert!(list.html.contains("graces-phone") && list.html.contains("company-phone"));
    assert!(!list.html.contains("eves-phone") && !list.html.contains("foreign-phone"), "{}", list.html);

    let eves = site.device(tenant, eve, "eves-tablet", "personal").await;
    let directory = site.record(eves).await.directory_id;
    let mut ids: Vec<String> = [eves, directory, foreign, Uuid::nil(), Uuid::max()].map(|id| id.to_string()).into();
    // Ids are drawn in order: those around a known one, and random ones.
    ids.extend(
        (1..20u128)
            .flat_map(|n| [company.as_u128() + n, company.as_u128() - n])
            .map(|n| Uuid::from_u128(n).to_string()),
    );
    ids.extend((0..20).map(|_| site.test.random.id(START).to_string()));
    ids.extend(["1", "me", "%00", "'", eves.simple().to_string().as_str()].map(str::to_owned));
    for id in &ids {
        let page = browser.get(&format!("/portal/devices/{id}")).await;
        assert!([400, 404].contains(&page.status.as_u16()), "{id}: {}", page.status);
        assert!(!page.html.contains("eves") && !page.html.contains("foreign"), "{id}: {}", page.html);
        let rename = [("act", "rename"), ("name", "mine")];
        let remove = [("act", "remove"), ("sure", "yes")];
        for fields in [&rename[..], &remove[..], &[("act", "lock")], &[("act", "sync")]] {
            let answer = browser.act(id, fields).await;
            assert!([400, 404].contains(&answer.status.as_u16()), "{id} {fields:?}: {}", answer.status);
        }
    }
    let untouched = site.record(eves).await;
    assert_eq!((untouched.managed_device_name, untouched.state.as_str()), (None, "enrolled"));
    assert!(site.waiting(eves).await.is_empty());

    // What belongs to the organisation is not removed by its user, and nothing is wiped from here.
    let refused = browser.act(company, &[("act", "remove"), ("sure", "yes")]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.reason().contains("organisation"), "{}", refused.reason());
    assert_eq!(browser.act(company, &[("act", "wipe"), ("sure", "yes")]).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(site.record(company).await.state, "enrolled");
}

#[tokio::test]
async fn h1_the_primary_user_is_a_second_person_with_a_second_factor_and_never_for_others() {
    let site = Site::new().await;
    let tenant = site.actor.tenant;
    let (grace, tom) = (site.person("grace").await, site.test.person(tenant, "tom@example.org").await.unwrap().id);
    site.test.clock.advance(2 * DAY);
    let (hers, his) =
        (site.device(tenant, grace, "hers", "company").await, site.device(tenant, tom, "his", "company").await);
    let mut approvals = Vec::new();
    for device in [hers, his] {
        let asked = site.test.request_action(&site.actor, device, ActionRequest::bare(Verb::Wipe)).await.unwrap();
        approvals.push(asked.approval.unwrap());
    }
    let state = async |id| site.test.approval(tenant, id).await.unwrap().state;
    let agree = [("decision", "agree")];

    let browser = site.sign_in("grace").await;
    let page = browser.get("/portal").await;
    assert!(page.html.contains("erase everything on <strong>hers</strong>"), "{}", page.html);
    assert!(!page.html.contains("<strong>his</strong>"));
    let weak = browser.post(&format!("/portal/requests/{}", approvals[0]), &agree).await;
    assert_eq!(weak.status, StatusCode::FORBIDDEN);
    assert!(weak.reason().contains("second factor"), "{}", weak.reason());
    let others = browser.post(&format!("/portal/requests/{}", approvals[1]), &agree).await;
    assert_eq!(others.status, StatusCode::NOT_FOUND);
    assert_eq!(state(approvals[1]).await, "pending");
    // To refuse needs no more than to be the user.
    let refused = browser.post(&format!("/portal/requests/{}", approvals[0]), &[("decision", "refuse")]).await;
    assert_eq!((refused.status, state(approvals[0]).await.as_str()), (StatusCode::SEE_OTHER, "denied"));

    let browser = site.sign_in("tom").await;
    let agreed = browser.post(&format!("/portal/requests/{}", approvals[1]), &agree).await;
    assert_eq!(agreed.status, StatusCode::SEE_OTHER, "{}", agreed.html);
    assert_eq!(state(approvals[1]).await, "approved");
}

#[tokio::test]
async fn k2_a_form_of_another_page_or_session_does_nothing() {
    let site = Site::new().await;
    let (grace, _) = (site.person("grace").await, site.person("eve").await);
    let phone = site.device(site.actor.tenant, grace, "phone", "personal").await;
    let (hers, eves) = (site.sign_in("grace").await, site.sign_in("eve").await);
    let path = format!("/portal/devices/{phone}");
    for csrf in ["", eves.csrf.as_str()] {
        let answer = site.post(&path, &hers.cookie, &[("csrf", csrf), ("act", "lock")]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.html);
    }
    let request = Request::post(&path)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::COOKIE, &hers.cookie)
        .header("sec-fetch-site", "cross-site")
        .body(Body::from(format!("csrf={}&act=lock", hers.csrf)));
    assert_eq!(site.send(request.unwrap()).await.status, StatusCode::FORBIDDEN);
    assert!(site.waiting(phone).await.is_empty());
    let out = site.post("/portal/signout", &hers.cookie, &[("csrf", "x")]).await;
    assert_eq!(out.status, StatusCode::FORBIDDEN);
    assert!(hers.get("/portal").await.html.contains("Signed in as"));
}

#[tokio::test]
async fn k3_a_portal_session_ends_when_idle_signed_out_or_its_person_is_turned_off() {
    let site = Site::new().await;
    let grace = site.person("grace").await;
    let phone = site.device(site.actor.tenant, grace, "phone", "personal").await;
    let path = format!("/portal/devices/{phone}");
    let is_out = async |browser: &Browser<'_>| {
        let answer = browser.get(&path).await;
        answer.status == StatusCode::SEE_OTHER && answer.headers[header::LOCATION] == "/portal"
    };
    let browser = site.sign_in("grace").await;
    assert!(!is_out(&browser).await);
    let out = browser.post("/portal/signout", &[]).await;
    assert_eq!(out.status, StatusCode::SEE_OTHER);
    assert!(is_out(&browser).await);

    let browser = site.sign_in("grace").await;
    site.test.clock.advance(31 * 60_000);
    assert!(is_out(&browser).await);

    let browser = site.sign_in("grace").await;
    let off = json!({ "accountEnabled": false }).as_object().unwrap().clone();
    site.test.update_user(&site.actor, "grace@example.org", off).await.unwrap();
    assert!(is_out(&browser).await, "at once");
    let again = site.post("/portal", "", &[("username", "grace@example.org"), ("password", PASSWORD)]).await;
    assert_eq!(again.status, StatusCode::FORBIDDEN);
    // A console's or enrollment's value is no portal session.
    let other = Browser { site: &site, cookie: "__Host-muster-portal=guess".into(), csrf: String::new() };
    assert!(is_out(&other).await);
}
