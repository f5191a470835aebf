//! VPN connections, from the document to the bytes.

use muster_apple::{Value as Plist, plist::Read, profile::Profile};
use muster_storage::items::state;
use serde_json::{Value, json};

use super::{
    catalogue_tests::check,
    tests::{Fleet, conforms, conforms_as, profile},
    vpn,
};
use crate::testing::START;

fn link(id: uuid::Uuid) -> Value {
    json!([id.to_string()])
}

async fn scep(fleet: &Fleet) -> uuid::Uuid {
    let body = json!({ "scepServerUrls": [], "subjectNameFormat": "custom",
        "subjectNameFormatString": "CN={{SERIALNUMBER}},O=Example" });
    fleet.assign("iosScepCertificateProfile", body, "nobody", None).await
}

async fn sent(fleet: &Fleet, kind: &str, body: Value) -> Profile {
    fleet.assign(kind, body, "allDevices", None).await;
    fleet.compute().await;
    let (_, request) = fleet.next().await.expect("a profile is handed out");
    profile(&request)
}

#[tokio::test]
async fn ikev2_proves_itself_with_its_certificate_and_connects_by_rules() {
    let fleet = Fleet::new().await;
    let identity = scep(&fleet).await;
    let body = json!({
        "connectionName": "Office", "connectionType": "ikEv2", "server": { "address": "vpn.example.org" },
        "remoteIdentifier": "vpn.example.org", "localIdentifier": "clientCertificateSubjectName",
        "authenticationMethod": "certificate", "clientAuthenticationType": "deviceAuthentication",
        "identityCertificate@odata.bind": link(identity), "serverCertificateType": "ecdsa256",
        "deadPeerDetectionRate": "high", "enablePerfectForwardSecrecy": true, "mtuSizeInBytes": 1300,
        "tlsMinimumVersion": "1.2", "disconnectOnIdle": true, "disconnectOnIdleTimerInSeconds": 300,
        "includeAllNetworks": true, "providerType": "packetTunnel",
        "securityAssociationParameters": { "securityEncryptionAlgorithm": "aes256Gcm",
            "securityIntegrityAlgorithm": "sha2_384", "securityDiffieHellmanGroup": 20, "lifetimeInMinutes": 480 },
        "proxyServer": { "address": "proxy.example.org", "port": 3128 },
        "onDemandRules": [
            { "action": "disconnect", "ssids": ["corp"], "interfaceTypeMatch": "wiFi" },
            { "action": "evaluateConnection", "domains": ["intra.example.org"], "domainAction": "connectIfNeeded",
                "probeRequiredUrl": "https://intra.example.org/" },
            { "action": "connect", "interfaceTypeMatch": "notConfigured" },
        ],
    });
    let sent = sent(&fleet, "iosikEv2VpnConfiguration", body).await;
    conforms("ikev2_proves_itself_with_its_certificate", &sent);
    let vpn = &sent.payload("com.apple.vpn.managed").unwrap().content;
    assert_eq!(vpn.text("VPNType").unwrap().unwrap(), "IKEv2");
    let tunnel = vpn.dictionary("IKEv2").unwrap().unwrap();
    assert_eq!(tunnel.text("AuthenticationMethod").unwrap().unwrap(), "Certificate");
    assert_eq!(tunnel.text("LocalIdentifier").unwrap().unwrap(), "C02XK1", "the certificate's common name");
    let identity = sent.payload("com.apple.security.scep").unwrap();
    assert_eq!(tunnel.text("PayloadCertificateUUID").unwrap().unwrap(), identity.uuid);
    let rules = tunnel.array("OnDemandRules").unwrap().unwrap();
    let actions: Vec<_> =
        rules.iter().map(|rule| rule.as_dictionary().unwrap().text("Action").unwrap().unwrap()).collect();
    assert_eq!(actions, ["Disconnect", "EvaluateConnection", "Connect"]);
    assert!(!rules[2].as_dictionary().unwrap().contains_key("InterfaceTypeMatch"));
}

