//! Operators sign in: second factor, sessions, cookies, tokens.

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use muster_service::{
    operators::{NewAdmin, NewKeyboardToken},
    testing::{self, totp_code},
};
use muster_web::{App, Edge, routes};
use serde_json::{Value, json};
use tower::ServiceExt;

const PASSWORD: &str = "correct horse";

struct Site {
    test: testing::TestService,
    router: Router,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    fn after<'a>(&'a self, marker: &str, end: &str) -> &'a str {
        let (_, rest) = self.text.split_once(marker).unwrap_or_else(|| panic!("no {marker} in {}", self.text));
        rest.split(end).next().unwrap()
    }

    fn flow(&self) -> String {
        self.after("name=\"flow\" value=\"", "\"").to_owned()
    }

    fn cookie(&self) -> String {
        let cookie = self.headers[header::SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }
}

impl Site {
    async fn new() -> Self {
        let test = testing::service();
        let app = App { service: test.service.clone(), edge: std::sync::Arc::new(Edge::default()) };
        let router = routes::router(&app, |route| route.audience == routes::Audience::Admin);
        let site = Site { test, router };
        site.admin("ada@example.org", "owner").await;
        site
    }

    async fn admin(&self, user: &str, role: &str) {
        let admin = NewAdmin {
            tenant: None,
            user: user.into(),
            password: PASSWORD.into(),
            role: role.into(),
            totp_secret: None,
        };
        self.test.create_admin(admin).await.unwrap();
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        Answer { status, headers, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    async fn post(&self, fields: &[(&str, &str)]) -> Answer {
        let body: Vec<String> =
            fields.iter().map(|(n, v)| format!("{n}={}", v.replace('@', "%40").replace(' ', "+"))).collect();
        let request = Request::post("/signin")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(body.join("&")))
            .unwrap();
        self.send(request).await
    }

    async fn call(&self, method: Method, path: &str, as_: (&str, &str), csrf: Option<&str>, body: Value) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(as_.0, as_.1);
        if let Some(csrf) = csrf {
            request = request.header("x-muster-csrf", csrf);
        }
        let body = if body.is_null() {
            Body::empty()
        } else {
            request = request.header(header::CONTENT_TYPE, "application/json");
            Body::from(body.to_string())
        };
        self.send(request.body(body).unwrap()).await
    }

    /// Sets up a second factor; answers the secret and the last page.
    async fn first_sign_in(&self, user: &str) -> (String, Answer) {
        let page = self.post(&[("username", user), ("password", PASSWORD)]).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        let secret = page.after("<code id=\"totp-secret\">", "<").to_owned();
        let code = totp_code(&secret, self.test.service.clock.now());
        let last = self.post(&[("flow", &page.flow()), ("code", &code)]).await;
        (secret, last)
    }

    async fn sign_in(&self, user: &str, secret: &str) -> Answer {
        self.test.clock.advance(30_000);
        let page = self.post(&[("username", user), ("password", PASSWORD)]).await;
        let code = totp_code(secret, self.test.service.clock.now());
        self.post(&[("flow", &page.flow()), ("code", &code)]).await
    }

    async fn token(&self, role: &str) -> String {
        let new = NewKeyboardToken { tenant: None, name: role.into(), role: role.into(), user: None, life: None };
        format!("Bearer {}", self.test.create_keyboard_token(new).await.unwrap())
    }

    async fn me(&self, cookie: &str) -> Answer {
        self.call(Method::GET, "/muster/v1/session", ("cookie", cookie), None, Value::Null).await
    }
}

#[tokio::test]
async fn the_first_sign_in_sets_up_a_second_factor_and_later_ones_ask_for_it() {
    let site = Site::new().await;
    let (secret, last) = site.first_sign_in("ada@example.org").await;
    assert_eq!(last.status, StatusCode::OK, "{}", last.text);
    assert_eq!(last.text.matches("<li><code>").count(), 10, "recovery codes are shown");
    let me = site.me(&last.cookie()).await;
    assert_eq!(me.json()["role"], "owner");

    let again = site.sign_in("ada@example.org", &secret).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.text);
    assert!(!again.text.contains("recovery-codes"), "recovery codes are shown once");
    assert!(again.headers.contains_key(header::SET_COOKIE));
}

#[tokio::test]
async fn a_code_is_accepted_once_and_a_recovery_code_instead_of_it_once() {
    let site = Site::new().await;
    let (secret, last) = site.first_sign_in("ada@example.org").await;
    let recovery = last.after("<li><code>", "<").to_owned();
    site.test.clock.advance(60_000);
    let code = totp_code(&secret, site.test.service.clock.now());
    for expected in [StatusCode::OK, StatusCode::FORBIDDEN] {
        let page = site.post(&[("username", "ada@example.org"), ("password", PASSWORD)]).await;
        assert_eq!(site.post(&[("flow", &page.flow()), ("code", &code)]).await.status, expected);
    }
    for expected in [StatusCode::OK, StatusCode::FORBIDDEN] {
        let page = site.post(&[("username", "ada@example.org"), ("password", PASSWORD)]).await;
        assert_eq!(site.post(&[("flow", &page.flow()), ("code", &recovery)]).await.status, expected);
    }
}

