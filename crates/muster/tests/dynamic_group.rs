//! A group by rule: a person or a device joins when what the rule asks about changes, its policy arrives;
//! when it changes back, the policy goes. Nobody moves members by hand.

mod support;

use muster::demo::scenery::{User, group};
use serde_json::{Value, json};
use support::{Engine, TestApp, on_both_engines};

on_both_engines!(person_joins_and_leaves_by_rule, device_joins_by_rule, rules_change);

async fn dynamic(app: &TestApp, name: &str, rule: &str) -> String {
    let made = app.api.post("/v1.0/groups", &body(name, rule)).await.unwrap();
    assert_eq!((&made["membershipRule"], &made["membershipRuleProcessingState"]), (&json!(rule), &json!("On")));
    made["id"].as_str().unwrap().to_owned()
}

fn body(name: &str, rule: &str) -> Value {
    json!({
        "displayName": name, "mailEnabled": false, "mailNickname": name.to_lowercase(), "securityEnabled": true,
        "groupTypes": ["DynamicMembership"], "membershipRule": rule,
    })
}

async fn members(app: &TestApp, group: &str) -> Vec<String> {
    let found = app.api.get(&format!("/v1.0/groups/{group}/members")).await.unwrap();
    let name = |member: &Value| member["displayName"].as_str().unwrap().to_owned();
    let mut names: Vec<String> = found["value"].as_array().unwrap().iter().map(name).collect();
    names.sort();
    names
}

async fn set_user(app: &TestApp, user: &User, change: Value) {
    app.api.patch(&format!("/v1.0/users/{}", user.id), &change).await.unwrap();
    app.settle().await;
}

async fn person_joins_and_leaves_by_rule(engine: Engine) {
    let app = TestApp::new(engine).await;
    let (ada, ben) = (app.user("Ada").await, app.user("Ben").await);
    let rule = r#"(user.department -eq "Sales") -and (user.accountEnabled -eq true)"#;
    let sales = dynamic(&app, "Sales", rule).await;
    app.web_clip("Prices", group(&sales)).await;
    let (adas, bens) = (app.enrolled_iphone(&ada).await, app.enrolled_iphone(&ben).await);
    assert_eq!(members(&app, &sales).await, [""; 0]);

    set_user(&app, &ada, json!({ "department": "sales" })).await;
    assert_eq!(members(&app, &sales).await, ["Ada"]);
    assert!(adas.has_web_clip("Prices").await);
    assert!(!bens.has_web_clip("Prices").await);

    // What the rule does not ask about moves nobody.
    set_user(&app, &ada, json!({ "jobTitle": "Head" })).await;
    assert!(adas.has_web_clip("Prices").await);

    // Members are not moved by hand, in any of the ways.
    let path = format!("/v1.0/groups/{sales}");
    let reference = json!({ "@odata.id": format!("https://graph.microsoft.com/v1.0/users/{}", ben.id) });
    let bind = json!({ "members@odata.bind": [reference["@odata.id"]] });
    for (method, path, body) in [
        ("POST", format!("{path}/members/$ref"), Some(&reference)),
        ("DELETE", format!("{path}/members/{}/$ref", ada.id), None),
        ("PATCH", path.clone(), Some(&bind)),
    ] {
        let reply = app.api.call(method, &path, body).await.unwrap();
        assert_eq!(
            (reply.status, &reply.body["error"]["code"]),
            (400, &json!("Request_BadRequest")),
            "{method} {path}"
        );
        assert!(reply.body["error"]["message"].as_str().unwrap().contains("membershipRule"));
    }
    assert_eq!(members(&app, &sales).await, ["Ada"]);

    set_user(&app, &ada, json!({ "department": null })).await;
    assert_eq!(members(&app, &sales).await, [""; 0]);
    assert!(!adas.has_web_clip("Prices").await);
    assert!(adas.see(|device| device.is_enrolled()).await);

    // Who is deleted is in no group by rule; who is restored is again.
    set_user(&app, &ben, json!({ "department": "Sales" })).await;
    assert_eq!(members(&app, &sales).await, ["Ben"]);
    app.api.delete(&format!("/v1.0/users/{}", ben.id)).await.unwrap();
    app.settle().await;
    assert_eq!(members(&app, &sales).await, [""; 0]);
    app.api.post(&format!("/v1.0/directory/deletedItems/{}/restore", ben.id), &json!({})).await.unwrap();
    app.settle().await;
    assert_eq!(members(&app, &sales).await, ["Ben"]);

    // Each move stands in the log, with the server as its actor.
    let events =
        app.api.get("/v1.0/deviceManagement/auditEvents?$filter=activityOperationType eq 'Patch'").await.unwrap();
    let moves = |value: &Value| -> usize {
        let by_rule = |event: &&Value| event["activity"] == "Change group members by rule";
        value["value"].as_array().unwrap().iter().filter(by_rule).count()
    };
    assert_eq!(moves(&events), 5, "{events}");
    app.end().await;
}