#[tokio::test]
async fn a_shared_secret_is_sealed_and_only_opened_at_hand_out() {
    let fleet = Fleet::new().await;
    let (tenant, document) = (fleet.tenant, fleet.service.random.id(START));
    let body = json!({ "connectionName": "Office", "server": { "address": "vpn.example.org" },
        "authenticationMethod": "sharedSecret", "sharedSecret": "correct horse" });
    let mut body = body.as_object().unwrap().clone();
    let sealed = fleet.service.seal_document(tenant, document, &mut body).await.unwrap();
    assert!(!Value::Object(body.clone()).to_string().contains("correct horse"));
    fleet.write(move |tx| sealed.store(tx, tenant)).await;
    fleet.assign_as(document, "iosikEv2VpnConfiguration", Value::Object(body), "allDevices", None).await;
    fleet.compute().await;
    assert!(!fleet.item_of(document).await.unwrap().content.contains("correct horse"));
    let (_, request) = fleet.next().await.unwrap();
    let sent = profile(&request);
    conforms("a_shared_secret_is_sealed", &sent);
    let tunnel = sent.payloads[0].content.dictionary("IKEv2").unwrap().unwrap();
    assert_eq!(tunnel.text("SharedSecret").unwrap().unwrap(), "correct horse");
}

#[tokio::test]
async fn a_connection_of_apps_is_named_by_its_document_and_goes_to_personal_devices_too() {
    let fleet = Fleet::with("iOS", "17.4", "appleUserEnrollment", false).await;
    let body = |per_app: bool| {
        json!({
            "connectionName": "Apps", "connectionType": "ciscoAnyConnectV2", "server": { "address": "vpn.example.org" },
            "authenticationMethod": "usernameAndPassword", "enablePerApp": per_app, "providerType": "appProxy",
            "safariDomains": ["intra.example.org"], "loginGroupOrDomain": "staff",
            "customData": [{ "key": "who", "value": "{{SerialNumber}}" }],
        })
    };
    let whole = fleet.assign("iosVpnConfiguration", body(false), "allDevices", None).await;
    let apps = fleet.assign("iosVpnConfiguration", body(true), "allDevices", None).await;
    assert_eq!(fleet.compute().await, 1);
    assert_eq!(fleet.state_of(whole).await.as_deref(), Some(state::NOT_APPLICABLE));
    let (_, request) = fleet.next().await.unwrap();
    let vpn = profile(&request).payload("com.apple.vpn.managed.applayer").unwrap().content.clone();
    assert_eq!(vpn.text("VPNUUID").unwrap().unwrap(), apps.to_string().to_uppercase());
    assert_eq!(vpn.text("VPNSubType").unwrap().unwrap(), "com.cisco.anyconnect");
    let vendor = vpn.dictionary("VendorConfig").unwrap().unwrap();
    assert_eq!(vendor.text("Group").unwrap().unwrap(), "staff");
    assert_eq!(vendor.text("who").unwrap().unwrap(), "C02XK1");
    let tunnel = vpn.dictionary("VPN").unwrap().unwrap();
    assert_eq!(tunnel.text("ProviderType").unwrap().unwrap(), "app-proxy");
}

