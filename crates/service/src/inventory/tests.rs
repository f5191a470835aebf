//! What is asked, and what is kept.

use std::collections::BTreeMap;

use muster_apple::{
    CommandResult, EnrollmentIds, Status, dict,
    plist::{Dictionary, Value as Plist},
};
use muster_storage::{
    Tx,
    commands::{self, Command, Ending},
    devices, facts,
    items::{self, state},
    subjects,
};
use serde_json::json;

use super::{answered, enrolled, made_personal, refresh, render};
use crate::{
    Clock,
    desired::{profile_identifier, tests::Fleet},
};

async fn begin(fleet: &Fleet) {
    let (tenant, enrollment, now) = (fleet.tenant, fleet.enrollment, fleet.service.clock.now());
    fleet.write(move |tx| enrolled(tx, tenant, enrollment, now)).await;
    fleet.compute().await;
}

async fn asked(fleet: &Fleet, kind: &str) -> Option<Command> {
    fleet.queue().await.into_iter().find(|command| command.request_type == kind)
}

async fn answer(fleet: &Fleet, kind: &str, body: Dictionary) {
    let command = asked(fleet, kind).await.expect("the query was asked");
    let ids = EnrollmentIds::device("UDID-1");
    let result = CommandResult::of(ids, Status::Acknowledged, &command.id.to_string(), body);
    let (tenant, enrollment, id, now) = (fleet.tenant, fleet.enrollment, command.id, fleet.service.clock.now());
    fleet
        .write(move |tx| {
            commands::hand_out(tx, tenant, enrollment, id, now)?;
            let traits = subjects::of_enrollment(tx, tenant, enrollment)?.unwrap().traits();
            let done = commands::finish(tx, tenant, enrollment, id, Ending::Acknowledged, None, now)?.unwrap();
            answered(tx, tenant, &done, &traits, &result, now)
        })
        .await;
}

async fn facts_of(fleet: &Fleet) -> BTreeMap<String, String> {
    let (tenant, device) = (fleet.tenant, fleet.device);
    let facts = fleet.write(move |tx| facts::of_device(tx, tenant, device)).await;
    facts.into_iter().map(|fact| (fact.name, fact.value)).collect()
}

fn information() -> Dictionary {
    dict! { "QueryResponses" => dict! {
        "DeviceName" => "Ann's phone",
        "OSVersion" => "17.5",
        "ModelName" => "iPhone",
        "UDID" => "UDID-1",
        "SerialNumber" => "C02XK1",
        "WiFiMAC" => "02:00:00:00:00:01",
        "PhoneNumber" => "+49 30 123",
        "ICCID" => "8949",
        "DeviceCapacity" => 64.0,
        "IsSupervised" => true,
    } }
}

fn app(identifier: &str) -> Plist {
    Plist::Dictionary(dict! {
        "Identifier" => identifier, "Name" => "App", "ShortVersion" => "1.2", "BundleSize" => 5,
    })
}

#[tokio::test]
async fn a_new_device_is_asked_once_and_again_every_eight_hours_and_seven_days() {
    let fleet = Fleet::new().await;
    begin(&fleet).await;
    let kinds: Vec<String> = fleet.queue().await.into_iter().map(|command| command.request_type).collect();
    assert_eq!(kinds.len(), 5, "{kinds:?}");
    let (tenant, enrollment, now) = (fleet.tenant, fleet.enrollment, fleet.service.clock.now());
    fleet.write(move |tx| refresh(tx, tenant, enrollment, now)).await;
    assert_eq!(fleet.compute().await, 0, "one live query per channel and kind");

    let queries = ["DeviceInformation", "SecurityInfo", "ProfileList", "InstalledApplicationList", "CertificateList"];
    for query in queries {
        let body = if query == "DeviceInformation" { information() } else { Default::default() };
        answer(&fleet, query, body).await;
    }
    fleet.compute().await;
    assert_eq!(fleet.queue().await.len(), 0);
    let hour = 3_600_000;
    let scheduled = async || {
        fleet.service.inventory_due(tenant, enrollment).await.unwrap();
        fleet.compute().await;
        let mut kinds: Vec<_> = fleet.queue().await.into_iter().map(|command| command.request_type).collect();
        kinds.sort();
        kinds
    };
    fleet.service.clock.advance(3 * hour);
    assert_eq!(scheduled().await, [""; 0]);
    fleet.service.clock.advance(5 * hour);
    assert_eq!(scheduled().await, ["DeviceInformation", "ProfileList", "SecurityInfo"]);
    for query in &queries[..3] {
        answer(&fleet, query, Default::default()).await;
    }
    fleet.service.clock.advance(160 * hour);
    assert_eq!(scheduled().await.len(), 5);
}

