//! What is decided before what: authentication, permission, path, body.

use muster_domain::roles::Role;
use muster_web::graph::registry;

use crate::support::Api;

#[tokio::test]
async fn d2_a_malformed_body_without_credentials_is_401() {
    let api = Api::start().await;
    for path in ["/beta/deviceManagement/deviceConfigurations", "/v1.0/users", "/beta/nothing/here", "/beta/a'b"] {
        let reply = api.call("POST", path, None, Some("{not json")).await.expect(401);
        assert_eq!(reply.body["error"]["code"], "InvalidAuthenticationToken");
        api.call("POST", path, Some("no-such-token"), Some("{not json")).await.expect(401);
    }
}

#[tokio::test]
async fn d2_a_malformed_body_without_the_right_is_403() {
    let api = Api::start().await;
    let reader = api.new_token("readonly").await;
    let path = "/beta/deviceManagement/deviceConfigurations";
    let reply = api.call("POST", path, Some(&reader), Some("{not json")).await.expect(403);
    assert!(reply.message().contains("DeviceManagementConfiguration.ReadWrite"), "{}", reply.text);
    api.call("GET", path, Some(&reader), None).await.expect(200);
    api.call("POST", path, Some(&api.token), Some("{not json")).await.expect(400);
}

#[tokio::test]
async fn d1_every_row_refuses_strangers() {
    let api = Api::start().await;
    for row in registry() {
        let keys: Vec<String> = vec!["0f8fad5b-d9cb-469f-a165-70867728950e".into(); 3];
        let path = format!("/beta/{}", row.filled(&keys));
        api.call(row.method.as_str(), &path, None, None).await.expect(401);
    }
}

#[tokio::test]
async fn b6_what_a_stranger_may_read_is_a_reviewed_list() {
    use muster_web::routes::{Auth, table};
    let api = Api::start().await;
    // Pages of a sign-in, discovery, certificates, health: nothing of an organisation but its look.
    let open = [
        "/style.css",
        "/branding/{tenant}/{profile}/style.css",
        "/branding/{tenant}/{profile}/logo",
        "/enroll",
        "/enroll/profile/{token}",
        "/authenticate",
        "/portal",
        "/signin",
        "/signin/style.css",
        "/setup",
        "/.well-known/com.apple.remotemanagement",
        "/scep",
        "/crl/{file}",
        "/healthz",
        "/readyz",
        "/metrics",
        "/muster/v1/openapi.json",
    ];
    let id = "0f8fad5b-d9cb-469f-a165-70867728950e";
    for route in table().into_iter().filter(|route| route.method == "GET") {
        let stranger = matches!(route.auth, Auth::Open | Auth::Flow);
        assert_eq!(stranger, open.contains(&route.path), "{}: reviewed, or behind a sign-in", route.path);
        let filled = route.path.split('/').map(|part| if part.starts_with('{') { id } else { part });
        let path = filled.collect::<Vec<_>>().join("/");
        let reply = api.send_to(route.audience, "GET", &path).await;
        match route.auth {
            Auth::Operator => assert_eq!(reply.status, 401, "{path}: {}", reply.text),
            Auth::Person => {
                assert_eq!((reply.status.as_u16(), &reply.headers["location"]), (303, &"/portal".parse().unwrap()))
            }
            _ => assert!(reply.status.as_u16() < 500, "{path}: {}", reply.text),
        }
        assert!(!reply.text.contains("owner@contoso.example"), "{path}: {}", reply.text);
    }
}

#[tokio::test]
async fn d5_every_row_asks_for_its_permission_from_every_role() {
    let api = Api::start().await;
    for role in [Role::Administrator, Role::Helpdesk, Role::Readonly] {
        let token = api.new_token(role.name()).await;
        for row in registry() {
            let keys: Vec<String> = vec!["0f8fad5b-d9cb-469f-a165-70867728950e".into(); 3];
            let path = format!("/beta/{}", row.filled(&keys));
            let writes = row.method != "GET";
            let reply = api.call(row.method.as_str(), &path, Some(&token), writes.then_some("[]")).await;
            let allowed = role.holds(row.permission);
            assert_eq!(reply.status != 403, allowed, "{role:?} {} {path}: {}", row.method, reply.text);
            assert!(reply.status.as_u16() < 500, "{role:?} {} {path}: {}", row.method, reply.text);
        }
    }
}

#[tokio::test]
async fn d4_heads_and_overrides_follow_the_same_rule() {
    let api = Api::start().await;
    let path = "/beta/deviceManagement/deviceConfigurations";
    api.call("HEAD", path, None, None).await.expect(401);
    let reader = api.new_token("readonly").await;
    let over = [("x-http-method-override", "DELETE"), ("x-http-method", "DELETE")];
    let there = api.post(
        path,
        serde_json::json!({"@odata.type": "#microsoft.graph.iosGeneralDeviceConfiguration", "displayName": "a"}),
    );
    let id = there.await.expect(201).id();
    api.send("GET", &format!("{path}/{id}"), Some(&reader), None, &over).await.expect(200);
    api.send("POST", path, Some(&reader), Some("{}"), &over).await.expect(403);
    api.get(&format!("{path}/{id}")).await.expect(200);
}

#[tokio::test]
async fn d3_no_spelling_reaches_another_rows_right() {
    let api = Api::start().await;
    let reader = api.new_token("readonly").await;
    let helper = api.new_token("helpdesk").await;
    for path in [
        "/beta/deviceManagement//deviceConfigurations",
        "/beta/DEVICEMANAGEMENT/deviceconfigurations/",
        "/beta/deviceManagement/deviceConfigurations??$top=1",
        "/v1.0/deviceManagement/DeviceConfigurations",
    ] {
        api.call("GET", path, Some(&reader), None).await.expect(200);
        for token in [&reader, &helper] {
            api.call("POST", path, Some(token), Some("{}")).await.expect(403);
        }
    }
    for path in [
        "/beta/deviceManagement/%2e%2e/deviceManagement/deviceConfigurations",
        "/beta/deviceManagement%2fdeviceConfigurations",
        "/beta/deviceManagement/./deviceConfigurations",
        "/beta/deviceManagement/..;/deviceConfigurations",
        "/beta/deviceManagement/deviceConfigurations;x=1",
        "/beta/deviceManagement/deviceConfigurations.",
        "/beta/deviceManagement/deviceConfigurations%00",
        "/beta/deviceManagement/%c0%ae%c0%ae/deviceConfigurations",
        "/BETA/deviceManagement/deviceConfigurations",
        "//beta/deviceManagement/deviceConfigurations",
    ] {
        let reply = api.call("GET", path, Some(&api.token), None).await;
        assert!([400, 404].contains(&reply.status.as_u16()), "{path}: {} {}", reply.status, reply.text);
    }
}

#[tokio::test]
async fn unsupported_options_are_named() {
    let api = Api::start().await;
    let path = "/beta/deviceManagement/deviceConfigurations";
    for option in ["$apply=groupby((id))", "$compute=a", "$deltatoken=x"] {
        let reply = api.get(&format!("{path}?{option}")).await.expect(501);
        assert!(reply.message().contains(option.split('=').next().unwrap()), "{}", reply.text);
    }
    let reply = api.get(&format!("{path}?$filter=length(displayName) eq 1")).await.expect(501);
    assert!(reply.message().contains("length"));
}
