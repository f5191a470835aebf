//! The emergency stop halts what was already approved, at the last moment before a device gets it, on
//! every server of the deployment at once; lifting it takes a second person.

mod support;

use serde_json::{Value, json};
use support::{Engine, HOUR, Phone, TestApp, on_both_engines};

on_both_engines!(emergency_stop_halts);

async fn company_phone(app: &TestApp, name: &str) -> (Phone, Value) {
    let user = app.user(name).await;
    let phone = app.enrolled_iphone(&user).await;
    let device = app.managed_device(&user).await;
    let path = format!("/v1.0/deviceManagement/managedDevices/{}", device["id"].as_str().unwrap());
    app.api.patch(&path, &json!({ "managedDeviceOwnerType": "company" })).await.unwrap();
    (phone, device)
}

async fn emergency_stop_halts(engine: Engine) {
    let app = TestApp::new(engine).await;
    let (first, second) = (app.token("first", "administrator").await, app.token("second", "administrator").await);
    // Where there are two servers, the stop is called on the one and the devices come to the other.
    let beside = app.beside().await;
    let mut fleet = Vec::new();
    for name in ["Ada", "Ben"] {
        fleet.push(company_phone(&app, name).await);
    }
    if let Some(beside) = &beside {
        for (phone, _) in &fleet {
            beside.takes(phone).await;
            phone.check_in().await.unwrap();
        }
    }
    app.advance(25 * HOUR).await;
    let mut approvals = Vec::new();
    for (_, device) in &fleet {
        let asked = app.act(&first, device, "wipe", &json!({})).await;
        approvals.push(asked.header("x-muster-approval").unwrap_or_else(|| panic!("{}", asked.body)).to_owned());
    }
    let approve = |id: &str| format!("/muster/v1/approvals/{id}/approve");
    second.post(&approve(&approvals[0]), &json!({})).await.unwrap();
    // Approved and released, but no device has come for it.
    app.stage.service.run_due(app.now()).await.unwrap();

    let stopped = first.call("POST", "/muster/v1/emergencyStop", Some(&json!({}))).await.unwrap();
    assert!((200..300).contains(&stopped.status), "{}", stopped.body);
    second.call("POST", &approve(&approvals[1]), Some(&json!({}))).await.unwrap();
    app.settle().await;
    if let Some(beside) = &beside {
        let state = beside.api(&second).get("/muster/v1/emergencyStop").await.unwrap();
        assert_eq!(state["stopped"], true);
        beside.service.run_due(app.now()).await.unwrap();
    }
    for (phone, _) in &fleet {
        phone.check_in().await.unwrap();
        assert_eq!(phone.see(|device| device.erasures).await, 0);
        assert!(phone.see(|device| device.is_enrolled()).await);
    }
    // A lock destroys nothing and still works.
    app.act(&first, &fleet[0].1, "remoteLock", &json!({})).await.ok().unwrap();
    app.settle().await;
    assert!(fleet[0].0.see(|device| device.locked).await);
    fleet[0].0.touch(|device| device.wake()).await;

    // The one who stopped cannot lift it alone.
    let lift = first.call("DELETE", "/muster/v1/emergencyStop", None).await.unwrap();
    let lift =
        lift.header("x-muster-approval").map(str::to_owned).or(lift.body["approval"].as_str().map(str::to_owned));
    let lift = lift.expect("lifting is a request");
    assert_eq!(first.call("POST", &approve(&lift), Some(&json!({}))).await.unwrap().status, 403);
    assert_eq!(first.get("/muster/v1/emergencyStop").await.unwrap()["stopped"], true);
    second.post(&approve(&lift), &json!({})).await.unwrap();
    assert_eq!(first.get("/muster/v1/emergencyStop").await.unwrap()["stopped"], false);
    app.settle().await;
    for (phone, _) in &fleet {
        phone.check_in().await.unwrap();
        assert_eq!(phone.see(|device| device.erasures).await, 1);
    }
    if let Some(beside) = beside {
        beside.end().await;
    }
    app.end().await;
}
