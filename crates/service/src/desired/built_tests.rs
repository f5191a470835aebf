//! Profiles that are built: certificates and Wi-Fi, from the document to the bytes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use muster_apple::{Request, Status, plist::Read};
use muster_storage::items::state;
use serde_json::{Value, json};
use uuid::Uuid;

use super::tests::{Fleet, conforms, profile};
use crate::testing::START;

/// A root certificate as a document holds it.
async fn root(fleet: &Fleet) -> Value {
    let pem = fleet.service.ca_export().await.unwrap();
    json!({ "trustedRootCertificate": STANDARD.encode(pem), "certFileName": "root.cer" })
}

#[tokio::test]
async fn a_scep_certificate_gets_a_challenge_at_hand_out_and_the_earlier_one_falls() {
    let fleet = Fleet::new().await;
    let body = json!({ "scepServerUrls": [], "subjectNameFormat": "commonNameAsSerialNumber", "keySize": "size2048" });
    fleet.assign("iosScepCertificateProfile", body, "allDevices", None).await;
    fleet.compute().await;
    let challenge = |request: &Request| {
        let sent = profile(request);
        conforms("a_scep_certificate", &sent);
        let payload = sent.payload("com.apple.security.scep").unwrap().clone();
        let content = payload.content.dictionary("PayloadContent").unwrap().unwrap().clone();
        assert!(content.text("URL").unwrap().unwrap().ends_with("/scep"));
        (payload.uuid, content.text("Challenge").unwrap().unwrap())
    };
    let (first, request) = fleet.next().await.unwrap();
    let (uuid, one) = challenge(&request);
    let (again, request) = fleet.next().await.unwrap();
    let (same, two) = challenge(&request);
    assert_eq!((first.id, uuid), (again.id, same), "handing out again keeps command and payload");
    assert_ne!(one, two, "and brings another challenge");
    let (tenant, command) = (fleet.tenant, first.id);
    let open = fleet.write(move |tx| muster_storage::scep_challenges::open_of_command(tx, tenant, command)).await;
    assert_eq!(open, 1);
    let stored: String =
        fleet.queue().await.iter().map(|command| command.payload.clone()).collect::<Vec<_>>().join(" ");
    assert!(!stored.contains(&two), "no challenge stands in the queue");
}

#[tokio::test]
async fn a_missing_serial_number_fails_the_certificate_alone() {
    let fleet = Fleet::new().await;
    let body = json!({ "scepServerUrls": [], "subjectNameFormat": "commonNameAsIMEI" });
    fleet.assign("iosScepCertificateProfile", body, "allDevices", None).await;
    fleet.compute().await;
    let command = fleet.queue().await.remove(0);
    let error = fleet.render(&command).await.unwrap_err().to_string();
    assert!(error.contains("IMEINumber"), "{error}");
}

#[tokio::test]
async fn wifi_with_eap_tls_carries_its_certificates() {
    let fleet = Fleet::new().await;
    let root = fleet.assign("iosTrustedRootCertificate", root(&fleet).await, "nobody", None).await;
    let scep = json!({ "scepServerUrls": [], "subjectNameFormat": "custom",
        "subjectNameFormatString": "CN={{SERIALNUMBER}},O=Example" });
    let scep = fleet.assign("iosScepCertificateProfile", scep, "nobody", None).await;
    let link = |id: Uuid| format!("https://graph.example/beta/deviceManagement/deviceConfigurations('{id}')");
    let body = json!({
        "ssid": "corp", "networkName": "Corp", "wiFiSecurityType": "wpa2Enterprise", "eapType": "eapTls",
        "authenticationMethod": "certificate", "trustedServerCertificateNames": ["radius.example.org"],
        "connectAutomatically": true,
        "rootCertificatesForServerValidation@odata.bind": [link(root)],
        "identityCertificateForClientAuthentication@odata.bind": link(scep),
    });
    fleet.assign("iosEnterpriseWiFiConfiguration", body, "allDevices", None).await;
    assert_eq!(fleet.compute().await, 1);
    let (_, request) = fleet.next().await.unwrap();
    let sent = profile(&request);
    conforms("wifi_with_eap_tls_carries_its_certificates", &sent);
    let kinds: Vec<_> = sent.payloads.iter().map(|payload| payload.payload_type.as_str()).collect();
    assert_eq!(kinds, ["com.apple.security.root", "com.apple.security.scep", "com.apple.wifi.managed"]);
    let wifi = &sent.payloads[2].content;
    assert_eq!(wifi.text("PayloadCertificateUUID").unwrap().unwrap(), sent.payloads[1].uuid);
    let eap = wifi.dictionary("EAPClientConfiguration").unwrap().unwrap();
    let anchors = eap.array("PayloadCertificateAnchorUUID").unwrap().unwrap();
    assert_eq!(anchors[0].as_string().unwrap(), sent.payloads[0].uuid);
}

