//! A profile for a group comes when the person joins the group and goes when they leave it; the
//! status of the policy is what the device says.

mod support;

use muster::demo::scenery::group;
use serde_json::Value;
use support::{Engine, TestApp, on_both_engines};

on_both_engines!(profile_follows_group);

async fn state(app: &TestApp, device: &Value, name: &str) -> Option<String> {
    let id = device["id"].as_str().unwrap();
    let path = format!("/v1.0/deviceManagement/managedDevices/{id}/deviceConfigurationStates");
    let states = app.api.get(&path).await.unwrap();
    let state = states["value"].as_array().unwrap().iter().find(|state| state["displayName"] == name).cloned();
    state.map(|state| state["state"].as_str().unwrap().to_owned())
}

async fn profile_follows_group(engine: Engine) {
    let app = TestApp::new(engine).await;
    let (ada, ben) = (app.user("Ada").await, app.user("Ben").await);
    let sales = app.group("Sales", &[&ben]).await;
    app.web_clip("Prices", group(&sales)).await;
    let (adas, bens) = (app.enrolled_iphone(&ada).await, app.enrolled_iphone(&ben).await);
    assert!(!adas.has_web_clip("Prices").await);
    assert!(bens.has_web_clip("Prices").await);

    // Joining brings it with the next push, without anyone touching the device.
    app.add_member(&sales, &ada).await;
    app.settle().await;
    assert!(adas.has_web_clip("Prices").await);
    let device = app.managed_device(&ada).await;
    assert_eq!(state(&app, &device, "Prices").await.as_deref(), Some("compliant"));

    // Leaving takes it away, from this device only.
    app.remove_member(&sales, &ada).await;
    app.settle().await;
    assert!(!adas.has_web_clip("Prices").await);
    assert!(bens.has_web_clip("Prices").await);
    assert!(adas.see(|device| device.is_enrolled()).await);
    assert_eq!(state(&app, &device, "Prices").await, None);

    // A device that refuses it is shown as failed, with the truth of the device.
    adas.touch(|device| {
        let refusal = muster_swarm::model::device::Refusal::Error(4001, "not on this device".into());
        device.refuse("InstallProfile", refusal, 1);
    })
    .await;
    app.add_member(&sales, &ada).await;
    app.settle().await;
    assert_eq!(state(&app, &device, "Prices").await.as_deref(), Some("error"));
    app.end().await;
}
