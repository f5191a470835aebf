//! The models answer as devices do: from their state, with refusals, and never twice.

mod support;

use muster_swarm::{
    model::{
        Device, EnrollmentMode, Family, LeftBecause, Version,
        device::{Channel, Refusal},
    },
    plists::{self, Keys},
    random::Seeded,
};
use plist::Value;
use serde_json::json;
use support::{Script, enrolled, enrollment_profile, payload, profile, user_enrolled};

const IOS: Version = Version(18, 3, 0);

fn data(document: &plist::Dictionary) -> Value {
    Value::Data(plists::write(document))
}

#[test]
fn a_phone_enrolls_then_polls() {
    let (mut phone, mut server) = enrolled(Family::IPhone, IOS, false);
    assert!(phone.is_enrolled());
    assert_eq!(server.names(), ["Authenticate", "TokenUpdate"]);
    let (_, token_update) = &server.heard[1];
    assert!(token_update.data("UnlockToken").is_some_and(|token| token.len() > 1000));
    server.session(&mut phone);
    assert_eq!(server.names()[2..], ["Idle"]);
}

#[test]
fn a_mac_escrows_its_bootstrap_token_and_has_a_second_channel() {
    let (mut mac, mut server) = enrolled(Family::Mac, Version(15, 3, 0), false);
    assert_eq!(server.names(), ["Authenticate", "TokenUpdate", "SetBootstrapToken", "TokenUpdate"]);
    let user = &server.heard[3].1;
    assert!(user.text("UserID").is_some() && user.text("UDID").is_some());
    assert!(mac.supervised);
    server.session(&mut mac);
    assert_eq!(server.names()[4..], ["Idle", "Idle"]);
}

#[test]
fn user_enrollment_tells_neither_udid_nor_serial() {
    let (mut phone, mut server) = user_enrolled(Family::IPhone, IOS);
    let queries = ["UDID", "SerialNumber", "IMEI", "WiFiMAC", "OSVersion", "DeviceName"].map(Value::from).to_vec();
    let information = server.command("DeviceInformation", &[("Queries", Value::Array(queries))]);
    let security = server.command("SecurityInfo", &[]);
    let erase = server.command("EraseDevice", &[]);
    let apps = server.command("InstalledApplicationList", &[]);
    server.session(&mut phone);
    for (_, document) in &server.heard {
        assert!(document.get("UDID").is_none() && document.get("SerialNumber").is_none());
        assert!(document.text("EnrollmentID").is_some());
    }
    let answers = server.answer(&information).dictionary("QueryResponses").unwrap();
    assert_eq!(answers.keys().collect::<Vec<_>>(), ["OSVersion", "DeviceName"]);
    assert!(!answers["DeviceName"].as_string().unwrap().contains("Ada"));
    let security = server.answer(&security).dictionary("SecurityInfo").unwrap();
    assert!(security.get("PasscodePresent").is_none() && security.get("PasscodeCompliant").is_some());
    assert_eq!(server.status_of(&erase), "Error");
    assert_eq!(phone.erasures, 0);
    assert!(server.answer(&apps).array("InstalledApplicationList").is_empty());
}

#[test]
fn the_profile_of_the_wrong_mode_is_not_installed() {
    let mut phone = Device::new(Family::IPhone, IOS, false, "Ada", &mut Seeded::new(1));
    let rights = enrollment_profile(&[
        ("EnrollmentMode", "BYOD".into()),
        ("AssignedManagedAppleID", "a@b".into()),
        ("AccessRights", 8191.into()),
    ]);
    assert!(phone.install_enrollment_profile(&rights, EnrollmentMode::Byod, None).is_err());
    let account = enrollment_profile(&[("EnrollmentMode", "BYOD".into())]);
    assert!(phone.install_enrollment_profile(&account, EnrollmentMode::Byod, None).is_err());
    let device = enrollment_profile(&[("AccessRights", 8191.into())]);
    assert!(phone.install_enrollment_profile(&device, EnrollmentMode::Byod, None).is_err());
    assert!(phone.install_enrollment_profile(&device, EnrollmentMode::Profile, None).is_ok());
}