#[tokio::test]
async fn a_wifi_password_is_sealed_and_only_opened_at_hand_out() {
    let fleet = Fleet::new().await;
    let (tenant, document) = (fleet.tenant, fleet.service.random.id(START));
    let mut body = json!({ "ssid": "home", "wiFiSecurityType": "wpa2Personal", "preSharedKey": "correct horse" })
        .as_object()
        .unwrap()
        .clone();
    let sealed = fleet.service.seal_document(tenant, document, &mut body).await.unwrap();
    assert!(!Value::Object(body.clone()).to_string().contains("correct horse"));
    fleet.write(move |tx| sealed.store(tx, tenant)).await;
    fleet.assign_as(document, "iosWiFiConfiguration", Value::Object(body), "allDevices", None).await;
    fleet.compute().await;
    let (_, request) = fleet.next().await.unwrap();
    let sent = profile(&request);
    conforms("a_wifi_password", &sent);
    assert_eq!(sent.payloads[0].content.text("Password").unwrap().unwrap(), "correct horse");
    assert_eq!(sent.payloads[0].content.text("EncryptionType").unwrap().unwrap(), "WPA2");
}

#[tokio::test]
async fn two_networks_of_one_name_that_differ_are_a_conflict() {
    let fleet = Fleet::new().await;
    let body = |hidden: bool| {
        json!({ "ssid": "corp", "wiFiSecurityType": "open",
        "connectWhenNetworkNameIsHidden": hidden })
    };
    let one = fleet.assign("iosWiFiConfiguration", body(true), "allDevices", None).await;
    let two = fleet.assign("iosWiFiConfiguration", body(false), "allDevices", None).await;
    assert_eq!(fleet.compute().await, 0);
    assert_eq!(fleet.state_of(one).await.as_deref(), Some(state::CONFLICT));
    assert_eq!(fleet.state_of(two).await.as_deref(), Some(state::CONFLICT));
}

#[tokio::test]
async fn a_certificate_falls_with_the_profile_that_brought_it() {
    let fleet = Fleet::new().await;
    let body = json!({ "scepServerUrls": [], "subjectNameFormat": "commonNameAsSerialNumber" });
    let document = fleet.assign("iosScepCertificateProfile", body, "allDevices", None).await;
    fleet.compute().await;
    let (command, _) = fleet.next().await.unwrap();
    let (tenant, device) = (fleet.tenant, fleet.device);
    let issue = |n: u8| {
        let certificate = muster_storage::certificates::Certificate {
            id: fleet.service.random.id(START + i64::from(n)),
            fingerprint: vec![n; 32],
            serial: vec![n],
            issuer: "access".into(),
            purpose: "access".into(),
            device_id: Some(device),
            document_id: Some(document),
            public_key_hash: vec![n; 32],
            state: "active".into(),
            generation: 1,
            created_at: START + i64::from(n),
            not_after: START * 2,
            ..Default::default()
        };
        fleet.write(move |tx| muster_storage::certificates::insert(tx, tenant, &certificate))
    };
    let states = || async {
        let rows = fleet.write(move |tx| muster_storage::certificates::of_device(tx, tenant, device)).await;
        let mut rows: Vec<_> = rows.into_iter().map(|row| (row.created_at, row.state)).collect();
        rows.sort();
        rows.into_iter().map(|(_, state)| state).collect::<Vec<_>>()
    };
    issue(1).await;
    issue(2).await;
    fleet.answer(&command, Status::Acknowledged).await;
    assert_eq!(states().await, ["revoked", "active"], "a newer one takes its place");
    fleet.unassign(document).await;
    fleet.compute().await;
    assert_eq!(states().await, ["revoked", "revoked"], "before the device even comes");
}

