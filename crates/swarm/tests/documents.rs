//! What the models say is what Apple's schema allows: check-ins, results of every command, reports.

mod support;

use std::collections::BTreeMap;

use muster_swarm::{
    model::{Device, Family, Version},
    plists::{self, Keys},
};
use plist::Value;
use support::{Script, conform, enrolled, payload, profile, user_enrolled};

fn queries() -> Value {
    let all = [
        "UDID",
        "OrganizationInfo",
        "MDMOptions",
        "AwaitingConfiguration",
        "DeviceName",
        "OSVersion",
        "BuildVersion",
        "ModelName",
        "Model",
        "ModelNumber",
        "IsAppleSilicon",
        "ProductName",
        "SerialNumber",
        "DeviceCapacity",
        "AvailableDeviceCapacity",
        "IMEI",
        "ModemFirmwareVersion",
        "CellularTechnology",
        "BatteryLevel",
        "HasBattery",
        "IsSupervised",
        "IsMultiUser",
        "IsDeviceLocatorServiceEnabled",
        "IsActivationLockEnabled",
        "IsActivationLockSupported",
        "IsCloudBackupEnabled",
        "ActiveManagedUsers",
        "OSUpdateSettings",
        "LocalHostName",
        "HostName",
        "SystemIntegrityProtectionEnabled",
        "IsMDMLostModeEnabled",
        "PushToken",
        "DiagnosticSubmissionEnabled",
        "TimeZone",
        "BluetoothMAC",
        "WiFiMAC",
        "EthernetMAC",
        "ServiceSubscriptions",
        "SupportsiOSAppInstalls",
        "SoftwareUpdateDeviceID",
    ];
    Value::Array(all.map(Value::from).to_vec())
}

fn ask_everything(server: &mut Script) {
    let restrictions = payload("com.apple.applicationaccess", 1, &[("allowScreenShot", false.into())]);
    let body = Value::Data(plists::write(&profile("org.restrictions", vec![restrictions])));
    server.command("InstallProfile", &[("Payload", body)]);
    server.command("InstallProfile", &[("Payload", Value::Data(b"nonsense".to_vec()))]);
    server.command("DeviceInformation", &[("Queries", queries())]);
    for plain in ["SecurityInfo", "ProfileList", "CertificateList", "InstalledApplicationList", "UserList"] {
        server.command(plain, &[]);
    }
    server.command("InstallApplication", &[("iTunesStoreID", 361309726.into()), ("ManagementFlags", 1.into())]);
    server.command("ManagedApplicationList", &[]);
    server.command("Restrictions", &[("ProfileRestrictions", true.into())]);
    let name = plists::dictionary([("Item", Some("DeviceName".into())), ("DeviceName", Some("New name".into()))]);
    server.command("Settings", &[("Settings", Value::Array(vec![Value::Dictionary(name)]))]);
    server.command("DeclarativeManagement", &[]);
    server.command("ActivationLockBypassCode", &[]);
    server.command("EnableLostMode", &[("Message", "lost".into())]);
    server.command("DeviceLocation", &[]);
    server.command("DisableLostMode", &[]);
    server.command("DeviceLock", &[("Message", "locked".into())]);
    server.command("MakeCoffee", &[]);
}

