//! A hundred approved wipes in parallel: devices get no more of them than the limits allow, and the
//! rest as the window moves.

mod support;

use muster_swarm::model::{Family, Version};
use serde_json::json;
use support::{Engine, HOUR, TestApp, on_both_engines};

on_both_engines!(velocity_limit_holds);

const DEVICES: usize = 24;

async fn velocity_limit_holds(engine: Engine) {
    let app = TestApp::with(engine, |config| {
        config.guard.wipes_per_hour = Some(5);
        config.guard.tenant_wipes_per_hour = Some(8);
        config.guard.fleet_percent = Some(100);
    })
    .await;
    let ada = app.user("Ada").await;
    let limits = json!({ "limit": 100, "@odata.type": "#microsoft.graph.deviceEnrollmentLimitConfiguration" });
    let all = app.api.get("/v1.0/deviceManagement/deviceEnrollmentConfigurations").await.unwrap();
    let limit = all["value"].as_array().unwrap().iter().find(|c| c["@odata.type"] == limits["@odata.type"]).unwrap();
    let path = format!("/v1.0/deviceManagement/deviceEnrollmentConfigurations/{}", limit["id"].as_str().unwrap());
    app.api.patch(&path, &limits).await.unwrap();
    let mut phones = Vec::new();
    for _ in 0..DEVICES {
        let phone = app.device(Family::IPhone, Version(17, 4, 0), false, "Ada").await;
        app.enroll_by_profile(&phone, &ada).await.unwrap();
        phones.push(phone);
    }
    app.settle().await;
    let devices = app.api.get("/v1.0/deviceManagement/managedDevices?$top=100").await.unwrap();
    let devices = devices["value"].as_array().unwrap().clone();
    assert_eq!(devices.len(), DEVICES);
    for device in &devices {
        let path = format!("/v1.0/deviceManagement/managedDevices/{}", device["id"].as_str().unwrap());
        app.api.patch(&path, &json!({ "managedDeviceOwnerType": "company" })).await.unwrap();
    }
    app.advance(25 * HOUR).await;

    // Three people ask, another agrees to all, at once.
    let askers = [
        app.token("a", "administrator").await,
        app.token("b", "administrator").await,
        app.token("c", "administrator").await,
    ];
    let second = app.token("second", "administrator").await;
    let mut tasks = tokio::task::JoinSet::new();
    for (number, device) in devices.iter().enumerate() {
        let (asker, second) = (askers[number % askers.len()].clone(), second.clone());
        let path = format!("/v1.0/deviceManagement/managedDevices/{}/wipe", device["id"].as_str().unwrap());
        tasks.spawn(async move {
            let asked = asker.call("POST", &path, Some(&json!({}))).await.unwrap();
            let approval = asked.header("x-muster-approval").unwrap_or_else(|| panic!("{}", asked.body)).to_owned();
            let agreed =
                second.call("POST", &format!("/muster/v1/approvals/{approval}/approve"), Some(&json!({}))).await;
            assert!((200..300).contains(&agreed.unwrap().status));
        });
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap();
    }
    let mut hours = Vec::new();
    let mut before = 0;
    for _ in 0..6 {
        app.settle().await;
        let mut erased = 0;
        for phone in &phones {
            erased += phone.see(|device| device.erasures as usize).await;
        }
        hours.push(erased - before);
        before = erased;
        if erased == DEVICES {
            break;
        }
        app.advance(13 * HOUR).await;
    }
    // The fleet's own limit is a part of what is left of it, so the last ones wait for another day.
    assert!(hours.iter().all(|count| *count <= 8), "{hours:?}");
    assert_eq!(before, DEVICES, "all of them in the end: {hours:?}");
    app.end().await;
}
