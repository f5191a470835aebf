//! Documents whose payload must be built: custom profiles, certificates, Wi-Fi, VPN.
//!
//! Only the logical content is made here: what decides whether a device has the right thing. Secrets,
//! challenges and bytes come at hand-out, in `service::desired`.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Channel, EnrollmentKind, Platform, StoredOnly, prepare::is_unset};

mod properties;

use properties::{properties, reason};

/// The shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// An operator's own mobileconfig.
    Custom,
    /// A root certificate.
    TrustedRoot,
    /// A certificate by SCEP.
    Scep,
    /// Wi-Fi with a password or none.
    WiFi,
    /// Wi-Fi with 802.1X.
    EnterpriseWiFi,
    /// A VPN connection, for the device or for apps.
    Vpn,
}

impl Shape {
    /// The word in an item's content.
    pub fn name(self) -> &'static str {
        match self {
            Shape::Custom => "custom",
            Shape::TrustedRoot => "trustedRoot",
            Shape::Scep => "scep",
            Shape::WiFi => "wiFi",
            Shape::EnterpriseWiFi => "enterpriseWiFi",
            Shape::Vpn => "vpn",
        }
    }
}

const TYPES: &[(&str, Shape, Platform)] = &[
    ("iosCustomConfiguration", Shape::Custom, Platform::Ios),
    ("macOSCustomConfiguration", Shape::Custom, Platform::MacOs),
    ("iosTrustedRootCertificate", Shape::TrustedRoot, Platform::Ios),
    ("macOSTrustedRootCertificate", Shape::TrustedRoot, Platform::MacOs),
    ("iosScepCertificateProfile", Shape::Scep, Platform::Ios),
    ("macOSScepCertificateProfile", Shape::Scep, Platform::MacOs),
    ("iosWiFiConfiguration", Shape::WiFi, Platform::Ios),
    ("macOSWiFiConfiguration", Shape::WiFi, Platform::MacOs),
    ("iosEnterpriseWiFiConfiguration", Shape::EnterpriseWiFi, Platform::Ios),
    ("macOSEnterpriseWiFiConfiguration", Shape::EnterpriseWiFi, Platform::MacOs),
    ("iosVpnConfiguration", Shape::Vpn, Platform::Ios),
    ("iosikEv2VpnConfiguration", Shape::Vpn, Platform::Ios),
    ("macOSVpnConfiguration", Shape::Vpn, Platform::MacOs),
];

/// The shape of a Graph type (without namespace).
pub fn shape(graph_type: &str) -> Option<Shape> {
    TYPES.iter().find(|(name, ..)| name.eq_ignore_ascii_case(graph_type)).map(|(_, shape, _)| *shape)
}

/// The platform of a built Graph type.
pub fn platform(graph_type: &str) -> Option<Platform> {
    TYPES.iter().find(|(name, ..)| name.eq_ignore_ascii_case(graph_type)).map(|(.., platform)| *platform)
}

/// Graph types that are built.
pub fn types() -> impl Iterator<Item = (&'static str, Shape, Platform)> {
    TYPES.iter().copied()
}

/// A built document's logical side.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    /// Its shape.
    pub shape: Shape,
    /// Two documents with the same identity and different content are a conflict. `None`: never.
    pub identity: Option<String>,
    /// What must differ for them to be different.
    pub compare: Value,
    /// Properties shown as settings.
    pub settings: Vec<String>,
    /// Other documents it needs: their ids.
    pub references: Vec<Uuid>,
    /// Why it is not sent to anybody, if it is not.
    pub undeliverable: Option<&'static str>,
    /// Hash over everything that is delivered: changes exactly when the profile must.
    pub fingerprint: String,
    /// Only supervised devices take it.
    pub supervised: bool,
    /// User Enrollment does not take it, with the reason.
    pub not_under_user_enrollment: Option<&'static str>,
}

impl Built {
    /// The reason why a channel takes nothing of it.
    pub fn refusal(&self, channel: &Channel) -> Option<&'static str> {
        let own = self.not_under_user_enrollment.filter(|_| channel.enrollment == EnrollmentKind::User);
        own.or_else(|| (self.supervised && !channel.supervised).then_some("needs a supervised device"))
    }
}

