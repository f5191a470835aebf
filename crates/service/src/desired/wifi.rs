//! Wi-Fi payloads. A network with 802.1X carries its roots and its identity in the same profile,
//! because a payload can only name certificates of its own profile.

use muster_apple::{
    dict,
    plist::{Dictionary, Value as Plist, put, put_some},
    profile::Payload,
};
use muster_domain::{
    catalogue::{
        EnrollmentKind,
        built::{SERVER_ROOTS, linked},
    },
    resolve::enrollment_kind,
};
use muster_storage::documents::Document;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    certificates::root_payload,
    profile_identifier,
    render::{Material, uuid_of},
    variables::fill,
};
use crate::{Error, Result, Service};

/// EAP types by Graph's word (IANA numbers).
const EAP: &[(&str, i64)] =
    &[("eapTls", 13), ("leap", 17), ("eapSim", 18), ("eapTtls", 21), ("peap", 25), ("eapFast", 43)];
const INNER: &[(&str, &str)] = &[
    ("unencryptedPassword", "PAP"),
    ("challengeHandshakeAuthenticationProtocol", "CHAP"),
    ("microsoftChap", "MSCHAP"),
    ("microsoftChapVersionTwo", "MSCHAPv2"),
];

fn text<'a>(body: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn flag(body: &Map<String, Value>, name: &str) -> bool {
    body.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// The network itself.
fn network(body: &Map<String, Value>, password: Option<&str>, user_enrollment: bool) -> Result<Dictionary> {
    let ssid = text(body, "ssid").ok_or_else(|| Error::bad_request("ssid is missing"))?;
    let encryption = match text(body, "wiFiSecurityType").unwrap_or("open") {
        "wep" => "WEP",
        "wpaPersonal" | "wpaEnterprise" => "WPA",
        "wpa2Personal" | "wpa2Enterprise" => "WPA2",
        _ => "None",
    };
    let mut content = dict! {
        "SSID_STR" => ssid,
        "HIDDEN_NETWORK" => flag(body, "connectWhenNetworkNameIsHidden"),
        "AutoJoin" => flag(body, "connectAutomatically"),
        "EncryptionType" => encryption,
    };
    put_some(&mut content, "Password", password);
    if user_enrollment {
        return Ok(content);
    }
    match text(body, "proxySettings") {
        Some("manual") => {
            put(&mut content, "ProxyType", "Manual");
            put_some(&mut content, "ProxyServer", text(body, "proxyManualAddress"));
            put_some(&mut content, "ProxyServerPort", body.get("proxyManualPort").and_then(Value::as_i64));
        }
        Some("automatic") => {
            put(&mut content, "ProxyType", "Auto");
            put_some(&mut content, "ProxyPACURL", text(body, "proxyAutomaticConfigurationUrl"));
        }
        _ => {}
    }
    if flag(body, "disableMacAddressRandomization") || flag(body, "wifiRequirePhysicalMacAddressEnabled") {
        put(&mut content, "DisableAssociationMACRandomization", true);
    }
    Ok(content)
}

