//! A person adds their work account in the settings of a device the organisation manages whole:
//! account-driven Device Enrollment, by the enrollment profile that says so for the platform.

mod support;

use muster::demo::scenery::all_devices;
use muster_swarm::model::{EnrollmentMode, Family, LeftBecause, Version};
use serde_json::json;
use support::{Engine, TestApp, on_both_engines};

on_both_engines!(account_driven_device_enrollment, each_platform_goes_its_own_way);

const PROFILES: &str = "/beta/deviceManagement/appleUserInitiatedEnrollmentProfiles";

/// An enrollment profile for everybody.
async fn everybody(app: &TestApp, platform: &str, kind: &str) {
    let body =
        json!({ "displayName": format!("{platform} {kind}"), "platform": platform, "defaultEnrollmentType": kind });
    let made = app.api.post(PROFILES, &body).await.unwrap();
    let target = json!({ "target": { "@odata.type": "#microsoft.graph.allLicensedUsersAssignmentTarget" } });
    app.api.post(&format!("{PROFILES}/{}/assignments", made["id"].as_str().unwrap()), &target).await.unwrap();
}

async fn account_driven_device_enrollment(engine: Engine) {
    let app = TestApp::new(engine).await;
    let ada = app.user("Ada").await;
    everybody(&app, "iOS", "device").await;
    app.web_clip("Intranet", all_devices()).await;
    let phone = app.iphone("Ada").await;
    app.enroll_account_driven(&phone, &ada).await.unwrap();
    assert_eq!(phone.see(|d| d.management.as_ref().map(|m| m.mode)).await, Some(EnrollmentMode::Adde));
    app.settle().await;
    assert!(phone.has_web_clip("Intranet").await);

    // The whole device is known, as with a profile from the web.
    let device = app.managed_device(&ada).await;
    assert_eq!(device["deviceEnrollmentType"], "userEnrollment");
    assert_eq!(device["enrollmentProfileName"], json!("iOS device"));
    assert!(device["serialNumber"].is_string() && device["udid"].is_string(), "{device}");

    // What needs the whole device works: the passcode goes.
    assert!(phone.see(|d| d.passcode.is_some()).await);
    let reply = app.act(&app.api, &device, "resetPasscode", &json!({})).await;
    assert_eq!(reply.status, 204, "{}", reply.body);
    app.settle().await;
    assert!(phone.see(|d| d.passcode.is_none()).await);

    // The access token of the sign-in is over long before the enrollment is.
    app.advance(30 * 24 * support::HOUR).await;
    app.web_clip("Later", all_devices()).await;
    app.settle().await;
    assert!(phone.has_web_clip("Later").await);

    let reply = app.act(&app.api, &device, "retire", &json!({})).await;
    assert_eq!(reply.status, 204, "{}", reply.body);
    app.settle().await;
    assert_eq!(phone.see(|d| d.left.clone()).await, Some(LeftBecause::RemovedByServer));
    assert!(app.managed_devices(&ada).await.is_empty());

    // It may come again, by the same way.
    let again = app.iphone("Ada").await;
    app.enroll_account_driven(&again, &ada).await.unwrap();
    app.settle().await;
    assert_eq!(app.managed_devices(&ada).await.len(), 1);
    app.end().await;
}

/// The web view of a Mac does not say that it is one; its signed description does.
async fn each_platform_goes_its_own_way(engine: Engine) {
    let app = TestApp::new(engine).await;
    let ada = app.user("Ada").await;
    everybody(&app, "iOS", "device").await;
    let mode = async |family, system| {
        let device = app.device(family, system, false, "Ada").await;
        app.enroll_account_driven(&device, &ada).await.unwrap();
        device.see(|d| d.management.as_ref().map(|m| m.mode)).await.unwrap()
    };
    assert_eq!(mode(Family::IPad, Version(17, 5, 0)).await, EnrollmentMode::Adde);
    assert_eq!(mode(Family::Mac, Version(15, 3, 0)).await, EnrollmentMode::Byod, "no profile names Macs");
    everybody(&app, "macOS", "device").await;
    assert_eq!(mode(Family::Mac, Version(15, 3, 0)).await, EnrollmentMode::Adde);
    app.end().await;
}