async fn device_joins_by_rule(engine: Engine) {
    let app = TestApp::new(engine).await;
    let ada = app.user("Ada").await;
    let personal =
        dynamic(&app, "Phones", r#"(device.deviceOSType -eq "iPhone") -and (device.displayName -ne null)"#).await;
    let kiosks = dynamic(&app, "Kiosks", r#"device.deviceCategory -eq "Kiosk""#).await;
    app.web_clip("Everyone", group(&personal)).await;
    app.web_clip("Menu", group(&kiosks)).await;
    app.settle().await;

    // A device that enrolls is in its groups before its first policies are chosen.
    let phone = app.iphone("Ada").await;
    app.enroll_by_profile(&phone, &ada).await.unwrap();
    phone.check_in().await.unwrap();
    assert!(phone.has_web_clip("Everyone").await);
    app.settle().await;
    assert!(!phone.has_web_clip("Menu").await);

    let category =
        app.api.post("/v1.0/deviceManagement/deviceCategories", &json!({ "displayName": "Kiosk" })).await.unwrap();
    let (category, device) = (category["id"].as_str().unwrap(), app.managed_device(&ada).await);
    let path = format!("/v1.0/deviceManagement/managedDevices/{}/deviceCategory/$ref", device["id"].as_str().unwrap());
    let reference = json!({ "@odata.id": format!("https://graph.microsoft.com/v1.0/deviceManagement/deviceCategories/{category}") });
    assert_eq!(app.api.call("PUT", &path, Some(&reference)).await.unwrap().status, 204);
    app.settle().await;
    assert!(phone.has_web_clip("Menu").await);
    let of = app
        .api
        .get(&format!("/v1.0/devices?$filter=deviceId eq '{}'", device["azureADDeviceId"].as_str().unwrap()))
        .await
        .unwrap();
    let directory = of["value"][0]["id"].as_str().unwrap();
    let held = app.api.get(&format!("/v1.0/devices/{directory}/memberOf")).await.unwrap();
    assert_eq!(held["value"].as_array().unwrap().len(), 2);

    // A category that gets another name moves its devices.
    let path = format!("/v1.0/deviceManagement/deviceCategories/{category}");
    app.api.patch(&path, &json!({ "displayName": "Counter" })).await.unwrap();
    app.settle().await;
    assert!(!phone.has_web_clip("Menu").await);
    app.end().await;
}

async fn rules_change(engine: Engine) {
    let app = TestApp::new(engine).await;
    let (ada, ben) = (app.user("Ada").await, app.user("Ben").await);
    let phone = app.enrolled_iphone(&ada).await;
    set_user(&app, &ada, json!({ "department": "Sales" })).await;
    set_user(&app, &ben, json!({ "department": "Lab" })).await;

    // A rule can be tried before it is stored, on a person or a device.
    let directory = app.api.get("/v1.0/devices").await.unwrap()["value"][0]["id"].clone();
    for (member, rule, holds) in [
        (json!(ada.id), "user.department -eq 'sales'", true),
        (json!(ben.id), "user.department -eq 'sales'", false),
        (directory.clone(), "user.department -ne 'sales'", false),
        (directory, "device.managementType -eq 'MDM'", true),
    ] {
        let body = json!({ "memberId": member, "membershipRule": rule });
        let told = app.api.post("/beta/groups/evaluateDynamicMembership", &body).await.unwrap();
        assert_eq!(told["membershipRuleEvaluationResult"], holds, "{rule}");
    }

    // What is no rule is refused with its place, and nothing is made.
    for (rule, place) in [
        (r#"user.department "Sales""#, "membershipRule: at character 17: expected an operator such as -eq"),
        (
            r#"user.department -eq "Sales" -and device.deviceModel -eq "x""#,
            "at character 34: this rule is about user.*",
        ),
        (r#"user.department -match "(""#, "at character 24: this pattern is no regular expression"),
    ] {
        let reply = app.api.call("POST", "/v1.0/groups", Some(&body("Broken", rule))).await.unwrap();
        assert_eq!(reply.status, 400);
        let message = reply.body["error"]["message"].as_str().unwrap();
        assert!(message.contains(place), "{message}");
    }
    let none = app.api.get("/v1.0/groups?$filter=displayName eq 'Broken'").await.unwrap();
    assert_eq!(none["value"], json!([]));

    // An assigned group becomes one by rule: who was put in goes, whom the rule names comes.
    let team = app.group("Team", &[&ben]).await;
    app.web_clip("Targets", group(&team)).await;
    let path = format!("/v1.0/groups/{team}");
    let evaluate = format!("/beta/groups/{team}/evaluateDynamicMembership");
    assert_eq!(app.api.call("POST", &evaluate, Some(&json!({ "memberId": ada.id }))).await.unwrap().status, 400);
    let rule = json!({ "groupTypes": ["DynamicMembership"], "membershipRule": "user.department -eq 'Sales'" });
    app.api.patch(&path, &rule).await.unwrap();
    app.settle().await;
    assert_eq!(members(&app, &team).await, ["Ada"]);
    assert!(phone.has_web_clip("Targets").await);

    let told = app.api.post(&evaluate, &json!({ "memberId": ben.id })).await.unwrap();
    assert_eq!(
        (&told["membershipRuleEvaluationResult"], &told["membershipRule"]),
        (&json!(false), &rule["membershipRule"])
    );

    app.api.patch(&path, &json!({ "membershipRule": "user.department -in ['Sales', 'lab']" })).await.unwrap();
    app.settle().await;
    assert_eq!(members(&app, &team).await, ["Ada", "Ben"]);

    // While it is paused members stay as they are; then it catches up.
    app.api.patch(&path, &json!({ "membershipRuleProcessingState": "Paused" })).await.unwrap();
    set_user(&app, &ada, json!({ "department": "Law" })).await;
    assert_eq!(members(&app, &team).await, ["Ada", "Ben"]);
    app.api.patch(&path, &json!({ "membershipRuleProcessingState": "On" })).await.unwrap();
    app.settle().await;
    assert_eq!(members(&app, &team).await, ["Ben"]);
    assert!(!phone.has_web_clip("Targets").await);

    // A refused change leaves the rule as it was.
    let reply = app.api.call("PATCH", &path, Some(&json!({ "membershipRule": "user.nothing -eq 'a'" }))).await.unwrap();
    assert_eq!(reply.status, 400);
    assert_eq!(app.api.get(&path).await.unwrap()["membershipRule"], "user.department -in ['Sales', 'lab']");

    // An assigned group again: members stay and are moved by hand.
    app.api.patch(&path, &json!({ "groupTypes": [] })).await.unwrap();
    app.settle().await;
    assert_eq!(members(&app, &team).await, ["Ben"]);
    app.add_member(&team, &ada).await;
    app.settle().await;
    assert_eq!(members(&app, &team).await, ["Ada", "Ben"]);
    assert!(phone.has_web_clip("Targets").await);
    app.end().await;
}
