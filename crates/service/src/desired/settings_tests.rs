//! Settings whose profile is more than their values: certificates that they use, recovery keys,
//! variables.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use muster_apple::{plist::Read, profile::Payload, profile::Profile};
use muster_storage::{devices, documents, items, setting_states};
use serde_json::json;

use super::{
    CONFIGURATIONS,
    tests::{Fleet, conforms_as, profile},
};
use crate::{documents::Targets, testing::START};

#[tokio::test]
async fn a_kerberos_extension_brings_its_certificate() {
    let fleet = Fleet::new().await;
    let scep = json!({ "scepServerUrls": [], "subjectNameFormat": "commonNameAsSerialNumber" });
    let scep = fleet.assign("iosScepCertificateProfile", scep, "nobody", None).await;
    let body = json!({
        "iosSingleSignOnExtension": {
            "@odata.type": "#microsoft.graph.iosKerberosSingleSignOnExtension",
            "realm": "EXAMPLE.ORG", "domains": ["example.org"], "isDefaultRealm": true,
        },
        "singleSignOnExtensionPkinitCertificate@odata.bind":
            format!("https://graph.example/beta/deviceManagement/deviceConfigurations('{scep}')"),
    });
    let document = fleet.assign("iosDeviceFeaturesConfiguration", body, "allDevices", None).await;
    assert_eq!(fleet.compute().await, 1);
    let (_, request) = fleet.next().await.unwrap();
    let sent = profile(&request);
    conforms_as("a_kerberos_extension_brings_its_certificate", &sent, "iOS", "17.4", "device");
    let extension = sent.payload("com.apple.extensiblesso").unwrap();
    let data = extension.content.dictionary("ExtensionData").unwrap().unwrap();
    let identity = sent.payload("com.apple.security.scep").unwrap();
    assert_eq!(data.text("certificateUUID").unwrap().unwrap(), identity.uuid);
    assert_eq!(data.flag("isDefaultRealm").unwrap(), Some(true));

    // Another certificate profile behind the link is another version of the profile.
    let before = fleet.item_of(document).await.unwrap().desired_version;
    fleet.change(scep, json!({ "scepServerUrls": [], "subjectNameFormat": "commonName" })).await;
    assert_eq!(fleet.compute().await, 1);
    assert_ne!(fleet.item_of(document).await.unwrap().desired_version, before);
}

#[tokio::test]
async fn file_vault_sends_its_recovery_key_here() {
    let fleet = Fleet::with("macOS", "15.3", "deviceEnrollment", true).await;
    let body = json!({
        "fileVaultEnabled": true, "fileVaultSelectedRecoveryKeyTypes": "personalRecoveryKey",
        "fileVaultHidePersonalRecoveryKey": true, "fileVaultNumberOfTimesUserCanIgnore": 0,
    });
    fleet.assign("macOSEndpointProtectionConfiguration", body, "allDevices", None).await;
    fleet.compute().await;
    let (_, request) = fleet.next().await.unwrap();
    let sent = profile(&request);
    conforms_as("file_vault_sends_its_recovery_key_here", &sent, "macOS", "15.3", "device");
    let escrow = &sent.payload("com.apple.security.FDERecoveryKeyEscrow").unwrap().content;
    let certificate = sent.payload("com.apple.security.pkcs1").unwrap();
    assert_eq!(escrow.text("EncryptCertPayloadUUID").unwrap().unwrap(), certificate.uuid);
    assert_eq!(escrow.text("DeviceKey").unwrap().unwrap(), "C02XK1");
    let ours = fleet.service.file_vault_escrow_certificate(fleet.tenant).await.unwrap();
    assert_eq!(certificate.content.need_data("PayloadContent").unwrap(), ours);
    let vault = &sent.payload("com.apple.MCX.FileVault2").unwrap().content;
    assert_eq!(vault.text("Enable").unwrap().unwrap(), "On");
    assert_eq!(vault.flag("ShowRecoveryKey").unwrap(), Some(false));
    let ignored = vault.get("DeferForceAtUserLoginMaxBypassAttempts").and_then(muster_apple::Value::as_signed_integer);
    assert_eq!(ignored, Some(0));
}

