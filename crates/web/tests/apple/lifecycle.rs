//! From the profile to a command that was acknowledged, and out again; enrolling anew; the queue.

use axum::http::{StatusCode, header};
use muster_apple::{
    CheckIn, CommandResult, Dictionary, EnrollmentIds, Status, Value,
    check_in::{
        GetBootstrapToken, GetToken, ReturnToService, SetBootstrapToken, TokenUpdate, UserAuthenticate,
        decode_bootstrap_token_reply,
    },
    dict, plist,
    profile::Profile,
};

use crate::kit::{Phone, Site, command};

/// Answers everything until nothing is left; the request types in order.
pub(crate) async fn drain(phone: &Phone, site: &Site) -> Vec<String> {
    let mut seen = Vec::new();
    let mut next = phone.idle(site).await;
    while let Some(command) = next {
        seen.push(command.request.request_type.clone());
        assert!(seen.len() < 50, "{seen:?}");
        next = phone.answer(site, Status::Acknowledged, &command.uuid, Dictionary::new()).await;
    }
    seen
}

/// A raw command document that installs a harmless profile.
fn raw_profile(name: &str) -> Vec<u8> {
    let profile = Profile::new(name, "10000000-0000-0000-0000-000000000001", name, vec![]).encode();
    plist::encode_dictionary(dict! {
        "Command" => dict! { "RequestType" => "InstallProfile", "Payload" => Value::Data(profile) },
    })
}

async fn device_of(site: &Site, udid: &str) -> uuid::Uuid {
    site.test.device_ids_by_udid(site.actor.tenant, udid).await[0]
}

#[tokio::test]
async fn a_phone_enrolls_and_gets_to_work() {
    let site = Site::new().await;
    let person = site.person("grace@example.org").await;
    let phone = site.phone(person, "UDID-1").await;
    let answer = phone.authenticate(&site).await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 0), "{}", answer.text());
    assert_eq!(answer.headers[header::CONTENT_LENGTH], "0");
    // Before TokenUpdate there is nothing to do.
    assert!(phone.idle(&site).await.is_none());
    assert_eq!(phone.token_update(&site, 1).await.status, StatusCode::OK);
    site.test.run_due(site.test.clock.now_ms()).await.unwrap();
    let pushed = site.test.push.sent.lock().unwrap().clone();
    assert_eq!((pushed.len(), pushed[0].magic.as_str()), (1, "magic-1"));
    assert!(pushed[0].identity.is_some(), "a push is sent with the tenant's certificate");
    let seen = drain(&phone, &site).await;
    assert!(seen.contains(&"DeclarativeManagement".into()) && seen.contains(&"DeviceInformation".into()), "{seen:?}");
    assert!(phone.idle(&site).await.is_none());
    let alerts = site.alerts().await;
    assert!(alerts.is_empty(), "{alerts:?}");
}

#[tokio::test]
async fn further_token_updates_do_not_enroll_again() {
    let site = Site::new().await;
    let phone = site.enrolled(site.person("grace@example.org").await, "UDID-1").await;
    drain(&phone, &site).await;
    for n in [1, 1, 2] {
        assert_eq!(phone.token_update(&site, n).await.status, StatusCode::OK);
    }
    assert!(phone.idle(&site).await.is_none());
}

#[tokio::test]
async fn the_same_person_gets_the_same_record_and_the_former_certificate_is_refused() {
    let site = Site::new().await;
    let person = site.person("grace@example.org").await;
    let former = site.enrolled(person, "UDID-1").await;
    let device = device_of(&site, "UDID-1").await;
    let fresh = site.enrolled(person, "UDID-1").await;
    assert_eq!(site.test.device_ids_by_udid(site.actor.tenant, "UDID-1").await, [device]);
    let answer = former.result(&site, CommandResult::idle(former.ids.clone())).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(drain(&fresh, &site).await.contains(&"DeviceInformation".into()));
}

