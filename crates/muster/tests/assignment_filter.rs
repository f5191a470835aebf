//! A filter on an assignment: of the devices that the assignment names, only those that match get the
//! policy (or only the others); a change of the filter, or of what it asks about, is followed at once.

mod support;

use muster::demo::scenery::all_devices;
use muster_swarm::model::{Family, Version};
use serde_json::{Value, json};
use support::{Engine, TestApp, on_both_engines};

on_both_engines!(filter_narrows_an_assignment, filters_are_refused_with_reasons);

const FILTERS: &str = "/beta/deviceManagement/assignmentFilters";

async fn filter(app: &TestApp, name: &str, platform: &str, rule: &str) -> String {
    let made = app.api.post(FILTERS, &body(name, platform, rule)).await.unwrap();
    assert_eq!((&made["rule"], &made["assignmentFilterManagementType"]), (&json!(rule), &json!("devices")));
    assert_eq!((&made["roleScopeTags"], &made["payloads"]), (&json!(["0"]), &json!([])));
    made["id"].as_str().unwrap().to_owned()
}

fn body(name: &str, platform: &str, rule: &str) -> Value {
    json!({
        "@odata.type": "#microsoft.graph.deviceAndAppManagementAssignmentFilter",
        "displayName": name, "description": "", "platform": platform, "rule": rule,
    })
}

fn through(filter: &str, mode: &str) -> Value {
    let mut target = all_devices();
    target["deviceAndAppManagementAssignmentFilterId"] = filter.into();
    target["deviceAndAppManagementAssignmentFilterType"] = mode.into();
    target
}

async fn own(app: &TestApp, device: &Value, owner: &str) {
    let path = format!("/beta/deviceManagement/managedDevices/{}", device["id"].as_str().unwrap());
    app.api.patch(&path, &json!({ "ownerType": owner })).await.unwrap();
    app.settle().await;
}