#[tokio::test]
async fn always_on_needs_supervision() {
    let body = json!({
        "connectionName": "Always", "connectionType": "ikEv2", "server": { "address": "vpn.example.org" },
        "authenticationMethod": "usernameAndPassword", "enableAlwaysOnConfiguration": true,
        "alwaysOnConfiguration": { "tunnelConfiguration": "cellular", "voicemailExceptionAction": "allowTrafficOutside",
            "airPrintExceptionAction": "forceTrafficViaVPN", "userToggleEnabled": true, "natKeepAliveIntervalInSeconds": 60,
            "allowedCaptiveNetworkPlugins": { "allowedBundleIdentifiers": ["com.example.portal"] } },
    });
    let fleet = Fleet::with("iOS", "17.4", "userEnrollment", true).await;
    let sent = sent(&fleet, "iosikEv2VpnConfiguration", body.clone()).await;
    let said = check("always_on_needs_supervision", &sent.encode(), "iOS", "17.4", "supervised").unwrap_or_default();
    // The published schema says only in words that a tunnel has the keys of an IKEv2 connection.
    let other: Vec<&str> = said.lines().filter(|line| !line.contains("TunnelConfigurations[0].")).collect();
    assert!(other.is_empty(), "{other:?}");
    let always = sent.payloads[0].content.dictionary("AlwaysOn").unwrap().unwrap();
    assert_eq!(always.array("ServiceExceptions").unwrap().unwrap().len(), 1, "what goes through is no exception");
    let tunnels = always.array("TunnelConfigurations").unwrap().unwrap();
    assert_eq!(tunnels[0].as_dictionary().unwrap().get("Interfaces"), Some(&Plist::Array(vec!["Cellular".into()])));

    let fleet = Fleet::new().await;
    let document = fleet.assign("iosikEv2VpnConfiguration", body, "allDevices", None).await;
    assert_eq!(fleet.compute().await, 0);
    assert_eq!(fleet.state_of(document).await.as_deref(), Some(state::NOT_APPLICABLE));
}

#[tokio::test]
async fn cisco_ipsec_on_a_mac() {
    let fleet = Fleet::with("macOS", "15.3", "deviceEnrollment", true).await;
    let body = json!({
        "connectionName": "Old", "connectionType": "ciscoIPSec", "server": { "address": "vpn.example.org" },
        "authenticationMethod": "usernameAndPassword", "loginGroupOrDomain": "staff",
        "proxyServer": { "automaticConfigurationScriptUrl": "https://example.org/proxy.pac" },
    });
    let sent = sent(&fleet, "macOSVpnConfiguration", body).await;
    conforms_as("cisco_ipsec_on_a_mac", &sent, "macOS", "15.3", "device");
    let vpn = &sent.payloads[0].content;
    assert_eq!(vpn.dictionary("IPSec").unwrap().unwrap().text("LocalIdentifier").unwrap().unwrap(), "staff");
}

#[tokio::test]
async fn an_app_s_connection_is_as_apple_s_schema_has_it() {
    let fleet = Fleet::new().await;
    let identity = scep(&fleet).await;
    let body = json!({
        "connectionName": "App", "connectionType": "customVpn", "identifier": "com.example.vpn",
        "server": { "address": "vpn.example.org" }, "authenticationMethod": "certificate",
        "identityCertificate@odata.bind": link(identity), "realm": "staff", "role": "user",
        "disableOnDemandUserOverride": true, "onDemandRules": [{ "action": "connect" }],
    });
    let sent = sent(&fleet, "iosVpnConfiguration", body).await;
    let said = check("an_app_s_connection", &sent.encode(), "iOS", "17.4", "device").unwrap_or_default();
    // The published schema leaves out the one key that every vendor's app needs.
    let other: Vec<&str> = said.lines().filter(|line| !line.contains("VPN.RemoteAddress")).collect();
    assert!(other.is_empty(), "{other:?}");
    assert_eq!(sent.payloads[1].content.text("VPNSubType").unwrap().unwrap(), "com.example.vpn");
}

#[test]
fn what_can_never_be_a_connection_is_refused_when_it_is_saved() {
    let refused = |mut body: Value, server: bool| {
        if server {
            body["server"] = json!({ "address": "vpn.example.org" });
        }
        vpn::check(body.as_object().unwrap()).unwrap_err().to_string()
    };
    assert!(refused(json!({}), false).contains("server.address"));
    assert!(refused(json!({ "connectionType": "customVpn" }), true).contains("identifier"));
    assert!(refused(json!({ "mtuSizeInBytes": 9000 }), true).contains("1280"));
    let weak = json!({ "securityAssociationParameters": { "securityIntegrityAlgorithm": "md5" } });
    assert!(refused(weak, true).contains("md5"));
    let group = json!({ "childSecurityAssociationParameters": { "securityDiffieHellmanGroup": 3 } });
    assert!(refused(group, true).contains("the group 3"));
    let both = json!({ "enablePerApp": true, "enableAlwaysOnConfiguration": true });
    assert!(refused(both, true).contains("exclude one another"));
}
