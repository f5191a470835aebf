//! Users, groups, members, the organization.

use serde_json::{Value, json};

use crate::support::Api;

fn user(name: &str) -> Value {
    json!({
        "accountEnabled": true, "displayName": name, "mailNickname": name,
        "userPrincipalName": format!("{name}@contoso.example"),
        "passwordProfile": {"forceChangePasswordNextSignIn": false, "password": "correct horse battery staple"},
    })
}

fn group(name: &str) -> Value {
    json!({"displayName": name, "mailEnabled": false, "mailNickname": name, "securityEnabled": true, "groupTypes": []})
}

#[tokio::test]
async fn users_are_found_by_name_and_filter() {
    let api = Api::start().await;
    for name in ["anna", "bert", "carla"] {
        let made = api.post("/v1.0/users", user(name)).await.expect(201);
        assert!(!made.text.contains("battery"), "a password never comes back");
    }
    assert_eq!(api.get("/v1.0/users/Anna@contoso.example").await.expect(200).body["displayName"], "anna");
    assert_eq!(api.get("/v1.0/users('bert@contoso.example')").await.expect(200).body["displayName"], "bert");
    api.get("/v1.0/users/nobody@contoso.example").await.expect(404);
    let found = api.get("/v1.0/users?$filter=userPrincipalName eq 'CARLA@contoso.example'&$select=id").await;
    assert_eq!(found.items().len(), 1);
    let found = api.get("/v1.0/users?$filter=startswith(displayName,'b')&$count=true").await.expect(200);
    assert_eq!(found.body["@odata.count"], 1);

    let mut names = Vec::new();
    let mut at = "/v1.0/users?$top=1&$select=displayName".to_owned();
    loop {
        let page = api.get(&at).await.expect(200);
        names.extend(page.items().iter().map(|one| one["displayName"].as_str().unwrap().to_owned()));
        let Some(next) = page.body["@odata.nextLink"].as_str() else { break };
        at = next.trim_start_matches("https://localhost:9443").to_owned();
    }
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(names, sorted);
    assert!(["anna", "bert", "carla"].iter().all(|name| names.contains(&(*name).to_owned())));
    let down = api.get("/v1.0/users?$orderby=userPrincipalName desc&$top=1").await.expect(200);
    assert!(down.body["@odata.nextLink"].is_string());
}

#[tokio::test]
async fn unknown_properties_of_users_are_ignored_with_a_warning() {
    let api = Api::start().await;
    let mut body = user("dora");
    body["shoeSize"] = 44.into();
    let made = api.post("/v1.0/users", body).await.expect(201);
    assert!(made.headers["warning"].to_str().unwrap().contains("shoeSize"));
    let changed =
        api.patch(&format!("/v1.0/users/{}", made.id()), json!({"hatSize": 1, "jobTitle": "x"})).await.expect(204);
    assert!(changed.headers["warning"].to_str().unwrap().contains("hatSize"));
    assert_eq!(api.get(&format!("/v1.0/users/{}", made.id())).await.body["jobTitle"], "x");
}

