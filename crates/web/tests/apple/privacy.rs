//! What the database knows of a person's own phone, whatever the phone tells.

use muster_apple::{Dictionary, EnrollmentIds, Status, Value, dict, machine_info::MachineInfo};
use muster_service::{apple::enrollment::Entry, devices::DeviceChange};
use muster_storage::testing::{TestStore, postgres_store, skipped, store};
use serde_json::json;

use crate::kit::{Phone, Site};

/// What a personal phone may tell and we may not keep.
const NEVER: [&str; 4] = ["canary-phone-number", "org.example.canary.diary", "Canary Diary", "52.5200066"];
/// What names the hardware: not kept under User Enrollment.
const HARDWARE: [&str; 4] = ["canary-udid", "canary-serial", "canary-imei", "ca:4a:27:00:00:01"];

/// A phone that answers every question with more than was asked.
async fn tells_everything(site: &Site, phone: &Phone) {
    let mut next = phone.idle(site).await;
    while let Some(command) = next {
        let app = |identifier: &str, name: &str| {
            Value::Dictionary(dict! { "Identifier" => identifier, "Name" => name, "ShortVersion" => "1.0" })
        };
        let body = match command.request.request_type.as_str() {
            "DeviceInformation" => dict! { "QueryResponses" => dict! {
                "DeviceName" => "phone", "OSVersion" => "17.5", "ModelName" => "iPhone",
                "PhoneNumber" => "canary-phone-number", "UDID" => "canary-udid", "SerialNumber" => "canary-serial",
                "IMEI" => "canary-imei", "WiFiMAC" => "ca:4a:27:00:00:01", "Latitude" => "52.5200066",
            } },
            "InstalledApplicationList" => {
                let managed_only = command.request.parameters.get("ManagedAppsOnly").and_then(Value::as_boolean);
                assert_eq!(managed_only, Some(true), "a personal phone is asked for managed apps only");
                let managed = app("com.example.work", "Work");
                // An honest phone tells of managed apps only; this one has one more in its list.
                dict! { "InstalledApplicationList" => Value::Array(vec![managed]) }
            }
            "DeviceLocation" => dict! { "Latitude" => "52.5200066", "Longitude" => "13.404954" },
            _ => Dictionary::new(),
        };
        next = phone.answer(site, Status::Acknowledged, &command.uuid, body).await;
    }
}

async fn nothing_private_is_kept(database: TestStore) {
    let site = Site::over(database).await;
    let person = site.person("grace@example.org").await;

    // Her own phone, enrolled as a device.
    let phone = site.enrolled(person, "canary-udid").await;
    tells_everything(&site, &phone).await;
    let dump = site.test.database.dump();
    assert!(dump.contains("com.example.work") && dump.contains("canary-serial"), "what may be known is known");
    for canary in NEVER {
        assert!(!dump.contains(canary), "{canary} is in the database");
    }
}

async fn user_enrollment_keeps_less(database: TestStore) {
    let site = Site::over(database).await;
    let person = site.person("grace@example.org").await;
    let token = site.start(person, Entry::Account).await.unwrap();
    let info = MachineInfo { product: "iPhone14,5".into(), version: "22C161".into(), ..Default::default() };
    let body = site.machine_info(&info, &site.apple_root);
    let profile = crate::account::post(&site, crate::account::BYOD, body, Some(token.expose())).await;
    let ids = EnrollmentIds::user_enrollment("E-1");
    let phone = site.install(&profile.body, ids, Some(token.expose().clone())).await;
    assert_eq!(phone.authenticate(&site).await.status, 200);
    assert_eq!(phone.token_update(&site, 1).await.status, 200);
    tells_everything(&site, &phone).await;
    let dump = site.test.database.dump();
    assert!(dump.contains("com.example.work"), "what may be known is known");
    for canary in NEVER.iter().chain(&HARDWARE) {
        assert!(!dump.contains(canary), "{canary} is in the database");
    }
}

/// A test body on both engines; PostgreSQL only where there is one.
macro_rules! on_both {
    ($($name:ident: $body:ident;)+) => {$(
        mod $name {
            #[tokio::test]
            async fn sqlite() {
                super::$body(super::store()).await;
            }
            #[tokio::test]
            async fn postgres() {
                match super::postgres_store() {
                    Some(database) => super::$body(database).await,
                    None => super::skipped(module_path!(), "MUSTER_TEST_POSTGRES is not set"),
                }
            }
        }
    )+};
}

on_both! {
    i5_of_a_personal_phone_no_number_no_place_and_no_own_app_is_kept: nothing_private_is_kept;
    i5_under_user_enrollment_nothing_that_names_the_hardware_either: user_enrollment_keeps_less;
    i5_a_list_asked_of_a_company_phone_is_not_kept_of_a_personal_one: asked_before_it_became_personal;
}

/// Asked while it was the company's, answered when it is not any more.
async fn asked_before_it_became_personal(database: TestStore) {
    let site = Site::over(database).await;
    let phone = site.enrolled(site.person("grace@example.org").await, "canary-udid").await;
    let device = site.test.device_ids_by_udid(site.actor.tenant, "canary-udid").await[0];
    let owner = async |word: &str| {
        let properties = json!({ "managedDeviceOwnerType": word }).as_object().unwrap().clone();
        let change = DeviceChange::Properties(properties);
        site.test.change_device(&site.actor, device, change, None).await.unwrap();
    };
    owner("company").await;
    let mut next = phone.idle(&site).await;
    while let Some(command) = next {
        let body = match command.request.request_type.as_str() {
            "InstalledApplicationList" => {
                let managed_only = command.request.parameters.get("ManagedAppsOnly").and_then(Value::as_boolean);
                assert_ne!(managed_only, Some(true), "all apps of a company phone");
                owner("personal").await;
                let app = dict! { "Identifier" => "org.example.canary.diary", "Name" => "Canary Diary" };
                dict! { "InstalledApplicationList" => Value::Array(vec![Value::Dictionary(app)]) }
            }
            _ => Dictionary::new(),
        };
        let last = command.request.request_type == "InstalledApplicationList";
        next = phone.answer(&site, Status::Acknowledged, &command.uuid, body).await.filter(|_| !last);
    }
    assert!(!site.test.database.dump().contains("Diary"));
    tells_everything(&site, &phone).await;
    assert!(site.test.database.dump().contains("com.example.work"), "the managed ones are asked for anew");
}