/// 802.1X, all but the certificates.
fn eap(body: &Map<String, Value>, material: &Material) -> Result<Dictionary> {
    let word = text(body, "eapType").unwrap_or("eapTls");
    let number = EAP.iter().find(|(name, _)| *name == word).map(|(_, number)| *number);
    let number = number.ok_or_else(|| Error::bad_request(format!("eapType {word:?} is not known")))?;
    let filled = |name: &str| -> Result<Option<String>> {
        let value = text(body, name).map(|value| fill(value, &material.subject));
        value.transpose().map_err(|error| Error::bad_request(format!("{name}: {error}")))
    };
    let mut content = dict! { "AcceptEAPTypes" => Plist::Array(vec![number.into()]) };
    let names = body.get("trustedServerCertificateNames").and_then(Value::as_array);
    if let Some(names) = names.filter(|names| !names.is_empty()) {
        let names = names.iter().filter_map(Value::as_str).map(Plist::from).collect();
        put(&mut content, "TLSTrustedServerNames", Plist::Array(names));
    }
    put_some(&mut content, "OuterIdentity", text(body, "outerIdentityPrivacyTemporaryValue"));
    if word != "eapTls" {
        put_some(&mut content, "UserName", filled("usernameFormatString")?);
        put_some(&mut content, "UserPassword", filled("passwordFormatString")?);
    }
    let inner = text(body, "innerAuthenticationProtocolForEapTtls");
    let inner = inner.and_then(|word| INNER.iter().find(|(name, _)| *name == word));
    if word == "eapTtls" {
        put_some(&mut content, "TTLSInnerAuthentication", inner.map(|(_, word)| *word));
    }
    if word == "eapFast" {
        let (uses, provision, anonymous) = match text(body, "eapFastConfiguration").unwrap_or_default() {
            "useProtectedAccessCredential" => (true, false, false),
            "useProtectedAccessCredentialAndProvision" => (true, true, false),
            "useProtectedAccessCredentialAndProvisionAnonymously" => (true, true, true),
            _ => (false, false, false),
        };
        put(&mut content, "EAPFASTUsePAC", uses);
        put(&mut content, "EAPFASTProvisionPAC", provision);
        put(&mut content, "EAPFASTProvisionPACAnonymously", anonymous);
    }
    Ok(content)
}

impl Service {
    /// The payloads of a Wi-Fi document: roots and identity first, the network last.
    pub(crate) async fn wifi_payloads(
        &self,
        tenant: Uuid,
        command: Uuid,
        material: &Material,
        document: &Document,
        enterprise: bool,
    ) -> Result<Vec<Payload>> {
        let body = document.properties()?;
        let prefix = profile_identifier(document.id);
        let user_enrollment = enrollment_kind(&material.subject.enrollment_type) == EnrollmentKind::User;
        let password = self.document_secret(tenant, document.id, "preSharedKey", &body).await?;
        let password = password.as_ref().map(|secret| secret.expose().as_str());
        let mut content = network(&body, password.filter(|_| !enterprise), user_enrollment)?;
        let mut payloads = Vec::new();
        if enterprise {
            let mut eap = eap(&body, material)?;
            let mut anchors = Vec::new();
            let mut roots: Vec<_> = SERVER_ROOTS
                .iter()
                .flat_map(|link| linked(&body, link).into_iter().map(move |id| (id, *link)))
                .collect();
            roots.sort();
            roots.dedup_by_key(|(id, _)| *id);
            for (id, link) in roots {
                let uuid = uuid_of(&material.version, &format!("root/{id}"));
                let root = material.document(id, link)?;
                payloads.push(root_payload(root, &format!("{prefix}.root.{id}"), &uuid)?);
                anchors.push(Plist::from(uuid));
            }
            if !anchors.is_empty() {
                put(&mut eap, "PayloadCertificateAnchorUUID", Plist::Array(anchors));
            }
            let certificate = text(&body, "authenticationMethod") == Some("certificate")
                || text(&body, "eapType").unwrap_or("eapTls") == "eapTls";
            if certificate {
                let link = "identityCertificateForClientAuthentication";
                let id = linked(&body, link).first().copied();
                let id = id.ok_or_else(|| Error::bad_request(format!("{link} is not set; EAP-TLS needs it")))?;
                let uuid = uuid_of(&material.version, "identity");
                let scep = material.document(id, link)?;
                let identifier = format!("{prefix}.identity");
                payloads.push(self.scep_payload(tenant, command, material, scep, &identifier, &uuid).await?);
                put(&mut content, "PayloadCertificateUUID", uuid);
            }
            put(&mut content, "EAPClientConfiguration", eap);
        }
        let uuid = uuid_of(&material.version, "wifi");
        let title = text(&body, "networkName").unwrap_or(&document.display_name);
        payloads.push(Payload::new("com.apple.wifi.managed", &format!("{prefix}.wifi"), &uuid, content).titled(title));
        Ok(payloads)
    }
}
