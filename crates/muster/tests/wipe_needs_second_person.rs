//! One person cannot wipe a device, whoever they are: another must agree, and then it happens once.

mod support;

use serde_json::json;
use support::{Engine, HOUR, TestApp, on_both_engines};

on_both_engines!(wipe_needs_second_person);

async fn wipe_needs_second_person(engine: Engine) {
    let app = TestApp::new(engine).await;
    let ada = app.user("Ada").await;
    let phone = app.enrolled_iphone(&ada).await;
    let device = app.managed_device(&ada).await;
    // Company devices may be wiped by the organisation.
    let path = format!("/v1.0/deviceManagement/managedDevices/{}", device["id"].as_str().unwrap());
    app.api.patch(&path, &json!({ "managedDeviceOwnerType": "company" })).await.unwrap();
    app.advance(25 * HOUR).await;

    let (first, second) = (app.token("first", "administrator").await, app.token("second", "administrator").await);
    let asked = app.act(&first, &device, "wipe", &json!({})).await;
    assert_eq!(asked.status, 204, "{}", asked.body);
    let approval = asked.header("x-muster-approval").expect("the answer names the approval").to_owned();
    app.settle().await;
    assert_eq!(phone.see(|device| device.erasures).await, 0);
    let shown = app.managed_device(&ada).await;
    assert_eq!(shown["managementState"], "managed");
    assert_eq!(shown["deviceActionResults"][0]["actionState"], "pending");

    // The same wish again is the same request.
    let again = app.act(&first, &device, "wipe", &json!({})).await;
    assert_eq!(again.header("x-muster-approval"), Some(approval.as_str()));

    // Not by the one who asked, nor by a help desk.
    let approve = format!("/muster/v1/approvals/{approval}/approve");
    let own = first.call("POST", &approve, Some(&json!({}))).await.unwrap();
    assert_eq!((own.status, &own.body["error"]["code"]), (403, &json!("selfApproval")));
    let helpdesk = app.token("desk", "helpdesk").await;
    assert_eq!(helpdesk.call("POST", &approve, Some(&json!({}))).await.unwrap().status, 403);
    app.settle().await;
    assert_eq!(phone.see(|device| device.erasures).await, 0);

    let agreed = second.call("POST", &approve, Some(&json!({}))).await.unwrap();
    assert!((200..300).contains(&agreed.status), "{} {}", agreed.status, agreed.body);
    app.settle().await;
    assert_eq!(phone.see(|device| device.erasures).await, 1);

    // Once: approving again, or coming back, erases nothing.
    second.call("POST", &approve, Some(&json!({}))).await.unwrap();
    app.enroll_by_profile(&phone, &ada).await.unwrap();
    app.settle().await;
    app.advance(2 * HOUR).await;
    assert_eq!(phone.see(|device| device.erasures).await, 1);
    assert!(phone.see(|device| device.is_enrolled()).await);
    app.end().await;
}
