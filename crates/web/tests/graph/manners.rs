//! Manners of the API that scripts and SDKs lean on, whatever the resource.

use serde_json::{Value, json};

use crate::support::Api;

fn user(name: &str) -> Value {
    json!({"accountEnabled": true, "displayName": name, "userPrincipalName": format!("{name}@contoso.example")})
}

#[tokio::test]
async fn a_method_that_is_not_offered_names_those_that_are() {
    let api = Api::start().await;
    for (method, path, allow) in [
        ("PUT", "/v1.0/users/7", "GET, PATCH, DELETE"),
        ("DELETE", "/beta/groups", "GET, POST"),
        ("POST", "/v1.0/me", "GET"),
    ] {
        let reply = api.call(method, path, Some(&api.token), None).await.expect(405);
        assert_eq!(reply.headers["allow"], allow, "{method} {path}");
    }
    let reply = api.call("PUT", "/muster/v1/approvals", Some(&api.token), None).await.expect(405);
    assert!(reply.headers.contains_key("allow"));
}

#[tokio::test]
async fn ids_and_queries_that_cannot_be_get_graphs_error() {
    let api = Api::start().await;
    for (method, path, status) in [
        ("DELETE", "/muster/v1/tokens/7", 404),
        ("DELETE", "/muster/v1/sessions/x", 404),
        ("DELETE", "/muster/v1/operators/x", 404),
        ("GET", "/muster/v1/approvals?state=pending&state=denied", 400),
        ("GET", "/v1.0/users/x?$search=%22nonsense:x%22", 400),
        ("GET", "/v1.0/users?$filter=displayName%20eq%20'%00'", 400),
    ] {
        let reply = api.call(method, path, Some(&api.token), None).await.expect(status);
        assert!(!reply.message().is_empty(), "{method} {path}: {}", reply.text);
    }
    let reply = api.call("POST", "/muster/v1/tokens", Some(&api.token), Some(&"[".repeat(100_000))).await.expect(413);
    assert_eq!(reply.body["error"]["code"], "RequestEntityTooLarge");
}

#[tokio::test]
async fn a_page_is_of_the_list_that_made_it() {
    let api = Api::start().await;
    for name in ["anna", "bert", "carla"] {
        api.post("/v1.0/users", user(name)).await.expect(201);
    }
    let page = api.get("/v1.0/users?$top=1&$orderby=userPrincipalName desc").await.expect(200);
    let link = page.body["@odata.nextLink"].as_str().unwrap();
    let token = link.split("$skiptoken=").nth(1).unwrap();
    api.get(&format!("/v1.0/users?$top=2&$orderby=userPrincipalName desc&$skiptoken={token}")).await.expect(200);
    for other in ["$orderby=userPrincipalName", "$filter=accountEnabled eq true", "$top=1"] {
        let refused = api.get(&format!("/v1.0/users?{other}&$skiptoken={token}")).await.expect(400);
        assert!(refused.message().contains("begin the list anew"), "{}", refused.text);
    }
}

#[tokio::test]
async fn a_property_asked_for_by_name_is_null_rather_than_absent() {
    let api = Api::start().await;
    let made = api.post("/v1.0/users", user("anna")).await.expect(201);
    let read = api.get(&format!("/v1.0/users/{}?$select=city,otherMails,passwordProfile", made.id())).await.expect(200);
    assert_eq!((&read.body["city"], &read.body["otherMails"]), (&Value::Null, &json!([])));
    assert!(read.body.as_object().unwrap().contains_key("city"));
    assert!(read.body.as_object().unwrap().contains_key("passwordProfile"));
}

#[tokio::test]
async fn the_second_user_of_a_name_is_refused_in_graphs_words() {
    let api = Api::start().await;
    api.post("/v1.0/users", user("anna")).await.expect(201);
    let again = api.post("/v1.0/users", user("ANNA")).await.expect(400);
    assert_eq!(again.body["error"]["code"], "Request_BadRequest");
    assert!(again.message().contains("already exists"), "{}", again.text);
}

#[tokio::test]
async fn the_organization_keeps_whom_notices_go_to() {
    let api = Api::start().await;
    let list = api.get("/v1.0/organization").await.expect(200);
    let path = format!("/v1.0/organization/{}", list.items()[0]["id"].as_str().unwrap());
    let change = json!({
        "technicalNotificationMails": ["it@contoso.example"],
        "privacyProfile": {"statementUrl": "https://contoso.example/privacy", "contactEmail": "dpo@contoso.example"},
        "displayName": "Other", "shoeSize": 44,
    });
    let changed = api.patch(&path, change).await.expect(204);
    let warning = changed.headers["warning"].to_str().unwrap();
    assert!(warning.contains("shoeSize") && warning.contains("displayName"), "{warning}");
    let read = api.get(&path).await.expect(200);
    assert_eq!(read.body["technicalNotificationMails"], json!(["it@contoso.example"]));
    assert_eq!(read.body["privacyProfile"]["contactEmail"], "dpo@contoso.example");
    assert_eq!(read.body["marketingNotificationEmails"], json!([]));
    assert_ne!(read.body["displayName"], "Other");
    api.patch(&path, json!({"technicalNotificationMails": "x"})).await.expect(400);
    let reader = api.new_token("readonly").await;
    api.call("PATCH", &path, Some(&reader), Some("{}")).await.expect(403);
    let events = api.get("/v1.0/deviceManagement/auditEvents?$filter=category eq 'Organization'").await.expect(200);
    assert_eq!(events.items().len(), 1, "{}", events.text);
}

#[tokio::test]
async fn members_have_addresses_and_lists_of_ids_have_bounds() {
    let api = Api::start().await;
    let anna = api.post("/v1.0/users", user("anna")).await.expect(201).id();
    let group = json!({
        "displayName": "g", "mailEnabled": false, "mailNickname": "g", "securityEnabled": true,
        "members@odata.bind": [format!("https://graph.microsoft.com/v1.0/users/{anna}")],
    });
    let group = api.post("/v1.0/groups", group).await.expect(201).id();
    let found = api.get(&format!("/v1.0/groups/{group}/members/$ref")).await.expect(200);
    assert_eq!(found.items(), [json!({"@odata.id": format!("https://localhost:9443/v1.0/directoryObjects/{anna}")})]);
    api.post("/v1.0/directoryObjects/getByIds", json!({})).await.expect(400);
    let check = format!("/v1.0/users/{anna}/checkMemberGroups");
    api.post(&check, json!({"groupIds": vec![group.as_str(); 20]})).await.expect(200);
    for wrong in [json!({}), json!({"groupIds": []}), json!({"groupIds": vec![group.as_str(); 21]})] {
        api.post(&check, wrong).await.expect(400);
    }
}
