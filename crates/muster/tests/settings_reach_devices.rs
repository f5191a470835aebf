//! Configurations of every sort, written through Graph, read back as they were sent, and taken by a
//! supervised iPhone and by a Mac; certificates, recovery keys and declarations included.

mod support;

use muster::demo::scenery::all_devices;
use muster_swarm::model::{Family, Version};
use serde_json::{Value, json};
use support::{Engine, Phone, TestApp, on_both_engines};

on_both_engines!(settings_reach_devices);

const CONFIGURATIONS: &str = "/beta/deviceManagement/deviceConfigurations";

/// Writes a configuration, holds the answer against what was sent, assigns it.
async fn configure(app: &TestApp, kind: &str, assigned: bool, mut body: Value) -> String {
    body["@odata.type"] = format!("#microsoft.graph.{kind}").into();
    body["displayName"] = kind.into();
    let made = app.api.post(CONFIGURATIONS, &body).await.unwrap();
    let id = made["id"].as_str().unwrap().to_owned();
    let read = app.api.get(&format!("{CONFIGURATIONS}/{id}")).await.unwrap();
    for (name, sent) in body.as_object().unwrap().iter().filter(|(name, _)| !name.ends_with("odata.bind")) {
        assert_eq!(&read[name], sent, "{kind}.{name}");
    }
    if assigned {
        let target = json!({ "assignments": [{ "target": all_devices() }] });
        app.api.post(&format!("{CONFIGURATIONS}/{id}/assign"), &target).await.unwrap();
    }
    id
}

/// The documents of a device with their states.
async fn states(app: &TestApp, device: &Value) -> Vec<(String, String, String)> {
    let id = device["id"].as_str().unwrap();
    let path = format!("/beta/deviceManagement/managedDevices/{id}/deviceConfigurationStates");
    let states = app.api.get(&path).await.unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let told = |state: &Value| {
        let bad = state["settingStates"].as_array().unwrap().iter().find(|one| one["state"] != "compliant");
        (text(&state["displayName"]), text(&state["state"]), bad.map(Value::to_string).unwrap_or_default())
    };
    states["value"].as_array().unwrap().iter().map(told).collect()
}

async fn has(phone: &Phone, payload: &str) -> bool {
    let there = |device: &muster_swarm::model::Device| {
        device.profiles.iter().flat_map(|profile| &profile.payloads).any(|one| one.payload_type == payload)
    };
    phone.see(there).await
}

fn link(id: &str) -> String {
    format!("https://graph.microsoft.com/beta/deviceManagement/deviceConfigurations('{id}')")
}

async fn for_the_phone(app: &TestApp) {
    let scep = json!({ "scepServerUrls": [], "subjectNameFormat": "commonNameAsSerialNumber", "keySize": "size2048" });
    let scep = configure(app, "iosScepCertificateProfile", false, scep).await;
    let features = json!({
        "lockScreenFootnote": "{{UserPrincipalName}}",
        "contentFilterSettings": { "@odata.type": "#microsoft.graph.iosWebContentFilterAutoFilter",
            "allowedUrls": ["https://example.org"], "blockedUrls": ["https://evil.example"] },
        "iosSingleSignOnExtension": { "@odata.type": "#microsoft.graph.iosKerberosSingleSignOnExtension",
            "realm": "EXAMPLE.ORG", "domains": ["example.org"], "blockAutomaticLogin": true },
        "singleSignOnExtensionPkinitCertificate@odata.bind": link(&scep),
    });
    configure(app, "iosDeviceFeaturesConfiguration", true, features).await;
    let vpn = json!({
        "connectionName": "Office", "connectionType": "ikEv2", "server": { "address": "vpn.example.org" },
        "authenticationMethod": "certificate", "clientAuthenticationType": "deviceAuthentication",
        "localIdentifier": "clientCertificateSubjectName", "identityCertificate@odata.bind": link(&scep),
        "onDemandRules": [{ "action": "connect", "interfaceTypeMatch": "cellular" }],
    });
    configure(app, "iosikEv2VpnConfiguration", true, vpn).await;
    let mail = json!({
        "accountName": "Work", "hostName": "mail.example.org", "usernameSource": "userPrincipalName",
        "emailAddressSource": "primarySmtpAddress", "authenticationMethod": "certificate", "requireSsl": true,
        "durationOfEmailToSync": "oneWeek", "easServices": "email,calendars",
        "identityCertificate@odata.bind": link(&scep),
    });
    configure(app, "iosEasEmailProfileConfiguration", true, mail).await;
    let update = json!({ "desiredOsVersion": "18.4", "enforcedSoftwareUpdateDelayInDays": 7 });
    configure(app, "iosUpdateConfiguration", true, update).await;
}

