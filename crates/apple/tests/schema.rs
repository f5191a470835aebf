//! Every document we write, checked against Apple's published schema where the checker is at hand.

mod support;

use std::{
    path::{Path, PathBuf},
    process::Command as Process,
};

use muster_apple::{
    CheckIn, Command, CommandResult, EnrollmentIds, Request, Status, check_in::*, declarative, dict, discovery,
    enrollment_profile::Mode, machine_info::MachineInfo, profile::Profile, refusal, requests,
};
use support::enrollment_profile;

struct Checker {
    script: PathBuf,
    folder: PathBuf,
    failures: Vec<String>,
}

impl Checker {
    fn open(test: &str) -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/tools/apple_schema.py");
        let runs = Process::new("python3").args(["-c", "import yaml"]).status().is_ok_and(|status| status.success());
        if !script.exists() || !runs {
            println!("skipped: ../shared/tools/apple_schema.py, python3 or PyYAML is not here");
            return None;
        }
        let folder = std::env::temp_dir().join(format!("muster-apple-schema-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Some(Checker { script, folder, failures: Vec::new() })
    }

    fn check(&mut self, name: &str, arguments: &[&str], documents: &[Vec<u8>]) {
        let mut process = Process::new("python3");
        // The kind and the files must stand together behind the options.
        process.arg(&self.script).args(&arguments[1..]).arg(arguments[0]);
        for (n, document) in documents.iter().enumerate() {
            let file = self.folder.join(format!("{name}-{n}"));
            std::fs::write(&file, document).unwrap();
            process.arg(file);
        }
        let output = process.output().unwrap();
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            self.failures.push(format!("{name} {arguments:?}:\n{text}{errors}"));
        }
    }

    fn finish(self) {
        let _ = std::fs::remove_dir_all(&self.folder);
        assert!(self.failures.is_empty(), "{}", self.failures.join("\n"));
    }
}

fn command(request: Request) -> Vec<u8> {
    Command { uuid: "9F09D114-BCFD-42AD-A974-371AA7D6256E".into(), request }.encode()
}

#[test]
fn commands_conform() {
    let Some(mut checker) = Checker::open("commands") else { return };
    let profile = Profile::new("a.b", "10000000-0000-0000-0000-000000000001", "A", vec![]).encode();
    for (name, request) in [
        ("install-profile", requests::install_profile(profile)),
        ("remove-profile", requests::remove_profile("a.b")),
        ("profile-list", requests::profile_list()),
        ("device-information", requests::device_information(&["OSVersion", "DeviceName", "SerialNumber"])),
        ("security-info", requests::security_info()),
        ("apps", requests::installed_application_list(true, &["Identifier", "Name", "ShortVersion"])),
        ("managed-apps", requests::managed_application_list()),
        ("certificates", requests::certificate_list(true)),
        ("clear-passcode", requests::clear_passcode(vec![1, 2, 3])),
        ("lock", requests::device_lock(Some("Call us"), Some("+1 555"), None)),
        ("erase", requests::erase_device(&requests::EraseDevice::default())),
        ("restart", requests::restart_device(None)),
        ("shut-down", requests::shut_down_device()),
        ("rename", requests::set_device_name("Ada's phone")),
        ("declarative", requests::declarative_management(None)),
        ("restrictions", requests::restrictions()),
    ] {
        checker.check(name, &["command", "--os", "iOS", "--enrollment", "supervised"], &[command(request)]);
    }
    let pin = requests::EraseDevice {
        pin: Some("123456".into()),
        obliteration_behavior: Some("Default".into()),
        ..Default::default()
    };
    for (name, request) in [
        ("mac-lock", requests::device_lock(Some("Call us"), None, Some("123456"))),
        ("mac-erase", requests::erase_device(&pin)),
        ("mac-users", requests::user_list()),
        ("mac-rotate", requests::rotate_file_vault_key("AAAA-BBBB", vec![0x30, 0])),
        ("mac-restart", requests::restart_device(Some(true))),
    ] {
        checker.check(name, &["command", "--os", "macOS", "--enrollment", "supervised"], &[command(request)]);
    }
    for (name, request) in [
        ("byod-information", requests::device_information(&["OSVersion", "DeviceName", "ModelName"])),
        ("byod-apps", requests::installed_application_list(true, &["Identifier"])),
        ("byod-lock", requests::device_lock(None, None, None)),
        ("byod-security", requests::security_info()),
    ] {
        checker.check(name, &["command", "--os", "iOS", "--enrollment", "user"], &[command(request)]);
    }
    checker.finish();
}

#[test]
fn enrollment_documents_conform() {
    let Some(mut checker) = Checker::open("enrollment") else { return };
    checker.check(
        "web-ios",
        &["profile", "--os", "iOS", "--enrollment", "device"],
        &[enrollment_profile(None).encode()],
    );
    checker.check(
        "web-mac",
        &["profile", "--os", "macOS", "--enrollment", "device"],
        &[enrollment_profile(None).encode()],
    );
    checker.check(
        "byod",
        &["profile", "--os", "iOS", "--enrollment", "user"],
        &[enrollment_profile(Some(Mode::Byod)).encode()],
    );
    checker.check(
        "adde",
        &["profile", "--os", "iOS", "--enrollment", "device"],
        &[enrollment_profile(Some(Mode::Adde)).encode()],
    );
    for code in [refusal::UNRECOGNIZED_DEVICE, refusal::WELL_KNOWN_FAILED] {
        checker.check("refusal", &["error"], &[refusal::Refusal::new(code, "Ask your help desk.").encode()]);
    }
    let info = MachineInfo {
        language: Some("en".into()),
        product: "iPhone14,5".into(),
        version: "22C161".into(),
        os_version: Some("18.2".into()),
        udid: Some("00008110-000A1B2C3D4E5F60".into()),
        serial: Some("F2LX".into()),
        ..Default::default()
    };
    checker.check("machine-info", &["machineinfo"], &[info.encode()]);
    let server = discovery::Server { version: discovery::Version::Adde, base_url: "https://m.example.org/e".into() };
    assert!(discovery::encode(&server).starts_with(b"{\"Servers\":[{\"Version\":\"mdm-adde\""));
    checker.finish();
}