#[tokio::test]
async fn a_certificate_is_renewed_when_the_last_part_of_its_life_begins() {
    const DAY: i64 = 24 * 3_600_000;
    let fleet = Fleet::new().await;
    let body = json!({
        "scepServerUrls": [], "subjectNameFormat": "commonNameAsSerialNumber", "renewalThresholdPercentage": 25,
    });
    let document = fleet.assign("iosScepCertificateProfile", body, "allDevices", None).await;
    fleet.compute().await;
    let (tenant, device, enrollment) = (fleet.tenant, fleet.device, fleet.enrollment);
    let issue = async |n: u8| {
        let now = fleet.service.clock.now_ms();
        let certificate = muster_storage::certificates::Certificate {
            id: fleet.service.random.id(now),
            fingerprint: vec![n; 32],
            serial: vec![n],
            issuer: "access".into(),
            purpose: "access".into(),
            device_id: Some(device),
            enrollment_id: Some(enrollment),
            document_id: Some(document),
            public_key_hash: vec![n; 32],
            state: "issued".into(),
            created_at: now,
            not_before: now,
            not_after: now + 100 * DAY,
            ..Default::default()
        };
        fleet.write(move |tx| muster_storage::certificates::insert(tx, tenant, &certificate)).await;
    };
    let rung = async || {
        let now = fleet.service.clock.now_ms();
        fleet.service.ring_timers(tenant, now).await.unwrap();
        fleet.service.run_due(now).await.unwrap();
        fleet.compute().await;
        fleet.queue().await
    };
    let (command, _) = fleet.next().await.unwrap();
    issue(1).await;
    fleet.answer(&command, Status::Acknowledged).await;

    fleet.service.clock.advance(74 * DAY);
    assert_eq!(rung().await.len(), 0, "a quarter of a hundred days is not yet left");
    fleet.service.clock.advance(DAY);
    let again = rung().await;
    assert_eq!(again.iter().map(|command| command.request_type.as_str()).collect::<Vec<_>>(), ["InstallProfile"]);
    fleet.service.clock.advance(2 * DAY);
    assert_eq!(rung().await.len(), 1, "a device that does not come is asked once");

    // It comes, makes a new key, and the calendar begins anew.
    let (command, request) = fleet.next().await.unwrap();
    assert!(profile(&request).payload("com.apple.security.scep").is_some());
    issue(2).await;
    fleet.answer(&command, Status::Acknowledged).await;
    assert_eq!(fleet.state_of(document).await.as_deref(), Some(state::SUCCEEDED));
    fleet.service.clock.advance(74 * DAY);
    assert_eq!(rung().await.len(), 0);
    fleet.service.clock.advance(DAY);
    assert_eq!(rung().await.len(), 1);
}

#[tokio::test]
async fn a_device_that_kept_its_certificate_is_not_asked_in_a_circle() {
    const DAY: i64 = 24 * 3_600_000;
    let fleet = Fleet::new().await;
    let body = json!({ "scepServerUrls": [], "subjectNameFormat": "commonNameAsSerialNumber" });
    let document = fleet.assign("iosScepCertificateProfile", body, "allDevices", None).await;
    fleet.compute().await;
    let (tenant, device, enrollment, now) =
        (fleet.tenant, fleet.device, fleet.enrollment, fleet.service.clock.now_ms());
    let certificate = muster_storage::certificates::Certificate {
        id: fleet.service.random.id(now),
        fingerprint: vec![1; 32],
        serial: vec![1],
        issuer: "access".into(),
        purpose: "access".into(),
        device_id: Some(device),
        enrollment_id: Some(enrollment),
        document_id: Some(document),
        public_key_hash: vec![1; 32],
        state: "issued".into(),
        not_before: now - 90 * DAY,
        not_after: now + 10 * DAY,
        ..Default::default()
    };
    fleet.write(move |tx| muster_storage::certificates::insert(tx, tenant, &certificate)).await;
    let (command, _) = fleet.next().await.unwrap();
    fleet.answer(&command, Status::Acknowledged).await;
    for (hours, queued) in [(1, 0), (22, 0), (1, 1)] {
        fleet.service.clock.advance(hours * 3_600_000);
        let now = fleet.service.clock.now_ms();
        fleet.service.ring_timers(tenant, now).await.unwrap();
        fleet.service.run_due(now).await.unwrap();
        fleet.compute().await;
        assert_eq!(fleet.queue().await.len(), queued, "after {hours} more hours");
    }
}

#[tokio::test]
async fn a_certificate_of_another_scep_server_is_not_sent_and_says_why() {
    let fleet = Fleet::new().await;
    let body = json!({
        "scepServerUrls": ["https://ndes.example.org/certsrv/mscep/mscep.dll"], "subjectNameFormat": "commonName",
    });
    let document = fleet.assign("iosScepCertificateProfile", body, "allDevices", None).await;
    assert_eq!(fleet.compute().await, 0);
    assert_eq!(fleet.state_of(document).await.as_deref(), Some(state::NOT_APPLICABLE));
    let (tenant, device) = (fleet.tenant, fleet.device);
    let rows = fleet.write(move |tx| muster_storage::setting_states::of_device(tx, tenant, device)).await;
    let reason = rows.iter().find(|row| row.setting == "scepServerUrls").and_then(|row| row.reason.clone());
    assert!(reason.is_some_and(|reason| reason.contains("challenge")), "{rows:?}");
}