#[test]
fn a_profile_of_the_same_identifier_replaces_and_goes() {
    let (mut phone, mut server) = enrolled(Family::IPhone, IOS, false);
    let camera = |allowed: bool| {
        let restrictions = payload("com.apple.applicationaccess", 1, &[("allowCamera", allowed.into())]);
        data(&profile("org.camera", vec![restrictions]))
    };
    server.command("InstallProfile", &[("Payload", camera(false))]);
    server.command("InstallProfile", &[("Payload", camera(true))]);
    let list = server.command("ProfileList", &[]);
    server.session(&mut phone);
    assert_eq!(phone.setting("com.apple.applicationaccess", "allowCamera"), Some(&Value::Boolean(true)));
    assert_eq!(server.answer(&list).array("ProfileList").len(), 2);
    let remove = server.command("RemoveProfile", &[("Identifier", "org.camera".into())]);
    let again = server.command("RemoveProfile", &[("Identifier", "org.camera".into())]);
    server.session(&mut phone);
    assert_eq!((server.status_of(&remove), server.status_of(&again)), ("Acknowledged", "Error"));
    assert!(phone.profile("org.camera").is_none());
}

#[test]
fn bad_profiles_are_refused_with_a_chain() {
    let (mut phone, mut server) = enrolled(Family::IPhone, IOS, false);
    let unknown = data(&profile("a", vec![payload("com.example.nonsense", 1, &[])]));
    let wifi = data(&profile("b", vec![payload("com.apple.wifi.managed", 1, &[("EncryptionType", "XYZ".into())])]));
    let supervised =
        data(&profile("c", vec![payload("com.apple.homescreenlayout", 1, &[("Pages", Value::Array(vec![]))])]));
    let garbage = Value::Data(b"<plist><dict>".to_vec());
    for body in [unknown, wifi, supervised, garbage] {
        let uuid = server.command("InstallProfile", &[("Payload", body)]);
        server.session(&mut phone);
        assert_eq!(server.status_of(&uuid), "Error");
        assert_eq!(server.answer(&uuid).array("ErrorChain").len(), 2);
    }
    let none = server.command("InstallProfile", &[]);
    let nonsense = server.command("MakeCoffee", &[]);
    server.session(&mut phone);
    assert_eq!((server.status_of(&none), server.status_of(&nonsense)), ("CommandFormatError", "Error"));
    assert_eq!(phone.profiles.len(), 1);
}

#[test]
fn a_locked_phone_says_not_now_but_locks_and_tells() {
    let (mut phone, mut server) = enrolled(Family::IPhone, IOS, false);
    phone.locked = true;
    let list = server.command("ProfileList", &[]);
    let security = server.command("SecurityInfo", &[]);
    server.session(&mut phone);
    assert_eq!((server.status_of(&list), server.status_of(&security)), ("Acknowledged", "NotNow"));
    phone.wake();
    phone.refuse("SecurityInfo", Refusal::Error(12345, "not today".into()), 1);
    let refused = server.command("SecurityInfo", &[]);
    let done = server.command("SecurityInfo", &[]);
    server.session(&mut phone);
    assert_eq!((server.status_of(&refused), server.status_of(&done)), ("Error", "Acknowledged"));
}

#[test]
fn the_passcode_is_cleared_by_its_own_token_only() {
    let (mut phone, mut server) = enrolled(Family::IPhone, IOS, false);
    let token = phone.unlock_token.clone().unwrap();
    let wrong = server.command("ClearPasscode", &[("UnlockToken", Value::Data(vec![1, 2]))]);
    let right = server.command("ClearPasscode", &[("UnlockToken", Value::Data(token.clone()))]);
    server.session(&mut phone);
    assert_eq!((server.status_of(&wrong), server.status_of(&right)), ("Error", "Acknowledged"));
    assert!(phone.passcode.is_none());
    // The token in force is another one now, and the server is told.
    let last = server.heard.iter().rev().find(|(name, _)| *name == "TokenUpdate").unwrap();
    assert_ne!(last.1.data("UnlockToken").unwrap(), token);
}

#[test]
fn an_erased_phone_forgets_everything_and_says_nothing() {
    let (mut phone, mut server) = enrolled(Family::IPhone, IOS, false);
    server.command("EraseDevice", &[]);
    server.session(&mut phone);
    assert_eq!((phone.erasures, &phone.left), (1, &Some(LeftBecause::Erased)));
    let heard = server.heard.len();
    server.session(&mut phone);
    assert_eq!(server.heard.len(), heard);
}

#[test]
fn a_locked_mac_waits_for_its_pin() {
    let (mut mac, mut server) = enrolled(Family::Mac, Version(15, 3, 0), false);
    server.command("DeviceLock", &[("PIN", "123456".into())]);
    server.session(&mut mac);
    let heard = server.heard.len();
    server.session(&mut mac);
    assert_eq!(server.heard.len(), heard);
    assert!(!mac.enter_lock_pin("000000") && mac.enter_lock_pin("123456"));
    server.session(&mut mac);
    assert!(server.heard.len() > heard);
}

