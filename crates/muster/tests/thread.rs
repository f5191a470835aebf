//! The thread: a person enrolls an iPhone from the web page; a profile arrives; inventory follows.

mod support;

use muster::demo::scenery::all_devices;
use support::{Engine, TestApp, on_both_engines};

on_both_engines!(thread);

async fn thread(engine: Engine) {
    let app = TestApp::new(engine).await;
    let ada = app.user("Ada").await;
    app.web_clip("Intranet", all_devices()).await;

    let phone = app.iphone("Ada").await;
    app.enroll_by_profile(&phone, &ada).await.unwrap();
    assert!(phone.see(|device| device.is_enrolled()).await);
    app.settle().await;

    // The profile is on the phone, signed for the person to see.
    assert!(phone.has_web_clip("Intranet").await);
    let signers = phone.see(|device| device.profiles.iter().all(|profile| !profile.signers.is_empty())).await;
    assert!(signers, "every profile is signed");
    // The device is listed with what it said of itself.
    let device = app.managed_device(&ada).await;
    let (serial, system, name) =
        phone.see(|d| (d.hardware.serial.clone(), d.hardware.system.to_string(), d.name.clone())).await;
    assert_eq!(device["serialNumber"], serial);
    assert_eq!(device["osVersion"], system);
    assert_eq!(device["deviceName"], name);
    assert_eq!(device["operatingSystem"], "iOS");
    assert_eq!(device["userPrincipalName"], ada.principal);
    assert_eq!(device["managementState"], "managed");
    // A sync is a push and a session, and nothing is done twice.
    app.settle().await;
    assert_eq!(phone.see(|device| device.repeated).await, 0);
    app.end().await;
}
