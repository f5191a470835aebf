//! A profile that the device refuses stands in nobody's way: others arrive, inventory is told, and
//! the refusal is shown for what it is.

mod support;

use muster::demo::scenery::{all_devices, web_clip};
use muster_swarm::model::device::Refusal;
use support::{Engine, MINUTE, TestApp, on_both_engines};

on_both_engines!(one_bad_profile_blocks_nothing);

/// A profile whose Wi-Fi payload no device takes: well-formed, and wrong.
fn bad_profile() -> String {
    web_clip("test.story.bad", "Bad")
        .replace("com.apple.webClip.managed", "com.apple.wifi.managed")
        .replace("<key>URL</key>", "<key>EncryptionType</key><string>WEP</string><key>URL</key>")
}

async fn one_bad_profile_blocks_nothing(engine: Engine) {
    let app = TestApp::new(engine).await;
    let ada = app.user("Ada").await;
    app.custom_payload("Bad", bad_profile().as_bytes(), all_devices()).await;
    app.web_clip("Good", all_devices()).await;
    let phone = app.iphone("Ada").await;
    // Answers every kind of refusal once, on top of the profile it cannot take.
    phone
        .touch(|device| {
            device.refuse("CertificateList", Refusal::FormatError, 1);
            device.refuse("SecurityInfo", Refusal::Error(12000, "no".into()), 1);
        })
        .await;
    app.enroll_by_profile(&phone, &ada).await.unwrap();
    app.settle().await;

    assert!(phone.has_web_clip("Good").await);
    assert!(!phone.has_web_clip("Bad").await);
    let device = app.managed_device(&ada).await;
    assert_eq!(device["serialNumber"], phone.see(|d| d.hardware.serial.clone()).await);
    let id = device["id"].as_str().unwrap();
    let states =
        app.api.get(&format!("/v1.0/deviceManagement/managedDevices/{id}/deviceConfigurationStates")).await.unwrap();
    let of = |name: &str| {
        let all = states["value"].as_array().unwrap();
        all.iter().find(|state| state["displayName"] == name).map(|state| state["state"].clone()).unwrap()
    };
    assert_eq!(of("Good"), "compliant");
    assert_eq!(of("Bad"), "error");

    // It was tried once, and is not tried again when other things change.
    let tries = || phone.see(|device| device.executed.iter().filter(|e| e.is("InstallProfile", "Error")).count());
    assert_eq!(tries().await, 1);
    app.web_clip("Later", all_devices()).await;
    app.settle().await;
    assert!(phone.has_web_clip("Later").await);
    assert_eq!(tries().await, 1);
    // A timer tries it again, for a device may have changed its mind.
    app.advance(20 * MINUTE).await;
    assert_eq!(tries().await, 2);
    assert_eq!(phone.see(|device| device.repeated).await, 0);
    app.end_but(|document| {
        // The document that is wrong on purpose, and the commands that carry profiles.
        let bad = document.document.windows(3).any(|bytes| bytes == b"WEP");
        bad || document.kind == "command"
    })
    .await;
}
