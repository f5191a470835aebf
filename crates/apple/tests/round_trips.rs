//! What we encode we decode, and nothing that comes in makes a decoder panic.

mod support;

use muster_apple::{
    Channel, CheckIn, Command, CommandResult, Dictionary, EnrollmentIds, ErrorChainItem, Status, Value, check_in::*,
    declarative, dict, discovery, enrollment_profile::*, machine_info::MachineInfo, plist, profile::Profile, push,
    push_certificate, raw_command, refusal::Refusal, requests,
};
use proptest::prelude::*;
use support::enrollment_profile;

fn every_check_in() -> Vec<CheckIn> {
    let ids = EnrollmentIds::device("00008110-000A1B2C3D4E5F60");
    let mac_user = EnrollmentIds {
        user_id: Some("11111111-2222-3333-4444-555555555555".into()),
        user_short_name: Some("ada".into()),
        user_long_name: Some("Ada".into()),
        not_on_console: Some(false),
        ..EnrollmentIds::device("A-B-C")
    };
    vec![
        CheckIn::Authenticate(Authenticate {
            ids: ids.clone(),
            topic: "com.apple.mgmt.External.x".into(),
            os_version: Some("17.4".into()),
            build_version: Some("21E219".into()),
            product_name: Some("iPhone14,5".into()),
            serial_number: Some("F2LX".into()),
            imei: Some("35".into()),
            ..Default::default()
        }),
        CheckIn::TokenUpdate(TokenUpdate {
            ids: ids.clone(),
            topic: "com.apple.mgmt.External.x".into(),
            token: vec![7; 32],
            push_magic: "magic".into(),
            unlock_token: Some(vec![1; 2000]),
            awaiting_configuration: Some(false),
        }),
        CheckIn::CheckOut(CheckOut { ids: EnrollmentIds::user_enrollment("E-1"), topic: Some("t".into()) }),
        CheckIn::UserAuthenticate(UserAuthenticate { ids: mac_user.clone(), digest_response: None }),
        CheckIn::SetBootstrapToken(SetBootstrapToken {
            ids: ids.clone(),
            bootstrap_token: Some(vec![9; 100]),
            awaiting_configuration: None,
        }),
        CheckIn::GetBootstrapToken(GetBootstrapToken { ids: ids.clone(), awaiting_configuration: None }),
        CheckIn::DeclarativeManagement(DeclarativeManagement {
            ids: mac_user,
            endpoint: "status".into(),
            data: Some(b"{}".to_vec()),
        }),
        CheckIn::GetToken(GetToken { ids: ids.clone(), service_type: "com.apple.maid".into() }),
        CheckIn::ReturnToService(ReturnToService { ids }),
    ]
}

#[test]
fn every_check_in_message_survives_the_wire() {
    for message in every_check_in() {
        assert_eq!(CheckIn::decode(&message.encode()).unwrap(), message);
    }
}

#[test]
fn the_channel_is_decided_by_user_keys() {
    let device = EnrollmentIds::device("U");
    assert_eq!((device.channel(), device.protocol_id().as_str()), (Channel::Device, "U"));
    let mac = EnrollmentIds { user_id: Some("G".into()), ..device.clone() };
    assert_eq!((mac.channel(), mac.protocol_id().as_str()), (Channel::User, "U:G"));
    let shared = EnrollmentIds {
        user_id: Some(muster_apple::ids::SHARED_IPAD_USER_ID.into()),
        user_short_name: Some("ada@example.org".into()),
        ..device
    };
    assert_eq!(shared.protocol_id(), "U:ada@example.org");
    let byod = EnrollmentIds::user_enrollment("E");
    assert_eq!((byod.protocol_id().as_str(), byod.is_user_enrollment()), ("E", true));
    let byod_user = EnrollmentIds { enrollment_user_id: Some("EU".into()), ..byod };
    assert_eq!((byod_user.channel(), byod_user.protocol_id().as_str()), (Channel::User, "E:EU"));
}

#[test]
fn ids_that_could_be_taken_for_others_are_refused() {
    for bad in ["A:B", "a b", "é", &"x".repeat(200)] {
        let message = plist::encode_dictionary(dict! { "MessageType" => "CheckOut", "UDID" => bad });
        assert!(CheckIn::decode(&message).is_err(), "{bad}");
    }
    let none = plist::encode_dictionary(dict! { "MessageType" => "CheckOut" });
    assert!(CheckIn::decode(&none).is_err());
}

