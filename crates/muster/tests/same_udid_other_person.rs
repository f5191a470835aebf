//! A device that somebody else enrolls becomes a record of its own that inherits nothing (ruling 9);
//! the same person enrolling again keeps the record with a new identity.

mod support;

use muster::demo::scenery::all_devices;
use muster_swarm::model::LeftBecause;
use support::{Engine, TestApp, on_both_engines};

on_both_engines!(same_udid_other_person, same_person_keeps_the_record);

async fn same_udid_other_person(engine: Engine) {
    let app = TestApp::new(engine).await;
    let (ada, ben) = (app.user("Ada").await, app.user("Ben").await);
    app.web_clip("Intranet", all_devices()).await;
    let phone = app.enrolled_iphone(&ada).await;
    let before = app.managed_device(&ada).await;

    // Lost without a word: the profile is gone, no CheckOut arrived.
    phone.touch(|device| device.management = None).await;
    phone.touch(|device| device.profiles.clear()).await;
    app.enroll_by_profile(&phone, &ben).await.unwrap();
    app.settle().await;

    let (old, new) = (app.managed_device(&ada).await, app.managed_device(&ben).await);
    assert_eq!(old["id"], before["id"]);
    assert_ne!(new["id"], old["id"]);
    assert_ne!(new["azureADDeviceId"], old["azureADDeviceId"]);
    assert_eq!(new["serialNumber"], old["serialNumber"]);
    assert!(phone.has_web_clip("Intranet").await);
    assert!(phone.see(|device| device.is_enrolled()).await);
    app.end().await;
}

async fn same_person_keeps_the_record(engine: Engine) {
    let app = TestApp::new(engine).await;
    let ada = app.user("Ada").await;
    let phone = app.enrolled_iphone(&ada).await;
    let before = app.managed_device(&ada).await;
    let stale = phone.see(Clone::clone).await;

    phone.touch(|device| device.management = None).await;
    phone.touch(|device| device.profiles.clear()).await;
    app.enroll_by_profile(&phone, &ada).await.unwrap();
    app.settle().await;
    let after = app.managed_device(&ada).await;
    assert_eq!(after["id"], before["id"]);
    assert_eq!(after["managementState"], "managed");

    // The old identity is refused, without a word that would make a device leave.
    let ghost = app.adopt(stale).await;
    let end = ghost.check_in().await.unwrap();
    assert_eq!(end, muster_swarm::shell::handset::SessionEnd::Refused(400));
    assert_ne!(ghost.see(|device| device.left.clone()).await, Some(LeftBecause::Unauthorized));
    assert!(phone.see(|device| device.is_enrolled()).await);
    app.end().await;
}
