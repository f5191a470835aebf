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

pub(crate) async fn device_of(site: &Site, udid: &str) -> uuid::Uuid {
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
async fn an_enrollment_that_never_ends_is_cleared_away_after_a_day() {
    let site = Site::new().await;
    let (person, tenant) = (site.person("grace@example.org").await, site.actor.tenant);
    site.test.set_device_limit(tenant, 1).await;
    let half = site.phone(person, "UDID-1").await;
    assert_eq!(half.authenticate(&site).await.status, StatusCode::OK);
    let whole = async |hours: i64| {
        site.test.clock.advance(hours * 3_600_000);
        let now = site.test.clock.now_ms();
        site.test.run_due(now).await.unwrap();
        site.start(person, muster_service::apple::enrollment::Entry::Web).await
    };
    assert!(whole(23).await.is_err(), "it may still come, and counts");
    assert!(whole(1).await.is_ok(), "its place is free again");
    assert_eq!(site.alerts().await, ["enrollmentFailed"; 2], "the refusal before, and the one cleared away");
    assert_eq!(half.token_update(&site, 1).await.status, StatusCode::FORBIDDEN, "the device drops its profile");

    // One that ended is left alone.
    site.enrolled(person, "UDID-2").await;
    assert!(whole(48).await.is_err());
    assert_eq!(site.alerts().await.len(), 3, "this refusal, and no more");
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
async fn a_sync_asks_everything_anew_so_that_drift_shows() {
    use muster_domain::actions::Verb;
    use muster_service::actions::ActionRequest;
    let site = Site::new().await;
    let phone = site.enrolled(site.person("grace@example.org").await, "UDID-1").await;
    drain(&phone, &site).await;
    assert!(drain(&phone, &site).await.is_empty());
    let device = device_of(&site, "UDID-1").await;
    site.test.request_action(&site.actor, device, ActionRequest::bare(Verb::SyncDevice)).await.unwrap();
    site.test.run_due(site.test.clock.now_ms()).await.unwrap();
    let asked = drain(&phone, &site).await;
    for query in ["DeviceInformation", "ProfileList", "SecurityInfo", "InstalledApplicationList"] {
        assert!(asked.iter().any(|kind| kind == query), "{query} not in {asked:?}");
    }
}

#[tokio::test]
async fn what_was_not_now_is_worked_off_in_the_next_session() {
    let site = Site::new().await;
    let phone = site.enrolled(site.person("grace@example.org").await, "UDID-1").await;
    drain(&phone, &site).await;
    let device = device_of(&site, "UDID-1").await;
    for name in ["org.example.1", "org.example.2", "org.example.3"] {
        site.test.queue_raw_command(&site.actor, device, &raw_profile(name)).await.unwrap();
    }
    // Locked: each is refused once, and the session ends.
    let mut refused = Vec::new();
    let mut next = phone.idle(&site).await;
    while let Some(command) = next {
        next = phone.answer(&site, Status::NotNow, &command.uuid, Dictionary::new()).await;
        refused.push(command.uuid);
    }
    assert_eq!(refused.len(), 3);
    // Unlocked: the device comes by itself, once, and gets them all.
    let mut done = Vec::new();
    let mut next = phone.idle(&site).await;
    while let Some(command) = next {
        next = phone.answer(&site, Status::Acknowledged, &command.uuid, Dictionary::new()).await;
        done.push(command.uuid);
    }
    assert_eq!(done, refused);
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
async fn operators_are_reminded_of_the_push_certificate_until_it_is_renewed() {
    let site = Site::new().await;
    let reminders = async |days: i64| {
        for _ in 0..days {
            site.test.clock.advance(crate::kit::DAY);
            site.test.run_due(site.test.clock.now_ms()).await.unwrap();
        }
        let mails = std::mem::take(&mut *site.test.mail.sent.lock().unwrap());
        mails.into_iter().filter(|mail| mail.subject.contains("push certificate")).map(|mail| mail.subject).collect()
    };
    let none: Vec<String> = reminders(330).await;
    assert!(none.is_empty(), "{none:?}");
    let last_month: Vec<String> = reminders(35).await;
    let days: Vec<&str> =
        last_month.iter().map(|subject| subject.trim_start_matches("Apple's push certificate ")).collect();
    let told = ["30 days", "14 days", "7 days", "3 days", "a day"].map(|time| format!("expires in {time}"));
    assert_eq!(days[..5], told);
    assert_eq!(days[5], "expires now");
    let after: Vec<String> = reminders(60).await;
    assert!(after.is_empty(), "{after:?}");
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

#[tokio::test]
async fn declarations_are_one_snapshot_and_reports_become_facts() {
    use muster_apple::{
        check_in::DeclarativeManagement,
        declarative::{Declaration, DeclarationItems, StatusReport, Tokens},
    };
    let site = Site::new().await;
    let phone = site.enrolled(site.person("grace@example.org").await, "UDID-1").await;
    let ask = async |endpoint: &str, data: Option<Vec<u8>>| {
        let ids = phone.ids.clone();
        let message = CheckIn::DeclarativeManagement(DeclarativeManagement { ids, endpoint: endpoint.into(), data });
        phone.check_in(&site, message).await
    };
    let answer = ask("tokens", None).await;
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/json");
    let tokens: Tokens = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(tokens.sync_tokens.timestamp, "2026-01-01T00:00:00Z");
    let items: DeclarationItems = serde_json::from_slice(&ask("declaration-items", None).await.body).unwrap();
    assert_eq!(items.declarations_token, tokens.sync_tokens.declarations_token);
    for (kind, item) in items.declarations.all() {
        let answer = ask(&format!("declaration/{}/{}", kind.as_str(), item.identifier), None).await;
        let declaration: Declaration = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(declaration.server_token, item.server_token);
    }
    assert_eq!(items.declarations.activations.len(), 1);
    assert_eq!(ask("declaration/configuration/nothing", None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(ask("elsewhere", None).await.status, StatusCode::BAD_REQUEST);

    let mut report = StatusReport::default();
    report.set_item("device.operating-system.version", "18.0".into());
    report.set_item("passcode.is-present", true.into());
    let answer = ask("status", Some(report.encode())).await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 0));
    let facts = site.test.facts_of_udid(site.actor.tenant, "UDID-1").await;
    assert!(facts.contains(&("passcodePresent".into(), "true".into())), "{facts:?}");
    assert!(facts.contains(&("osVersion".into(), "\"18.0\"".into())), "{facts:?}");
    let deep = format!("{{\"StatusItems\":{}1{}}}", "{\"a\":".repeat(500), "}".repeat(500));
    assert_eq!(ask("status", Some(deep.into_bytes())).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(ask("status", Some(b"[".to_vec())).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_device_is_told_when_its_declarations_change() {
    use muster_apple::{
        check_in::DeclarativeManagement,
        declarative::{StatusReport, Tokens},
    };
    let site = Site::new().await;
    let phone = site.enrolled(site.person("grace@example.org").await, "UDID-1").await;
    let ask = async |endpoint: &str, data: Option<Vec<u8>>| {
        let ids = phone.ids.clone();
        let message = CheckIn::DeclarativeManagement(DeclarativeManagement { ids, endpoint: endpoint.into(), data });
        phone.check_in(&site, message).await
    };
    let seen = drain(&phone, &site).await;
    assert_eq!(seen.iter().filter(|kind| *kind == "DeclarativeManagement").count(), 1, "{seen:?}");
    let runs = async |version: &str| {
        let mut report = StatusReport::default();
        report.set_item("device.operating-system.version", version.into());
        ask("status", Some(report.encode())).await;
    };
    // Another system that knows no other status items: the declarations stay.
    runs("17.5.1").await;
    assert!(drain(&phone, &site).await.is_empty());
    // An older one that does not know all of them: they are others.
    let before = ask("tokens", None).await.body;
    runs("16.7").await;
    let command = phone.idle(&site).await.expect("the device is told");
    assert_eq!(command.request.request_type, "DeclarativeManagement");
    let told: Tokens = serde_json::from_slice(command.request.parameters["Data"].as_data().unwrap()).unwrap();
    let now: Tokens = serde_json::from_slice(&ask("tokens", None).await.body).unwrap();
    assert_eq!(told.sync_tokens.declarations_token, now.sync_tokens.declarations_token);
    let before: Tokens = serde_json::from_slice(&before).unwrap();
    assert_ne!(told.sync_tokens.declarations_token, before.sync_tokens.declarations_token);
    assert!(phone.answer(&site, Status::Acknowledged, &command.uuid, Dictionary::new()).await.is_none());
    assert!(drain(&phone, &site).await.is_empty(), "once");
}

#[tokio::test]
async fn a_recovery_key_is_opened_sealed_again_and_kept_out_of_facts() {
    let site = Site::new().await;
    let mac = site.enrolled(site.person("grace@example.org").await, "UDID-1").await;
    let escrow = site.test.file_vault_escrow_certificate(site.actor.tenant).await.unwrap();
    assert_eq!(escrow, site.test.file_vault_escrow_certificate(site.actor.tenant).await.unwrap());
    let escrow = muster_pki::Certificate::decode(&escrow).unwrap();
    let key = b"AAAA-BBBB-CCCC-DDDD-EEEE-FFFF";
    let cms = muster_pki::cms::encrypt(key, &escrow, muster_pki::cms::Cipher::Aes256, &crate::kit::fill).unwrap();
    let mut next = mac.idle(&site).await;
    while let Some(command) = next {
        let body = match command.request.request_type.as_str() {
            "SecurityInfo" => dict! { "SecurityInfo" => dict! {
                "FDE_Enabled" => true, "FDE_PersonalRecoveryKeyCMS" => Value::Data(cms.clone()),
            } },
            _ => Dictionary::new(),
        };
        next = mac.answer(&site, Status::Acknowledged, &command.uuid, body).await;
    }
    let device = device_of(&site, "UDID-1").await;
    let kept = site.test.escrowed(site.actor.tenant, device, muster_service::apple::FILE_VAULT_KEY).await.unwrap();
    assert_eq!(kept.as_deref(), Some(key.as_slice()));
    let facts = site.test.facts_of_udid(site.actor.tenant, "UDID-1").await;
    assert!(!format!("{facts:?}").contains("RecoveryKeyCMS"), "{facts:?}");
}

#[tokio::test]
async fn e1_to_e3_hostile_lists_are_400_on_the_device_route() {
    use crate::kit::Proof;
    let site = Site::new().await;
    let phone = site.enrolled(site.person("grace@example.org").await, "UDID-1").await;
    let laughs = "<!DOCTYPE plist [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><plist><string>&b;</string></plist>";
    let external = "<!DOCTYPE plist [<!ENTITY x SYSTEM \"https://localhost:1/\">]><plist><string>&x;</string></plist>";
    let deep = format!("<plist>{}{}</plist>", "<array>".repeat(4000), "</array>".repeat(4000));
    let many = format!("<plist><array>{}</array></plist>", "<true/>".repeat(100_000));
    let binary = "bplist00\u{1}\u{2}".to_owned();
    for kind in ["application/x-apple-aspen-mdm-checkin", "application/x-apple-aspen-mdm"] {
        for body in [laughs, external, &deep, &many, &binary] {
            let request = phone.request(kind, body.as_bytes().to_vec(), Proof::Signature);
            assert_eq!(site.send(&site.device, request).await.status, StatusCode::BAD_REQUEST);
        }
    }
    // The device is as it was.
    assert!(phone.idle(&site).await.is_some());
}

#[tokio::test]
async fn a_retired_phone_fetches_its_removal_and_nothing_else() {
    use muster_domain::actions::Verb;
    use muster_service::actions::ActionRequest;
    let site = Site::new().await;
    let phone = site.enrolled(site.person("grace@example.org").await, "UDID-1").await;
    let device = device_of(&site, "UDID-1").await;
    site.test.request_action(&site.actor, device, ActionRequest::bare(Verb::Retire)).await.unwrap();
    site.test.run_due(site.test.clock.now_ms()).await.unwrap();
    let removal = phone.idle(&site).await.unwrap();
    assert_eq!(removal.request.request_type, "RemoveProfile");
    assert_eq!(removal.request.parameters["Identifier"].as_string(), Some(phone.profile.identifier.as_str()));
    let answer = phone
        .result(&site, CommandResult::of(phone.ids.clone(), Status::Acknowledged, &removal.uuid, Dictionary::new()));
    let answer = answer.await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 0), "{}", answer.text());
    let answer = phone.result(&site, CommandResult::idle(phone.ids.clone())).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.text().contains("com.apple.unrecognized.device"));
}