#[tokio::test]
async fn k1_the_console_cookie_is_bound_to_host_and_tls_and_hidden_from_scripts() {
    let site = Site::new().await;
    let (_, last) = site.first_sign_in("ada@example.org").await;
    let cookie = last.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("__Host-muster-console="), "{cookie}");
    for part in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.split("; ").any(|p| p == part), "{part} in {cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
}

#[tokio::test]
async fn k2_a_change_by_cookie_needs_the_csrf_value() {
    let site = Site::new().await;
    let (_, last) = site.first_sign_in("ada@example.org").await;
    let cookie = last.cookie();
    let csrf = site.me(&cookie).await.json()["csrf"].as_str().unwrap().to_owned();
    let body = json!({"displayName": "script"});
    for (sent, expected) in
        [(None, StatusCode::FORBIDDEN), (Some("guess"), StatusCode::FORBIDDEN), (Some(&*csrf), StatusCode::CREATED)]
    {
        let answer = site.call(Method::POST, "/muster/v1/tokens", ("cookie", &cookie), sent, body.clone()).await;
        assert_eq!(answer.status, expected);
    }
}

#[tokio::test]
async fn k3_sessions_idle_out_end_after_twelve_hours_and_are_three_at_most() {
    let site = Site::new().await;
    let (secret, first) = site.first_sign_in("ada@example.org").await;
    let mut cookies = vec![first.cookie()];
    for _ in 0..3 {
        cookies.push(site.sign_in("ada@example.org", &secret).await.cookie());
    }
    assert_eq!(
        site.me(&cookies[0]).await.status,
        StatusCode::UNAUTHORIZED,
        "the fourth sign-in ended the first session"
    );
    assert_eq!(site.me(&cookies[1]).await.status, StatusCode::OK);

    for _ in 0..50 {
        site.test.clock.advance(14 * 60_000);
        assert_eq!(site.me(&cookies[3]).await.status, StatusCode::OK, "used every fourteen minutes it lives");
    }
    assert_eq!(site.me(&cookies[1]).await.status, StatusCode::UNAUTHORIZED, "unused for fifteen minutes it is over");
    site.test.clock.advance(14 * 60_000);
    site.me(&cookies[3]).await;
    site.test.clock.advance(14 * 60_000);
    assert_eq!(site.me(&cookies[3]).await.status, StatusCode::UNAUTHORIZED, "after twelve hours it is over");
}

