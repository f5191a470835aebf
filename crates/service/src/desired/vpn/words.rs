//! Graph's words in Apple's, and the parts of a connection that are rows of them.

use muster_apple::{
    dict,
    plist::{Dictionary, Value as Plist, put, put_some},
};
use serde_json::{Map, Value};

use super::bad;
use crate::Result;

/// Bundle identifiers of the apps behind Graph's words. Where a vendor's differs by version,
/// `identifier` in the document names it.
pub(super) const PLUGINS: &[(&str, &str)] = &[
    ("checkPointCapsuleVpn", "com.checkpoint.CheckPoint-VPN.vpnplugin"),
    ("ciscoAnyConnect", "com.cisco.anyconnect.applevpn.plugin"),
    ("ciscoAnyConnectV2", "com.cisco.anyconnect"),
    ("citrix", "com.citrix.NetScalerGateway.ios.app.vpnplugin"),
    ("citrixSso", "com.citrix.NetScalerGateway.ios.app"),
    ("dellSonicWallMobileConnect", "com.sonicwall.SonicWALL-SSLVPN.vpnplugin"),
    ("f5Access2018", "com.f5.access.ios"),
    ("f5EdgeClient", "com.f5.F5-Edge-Client.vpnplugin"),
    ("paloAltoGlobalProtect", "com.paloaltonetworks.GlobalProtect.vpnplugin"),
    ("paloAltoGlobalProtectV2", "com.paloaltonetworks.globalprotect.vpn"),
    ("pulseSecure", "net.pulsesecure.pulsesecure"),
];
pub(super) const ENCRYPTION: &[(&str, &str)] = &[
    ("aes128", "AES-128"),
    ("aes128Gcm", "AES-128-GCM"),
    ("aes256", "AES-256"),
    ("aes256Gcm", "AES-256-GCM"),
    ("chaCha20Poly1305", "ChaCha20Poly1305"),
    ("des", "DES"),
    ("tripleDes", "3DES"),
];
pub(super) const INTEGRITY: &[(&str, &str)] = &[
    ("sha1_160", "SHA1-160"),
    ("sha1_96", "SHA1-96"),
    ("sha2_256", "SHA2-256"),
    ("sha2_384", "SHA2-384"),
    ("sha2_512", "SHA2-512"),
];
pub(super) const SERVER_KEY: &[(&str, &str)] =
    &[("ecdsa256", "ECDSA256"), ("ecdsa384", "ECDSA384"), ("ecdsa521", "ECDSA521"), ("rsa", "RSA")];
pub(super) const PEER_CHECK: &[(&str, &str)] =
    &[("high", "High"), ("low", "Low"), ("medium", "Medium"), ("none", "None")];
pub(super) const ACTION: &[(&str, &str)] = &[
    ("connect", "Connect"),
    ("disconnect", "Disconnect"),
    ("evaluateConnection", "EvaluateConnection"),
    ("ignore", "Ignore"),
];
pub(super) const INTERFACE: &[(&str, &str)] = &[("cellular", "Cellular"), ("ethernet", "Ethernet"), ("wiFi", "WiFi")];

pub(super) type Body = Map<String, Value>;

pub(super) fn text<'a>(body: &'a Body, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

pub(super) fn flag(body: &Body, name: &str) -> bool {
    body.get(name).and_then(Value::as_bool).unwrap_or(false)
}

pub(super) fn word(words: &'static [(&str, &str)], said: &str) -> Option<&'static str> {
    words.iter().find(|(name, _)| *name == said).map(|(_, word)| *word)
}

pub(super) fn texts(body: &Body, name: &str) -> Option<Plist> {
    let list = body.get(name)?.as_array()?;
    let list: Vec<Plist> = list.iter().filter_map(Value::as_str).map(|text| Plist::from(text.trim())).collect();
    (!list.is_empty()).then_some(Plist::Array(list))
}

/// 1 where the property is true; nothing elsewhere, for 0 is what the device takes by itself.
pub(super) fn switch(into: &mut Dictionary, key: &str, body: &Body, name: &str) {
    if flag(body, name) {
        put(into, key, 1);
    }
}

/// One of the two sets of parameters; none where the device's own are good enough.
pub(super) fn parameters(body: &Body, name: &str) -> Result<Option<Dictionary>> {
    let default = match name {
        "securityAssociationParameters" => "allowDefaultSecurityAssociationParameters",
        _ => "allowDefaultChildSecurityAssociationParameters",
    };
    let Some(said) = body.get(name).and_then(Value::as_object).filter(|_| !flag(body, default)) else {
        return Ok(None);
    };
    let mut content = Dictionary::new();
    for (property, key, words) in [
        ("securityEncryptionAlgorithm", "EncryptionAlgorithm", ENCRYPTION),
        ("securityIntegrityAlgorithm", "IntegrityAlgorithm", INTEGRITY),
    ] {
        if let Some(said) = text(said, property) {
            let known = word(words, said);
            put(&mut content, key, known.ok_or_else(|| bad(format!("{name}.{property}: devices do not take {said}")))?);
        }
    }
    let number = |name: &str| said.get(name).and_then(Value::as_i64).filter(|number| *number > 0);
    if let Some(group) = number("securityDiffieHellmanGroup") {
        if ![1, 2, 5, 14, 15, 16, 17, 18, 19, 20, 21, 31, 32].contains(&group) {
            return Err(bad(format!("{name}.securityDiffieHellmanGroup: devices do not take the group {group}")));
        }
        put(&mut content, "DiffieHellmanGroup", group);
    }
    if let Some(minutes) = number("lifetimeInMinutes") {
        if !(10..=1440).contains(&minutes) {
            return Err(bad(format!("{name}.lifetimeInMinutes must be between 10 and 1440")));
        }
        put(&mut content, "LifeTimeInMinutes", minutes);
    }
    Ok((!content.is_empty()).then_some(content))
}

/// When the device connects by itself.
pub(super) fn on_demand(into: &mut Dictionary, body: &Body) {
    let rules = body.get("onDemandRules").and_then(Value::as_array);
    let rules: Vec<Plist> = rules.into_iter().flatten().filter_map(Value::as_object).filter_map(rule).collect();
    if !rules.is_empty() {
        put(into, "OnDemandEnabled", 1);
        put(into, "OnDemandRules", Plist::Array(rules));
    }
    switch(into, "OnDemandUserOverrideDisabled", body, "disableOnDemandUserOverride");
}

pub(super) fn rule(rule: &Body) -> Option<Plist> {
    let action = word(ACTION, text(rule, "action")?)?;
    let mut content = dict! { "Action" => action };
    put_some(&mut content, "SSIDMatch", texts(rule, "ssids"));
    put_some(&mut content, "DNSDomainMatch", texts(rule, "dnsSearchDomains"));
    put_some(&mut content, "DNSServerAddressMatch", texts(rule, "dnsServerAddressMatch"));
    let interface = text(rule, "interfaceTypeMatch").and_then(|said| word(INTERFACE, said));
    put_some(&mut content, "InterfaceTypeMatch", interface);
    put_some(&mut content, "URLStringProbe", text(rule, "probeUrl"));
    if action == "EvaluateConnection" {
        let mut parameters = dict! {
            "Domains" => texts(rule, "domains")?,
            "DomainAction" => match text(rule, "domainAction") {
                Some("neverConnect") => "NeverConnect",
                _ => "ConnectIfNeeded",
            },
        };
        put_some(&mut parameters, "RequiredURLStringProbe", text(rule, "probeRequiredUrl"));
        put(&mut content, "ActionParameters", Plist::Array(vec![parameters.into()]));
    }
    Some(content.into())
}