#[test]
fn removing_the_enrollment_profile_removes_company_data_and_checks_out() {
    let (mut phone, mut server) = enrolled(Family::IPhone, IOS, false);
    let wifi = payload("com.apple.wifi.managed", 1, &[("SSID_STR", "corp".into())]);
    server.command("InstallProfile", &[("Payload", data(&profile("org.wifi", vec![wifi])))]);
    server.command("InstallApplication", &[("Identifier", "com.corp.app".into()), ("ManagementFlags", 1.into())]);
    let remove = server.command("RemoveProfile", &[("Identifier", "test.enrollment".into())]);
    server.session(&mut phone);
    assert_eq!(server.status_of(&remove), "Acknowledged");
    assert_eq!(server.names().last(), Some(&"CheckOut"));
    assert!(phone.management.is_none() && phone.profiles.is_empty() && phone.identities.is_empty());
    assert!(!phone.apps.iter().any(|app| app.identifier == "com.corp.app"));
    assert_eq!(phone.left, Some(LeftBecause::RemovedByServer));
}

#[test]
fn a_401_makes_it_leave_and_a_403_only_with_the_code() {
    let (mut phone, mut server) = enrolled(Family::IPhone, IOS, false);
    (server.status, server.body) = (403, br#"{"code":"com.apple.other"}"#.to_vec());
    server.session(&mut phone);
    assert!(phone.is_enrolled());
    server.body = br#"{"code":"com.apple.unrecognized.device"}"#.to_vec();
    server.session(&mut phone);
    assert_eq!(phone.left, Some(LeftBecause::Unrecognized));

    let (mut phone, mut server) = enrolled(Family::IPhone, IOS, false);
    for status in [400, 404, 500, 503] {
        server.status = status;
        server.session(&mut phone);
        assert!(phone.is_enrolled(), "{status}");
    }
    server.status = 401;
    server.session(&mut phone);
    assert_eq!(phone.left, Some(LeftBecause::Unauthorized));
}

#[test]
fn a_result_is_told_again_until_it_is_taken_and_done_once() {
    let (mut phone, mut server) = enrolled(Family::IPhone, IOS, false);
    server.command("DeviceLock", &[("Message", "bring it back".into())]);
    let muster_swarm::model::Next::Send(_) = phone.connect() else { panic!("a poll") };
    let command = server.commands.pop_front().unwrap();
    let answer = muster_swarm::model::session::Answer { status: 200, body: command };
    let muster_swarm::model::Next::Send(result) = phone.answered(&answer) else { panic!("a result") };
    phone.disconnected();
    let muster_swarm::model::Next::Send(again) = phone.connect() else { panic!("the result again") };
    assert_eq!(result.body, again.body);
    assert_eq!((phone.lock_messages.len(), phone.repeated), (1, 0));
}

#[test]
fn renewal_keeps_the_enrollment_and_takes_a_new_identity() {
    let (mut phone, mut server) = enrolled(Family::IPhone, IOS, false);
    let before = phone.management.as_ref().unwrap().identity.certificate.clone();
    let same = enrollment_profile(&[("AccessRights", 8191.into())]);
    let moved = enrollment_profile(&[("AccessRights", 8191.into()), ("ServerURL", "https://other.test/mdm".into())]);
    let moved = server.command("InstallProfile", &[("Payload", Value::Data(moved))]);
    let renew = server.command("InstallProfile", &[("Payload", Value::Data(same))]);
    server.session(&mut phone);
    assert_eq!((server.status_of(&moved), server.status_of(&renew)), ("Error", "Acknowledged"));
    assert!(phone.is_enrolled());
    assert_ne!(phone.management.as_ref().unwrap().identity.certificate, before);
    assert_eq!(phone.profiles.len(), 1);
}

#[test]
fn declarations_are_fetched_by_token_activated_and_reported() {
    let (mut phone, mut server) = enrolled(Family::IPhone, IOS, false);
    let put = |server: &mut Script, endpoint: &str, document: serde_json::Value| {
        server.declarative.retain(|(name, _, _)| name != endpoint);
        server.declarative.push((endpoint.into(), 200, document.to_string().into_bytes()));
    };
    let subscriptions = json!({"Type": "com.apple.configuration.management.status-subscriptions", "Identifier": "sub",
        "ServerToken": "1", "Payload": {"StatusItems": [{"Name": "passcode.is-compliant"}]}});
    let passcode = json!({"Type": "com.apple.configuration.passcode.settings", "Identifier": "pass",
        "ServerToken": "1", "Payload": {"RequirePasscode": true, "MinimumLength": 12}});
    let unknown =
        json!({"Type": "com.apple.configuration.nonsense", "Identifier": "odd", "ServerToken": "1", "Payload": {}});
    let activation = json!({"Type": "com.apple.activation.simple", "Identifier": "act", "ServerToken": "1",
        "Payload": {"StandardConfigurations": ["sub", "pass", "odd"]}});
    put(&mut server, "tokens", json!({"SyncTokens": {"Timestamp": "2026-01-01T00:00:00Z", "DeclarationsToken": "t1"}}));
    let item = |identifier: &str| json!({"Identifier": identifier, "ServerToken": "1"});
    put(
        &mut server,
        "declaration-items",
        json!({"Declarations": {"Activations": [item("act")], "Assets": [],
            "Configurations": [item("sub"), item("pass"), item("odd")], "Management": []}, "DeclarationsToken": "t1"}),
    );
    for (endpoint, document) in [
        ("declaration/configuration/sub", subscriptions),
        ("declaration/configuration/pass", passcode),
        ("declaration/configuration/odd", unknown),
        ("declaration/activation/act", activation),
    ] {
        put(&mut server, endpoint, document);
    }
    server.command("DeclarativeManagement", &[]);
    server.session(&mut phone);
    assert!(!phone.passcode_complies());
    let report = server.heard.iter().rev().find(|(_, d)| d.text("Endpoint") == Some("status")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(report.1.data("Data").unwrap()).unwrap();
    let items = &report["StatusItems"];
    assert_eq!(items["passcode"]["is-compliant"], false);
    assert!(items["management"]["client-capabilities"]["supported-payloads"].is_object());
    let states = items["management"]["declarations"]["configurations"].as_array().unwrap();
    let state = |identifier: &str| states.iter().find(|state| state["identifier"] == identifier).unwrap();
    assert_eq!((state("pass")["active"].as_bool(), state("pass")["valid"].as_str()), (Some(true), Some("valid")));
    assert_eq!(state("odd")["reasons"][0]["code"], "Error.ConfigurationNotSupported");

    // The same token again: nothing is fetched.
    let heard = server.heard.len();
    server.command("DeclarativeManagement", &[]);
    server.session(&mut phone);
    let asked: Vec<_> = server.heard[heard..].iter().filter_map(|(_, d)| d.text("Endpoint")).collect();
    assert_eq!(asked, ["tokens"]);
    assert_eq!(phone.declarations[Channel::Device as usize].token.as_deref(), Some("t1"));
}

#[test]
fn filevault_turns_on_at_log_in_and_escrows_its_key() {
    let (mut mac, mut server) = enrolled(Family::Mac, Version(15, 3, 0), false);
    let authority = muster_swarm::standins::authority::Authority::new("Escrow", 1_700_000_000_000).unwrap();
    let key = std::sync::Arc::new(muster_swarm::crypto::generate().unwrap());
    let subject = muster_pki::Name::common("escrow");
    let usage = muster_pki::Usage::client();
    let escrow = authority.identity_of(key, subject, usage, vec![], 1_700_000_000_000).unwrap();
    let certificate =
        payload("com.apple.security.pkcs1", 1, &[("PayloadContent", Value::Data(escrow.certificate.clone()))]);
    let uuid = certificate["PayloadUUID"].clone();
    let redirect = payload(
        "com.apple.security.FDERecoveryKeyEscrow",
        2,
        &[("Location", "here".into()), ("EncryptCertPayloadUUID", uuid)],
    );
    let filevault = payload("com.apple.MCX.FileVault2", 3, &[("Enable", "On".into()), ("Defer", true.into())]);
    let body = data(&profile("org.filevault", vec![certificate, redirect, filevault]));
    let install = server.command("InstallProfile", &[("Payload", body)]);
    server.session(&mut mac);
    assert_eq!(server.status_of(&install), "Acknowledged");
    assert!(!mac.filevault.enabled);
    mac.log_in();
    let security = server.command("SecurityInfo", &[]);
    server.session(&mut mac);
    let info = server.answer(&security).dictionary("SecurityInfo").unwrap();
    assert!(info.flag("FDE_Enabled"));
    let envelope = muster_pki::cms::EnvelopedData::decode(
        info.data("FDE_PersonalRecoveryKeyCMS").unwrap(),
        muster_pki::asn1::Limits::default(),
    )
    .unwrap();
    let opened = envelope
        .decrypt(escrow.decoded(), &escrow.key, muster_pki::cms::Ciphers { des: false }, &muster_swarm::crypto::fill)
        .unwrap();
    let key = mac.filevault.recovery_key.clone().unwrap();
    assert_eq!(opened.expose(), key.as_bytes());
    assert_eq!(key.len(), 29);
}