#[test]
fn results_survive_the_wire() {
    let ids = EnrollmentIds::device("U");
    let mut failed = CommandResult::of(ids.clone(), Status::Error, "c-1", Dictionary::new());
    failed.error_chain.push(ErrorChainItem {
        code: 4001,
        domain: "MCProfileErrorDomain".into(),
        us_english_description: Some("broken".into()),
        ..Default::default()
    });
    let answer = dict! { "QueryResponses" => dict! { "OSVersion" => "17.4" } };
    let done = CommandResult::of(ids.clone(), Status::Acknowledged, "c-2", answer);
    for result in [CommandResult::idle(ids), failed, done] {
        assert_eq!(CommandResult::decode(&result.encode()).unwrap(), result);
    }
    let nameless = plist::encode_dictionary(dict! { "UDID" => "U", "Status" => "Acknowledged" });
    assert!(CommandResult::decode(&nameless).is_err());
}

#[test]
fn commands_survive_the_wire() {
    let command = Command { uuid: "c-9".into(), request: requests::set_device_name("Ada's phone") };
    assert_eq!(Command::decode(&command.encode()).unwrap(), command);
}

#[test]
fn enrollment_profiles_survive_the_wire_and_byod_names_no_rights() {
    for mode in [None, Some(Mode::Adde)] {
        let profile = enrollment_profile(mode);
        assert_eq!(EnrollmentProfile::decode(&profile.encode()).unwrap(), profile);
    }
    let byod = EnrollmentProfile::decode(&enrollment_profile(Some(Mode::Byod)).encode()).unwrap();
    assert_eq!(byod.mdm.access_rights, None);
    assert_eq!(byod.profile().scope, Some(muster_apple::profile::Scope::User));
}

