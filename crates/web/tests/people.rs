//! People over the API: licences, imports, leavers, a second factor by group.

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use muster_service::{operators::NewKeyboardToken, testing};
use muster_web::{App, Edge, routes};
use serde_json::{Value, json};
use tower::ServiceExt;

struct Site {
    _test: testing::TestService,
    admin: Router,
    public: Router,
    token: String,
}

impl Site {
    async fn new() -> Self {
        let test = testing::service();
        let tenant = test.create_tenant("default", "example.org").await.unwrap();
        let new = NewKeyboardToken { tenant: None, name: "t".into(), role: "owner".into(), user: None, life: None };
        let token = format!("Bearer {}", test.create_keyboard_token(new).await.unwrap());
        let actor = test.authenticate_token(&token[7..], &Default::default()).await.unwrap();
        test.set_mdm_authority(&actor).await.unwrap();
        test.give_push_certificate(tenant).await;
        let app = App { service: test.service.clone(), edge: std::sync::Arc::new(Edge::default()) };
        let of = |audience| routes::router(&app, move |route| route.audience == audience);
        Site { admin: of(routes::Audience::Admin), public: of(routes::Audience::Public), _test: test, token }
    }

    async fn answer(router: &Router, request: Request<Body>) -> (StatusCode, String) {
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn call(&self, method: Method, path: &str, kind: &str, body: String) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", &self.token)
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(body))
            .unwrap();
        let (status, text) = Self::answer(&self.admin, request).await;
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn json(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        self.call(method, path, "application/json", if body.is_null() { String::new() } else { body.to_string() }).await
    }

    async fn user(&self, name: &str) -> Value {
        let body = json!({
            "displayName": name,
            "userPrincipalName": format!("{name}@example.org"),
            "passwordProfile": {"password": "correct horse"},
        });
        let (status, user) = self.json(Method::POST, "/v1.0/users", body).await;
        assert_eq!(status, StatusCode::CREATED, "{user}");
        user
    }

    async fn enroll(&self, name: &str) -> (StatusCode, String) {
        let request = Request::post("/enroll")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(format!("username={name}%40example.org&password=correct+horse")))
            .unwrap();
        Self::answer(&self.public, request).await
    }
}

#[tokio::test]
async fn a_person_without_the_licence_cannot_enroll_and_reads_why() {
    let site = Site::new().await;
    let user = site.user("ada").await;
    let sku = user["assignedLicenses"][0]["skuId"].clone();
    let path = format!("/v1.0/users/{}/assignLicense", user["id"].as_str().unwrap());
    let (status, _) = site.json(Method::POST, &path, json!({"addLicenses": [], "removeLicenses": [sku]})).await;
    assert_eq!(status, StatusCode::OK);
    let (status, page) = site.enroll("ada").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(page.contains("licence"), "{page}");

    site.json(Method::PATCH, "/muster/v1/licensing", json!({"seats": 0})).await;
    let (status, _) =
        site.json(Method::POST, &path, json!({"addLicenses": [{"skuId": sku}], "removeLicenses": []})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "no seat is left");
    site.json(Method::PATCH, "/muster/v1/licensing", json!({"seats": 1})).await;
    site.json(Method::POST, &path, json!({"addLicenses": [{"skuId": sku}], "removeLicenses": []})).await;
    assert_eq!(site.enroll("ada").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_deleted_person_can_do_nothing_and_comes_back_within_thirty_days() {
    let site = Site::new().await;
    let user = site.user("ada").await;
    let id = user["id"].as_str().unwrap();
    let (status, _) = site.json(Method::DELETE, &format!("/v1.0/users/{id}"), Value::Null).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(site.enroll("ada").await.0, StatusCode::FORBIDDEN);
    let (_, deleted) = site.json(Method::GET, "/v1.0/directory/deletedItems/microsoft.graph.user", Value::Null).await;
    assert_eq!(deleted["value"][0]["id"], json!(id), "{deleted}");
    let restore = format!("/v1.0/directory/deletedItems/{id}/restore");
    assert_eq!(site.json(Method::POST, &restore, json!({})).await.0, StatusCode::OK);
    assert_eq!(site.enroll("ada").await.0, StatusCode::OK);
}

#[tokio::test]
async fn an_import_previews_names_wrong_rows_and_takes_the_others() {
    let site = Site::new().await;
    let file = "userPrincipalName,displayName,department\nada@example.org,Ada,Research\neve@elsewhere.org,Eve,\nbob@example.org,,\n";
    let path = "/muster/v1/imports/users";
    let (status, preview) = site.call(Method::POST, path, "text/csv", file.into()).await;
    assert_eq!(status, StatusCode::OK, "{preview}");
    assert_eq!((&preview["created"], &preview["failed"]), (&json!(1), &json!(2)), "{preview}");
    assert_eq!(preview["errors"][0]["line"], json!(3));
    assert_eq!(preview["errors"][1]["column"], json!("displayName"));
    // Windows ends lines with two characters and begins files with a mark; the lines are the same.
    let windows = format!("\u{feff}{}", file.replace('\n', "\r\n"));
    let (_, same) = site.call(Method::POST, path, "text/csv", windows).await;
    assert_eq!((&same["errors"], &same["changes"]), (&preview["errors"], &preview["changes"]));
    let (status, nul) = site.call(Method::POST, path, "text/csv", file.replace("Eve", "E\0e")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{nul}");
    assert_eq!(site.json(Method::GET, "/v1.0/users/ada@example.org", Value::Null).await.0, StatusCode::NOT_FOUND);
    let (_, done) = site.call(Method::POST, "/muster/v1/imports/users?commit=true", "text/csv", file.into()).await;
    assert_eq!((&done["created"], &done["committed"]), (&json!(1), &json!(true)), "{done}");
    let (_, ada) = site.json(Method::GET, "/v1.0/users/ada@example.org?$select=department", Value::Null).await;
    assert_eq!(ada["department"], "Research");

    site.json(
        Method::POST,
        "/v1.0/groups",
        json!({"displayName": "Sales", "mailEnabled": false, "mailNickname": "s", "securityEnabled": true}),
    )
    .await;
    let members = "group,member\nSales,ada@example.org\nNone,ada@example.org\n";
    let path = "/muster/v1/imports/memberships?commit=true";
    let (_, done) = site.call(Method::POST, path, "text/csv", members.into()).await;
    assert_eq!((&done["created"], &done["failed"]), (&json!(1), &json!(1)), "{done}");
}

#[tokio::test]
async fn members_of_a_group_set_up_a_second_factor_when_they_enroll() {
    let site = Site::new().await;
    let user = site.user("ada").await;
    let group = json!({"displayName": "Sales", "mailEnabled": false, "mailNickname": "s", "securityEnabled": true});
    let (_, group) = site.json(Method::POST, "/v1.0/groups", group).await;
    let path = format!("/v1.0/groups/{}/members/$ref", group["id"].as_str().unwrap());
    let reference = format!("https://localhost/v1.0/users/{}", user["id"].as_str().unwrap());
    assert_eq!(site.json(Method::POST, &path, json!({"@odata.id": reference})).await.0, StatusCode::NO_CONTENT);
    assert!(!site.enroll("ada").await.1.contains("totp-secret"));
    site.json(Method::PATCH, "/muster/v1/tenantSettings", json!({"secondFactorGroups": [group["id"]]})).await;
    let (status, page) = site.enroll("ada").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("<code id=\"totp-secret\">"), "{page}");
}