#[test]
fn device_messages_conform() {
    let Some(mut checker) = Checker::open("messages") else { return };
    let ids = EnrollmentIds::device("00008110-000A1B2C3D4E5F60");
    let byod = EnrollmentIds::user_enrollment("E0000000-0000-0000-0000-000000000001");
    let topic = "com.apple.mgmt.External.x";
    let phone = ["checkin", "--os", "iOS", "--enrollment", "device"];
    let own = ["checkin", "--os", "iOS", "--enrollment", "user"];
    let authenticate = |ids: &EnrollmentIds| Authenticate {
        ids: ids.clone(),
        topic: topic.into(),
        os_version: Some("17.4".into()),
        build_version: Some("21E219".into()),
        product_name: Some("iPhone14,5".into()),
        ..Default::default()
    };
    let full = Authenticate { serial_number: Some("F2LX".into()), imei: Some("35".into()), ..authenticate(&ids) };
    checker.check("authenticate", &phone, &[CheckIn::Authenticate(full).encode()]);
    checker.check("authenticate-byod", &own, &[CheckIn::Authenticate(authenticate(&byod)).encode()]);
    let update = TokenUpdate {
        ids: ids.clone(),
        topic: topic.into(),
        token: vec![7; 32],
        push_magic: "magic".into(),
        unlock_token: Some(vec![1; 100]),
        awaiting_configuration: Some(false),
    };
    checker.check("token-update", &phone, &[CheckIn::TokenUpdate(update.clone()).encode()]);
    let own_update = TokenUpdate { ids: byod.clone(), unlock_token: None, ..update };
    checker.check("token-update-byod", &own, &[CheckIn::TokenUpdate(own_update).encode()]);
    let out = CheckOut { ids: ids.clone(), topic: Some(topic.into()) };
    checker.check("check-out", &phone, &[CheckIn::CheckOut(out).encode()]);
    let endpoint = DeclarativeManagement { ids: ids.clone(), endpoint: "tokens".into(), data: None };
    checker.check("declarative", &phone, &[CheckIn::DeclarativeManagement(endpoint).encode()]);
    let answer = dict! { "QueryResponses" => dict! { "OSVersion" => "17.4", "DeviceName" => "Phone" } };
    let result = CommandResult::of(ids, Status::Acknowledged, "1", answer).encode();
    let response = ["command-response", "--os", "iOS", "--enrollment", "device", "--request-type", "DeviceInformation"];
    checker.check("information", &response, &[result]);
    checker.check(
        "bootstrap-reply",
        &["checkin-response", "--os", "macOS", "--message-type", "GetBootstrapToken"],
        &[bootstrap_token_reply(b"secret")],
    );
    checker.finish();
}

#[test]
fn declarations_conform() {
    let Some(mut checker) = Checker::open("declarations") else { return };
    let subscription = declarative::Declaration {
        declaration_type: "com.apple.configuration.management.status-subscriptions".into(),
        identifier: "muster.subscriptions".into(),
        server_token: "1".into(),
        payload: declarative::status_subscriptions(&["device.operating-system.version", "passcode.is-compliant"]),
    };
    let activation = declarative::Declaration {
        declaration_type: "com.apple.activation.simple".into(),
        identifier: "muster.activation".into(),
        server_token: "1".into(),
        payload: declarative::simple_activation(&["muster.subscriptions".into()]),
    };
    let json = |value: &declarative::Declaration| serde_json::to_vec(value).unwrap();
    checker.check("declarations", &["declaration", "--os", "iOS"], &[json(&subscription), json(&activation)]);
    let sync_tokens =
        declarative::SyncTokens { timestamp: "2026-01-01T00:00:00Z".into(), declarations_token: "abc".into() };
    let tokens = serde_json::to_vec(&declarative::Tokens { sync_tokens }).unwrap();
    checker.check("tokens", &["tokens"], std::slice::from_ref(&tokens));
    let mut lists = declarative::ItemLists::default();
    for declaration in [&subscription, &activation] {
        let kind = declarative::Kind::of_type(&declaration.declaration_type).unwrap();
        lists.of(kind).push(declarative::Item {
            identifier: declaration.identifier.clone(),
            server_token: declaration.server_token.clone(),
        });
    }
    let items = declarative::DeclarationItems { declarations: lists, declarations_token: "abc".into() };
    checker.check("items", &["declaration-items"], &[serde_json::to_vec(&items).unwrap()]);
    let synchronise = command(requests::declarative_management(Some(tokens)));
    checker.check("command", &["command", "--os", "iOS"], &[synchronise]);
    let mut report = declarative::StatusReport { full_report: Some(true), ..Default::default() };
    report.set_item("device.operating-system.version", "17.4".into());
    checker.check("status", &["status", "--os", "iOS"], &[report.encode()]);
    checker.finish();
}