/// What a device said, by kind and options of the checker.
type Said = BTreeMap<(&'static str, Vec<String>), Vec<Vec<u8>>>;

fn collect(device: &Device, server: &Script, enrollment: &str, said: &mut Said) {
    let version = device.hardware.system.to_string();
    let base = ["--os", device.os_word(), "--os-version", &version, "--enrollment", enrollment];
    let base: Vec<String> = base.map(str::to_owned).to_vec();
    let types: BTreeMap<_, _> = device.executed.iter().map(|e| (e.uuid.clone(), e.request_type.clone())).collect();
    let mut add = |kind, options: &[&str], document: Vec<u8>| {
        let options = base.iter().cloned().chain(options.iter().map(|option| (*option).to_owned())).collect();
        said.entry((kind, options)).or_default().push(document);
    };
    for (name, document) in &server.heard {
        let channel = if document.get("UserShortName").is_some() { "user" } else { "device" };
        match document.text("CommandUUID").map(|uuid| types[uuid].as_str()) {
            None if *name == "Idle" => {}
            // The data forgets User Enrollment of Macs in this one message.
            None if *name == "CheckOut" && device.os_word() == "macOS" && enrollment == "user" => {}
            None => add("checkin", &["--channel", channel], plists::write(document)),
            Some("MakeCoffee") => {}
            Some(request_type) => {
                let options = ["--channel", channel, "--request-type", request_type];
                // The data shows one dictionary where devices answer one for each setting, and not the name of
                // the setting that they say in it.
                let settings =
                    document.get("Settings").and_then(Value::as_array).filter(|_| request_type == "Settings");
                for setting in settings.into_iter().flatten().filter_map(Value::as_dictionary) {
                    let mut setting = setting.clone();
                    assert!(setting.remove("Item").is_some());
                    let mut one = document.clone();
                    one.insert("Settings".into(), Value::Dictionary(setting));
                    add("command-response", &options, plists::write(&one));
                }
                if settings.is_none() {
                    add("command-response", &options, plists::write(document));
                }
            }
        }
        if document.text("Endpoint") == Some("status") {
            add("status", &[], document.data("Data").unwrap().to_vec());
        }
    }
}

fn declarative(server: &mut Script) {
    let subscriptions = serde_json::json!({"Type": "com.apple.configuration.management.status-subscriptions",
        "Identifier": "sub", "ServerToken": "1", "Payload": {"StatusItems": [
            {"Name": "passcode.is-compliant"}, {"Name": "device.model.family"}, {"Name": "mdm.app"},
            {"Name": "device.operating-system.version"}, {"Name": "security.certificate.list"},
            {"Name": "softwareupdate.install-state"}, {"Name": "diskmanagement.filevault.enabled"}]}});
    let activation = serde_json::json!({"Type": "com.apple.activation.simple", "Identifier": "act",
        "ServerToken": "1", "Payload": {"StandardConfigurations": ["sub"]}});
    let items = serde_json::json!({"Declarations": {
        "Activations": [{"Identifier": "act", "ServerToken": "1"}], "Assets": [],
        "Configurations": [{"Identifier": "sub", "ServerToken": "1"}], "Management": []}, "DeclarationsToken": "t"});
    let tokens = serde_json::json!({"SyncTokens": {"Timestamp": "2026-01-01T00:00:00Z", "DeclarationsToken": "t"}});
    for (endpoint, document) in [
        ("tokens", tokens),
        ("declaration-items", items),
        ("declaration/configuration/sub", subscriptions),
        ("declaration/activation/act", activation),
    ] {
        server.declarative.push((endpoint.into(), 200, document.to_string().into_bytes()));
    }
}

#[test]
fn everything_a_device_says_conforms_to_the_schema() {
    let fleet = [
        (enrolled(Family::IPhone, Version(18, 3, 0), false), "device"),
        (enrolled(Family::IPad, Version(17, 4, 0), true), "supervised"),
        (enrolled(Family::Mac, Version(15, 3, 0), false), "supervised"),
        (user_enrolled(Family::IPhone, Version(18, 3, 0)), "user"),
        (user_enrolled(Family::Mac, Version(15, 3, 0)), "user"),
    ];
    let mut said = Said::new();
    for ((mut device, mut server), enrollment) in fleet {
        declarative(&mut server);
        ask_everything(&mut server);
        server.session(&mut device);
        server.command("RemoveProfile", &[("Identifier", "test.enrollment".into())]);
        server.session(&mut device);
        collect(&device, &server, enrollment, &mut said);
    }
    let mut wrong = Vec::new();
    for ((kind, options), documents) in said {
        match conform(kind, &options, &documents) {
            None => return println!("skipped: ../shared/tools/apple_schema.py is not here"),
            Some(result) => wrong.extend(result.err()),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