#[tokio::test]
async fn members_come_and_go() {
    let api = Api::start().await;
    let anna = api.post("/v1.0/users", user("anna")).await.expect(201).id();
    let outer = api.post("/v1.0/groups", group("outer")).await.expect(201).id();
    let mut body = group("inner");
    body["members@odata.bind"] = json!([format!("https://graph.microsoft.com/v1.0/directoryObjects/{anna}")]);
    let inner = api.post("/beta/groups", body).await.expect(201).id();
    let add = |id: &str, kind: &str| json!({"@odata.id": format!("https://graph.microsoft.com/v1.0/{kind}/{id}")});
    api.post(&format!("/v1.0/groups/{outer}/members/$ref"), add(&inner, "groups")).await.expect(204);
    api.post(&format!("/v1.0/groups/{outer}/members/$ref"), add(&anna, "devices")).await.expect(404);

    let members = api.get(&format!("/v1.0/groups/{outer}/members")).await.expect(200);
    assert_eq!(members.items()[0]["@odata.type"], "#microsoft.graph.group");
    let all = api.get(&format!("/v1.0/groups/{outer}/transitiveMembers/microsoft.graph.user")).await.expect(200);
    assert_eq!(all.items()[0]["id"], anna.as_str());
    let of = api.get(&format!("/v1.0/users/{anna}/memberOf")).await.expect(200);
    assert_eq!(of.items().iter().map(|g| g["displayName"].as_str().unwrap()).collect::<Vec<_>>(), ["inner"]);
    assert_eq!(api.get(&format!("/v1.0/users/{anna}/transitiveMemberOf")).await.items().len(), 2);
    let wanted = json!({"groupIds": [outer, "0f8fad5b-d9cb-469f-a165-70867728950e"]});
    let held = api.post(&format!("/v1.0/users/{anna}/checkMemberGroups"), wanted).await.expect(200);
    assert_eq!(held.items(), [json!(outer)]);
    let ids = json!({"ids": [anna, inner, "0f8fad5b-d9cb-469f-a165-70867728950e"], "types": ["user", "group"]});
    assert_eq!(api.post("/v1.0/directoryObjects/getByIds", ids).await.expect(200).items().len(), 2);

    let expanded = api.get(&format!("/v1.0/groups/{inner}?$expand=members($select=id)")).await.expect(200);
    assert_eq!(expanded.body["members"][0]["id"], anna.as_str());
    let found = api.get("/v1.0/groups?$filter=displayName eq 'inner'&$select=id,displayName").await.expect(200);
    assert_eq!(found.items().len(), 1);

    api.delete(&format!("/v1.0/groups/{inner}/members/{anna}/$ref")).await.expect(204);
    assert!(api.get(&format!("/v1.0/groups/{inner}/members")).await.items().is_empty());
    api.delete(&format!("/v1.0/groups/{inner}")).await.expect(204);
    api.get(&format!("/v1.0/groups/{inner}")).await.expect(404);
}

#[tokio::test]
async fn the_organization_says_who_manages_devices() {
    let api = Api::start().await;
    let list = api.get("/v1.0/organization").await.expect(200);
    assert_eq!(list.items().len(), 1);
    let id = list.items()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(list.items()[0]["verifiedDomains"][0]["name"], "contoso.example");
    api.post(&format!("/v1.0/organization/{id}/setMobileDeviceManagementAuthority"), json!({})).await.expect(200);
    let read = api.get(&format!("/v1.0/organization/{id}")).await.expect(200);
    assert_eq!(read.body["mobileDeviceManagementAuthority"], "intune");
    api.get("/v1.0/organization/0f8fad5b-d9cb-469f-a165-70867728950e").await.expect(404);
    assert_eq!(api.get("/v1.0/domains").await.expect(200).items()[0]["id"], "contoso.example");
    assert_eq!(api.get("/v1.0/subscribedSkus").await.expect(200).items().len(), 1);
}

#[tokio::test]
async fn what_was_done_is_in_the_audit() {
    let api = Api::start().await;
    let id = api.post("/v1.0/groups", group("canary")).await.expect(201).id();
    api.service.clock.advance(1_000);
    api.patch(&format!("/v1.0/groups/{id}"), json!({"description": "x"})).await.expect(204);
    let events = api.get("/beta/deviceManagement/auditEvents?$top=5&$orderby=activityDateTime desc").await.expect(200);
    let mine: Vec<&Value> =
        events.items().iter().filter(|event| event["resources"][0]["resourceId"] == id.as_str()).collect();
    assert_eq!(mine.len(), 2, "{}", events.text);
    assert_eq!(mine[1]["activityOperationType"], "Create");
    assert_eq!(mine[1]["actor"]["applicationDisplayName"], "owner token");
    let one = mine[0]["id"].as_str().unwrap();
    api.get(&format!("/v1.0/deviceManagement/auditEvents/{one}")).await.expect(200);
    let none = api.get("/v1.0/deviceManagement/auditEvents?$filter=category eq 'Nothing'").await.expect(200);
    assert!(none.items().is_empty());
    let some = api
        .get("/v1.0/deviceManagement/auditEvents?$filter=category eq 'Group' and activityDateTime ge 2025-01-01T00:00:00Z and resources/any(r:r/auditResourceType eq 'group')")
        .await
        .expect(200);
    assert_eq!(some.items().len(), 2);
    let reader = api.new_token("helpdesk").await;
    api.call("GET", "/v1.0/deviceManagement/auditEvents", Some(&reader), None).await.expect(403);
    api.get("/v1.0/deviceManagement/troubleshootingEvents").await.expect(200);
}