/// Threat J1: a value of the directory or of the device that looks like markup stays text, in settings
/// and in custom profiles.
#[tokio::test]
async fn j1_a_value_filled_in_stays_text() {
    let fleet = Fleet::new().await;
    let nasty = "</string><key>URL</key><string>https://evil.example</string>&{{SERIALNUMBER}}";
    let (tenant, device) = (fleet.tenant, fleet.device);
    fleet
        .write(move |tx| {
            let mut row = devices::by_id(tx, tenant, device)?.unwrap();
            row.name = nasty.into();
            devices::put(tx, tenant, &row)
        })
        .await;
    let extension = json!({
        "@odata.type": "#microsoft.graph.iosCredentialSingleSignOnExtension", "extensionIdentifier": "com.example.sso",
        "realm": "r", "domains": ["example.org"],
        "configurations": [{ "@odata.type": "#microsoft.graph.keyStringValuePair", "key": "who", "value": "{{DeviceName}}" }],
    });
    let body = json!({ "iosSingleSignOnExtension": extension });
    fleet.assign("iosDeviceFeaturesConfiguration", body, "allDevices", None).await;
    let clip = Payload::new("com.apple.webClip.managed", "clip", "5E5CB2AC-0000-4000-8000-000000000001", {
        let mut content = muster_apple::plist::Dictionary::new();
        content.insert("URL".into(), "https://intra.example.org".into());
        content.insert("Label".into(), "{{devicename}}".into());
        content
    });
    let custom = Profile::new("com.example.top", "5E5CB2AC-0000-4000-8000-000000000002", "Clip", vec![clip]);
    let body = json!({ "payloadName": "Clip", "payload": STANDARD.encode(custom.encode()) });
    fleet.assign("iosCustomConfiguration", body, "allDevices", None).await;
    assert_eq!(fleet.compute().await, 2);
    let mut seen = 0;
    for command in fleet.queue().await {
        let sent = profile(&fleet.render(&command).await.unwrap().unwrap());
        let content = &sent.payloads[0].content;
        let text = match content.text("Label").unwrap() {
            Some(label) => {
                assert_eq!(content.text("URL").unwrap().unwrap(), "https://intra.example.org");
                label
            }
            None => content.dictionary("ExtensionData").unwrap().unwrap().text("who").unwrap().unwrap(),
        };
        assert_eq!(text, nasty, "as it is, and not read again");
        seen += 1;
    }
    assert_eq!(seen, 2);
}

/// Threat J2: what is stored is the variable; its value is filled in at hand-out, each time anew.
#[tokio::test]
async fn j2_values_are_filled_in_at_hand_out_for_that_device() {
    let fleet = Fleet::with("macOS", "15.3", "deviceEnrollment", true).await;
    let body = json!({ "loginWindowText": "{{SerialNumber}} {{serialnumberlast4digits}} {{colour}} {{imei}}" });
    let document = fleet.assign("macOSDeviceFeaturesConfiguration", body, "allDevices", None).await;
    fleet.compute().await;
    let stored = fleet.item_of(document).await.unwrap().content;
    assert!(stored.contains("{{SerialNumber}}") && !stored.contains("C02XK1"), "{stored}");
    let text = |serial: &'static str| {
        let (tenant, device) = (fleet.tenant, fleet.device);
        let fleet = &fleet;
        async move {
            fleet
                .write(move |tx| {
                    let mut row = devices::by_id(tx, tenant, device)?.unwrap();
                    row.serial_number = Some(serial.into());
                    devices::put(tx, tenant, &row)
                })
                .await;
            let (_, request) = fleet.next().await.unwrap();
            profile(&request).payloads[0].content.text("LoginwindowText").unwrap().unwrap().to_owned()
        }
    };
    assert_eq!(text("C02XK1").await, "C02XK1 2XK1 {{colour}} ");
    assert_eq!(text("D7").await, "D7 D7 {{colour}} ", "nothing is kept from one hand-out to the next");

    // A name that is no variable is told to the administrator.
    let (tenant, device) = (fleet.tenant, fleet.device);
    let told = fleet.write(move |tx| setting_states::of_device(tx, tenant, device)).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].setting, "loginWindowText {{colour}}");
    assert!(told[0].reason.as_deref().unwrap().contains("no variable"));
    assert_eq!(told[0].state, items::state::NOT_APPLICABLE);
}

#[tokio::test]
async fn a_changed_certificate_profile_reaches_whoever_has_a_profile_with_it() {
    let fleet = Fleet::new().await;
    let scep = |format: &str| json!({ "scepServerUrls": [], "subjectNameFormat": format });
    let document = fleet.assign("iosScepCertificateProfile", scep("commonNameAsSerialNumber"), "nobody", None).await;
    let body = json!({
        "ssid": "corp", "wiFiSecurityType": "wpa2Enterprise", "eapType": "eapTls",
        "identityCertificateForClientAuthentication@odata.bind": [document.to_string()],
    });
    fleet.assign("iosEnterpriseWiFiConfiguration", body, "allDevices", None).await;
    assert_eq!(fleet.compute().await, 1);
    let (tenant, changed) = (fleet.tenant, scep("commonName").to_string());
    fleet
        .write(move |tx| {
            let mut row = documents::by_id(tx, tenant, CONFIGURATIONS, document)?.unwrap();
            row.body = changed.clone();
            documents::update(tx, tenant, &row, row.version, START)
        })
        .await;
    assert_eq!(fleet.compute().await, 0, "nobody marked the device");
    let changed = Targets { document: Some((CONFIGURATIONS.into(), document)), ..Targets::default() };
    fleet.service.mark_targets(tenant, changed).await.unwrap();
    assert_eq!(fleet.compute().await, 1);
}