#[tokio::test]
async fn answers_become_facts_and_show_on_the_device() {
    let fleet = Fleet::new().await;
    begin(&fleet).await;
    answer(&fleet, "DeviceInformation", information()).await;
    answer(
        &fleet,
        "SecurityInfo",
        dict! { "SecurityInfo" => dict! {
            "HardwareEncryptionCaps" => 3, "PasscodePresent" => true,
        } },
    )
    .await;
    let facts = facts_of(&fleet).await;
    assert_eq!(facts["totalStorageSpaceInBytes"], "68719476736");
    assert_eq!(facts["passcodePresent"], "true");
    assert!(!facts.values().any(|value| value.contains("+49")), "a phone number is never stored");
    let (tenant, device) = (fleet.tenant, fleet.device);
    let row = fleet.write(move |tx| devices::by_id(tx, tenant, device)).await.unwrap();
    assert_eq!((row.name.as_str(), row.os_version.as_deref()), ("Ann's phone", Some("17.5")));
    assert_eq!((row.total_bytes, row.is_supervised, row.is_encrypted), (Some(68_719_476_736), true, Some(true)));
    assert_eq!(row.properties().unwrap()["wiFiMacAddress"], "02:00:00:00:00:01");
}

#[tokio::test]
async fn user_enrollment_keeps_nothing_that_identifies_the_device() {
    let fleet = Fleet::with("iOS", "17.4", "appleAccountDrivenUserEnrollment", false).await;
    begin(&fleet).await;
    let (tenant, enrollment) = (fleet.tenant, fleet.enrollment);
    let subject = fleet.write(move |tx| subjects::of_enrollment(tx, tenant, enrollment)).await.unwrap();
    let request = render("DeviceInformation", &subject.traits()).unwrap().unwrap();
    let text = format!("{:?}", request.parameters);
    for hidden in ["UDID", "SerialNumber", "IMEI", "PhoneNumber", "WiFiMAC"] {
        assert!(!text.contains(hidden), "{hidden} is asked for");
    }
    answer(&fleet, "DeviceInformation", information()).await;
    let facts = facts_of(&fleet).await;
    assert!(
        !facts.contains_key("serialNumber") && !facts.contains_key("udid") && !facts.contains_key("wiFiMacAddress")
    );
    assert!(facts.contains_key("osVersion"));
}

#[tokio::test]
async fn a_device_that_becomes_personal_is_forgotten_as_far_as_it_must_be() {
    let fleet = Fleet::new().await;
    begin(&fleet).await;
    answer(&fleet, "DeviceInformation", information()).await;
    let apps = Plist::Array(vec![app("com.example.private")]);
    answer(&fleet, "InstalledApplicationList", dict! { "InstalledApplicationList" => apps }).await;
    assert!(facts_of(&fleet).await.contains_key("iccid"));
    let (tenant, device, enrollment) = (fleet.tenant, fleet.device, fleet.enrollment);
    let now = fleet.service.clock.now();
    fleet.write(move |tx| refresh(tx, tenant, enrollment, now)).await;
    fleet.compute().await;
    let asked = asked(&fleet, "InstalledApplicationList").await.unwrap();
    fleet.write(move |tx| commands::hand_out(tx, tenant, enrollment, asked.id, now)).await.unwrap();
    let left = fleet
        .write(move |tx| {
            let mut row = devices::by_id(tx, tenant, device)?.unwrap();
            row.owner_type = "personal".into();
            devices::put(tx, tenant, &row)?;
            made_personal(tx, tenant, device, now)?;
            let row = devices::by_id(tx, tenant, device)?.unwrap();
            Ok((facts::apps_of_device(tx, tenant, device)?, row.properties()?))
        })
        .await;
    assert!(left.0.is_empty(), "apps nobody manages are gone");
    assert!(left.1.get("iccid").is_none() && left.1.get("wiFiMacAddress").is_some());
    assert!(!facts_of(&fleet).await.contains_key("iccid"));
    let subject = fleet.write(move |tx| subjects::of_enrollment(tx, tenant, enrollment)).await.unwrap();
    let request = render("InstalledApplicationList", &subject.traits()).unwrap().unwrap();
    assert_eq!(request.parameters.get("ManagedAppsOnly").and_then(Plist::as_boolean), Some(true));
    let late =
        move |tx: &mut dyn Tx| commands::finish(tx, tenant, enrollment, asked.id, Ending::Acknowledged, None, now);
    assert!(fleet.write(late).await.is_none(), "the list of all apps, asked before, is not taken any more");
}