#[test]
fn discovery_survives_the_wire() {
    let server = discovery::Server { version: discovery::Version::Byod, base_url: "https://m.example.org/e".into() };
    let bytes = discovery::encode(&server);
    assert_eq!(bytes, br#"{"Servers":[{"Version":"mdm-byod","BaseURL":"https://m.example.org/e"}]}"#);
    assert_eq!(discovery::decode(&bytes).unwrap(), server);
    let url = "https://m.example.org/authenticate";
    assert_eq!(discovery::web_challenge(url), format!("Bearer method=\"apple-as-web\", url=\"{url}\""));
    assert_eq!(discovery::decode_web_challenge(&discovery::web_challenge(url)).unwrap(), url);
    let no_comma = format!("Bearer method=\"apple-as-web\" url=\"{url}\"");
    assert_eq!(discovery::decode_web_challenge(&no_comma).unwrap(), url);
    assert_eq!(discovery::decode_results_location(&discovery::results_location("tok")), Some("tok"));
}

#[test]
fn endpoints_split_at_the_first_two_slashes_only() {
    use declarative::{Endpoint, Kind};
    for text in ["tokens", "declaration-items", "status", "declaration/configuration/a/b", "declaration/asset/x"] {
        assert_eq!(Endpoint::decode(text).unwrap().encode(), text);
    }
    assert_eq!(
        Endpoint::decode("declaration/configuration/a/b"),
        Some(Endpoint::Declaration(Kind::Configuration, "a/b".into()))
    );
    assert_eq!(Endpoint::decode("declaration/other/x"), None);
    assert_eq!(Endpoint::decode(&format!("declaration/asset/{}", "x".repeat(65))), None);
}

#[test]
fn status_reports_tell_the_state_of_declarations() {
    let mut report = declarative::StatusReport::default();
    report.set_item("device.operating-system.version", "17.4".into());
    report.set_item(
        "management.declarations.configurations",
        serde_json::json!([{"identifier": "a", "active": true, "valid": "valid", "server-token": "1"},
            {"identifier": "b", "active": false, "valid": "invalid", "server-token": "2",
             "reasons": [{"code": "Error.InvalidPayload", "description": "no"}]}]),
    );
    let report = declarative::StatusReport::decode(&report.encode()).unwrap();
    assert_eq!(report.item("device.operating-system.version"), Some(&"17.4".into()));
    let states = report.declarations();
    assert!(states[0].active && states[0].reason.is_none());
    assert_eq!(states[1].reason.as_ref().unwrap().0, "Error.InvalidPayload");
    let wide = format!("{{\"StatusItems\":{{\"a\":[{}1]}}}}", "1,".repeat(60_000));
    assert!(declarative::StatusReport::decode(wide.as_bytes()).is_err());
    let deep = format!("{{\"StatusItems\":{{\"a\":{}{}}}}}", "[".repeat(5000), "]".repeat(5000));
    assert!(declarative::StatusReport::decode(deep.as_bytes()).is_err());
}

#[test]
fn raw_commands_are_refused_with_the_place() {
    let refuse = |command: Dictionary| {
        raw_command::decode(&plist::encode_dictionary(dict! { "Command" => command })).unwrap_err().place
    };
    assert_eq!(refuse(dict! { "RequestType" => "Nonsense" }), "Command.RequestType");
    assert_eq!(refuse(dict! { "RequestType" => "EraseDevice" }), "Command.RequestType");
    assert_eq!(refuse(dict! { "RequestType" => "RemoveProfile" }), "Command.Identifier");
    assert_eq!(refuse(dict! { "RequestType" => "ProfileList", "Extra" => 1 }), "Command.Extra");
    assert_eq!(refuse(dict! { "RequestType" => "CertificateList", "ManagedOnly" => "yes" }), "Command.ManagedOnly");
    let broken = Value::Data(b"<plist><dict><key>PayloadType</key>".to_vec());
    assert_eq!(refuse(dict! { "RequestType" => "InstallProfile", "Payload" => broken }), "Command.Payload");
    let good = Profile::new("a.b", "10000000-0000-0000-0000-000000000001", "A", vec![]).encode();
    let good = dict! { "RequestType" => "InstallProfile", "Payload" => Value::Data(good) };
    assert_eq!(raw_command::decode(&plist::encode_dictionary(good)).unwrap().request_type, "InstallProfile");
    assert_eq!(raw_command::decode(b"bplist00").unwrap_err().place, "document");
}

#[test]
fn pushes_and_push_certificate_requests() {
    assert_eq!(push::encode("M"), br#"{"mdm":"M"}"#);
    assert_eq!(push::decode(&push::encode("M")).unwrap(), "M");
    let gone = push::Failure::decode(br#"{"reason":"Unregistered","timestamp":5}"#);
    assert_eq!((gone.reason.as_str(), gone.timestamp), ("Unregistered", Some(5)));
    assert_eq!(push::Failure::decode(b"<html>").reason, "");
    let pem = push_certificate::pem("CERTIFICATE REQUEST", &[0; 100]);
    assert!(pem.lines().all(|line| line.len() <= 64));
    assert!(!push_certificate::request(&[1], "PEM", &[2]).is_empty());
}

#[test]
fn machine_info_of_a_user_enrollment_names_no_device() {
    let info = MachineInfo {
        language: Some("en".into()),
        product: "iPhone14,5".into(),
        version: "22C161".into(),
        ..Default::default()
    };
    assert_eq!(MachineInfo::decode(&info.encode()).unwrap(), info);
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        let _ = CheckIn::decode(&bytes);
        let _ = CommandResult::decode(&bytes);
        let _ = Command::decode(&bytes);
        let _ = EnrollmentProfile::decode(&bytes);
        let _ = MachineInfo::decode(&bytes);
        let _ = declarative::StatusReport::decode(&bytes);
        let _ = discovery::decode(&bytes);
        let _ = raw_command::decode(&bytes);
        let _ = Refusal::decode(&bytes);
        let _ = push::decode(&bytes);
    }

    #[test]
    fn nothing_that_looks_like_a_list_makes_a_decoder_panic(
        parts in prop::collection::vec(prop::sample::select(vec![
            "<plist>", "</plist>", "<dict>", "</dict>", "<array>", "</array>", "<key>", "</key>", "<string>",
            "</string>", "<data>", "</data>", "<integer>", "</integer>", "<date>", "</date>", "<true/>", "<dict/>",
            "MessageType", "Authenticate", "UDID", "Topic", "Status", "Idle", "&amp;", "&#x41;", "&#xD800;", "AAAA",
            "-1", "<!--", "-->", "<!DOCTYPE plist>", "1970-01-01T00:00:00Z", "9999999999999999999999", "<plist/>",
        ]), 0..60)
    ) {
        let text = parts.concat();
        let _ = CheckIn::decode(text.as_bytes());
        let _ = CommandResult::decode(text.as_bytes());
        let _ = Profile::decode(text.as_bytes());
        let _ = raw_command::decode(text.as_bytes());
    }

    #[test]
    fn flipped_bytes_of_real_messages_never_panic(n in 0usize..9, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = every_check_in()[n].encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = CheckIn::decode(&bytes);
    }

    #[test]
    fn lists_survive_the_wire(text in "[^\\x00-\\x1f\\u{7f}-\\u{9f}\\u{fffe}\\u{ffff}]{0,40}", number in any::<i64>(), data in prop::collection::vec(any::<u8>(), 0..200)) {
        let dictionary = dict! { "T" => text, "N" => number, "D" => Value::Data(data) };
        let decoded = plist::decode_dictionary(&plist::encode_dictionary(dictionary.clone()), &muster_apple::Limits::MESSAGE);
        prop_assert_eq!(decoded.unwrap(), dictionary);
    }
}