#[tokio::test]
async fn k3_the_flow_value_changes_at_elevation_and_signing_out_ends_the_session() {
    let site = Site::new().await;
    let page = site.post(&[("username", "ada@example.org"), ("password", PASSWORD)]).await;
    let secret = page.after("<code id=\"totp-secret\">", "<").to_owned();
    let code = totp_code(&secret, site.test.service.clock.now());
    let last = site.post(&[("flow", &page.flow()), ("code", &code)]).await;
    let replay = site.post(&[("flow", &page.flow()), ("code", "000000")]).await;
    assert_eq!(replay.status, StatusCode::FORBIDDEN);
    assert!(replay.text.contains("name=\"password\""), "the old value leads nowhere: {}", replay.text);
    let cookie = last.cookie();
    let request = Request::post("/signout").header("cookie", &cookie).body(Body::empty()).unwrap();
    assert_eq!(site.send(request).await.status, StatusCode::OK);
    assert_eq!(site.me(&cookie).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_disabled_operator_is_refused_at_once() {
    let site = Site::new().await;
    site.admin("bob@example.org", "administrator").await;
    let (_, last) = site.first_sign_in("bob@example.org").await;
    let cookie = last.cookie();
    let owner = site.token("owner").await;
    let path = "/v1.0/users/bob@example.org";
    let auth = ("authorization", owner.as_str());
    let off = site.call(Method::PATCH, path, auth, None, json!({"accountEnabled": false})).await;
    assert_eq!(off.status, StatusCode::NO_CONTENT, "{}", off.text);
    assert_eq!(site.me(&cookie).await.status, StatusCode::UNAUTHORIZED);
    let refused = site.post(&[("username", "bob@example.org"), ("password", PASSWORD)]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.text.contains("turned off"), "{}", refused.text);
}

#[tokio::test]
async fn d9_nobody_gives_more_than_they_hold_and_the_last_owner_stays() {
    let site = Site::new().await;
    site.admin("bob@example.org", "administrator").await;
    let owner = site.token("owner").await;
    let auth = ("authorization", owner.as_str());
    let operators = site.call(Method::GET, "/muster/v1/operators", auth, None, Value::Null).await.json();
    let ada = operators["value"].as_array().unwrap().iter().find(|o| o["role"] == "owner").unwrap()["id"].clone();
    let path = format!("/muster/v1/operators/{}", ada.as_str().unwrap());
    let gone = site.call(Method::DELETE, &path, auth, None, Value::Null).await;
    assert_eq!(gone.status, StatusCode::CONFLICT, "the last owner stays");
    let off =
        site.call(Method::PATCH, "/v1.0/users/ada@example.org", auth, None, json!({"accountEnabled": false})).await;
    assert_eq!(off.status, StatusCode::CONFLICT, "and cannot be disabled");

    let administrator = site.token("administrator").await;
    let auth = ("authorization", administrator.as_str());
    let raise = json!({"user": "bob@example.org", "role": "owner"});
    assert_eq!(site.call(Method::POST, "/muster/v1/operators", auth, None, raise).await.status, StatusCode::FORBIDDEN);
    let steal = json!({"passwordProfile": {"password": "a new password"}});
    let stolen = site.call(Method::PATCH, "/v1.0/users/ada@example.org", auth, None, steal).await;
    assert_eq!(stolen.status, StatusCode::FORBIDDEN, "a lesser role cannot set an owner's password");
    let wide = json!({"displayName": "wide", "role": "owner"});
    assert_eq!(site.call(Method::POST, "/muster/v1/tokens", auth, None, wide).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn d10_tokens_are_shown_once_expire_and_never_widen() {
    let site = Site::new().await;
    let owner = site.token("owner").await;
    let auth = ("authorization", owner.as_str());
    let wanted = json!({
        "displayName": "reader",
        "scopes": ["DeviceManagementManagedDevices.Read.All", "Muster.Tokens"],
        "expiresInDays": 7,
    });
    let made = site.call(Method::POST, "/muster/v1/tokens", auth, None, wanted).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let (value, id) =
        (made.json()["token"].as_str().unwrap().to_owned(), made.json()["id"].as_str().unwrap().to_owned());
    let list = site.call(Method::GET, "/muster/v1/tokens", auth, None, Value::Null).await;
    assert!(!list.text.contains(&value), "the value is shown once");

    let narrow = format!("Bearer {value}");
    let narrow = ("authorization", narrow.as_str());
    let devices = site.call(Method::GET, "/v1.0/deviceManagement/managedDevices", narrow, None, Value::Null).await;
    assert_eq!(devices.status, StatusCode::OK, "{}", devices.text);
    assert_eq!(site.call(Method::GET, "/v1.0/users", narrow, None, Value::Null).await.status, StatusCode::FORBIDDEN);
    let widen = json!({"displayName": "wider", "scopes": ["User.Read.All"]});
    assert_eq!(site.call(Method::POST, "/muster/v1/tokens", narrow, None, widen).await.status, StatusCode::FORBIDDEN);
    let shed = site.call(Method::POST, "/muster/v1/tokens", narrow, None, json!({"displayName": "shed"})).await;
    assert_eq!(shed.json()["scopes"], json!(["DeviceManagementManagedDevices.Read.All", "Muster.Tokens"]));

    let path = format!("/muster/v1/tokens/{id}");
    assert_eq!(site.call(Method::DELETE, &path, auth, None, Value::Null).await.status, StatusCode::NO_CONTENT);
    let read = || site.call(Method::GET, "/muster/v1/session", narrow, None, Value::Null);
    assert_eq!(read().await.status, StatusCode::UNAUTHORIZED, "revoked at once");

    let short = json!({"displayName": "short", "expiresInDays": 1});
    let value = site.call(Method::POST, "/muster/v1/tokens", auth, None, short).await.json()["token"].clone();
    let short = format!("Bearer {}", value.as_str().unwrap());
    let short = ("authorization", short.as_str());
    assert_eq!(site.call(Method::GET, "/muster/v1/session", short, None, Value::Null).await.status, StatusCode::OK);
    site.test.clock.advance(25 * 3_600_000);
    let late = site.call(Method::GET, "/muster/v1/session", short, None, Value::Null).await;
    assert_eq!(late.status, StatusCode::UNAUTHORIZED, "expired");
}

#[tokio::test]
async fn e8_a_repeated_key_in_a_role_change_is_refused() {
    let site = Site::new().await;
    let owner = site.token("owner").await;
    let request = Request::post("/muster/v1/operators")
        .header("authorization", &owner)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(r#"{"user":"ada@example.org","role":"readonly","role":"owner"}"#))
        .unwrap();
    assert_eq!(site.send(request).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn d4_a_person_without_a_role_does_not_get_in() {
    let site = Site::new().await;
    let owner = site.token("owner").await;
    let auth = ("authorization", owner.as_str());
    let user = json!({
        "displayName": "Eve",
        "userPrincipalName": "eve@example.org",
        "accountEnabled": true,
        "mailNickname": "eve",
        "passwordProfile": {"password": PASSWORD, "forceChangePasswordNextSignIn": false},
    });
    let made = site.call(Method::POST, "/v1.0/users", auth, None, user).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert!(!made.text.contains("password\""), "no password comes back: {}", made.text);
    let refused = site.post(&[("username", "eve@example.org"), ("password", PASSWORD)]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.text.contains("no administrative role"), "{}", refused.text);
}
