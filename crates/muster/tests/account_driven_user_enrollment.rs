//! A person adds their work account in the settings of their own phone: User Enrollment, which tells
//! neither serial nor UDID, gets configuration, and can never be wiped.

mod support;

use muster::demo::scenery::all_devices;
use muster_swarm::model::{EnrollmentMode, Family, Version};
use serde_json::json;
use support::{Engine, TestApp, on_both_engines};

on_both_engines!(
    account_driven_user_enrollment,
    a_wrong_password_is_refused_in_words,
    a_device_that_apple_never_made_is_refused
);

async fn account_driven_user_enrollment(engine: Engine) {
    let app = TestApp::new(engine).await;
    let ada = app.user("Ada").await;
    app.web_clip("Intranet", all_devices()).await;
    let phone = app.iphone("Ada").await;
    app.enroll_account_driven(&phone, &ada).await.unwrap();
    assert_eq!(phone.see(|d| d.management.as_ref().map(|m| m.mode)).await, Some(EnrollmentMode::Byod));
    app.settle().await;
    assert!(phone.has_web_clip("Intranet").await);

    let device = app.managed_device(&ada).await;
    assert_eq!(device["deviceEnrollmentType"], "appleUserEnrollment");
    assert_eq!(device["managedDeviceOwnerType"], "personal");
    for secret in ["serialNumber", "udid", "imei", "phoneNumber"] {
        assert!(device[secret].is_null(), "{secret} is {}", device[secret]);
    }
    let beta = app.api.get(&format!("/beta/deviceManagement/managedDevices/{}", device["id"].as_str().unwrap())).await;
    assert_eq!(beta.unwrap()["deviceEnrollmentType"], "appleAccountDrivenUserEnrollment");

    // Nothing of the person's own apps is known.
    let id = device["id"].as_str().unwrap();
    let apps = app.api.get(&format!("/beta/deviceManagement/managedDevices/{id}/detectedApps")).await.unwrap();
    assert_eq!(apps["value"].as_array().map(Vec::len), Some(0));

    // A wipe is refused at once; it never becomes a request for a second person.
    let reply = app.act(&app.api, &device, "wipe", &json!({})).await;
    assert_eq!(reply.status, 400, "{}", reply.body);
    let waiting = app.api.get("/muster/v1/approvals?state=pending").await.unwrap();
    assert_eq!(waiting["value"].as_array().map(Vec::len), Some(0));
    assert_eq!(phone.see(|d| d.erasures).await, 0);

    // A Mac goes the same way.
    let mac = app.device(Family::Mac, Version(15, 3, 0), false, "Ada").await;
    app.enroll_account_driven(&mac, &ada).await.unwrap();
    app.settle().await;
    assert_eq!(app.managed_devices(&ada).await.len(), 2);
    app.end().await;
}

async fn a_wrong_password_is_refused_in_words(engine: Engine) {
    let app = TestApp::new(engine).await;
    let mut ada = app.user("Ada").await;
    ada.password = "something else".into();
    let phone = app.iphone("Ada").await;
    match app.enroll_account_driven(&phone, &ada).await {
        Err(muster_swarm::shell::Error::Refused { status, reason }) => {
            assert!((400..500).contains(&status) && !reason.is_empty(), "{status} {reason}");
        }
        other => panic!("{other:?}"),
    }
    assert!(app.managed_devices(&ada).await.is_empty());
    app.end().await;
}

async fn a_device_that_apple_never_made_is_refused(engine: Engine) {
    let app = TestApp::new(engine).await;
    let ada = app.user("Ada").await;
    let phone = app.iphone("Ada").await;
    let other = muster_swarm::standins::factory::Factory::new(app.now()).unwrap();
    {
        let mut handset = phone.lock().await;
        handset.factory = Some(other.identity(&handset.device.hardware).unwrap());
    }
    match app.enroll_account_driven(&phone, &ada).await {
        Err(muster_swarm::shell::Error::Refused { status, .. }) => assert!(status == 400 || status == 403, "{status}"),
        other => panic!("{other:?}"),
    }
    app.end().await;
}