async fn filter_narrows_an_assignment(engine: Engine) {
    let app = TestApp::new(engine).await;
    let (ada, ben) = (app.user("Ada").await, app.user("Ben").await);
    let company = filter(&app, "Company", "iOS", r#"(device.deviceOwnership -eq "Corporate")"#).await;
    app.web_clip("Stock", through(&company, "include")).await;
    app.web_clip("Privacy", through(&company, "exclude")).await;
    let phone = app.enrolled_iphone(&ada).await;
    let tablet = app.device(Family::IPad, Version(18, 3, 0), false, "Ben").await;
    app.enroll_by_profile(&tablet, &ben).await.unwrap();
    app.settle().await;
    assert!(!phone.has_web_clip("Stock").await && phone.has_web_clip("Privacy").await);

    // The fact changes: one policy comes, the other goes, on this device only.
    let device = app.managed_device(&ada).await;
    own(&app, &device, "company").await;
    assert!(phone.has_web_clip("Stock").await && !phone.has_web_clip("Privacy").await);
    assert!(!tablet.has_web_clip("Stock").await && tablet.has_web_clip("Privacy").await);

    // The filter changes.
    let path = format!("{FILTERS}/{company}");
    let rule =
        format!(r#"(device.deviceName -eq "{}")"#, app.managed_device(&ben).await["deviceName"].as_str().unwrap());
    let changed = app.api.patch(&path, &json!({ "rule": rule })).await.unwrap();
    assert_eq!((&changed["rule"], &changed["displayName"]), (&json!(rule), &json!("Company")));
    app.settle().await;
    assert!(!phone.has_web_clip("Stock").await && phone.has_web_clip("Privacy").await);
    assert!(tablet.has_web_clip("Stock").await && !tablet.has_web_clip("Privacy").await);

    // What uses it is shown, and keeps it from being deleted.
    let shown = app.api.get(&path).await.unwrap();
    assert_eq!(shown["payloads"].as_array().unwrap().len(), 2, "{shown}");
    assert_eq!(app.api.get(&format!("{path}/payloads")).await.unwrap()["value"], shown["payloads"]);
    let reply = app.api.call("DELETE", &path, None).await.unwrap();
    assert_eq!(reply.status, 409);
    assert!(reply.body["error"]["message"].as_str().unwrap().contains("in use by 2 assignments"), "{}", reply.body);

    // Before it is saved, a rule says whom it would let through.
    let preview = |platform: &str, rule: &str| json!({ "data": { "platform": platform, "rule": rule, "top": 1 } });
    let evaluate = "/beta/deviceManagement/evaluateAssignmentFilter";
    let found = app.api.post(evaluate, &preview("iOS", r#"(device.operatingSystemVersion -ge "18.3")"#)).await.unwrap();
    assert_eq!((&found["TotalRowCount"], found["Values"].as_array().unwrap().len()), (&json!(2), 1));
    let found = app.api.post(evaluate, &preview("iOS", r#"(device.deviceOwnership -eq "Corporate")"#)).await.unwrap();
    assert_eq!(found["Values"][0][0], device["id"]);
    let found = app.api.post(evaluate, &preview("macOS", r#"(device.deviceName -ne "x")"#)).await.unwrap();
    assert_eq!(found["TotalRowCount"], 0);

    // Taken off its assignments it may go; what they assign comes to everybody.
    let all = app.api.get("/v1.0/deviceManagement/deviceConfigurations").await.unwrap();
    for configuration in all["value"].as_array().unwrap() {
        let path =
            format!("/v1.0/deviceManagement/deviceConfigurations/{}/assign", configuration["id"].as_str().unwrap());
        app.api.post(&path, &json!({ "assignments": [{ "target": all_devices() }] })).await.unwrap();
    }
    app.settle().await;
    for one in [&phone, &tablet] {
        assert!(one.has_web_clip("Stock").await && one.has_web_clip("Privacy").await);
    }
    assert_eq!(app.api.call("DELETE", &path, None).await.unwrap().status, 204);
    assert_eq!(app.api.call("GET", &path, None).await.unwrap().status, 404);
    app.end().await;
}

async fn filters_are_refused_with_reasons(engine: Engine) {
    let app = TestApp::new(engine).await;
    let refused = async |method: &str, path: &str, body: Value, said: &str| {
        let reply = app.api.call(method, path, Some(&body)).await.unwrap();
        let message = reply.body["error"]["message"].as_str().unwrap_or_default();
        assert!(reply.status == 400 && message.contains(said), "{method} {path}: {} {}", reply.status, reply.body);
    };
    let at = r#"rule: at character 14: expected an operator such as -eq"#;
    refused("POST", FILTERS, body("a", "iOS", r#"(device.model "iPhone")"#), at.replace("14", "15").as_str()).await;
    refused("POST", FILTERS, body("a", "iOS", r#"(device.deviceOwnership -eq "Company")"#), "Personal, Corporate")
        .await;
    refused("POST", FILTERS, body("a", "windowsPhone81", r#"(device.model -eq "a")"#), "no filters for windowsPhone81")
        .await;
    refused("POST", FILTERS, body("a", "iPhone", r#"(device.model -eq "a")"#), "platform must be one of").await;
    refused("POST", FILTERS, body("", "iOS", r#"(device.model -eq "a")"#), "displayName").await;
    let mut apps = body("a", "iOS", r#"(device.model -eq "a")"#);
    apps["assignmentFilterManagementType"] = "apps".into();
    refused("POST", FILTERS, apps, "assignmentFilterManagementType").await;
    assert_eq!(app.api.get(FILTERS).await.unwrap()["value"], json!([]));

    // What a rule may say is told, by platform.
    let path = format!("{FILTERS}/getPlatformSupportedProperties(platform='macOS')");
    let told = app.api.get(&path).await.unwrap();
    let named = |name: &str| told["value"].as_array().unwrap().iter().find(|one| one["name"] == name).cloned();
    let version = named("device.operatingSystemVersion").unwrap();
    assert_eq!(version["supportedOperators"][2], "greaterThan");
    assert!(named("device.isRooted").is_none() && named("device.cpuArchitecture").is_some());
    let validate = format!("{FILTERS}/validateFilter");
    for (rule, valid) in [(r#"(device.model -eq "a")"#, true), (r#"(device.model -like "a")"#, false)] {
        let sent = json!({ "deviceAndAppManagementAssignmentFilter": body("a", "iOS", rule) });
        assert_eq!(app.api.post(&validate, &sent).await.unwrap()["isValidRule"], valid, "{rule}");
    }

    // A filter for another platform, on an exclusion, or of no one: nothing is assigned, not even the rest.
    let mac = filter(&app, "Macs", "macOS", r#"(device.model -contains "Book")"#).await;
    let told = app.api.get(&format!("{FILTERS}/{mac}/getSupportedProperties")).await.unwrap();
    assert_eq!(told["value"], app.api.get(&path).await.unwrap()["value"]);
    let group = app.group("Sales", &[]).await;
    let clip = app.web_clip("Clip", all_devices()).await;
    let assign = format!("/beta/deviceManagement/deviceConfigurations/{clip}/assign");
    refused("POST", &assign, json!({ "assignments": [{ "target": through(&mac, "include") }] }), "is for macOS").await;
    let phones =
        filter(&app, "${7*7} '; drop table document; --", "iOS", r#"(device.model -ne "{{7*7}}' or '1'='1")"#).await;
    let mut exclusion = through(&phones, "include");
    exclusion["@odata.type"] = "#microsoft.graph.exclusionGroupAssignmentTarget".into();
    exclusion["groupId"] = group.as_str().into();
    refused("POST", &assign, json!({ "assignments": [{ "target": exclusion }] }), "an exclusion takes no filter").await;
    let unknown = json!({ "assignments": [
        { "target": through(&phones, "include") },
        { "target": { "@odata.type": "#microsoft.graph.groupAssignmentTarget", "groupId": group,
            "deviceAndAppManagementAssignmentFilterId": "5c0e7a10-0000-4000-8000-000000000009",
            "deviceAndAppManagementAssignmentFilterType": "exclude" } },
    ] });
    let reply = app.api.call("POST", &assign, Some(&unknown)).await.unwrap();
    assert_eq!(reply.status, 404, "{}", reply.body);
    let kept = app.api.get(&assign.replace("/assign", "/assignments")).await.unwrap();
    assert_eq!(kept["value"].as_array().unwrap().len(), 1);
    assert!(kept["value"][0]["target"]["deviceAndAppManagementAssignmentFilterId"].is_null());

    // It stays what it is: a filter of its platform.
    let path = format!("{FILTERS}/{phones}");
    refused("PATCH", &path, json!({ "platform": "macOS" }), "platform").await;
    refused("PATCH", &path, json!({ "rule": "(device.model -eq" }), "at character 18").await;
    assert_eq!(app.api.get(&path).await.unwrap()["displayName"], "${7*7} '; drop table document; --");
    app.end().await;
}