/// Configured properties of a document without settings of its own that no device is sent: those that
/// its shape has no use for, or all of a type that is not delivered.
pub(super) fn stored_only(built: Option<&Built>, graph_type: &str, body: &Map<String, Value>) -> Vec<StoredOnly> {
    let configured = body.iter().filter(|(name, value)| !super::is_common(name) && !is_unset(value, &[], false));
    let mut found: Vec<StoredOnly> = configured
        .filter(|(name, _)| built.is_none_or(|built| !properties(built.shape).contains(&name.as_str())))
        .filter(|(name, _)| !LINKS.contains(&name.as_str()))
        .map(|(name, _)| {
            let why = built.and_then(|built| reason(built.shape, name)).map(str::to_owned);
            let reason = why.unwrap_or_else(|| format!("{graph_type} is stored; devices are not sent it"));
            StoredOnly { name: name.clone(), reason }
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Says what a property of a built type is: a setting, or what administrators read of it.
pub fn known(shape: Shape, name: &str) -> bool {
    properties(shape).contains(&name) || reason(shape, name).is_some() || LINKS.contains(&name)
}

/// Links to certificates.
const LINKS: &[&str] = &[
    "rootCertificate",
    "rootCertificateForServerValidation",
    "rootCertificatesForServerValidation",
    "identityCertificate",
    "identityCertificateForClientAuthentication",
];

/// Reads a built document's logical side; `hash` makes fingerprints.
pub fn build(graph_type: &str, body: &Map<String, Value>, hash: &dyn Fn(&[u8]) -> String) -> Built {
    let shape = shape(graph_type).unwrap_or(Shape::Custom);
    let settings: Vec<String> = properties(shape)
        .iter()
        .filter(|name| body.get(**name).is_some_and(|value| !says_nothing(value)))
        .map(|name| (*name).to_owned())
        .collect();
    let references = links(body);
    let identity = match shape {
        Shape::WiFi | Shape::EnterpriseWiFi => {
            body.get("ssid").and_then(Value::as_str).map(|ssid| format!("com.apple.wifi.managed:{ssid}"))
        }
        _ => None,
    };
    let delivered: Map<String, Value> =
        properties(shape).iter().filter_map(|name| Some(((*name).to_owned(), body.get(*name)?.clone()))).collect();
    let fingerprint = hash(json!([graph_type, delivered, references]).to_string().as_bytes());
    let compare = if identity.is_some() { Value::Object(delivered) } else { Value::Null };
    let said = |name: &str| body.get(name) == Some(&Value::Bool(true));
    let word = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let vpn = shape == Shape::Vpn;
    Built {
        supervised: vpn && (said("enableAlwaysOnConfiguration") || word("connectionType") == "alwaysOn"),
        not_under_user_enrollment: (vpn && !said("enablePerApp"))
            .then_some("User Enrollment takes only connections of apps: see enablePerApp"),
        shape,
        identity,
        compare,
        settings,
        references,
        undeliverable: undeliverable(shape, body),
        fingerprint,
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty() || text == "none" || text == "notConfigured",
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// Properties of a shape that User Enrollment does not take.
pub fn not_under_user_enrollment(shape: Shape) -> &'static [&'static str] {
    match shape {
        Shape::WiFi | Shape::EnterpriseWiFi => &[
            "proxySettings",
            "proxyManualAddress",
            "proxyManualPort",
            "proxyAutomaticConfigurationUrl",
            "disableMacAddressRandomization",
        ],
        _ => &[],
    }
}

/// Links of a network to the roots that its server is checked with: the list, and the single one that
/// networks of a Mac have beside it.
pub const SERVER_ROOTS: &[&str] = &["rootCertificatesForServerValidation", "rootCertificateForServerValidation"];

/// Every document that a body links to, each once.
pub fn links(body: &Map<String, Value>) -> Vec<Uuid> {
    let bound = body.keys().filter_map(|name| name.strip_suffix("@odata.bind"));
    let mut found: Vec<Uuid> = bound.chain(LINKS.iter().copied()).flat_map(|name| linked(body, name)).collect();
    found.sort();
    found.dedup();
    found
}

/// Why a document of this shape cannot be delivered to any device, if it cannot.
pub fn undeliverable(shape: Shape, body: &Map<String, Value>) -> Option<&'static str> {
    let urls = body.get("scepServerUrls").and_then(Value::as_array);
    let elsewhere = urls.is_some_and(|urls| urls.iter().filter_map(Value::as_str).any(|url| !url.trim().is_empty()));
    (shape == Shape::Scep && elsewhere).then_some(
        "another SCEP server gives out its challenges itself, and there is no connector that fetches them; \
         leave scepServerUrls empty to use the authority of this server",
    )
}

/// Ids that a link names: `name@odata.bind` with one address or several, or expanded objects.
pub fn linked(body: &Map<String, Value>, name: &str) -> Vec<Uuid> {
    let mut ids = Vec::new();
    let mut take = |value: &Value| {
        let text = value.as_str().or_else(|| value.get("id").and_then(Value::as_str));
        if let Some(id) = text.and_then(last_id) {
            ids.push(id);
        }
    };
    for key in [format!("{name}@odata.bind"), name.to_owned()] {
        match body.get(&key) {
            Some(Value::Array(list)) => list.iter().for_each(&mut take),
            Some(value) => take(value),
            None => {}
        }
    }
    ids
}

/// The last id in an address such as `.../deviceConfigurations('id')` or `.../deviceConfigurations/id`.
fn last_id(text: &str) -> Option<Uuid> {
    text.split(['/', '(', ')', '\'']).rev().find_map(|part| Uuid::parse_str(part).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_in_each_spelling() {
        let id = "0190aaaa-0000-7000-8000-000000000001";
        for text in [
            format!("https://graph.example/beta/deviceManagement/deviceConfigurations('{id}')"),
            format!("https://graph.example/beta/deviceManagement/deviceConfigurations/{id}"),
            id.to_owned(),
        ] {
            let body = json!({"rootCertificate@odata.bind": text});
            assert_eq!(linked(body.as_object().unwrap(), "rootCertificate"), vec![Uuid::parse_str(id).unwrap()]);
        }
        let many = json!({"rootCertificatesForServerValidation": [{"id": id}]});
        assert_eq!(linked(many.as_object().unwrap(), "rootCertificatesForServerValidation").len(), 1);
    }
}