#[tokio::test]
async fn b9_another_person_with_the_same_hardware_inherits_nothing() {
    let site = Site::new().await;
    let (grace, eve) = (site.person("grace@example.org").await, site.person("eve@example.org").await);
    let hers = site.enrolled(grace, "UDID-1").await;
    drain(&hers, &site).await;
    let device = device_of(&site, "UDID-1").await;
    site.test.queue_raw_command(&site.actor, device, &raw_profile("org.example.secret")).await.unwrap();
    let other = site.enrolled(eve, "UDID-1").await;
    let records = site.test.device_ids_by_udid(site.actor.tenant, "UDID-1").await;
    assert_eq!(records.len(), 2);
    assert!(site.alerts().await.contains(&"sameDeviceOtherPerson".to_owned()));
    let seen = drain(&other, &site).await;
    assert!(!seen.contains(&"InstallProfile".to_owned()), "{seen:?}");
    // The first record and its certificate are untouched: its command still waits for it.
    assert_eq!(drain(&hers, &site).await, ["InstallProfile"]);
    // A serial number that is known, on other hardware, inherits nothing either.
    let mut forged = site.phone(eve, "UDID-2").await;
    forged.serial = Some("SUDID-1".into());
    assert_eq!(forged.authenticate(&site).await.status, StatusCode::OK);
    assert_eq!(forged.token_update(&site, 1).await.status, StatusCode::OK);
    assert!(!drain(&forged, &site).await.contains(&"InstallProfile".to_owned()));
}

#[tokio::test]
async fn b7_the_device_limit_holds_when_two_enroll_at_once() {
    let site = Site::new().await;
    let person = site.person("grace@example.org").await;
    site.test.set_device_limit(site.actor.tenant, 2).await;
    site.enrolled(person, "UDID-1").await;
    let (second, third) = (site.phone(person, "UDID-2").await, site.phone(person, "UDID-3").await);
    let (one, two) = tokio::join!(second.authenticate(&site), third.authenticate(&site));
    let statuses = [one.status, two.status];
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::OK).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::BAD_REQUEST).count(), 1);
    assert!(site.alerts().await.contains(&"enrollmentFailed".to_owned()));
    let error = site.start(person, muster_service::apple::enrollment::Entry::Web).await.unwrap_err();
    assert!(error.to_string().contains("2 devices"), "{error}");
}

#[tokio::test]
async fn not_now_neither_loops_nor_blocks_the_others() {
    let site = Site::new().await;
    let phone = site.enrolled(site.person("grace@example.org").await, "UDID-1").await;
    drain(&phone, &site).await;
    let device = device_of(&site, "UDID-1").await;
    for name in ["org.example.1", "org.example.2"] {
        site.test.queue_raw_command(&site.actor, device, &raw_profile(name)).await.unwrap();
    }
    let first = phone.idle(&site).await.unwrap();
    let second = phone.answer(&site, Status::NotNow, &first.uuid, Dictionary::new()).await.unwrap();
    assert_ne!(first.uuid, second.uuid);
    assert!(phone.answer(&site, Status::Acknowledged, &second.uuid, Dictionary::new()).await.is_none());
    // The session did not end in NotNow: the device will not come by itself, so it is pushed later.
    site.test.run_due(site.test.clock.now_ms()).await.unwrap();
    site.test.push.sent.lock().unwrap().clear();
    site.test.clock.advance(16 * 60_000);
    site.test.run_due(site.test.clock.now_ms()).await.unwrap();
    assert_eq!(site.test.push.sent.lock().unwrap().len(), 1);
    let again = phone.idle(&site).await.unwrap();
    assert_eq!(again.uuid, first.uuid);
    assert!(phone.answer(&site, Status::NotNow, &again.uuid, Dictionary::new()).await.is_none());
    let again = phone.idle(&site).await.unwrap();
    assert_eq!(again.uuid, first.uuid);
    assert!(phone.answer(&site, Status::Error, &again.uuid, Dictionary::new()).await.is_none());
    assert!(phone.idle(&site).await.is_none());
}

#[tokio::test]
async fn the_same_command_comes_again_until_it_is_answered() {
    let site = Site::new().await;
    let phone = site.enrolled(site.person("grace@example.org").await, "UDID-1").await;
    let first = phone.idle(&site).await.unwrap();
    for _ in 0..3 {
        assert_eq!(phone.idle(&site).await.unwrap(), first);
    }
    let next = phone.answer(&site, Status::CommandFormatError, &first.uuid, Dictionary::new()).await;
    assert_ne!(next.map(|command| command.uuid), Some(first.uuid));
    assert_eq!(site.alerts().await, ["commandFormatError"]);
}

#[tokio::test]
async fn a_raw_command_with_a_fault_is_refused_with_the_place() {
    let site = Site::new().await;
    site.enrolled(site.person("grace@example.org").await, "UDID-1").await;
    let device = device_of(&site, "UDID-1").await;
    let bad = plist::encode_dictionary(dict! { "Command" => dict! { "RequestType" => "RemoveProfile" } });
    let error = site.test.queue_raw_command(&site.actor, device, &bad).await.unwrap_err();
    assert!(error.to_string().contains("Command.Identifier"), "{error}");
}