#[tokio::test]
async fn apps_come_and_go() {
    let fleet = Fleet::new().await;
    begin(&fleet).await;
    let list = |names: &[&str]| {
        dict! {
            "InstalledApplicationList" => Plist::Array(names.iter().map(|name| app(name)).collect()),
        }
    };
    answer(&fleet, "InstalledApplicationList", list(&["a", "b"])).await;
    let (tenant, device, enrollment, now) = (fleet.tenant, fleet.device, fleet.enrollment, fleet.service.clock.now());
    fleet.write(move |tx| refresh(tx, tenant, enrollment, now)).await;
    fleet.compute().await;
    answer(&fleet, "InstalledApplicationList", list(&["b", "c"])).await;
    let apps = fleet.write(move |tx| facts::apps_of_device(tx, tenant, device)).await;
    let names: Vec<_> = apps.iter().map(|app| app.identifier.as_str()).collect();
    assert_eq!(names, ["b", "c"]);
}

#[tokio::test]
async fn a_profile_that_vanished_is_put_back() {
    let fleet = Fleet::new().await;
    let body = json!({ "cameraBlocked": true });
    let document = fleet.assign("iosGeneralDeviceConfiguration", body, "allDevices", None).await;
    begin(&fleet).await;
    let (command, _) = fleet.next().await.unwrap();
    fleet.answer(&command, Status::Acknowledged).await;
    assert_eq!(fleet.state_of(document).await.as_deref(), Some(state::SUCCEEDED));

    answer(&fleet, "ProfileList", dict! { "ProfileList" => Plist::Array(vec![]) }).await;
    assert_eq!(fleet.state_of(document).await.as_deref(), Some(state::PENDING), "the truth is shown at once");
    assert_eq!(fleet.compute().await, 1);
}

#[tokio::test]
async fn a_profile_of_ours_that_nobody_wants_is_taken_off() {
    let fleet = Fleet::new().await;
    begin(&fleet).await;
    let stray = profile_identifier(fleet.device);
    let list = Plist::Array(vec![
        Plist::Dictionary(dict! { "PayloadIdentifier" => stray.clone(), "PayloadUUID" => "X" }),
        Plist::Dictionary(dict! { "PayloadIdentifier" => "com.example.private", "PayloadUUID" => "Y" }),
    ]);
    answer(&fleet, "ProfileList", dict! { "ProfileList" => list }).await;
    assert_eq!(fleet.compute().await, 1);
    let (command, request) = fleet.next().await.unwrap();
    assert_eq!(request.request_type, "RemoveProfile");
    fleet.answer(&command, Status::Acknowledged).await;
    let (tenant, enrollment) = (fleet.tenant, fleet.enrollment);
    assert!(fleet.write(move |tx| items::of_enrollment(tx, tenant, enrollment)).await.is_empty());
}

#[tokio::test]
async fn a_removal_that_fails_is_settled_by_what_is_there() {
    let fleet = Fleet::new().await;
    begin(&fleet).await;
    for query in ["DeviceInformation", "SecurityInfo", "ProfileList", "InstalledApplicationList", "CertificateList"] {
        answer(&fleet, query, Default::default()).await;
    }
    let body = json!({ "passcodeRequired": true });
    let document = fleet.assign("iosGeneralDeviceConfiguration", body, "allDevices", None).await;
    fleet.compute().await;
    let (command, _) = fleet.next().await.unwrap();
    fleet.answer(&command, Status::Acknowledged).await;
    fleet.unassign(document).await;
    fleet.compute().await;
    let (command, request) = fleet.next().await.unwrap();
    assert_eq!(request.request_type, "RemoveProfile");
    // The person took it off already: there is nothing to remove.
    fleet.answer(&command, Status::Error).await;
    fleet.compute().await;
    answer(&fleet, "ProfileList", dict! { "ProfileList" => Plist::Array(vec![]) }).await;
    fleet.compute().await;
    assert_eq!(fleet.state_of(document).await, None);
    assert_eq!(fleet.queue().await.len(), 0, "and nothing is tried again");
}