async fn for_the_mac(app: &TestApp) -> String {
    let protection = json!({
        "fileVaultEnabled": true, "fileVaultSelectedRecoveryKeyTypes": "personalRecoveryKey",
        "firewallEnabled": true, "firewallEnableStealthMode": true, "gatekeeperBlockOverride": true,
        "gatekeeperAllowedAppSource": "macAppStoreAndIdentifiedDevelopers",
        "firewallApplications": [{ "bundleId": "com.example.app", "allowsIncomingConnections": true }],
    });
    configure(app, "macOSEndpointProtectionConfiguration", true, protection).await;
    let extensions = json!({
        "kernelExtensionAllowedTeamIdentifiers": ["TEAM"],
        "systemExtensionsAllowed": [{ "teamIdentifier": "TEAM", "bundleId": "com.example.extension" }],
        "systemExtensionsAllowedTypes": [{ "teamIdentifier": "TEAM", "allowedTypes": "networkExtensionsAllowed" }],
    });
    configure(app, "macOSExtensionsConfiguration", true, extensions).await;
    let features = json!({
        "macOSSingleSignOnExtension": { "@odata.type": "#microsoft.graph.macOSRedirectSingleSignOnExtension",
            "extensionIdentifier": "com.example.sso", "teamIdentifier": "TEAM", "urlPrefixes": ["https://example.org"],
            "configurations": [{ "@odata.type": "#microsoft.graph.keyStringValuePair", "key": " device_registration ",
                "value": "{{DEVICEREGISTRATION}}" }] },
        "autoLaunchItems": [{ "path": "/Applications/Agent.app", "hide": true }],
    });
    configure(app, "macOSDeviceFeaturesConfiguration", true, features).await;
    let general = json!({ "privacyAccessControls": [{ "displayName": "Agent", "identifier": "com.example.agent",
        "identifierType": "bundleID", "codeRequirement": "anchor apple", "systemPolicyAllFiles": "enabled" }] });
    let general = configure(app, "macOSGeneralDeviceConfiguration", true, general).await;
    let update = json!({ "allOtherUpdateBehavior": "installASAP", "criticalUpdateBehavior": "installASAP" });
    configure(app, "macOSSoftwareUpdateConfiguration", true, update).await;
    general
}

async fn settings_reach_devices(engine: Engine) {
    let app = TestApp::new(engine).await;
    for_the_phone(&app).await;
    let general = for_the_mac(&app).await;
    let (ada, ben) = (app.user("Ada").await, app.user("Ben").await);
    let phone = app.device(Family::IPhone, Version(18, 3, 0), true, "Ada").await;
    app.enroll_by_profile(&phone, &ada).await.unwrap();
    let mac = app.device(Family::Mac, Version(15, 3, 0), true, "Ben").await;
    app.enroll_by_profile(&mac, &ben).await.unwrap();
    app.settle().await;

    for (owner, documents) in [(&ada, 4), (&ben, 5)] {
        let states = states(&app, &app.managed_device(owner).await).await;
        assert_eq!(states.len(), documents, "{states:?}");
        assert!(states.iter().all(|(_, state, bad)| state == "compliant" && bad.is_empty()), "{states:?}");
    }
    for payload in
        ["com.apple.extensiblesso", "com.apple.webcontent-filter", "com.apple.vpn.managed", "com.apple.eas.account"]
    {
        assert!(has(&phone, payload).await, "{payload}");
    }
    let text = |payload: &'static str, key: &'static str| {
        let phone = &phone;
        async move { phone.see(|device| device.setting(payload, key).and_then(|v| v.as_string()).map(str::to_owned)).await }
    };
    assert_eq!(
        text("com.apple.shareddeviceconfiguration", "LockScreenFootnote").await.as_deref(),
        Some("ada@example.test")
    );
    assert_eq!(text("com.apple.eas.account", "UserName").await.as_deref(), Some("ada@example.test"));
    let enforced = "com.apple.configuration.softwareupdate.enforcement.specific";
    let version = phone.see(|device| device.active_configurations(enforced)[0]["TargetOSVersion"].clone()).await;
    assert_eq!(version, "18.4");

    // The Mac encrypts at the next log-in; its recovery key is here with the next inventory.
    mac.touch(|device| device.log_in()).await;
    let device = app.managed_device(&ben).await;
    app.act(&app.api, &device, "syncDevice", &json!({})).await.ok().unwrap();
    app.settle().await;
    let path = format!("/beta/deviceManagement/managedDevices/{}/getFileVaultKey", device["id"].as_str().unwrap());
    let there = mac.see(|device| device.filevault.recovery_key.clone()).await.unwrap();
    assert_eq!(app.api.get(&path).await.unwrap()["value"], there);

    // A policy that is changed and then deleted changes and leaves the device.
    let other = json!({ "screenCaptureBlocked": true, "privacyAccessControls": [] });
    app.api.patch(&format!("{CONFIGURATIONS}/{general}"), &other).await.unwrap();
    app.settle().await;
    assert!(!has(&mac, "com.apple.TCC.configuration-profile-policy").await);
    assert!(has(&mac, "com.apple.applicationaccess").await);
    app.api.delete(&format!("{CONFIGURATIONS}/{general}")).await.unwrap();
    app.settle().await;
    assert!(!has(&mac, "com.apple.applicationaccess").await);
    app.end().await;
}