#[tokio::test]
async fn the_bootstrap_token_comes_back_and_goes_when_asked() {
    let site = Site::new().await;
    let mac = site.enrolled(site.person("grace@example.org").await, "UDID-1").await;
    let set = |token: Option<Vec<u8>>| {
        CheckIn::SetBootstrapToken(SetBootstrapToken {
            ids: mac.ids.clone(),
            bootstrap_token: token,
            awaiting_configuration: None,
        })
    };
    let get = CheckIn::GetBootstrapToken(GetBootstrapToken { ids: mac.ids.clone(), awaiting_configuration: None });
    let read = async || {
        let answer = mac.check_in(&site, get.clone()).await;
        assert_eq!(answer.status, StatusCode::OK);
        decode_bootstrap_token_reply(&answer.body).unwrap()
    };
    assert_eq!(read().await, None);
    mac.check_in(&site, set(Some(b"boot".to_vec()))).await;
    assert_eq!(read().await.as_deref(), Some(b"boot".as_slice()));
    mac.check_in(&site, set(None)).await;
    assert_eq!(read().await, None);
}

#[tokio::test]
async fn messages_we_do_not_serve_are_declined_in_their_own_way() {
    let site = Site::new().await;
    let phone = site.enrolled(site.person("grace@example.org").await, "UDID-1").await;
    let ids = phone.ids.clone();
    let token = CheckIn::GetToken(GetToken { ids: ids.clone(), service_type: "com.apple.maid".into() });
    assert_eq!(phone.check_in(&site, token).await.status, StatusCode::BAD_REQUEST);
    let back = CheckIn::ReturnToService(ReturnToService { ids: ids.clone() });
    assert_eq!(phone.check_in(&site, back).await.status, StatusCode::BAD_REQUEST);
    let user = EnrollmentIds { user_id: Some("U-1".into()), user_short_name: Some("grace".into()), ..ids };
    let login = CheckIn::UserAuthenticate(UserAuthenticate { ids: user, digest_response: None });
    assert_eq!(phone.check_in(&site, login).await.status, StatusCode::GONE);
}

#[tokio::test]
async fn a_users_channel_is_its_own_and_leaves_the_devices_push_values_alone() {
    let site = Site::new().await;
    let mac = site.enrolled(site.person("grace@example.org").await, "UDID-1").await;
    drain(&mac, &site).await;
    let user = EnrollmentIds {
        user_id: Some("11111111-2222-3333-4444-555555555555".into()),
        user_short_name: Some("grace".into()),
        ..mac.ids.clone()
    };
    // A user who is not there yet gets nothing.
    assert!(command(&mac.result(&site, CommandResult::idle(user.clone())).await).is_none());
    let update = CheckIn::TokenUpdate(TokenUpdate {
        ids: user.clone(),
        topic: mac.profile.mdm.topic.clone(),
        token: vec![8; 32],
        push_magic: "users".into(),
        unlock_token: None,
        awaiting_configuration: None,
    });
    assert_eq!(mac.check_in(&site, update).await.status, StatusCode::OK);
    site.test.run_due(site.test.clock.now_ms()).await.unwrap();
    let magics: Vec<_> = site.test.push.sent.lock().unwrap().iter().map(|target| target.magic.clone()).collect();
    assert!(magics.contains(&"users".to_owned()) && magics.contains(&"magic-1".to_owned()), "{magics:?}");
    assert_eq!(mac.result(&site, CommandResult::idle(user)).await.status, StatusCode::OK);
    assert!(mac.idle(&site).await.is_none());
}

#[tokio::test]
async fn a_person_who_may_not_enroll_is_told_why() {
    use muster_service::apple::enrollment::Entry;
    let site = Site::new().await;
    let person = site.person("grace@example.org").await;
    site.test.clock.advance(400 * crate::kit::DAY);
    let error = site.start(person, Entry::Web).await.unwrap_err();
    assert!(error.to_string().contains("push certificate has expired"), "{error}");
}

#[tokio::test]
async fn a_push_certificate_with_another_topic_is_refused() {
    let site = Site::new().await;
    let error = site.import_push_certificate("com.apple.mgmt.External.other").await.unwrap_err();
    assert!(error.to_string().contains("another topic"), "{error}");
    site.import_push_certificate(crate::kit::TOPIC).await.unwrap();
    let error = site.import_push_certificate("org.example.other").await.unwrap_err();
    assert!(error.to_string().contains("com.apple.mgmt"), "{error}");
}
