//! The catalogue: settings as data (design decision 2).
//!
//! One TOML file per Graph type in `catalogue/`, compiled in. An entry says a setting's name, title,
//! help and category, which payload and key carry it, how the value is written there, from which OS
//! version, whether it needs supervision, and whether User Enrollment takes it. Shapes that need
//! building (Wi-Fi, certificates, custom profiles) are in [`built`]; bytes are the crate `apple`'s.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;
use serde_json::{Map, Value};

pub mod built;
mod channel;
mod form;
mod prepare;
pub mod variables;

pub use channel::{Channel, EnrollmentKind, Platform, Version};
pub use form::{BYTES, Form, ItemKey};
pub use prepare::{Prepared, Setting, StoredOnly, is_common, prepare};

/// How one setting is delivered: a key of a payload, and how the value is written there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// Apple's PayloadType, or the type of a declaration (`com.apple.configuration...`).
    pub payload: String,
    /// Key in the payload; a dot steps into a dictionary.
    pub key: String,
    /// How the value is written.
    #[serde(default)]
    pub form: Form,
    /// Only where other properties of the document have these values.
    #[serde(default)]
    pub when: BTreeMap<String, Value>,
    /// The form gets the whole document instead of the property.
    #[serde(default)]
    pub whole: bool,
}

impl Delivery {
    /// Writes the value of a property of this document; `None` where it says nothing to this key.
    pub fn write(&self, value: &Value, body: &Map<String, Value>) -> Option<Value> {
        if self.when.iter().any(|(name, wanted)| body.get(name) != Some(wanted)) {
            return None;
        }
        if self.whole { self.form.write(&Value::Object(body.clone())) } else { self.form.write(value) }
    }
}

/// A certificate profile that a document refers to and whose identity a payload of it uses. The
/// certificate comes in the same profile, for a payload can name only certificates of its own profile.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Graph's name of the link.
    pub name: String,
    /// For people, short.
    pub title: String,
    /// Apple's PayloadType.
    pub payload: String,
    /// The key that takes the certificate's PayloadUUID.
    pub key: String,
    /// Only where other properties of the document have these values.
    #[serde(default)]
    pub when: BTreeMap<String, Value>,
}

/// Which of two values is the stricter one, for settings where the vendor or the field gives an order.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Strictest {
    /// The greater number, or true.
    Max,
    /// The smaller number that is not zero, or false.
    Min,
    /// The later one of these words.
    Words(Vec<String>),
}

/// One setting.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Graph's property name.
    pub name: String,
    /// For people, short.
    pub title: String,
    /// For people, what it does.
    #[serde(default)]
    pub help: String,
    /// Group on a form.
    pub category: String,
    /// Payload and keys.
    pub delivery: Vec<Delivery>,
    /// Values that mean "not configured", besides null, false, an empty list or text, and Graph's
    /// own words for it.
    #[serde(default)]
    pub unset: Vec<Value>,
    /// True where `false` is a value of its own and is sent.
    #[serde(default)]
    pub false_counts: bool,
    /// Order of strictness, for a setting that a compliance policy also knows.
    #[serde(default)]
    pub strictest: Option<Strictest>,
    /// First OS version that takes it.
    pub since: Version,
    /// Needs supervision.
    #[serde(default)]
    pub supervised: bool,
    /// User Enrollment takes it.
    #[serde(default)]
    pub user_enrollment: bool,
    /// Says more than "not under User Enrollment" where more can be said.
    #[serde(default)]
    pub user_enrollment_note: Option<String>,
}

/// Settings of one Graph type.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    /// Graph type, without `#microsoft.graph.`.
    pub graph_type: String,
    /// Where it goes.
    pub platform: Platform,
    /// Title of the form.
    pub title: String,
    /// The settings.
    #[serde(default, rename = "setting")]
    pub settings: Vec<Entry>,
    /// Properties that are stored and not delivered, with the reason.
    #[serde(default)]
    pub stored_only: BTreeMap<String, String>,
    /// Properties that only say how another one counts, with the names of those.
    #[serde(default)]
    pub part_of: BTreeMap<String, Vec<String>>,
    /// Certificates.
    #[serde(default, rename = "link")]
    pub links: Vec<Link>,
}

/// What must be in a payload for it to be worth sending, by payload type.
const NEEDS: &[(&str, &str)] = &[
    ("com.apple.MCX.FileVault2", "Enable"),
    ("com.apple.app.lock", "App.Identifier"),
    ("com.apple.eas.account", "Host"),
    ("com.apple.extensiblesso", "ExtensionIdentifier"),
    ("com.apple.homescreenlayout", "Pages"),
    ("com.apple.security.FDERecoveryKeyEscrow", "DeviceKey"),
    ("com.apple.security.firewall", "EnableFirewall"),
    ("com.apple.sso", "Kerberos.Realm"),
];

/// The key without which a payload of this type is not sent.
pub fn needs(payload: &str) -> Option<&'static str> {
    NEEDS.iter().find(|(name, _)| *name == payload).map(|(_, key)| *key)
}

/// Payload types that a device adds up when several profiles bring one: lists and dictionaries in
/// them are no conflict.
const ADDED_UP: &[&str] = &[
    "com.apple.TCC.configuration-profile-policy",
    "com.apple.airprint",
    "com.apple.associated-domains",
    "com.apple.loginitems.managed",
    "com.apple.syspolicy.kernel-extension-policy",
    "com.apple.system-extension-policy",
];

/// Says whether values of several profiles stand beside one another here.
pub fn adds_up(payload: &str, value: &Value) -> bool {
    ADDED_UP.contains(&payload) && (value.is_array() || value.is_object())
}

/// True for the type of a declaration.
pub fn is_declaration(payload: &str) -> bool {
    payload.starts_with("com.apple.configuration.")
}

/// The key whose value tells payloads of this type apart, where a device takes several.
pub fn told_apart_by(payload: &str) -> Option<&'static str> {
    match payload {
        "com.apple.eas.account" => Some("Host"),
        "com.apple.extensiblesso" => Some("ExtensionIdentifier"),
        _ => None,
    }
}

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../../catalogue/", $name, ".toml")))),+]
    };
}
static FILES: &[(&str, &str)] = files![
    "iosGeneralDeviceConfiguration",
    "macOSGeneralDeviceConfiguration",
    "iosDeviceFeaturesConfiguration",
    "iosEasEmailProfileConfiguration",
    "iosUpdateConfiguration",
    "macOSDeviceFeaturesConfiguration",
    "macOSEndpointProtectionConfiguration",
    "macOSExtensionsConfiguration",
    "macOSSoftwareUpdateConfiguration",
];

static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    FILES
        .iter()
        .map(|(name, text)| {
            toml::from_str(text).unwrap_or_else(|error| panic!("catalogue/{name}.toml is malformed: {error}"))
        })
        .collect()
});

/// Every type of the catalogue.
pub fn kinds() -> &'static [Kind] {
    &KINDS
}

/// The type by Graph's name, with or without `#microsoft.graph.`.
pub fn kind(odata_type: &str) -> Option<&'static Kind> {
    let name = short(odata_type);
    kinds().iter().find(|kind| kind.graph_type.eq_ignore_ascii_case(name))
}

/// A Graph type's name without its namespace.
pub fn short(odata_type: &str) -> &str {
    odata_type.trim_start_matches('#').trim_start_matches("microsoft.graph.")
}

/// The platform a document of this type is for, if it is one that we deliver.
pub fn platform(odata_type: &str) -> Option<Platform> {
    kind(odata_type).map(|kind| kind.platform).or_else(|| built::platform(short(odata_type)))
}

/// The reason why a channel does not take an entry, or nothing if it takes it.
pub fn refusal(entry: &Entry, channel: &Channel) -> Option<String> {
    let os = channel.platform.name();
    if channel.version < entry.since {
        return Some(format!("needs {os} {} or later", entry.since));
    }
    if channel.enrollment == EnrollmentKind::User && !entry.user_enrollment {
        return Some(
            entry.user_enrollment_note.clone().unwrap_or_else(|| "not available under User Enrollment".to_owned()),
        );
    }
    (entry.supervised && !channel.supervised).then(|| "needs a supervised device".to_owned())
}

/// Which value holds where a compliance policy and a configuration both set something: the stricter
/// one where the catalogue gives an order (all passcode settings), elsewhere the compliance policy's
/// (design, ruling 10).
pub fn held<'a>(entry: &Entry, compliance: &'a Value, configuration: &'a Value) -> &'a Value {
    let stricter = match &entry.strictest {
        None => false,
        Some(Strictest::Max) => rank(configuration) > rank(compliance),
        Some(Strictest::Min) => match (rank(configuration), rank(compliance)) {
            (own, _) if own <= 0.0 => false,
            (own, other) => other <= 0.0 || own < other,
        },
        Some(Strictest::Words(words)) => {
            let place = |value: &Value| words.iter().position(|word| Some(word.as_str()) == value.as_str());
            place(configuration) > place(compliance)
        }
    };
    if stricter { configuration } else { compliance }
}

fn rank(value: &Value) -> f64 {
    match value {
        Value::Bool(truth) => f64::from(u8::from(*truth)),
        other => other.as_f64().unwrap_or(0.0),
    }
}

/// Writes `value` at a dotted key.
pub fn set_key(into: &mut Map<String, Value>, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            into.insert(key.to_owned(), value);
        }
        Some((head, rest)) => {
            let inner = into.entry(head).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                set_key(inner, rest, value);
            }
        }
    }
}

/// Reads a dotted key.
pub fn get_key<'a>(from: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => from.get(key),
        Some((head, rest)) => from.get(head)?.as_object().and_then(|inner| get_key(inner, rest)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn of_compliance_and_configuration_the_stricter_passcode_holds() {
        let kind = kind("#microsoft.graph.iosGeneralDeviceConfiguration").unwrap();
        let holds = |name: &str, compliance: Value, configuration: Value| {
            let entry = kind.settings.iter().find(|entry| entry.name == name).unwrap();
            held(entry, &compliance, &configuration).clone()
        };
        let number = |n: i64| Value::from(n);
        assert_eq!(holds("passcodeMinimumLength", number(6), number(8)), number(8));
        assert_eq!(holds("passcodeMinimumLength", number(8), number(6)), number(8));
        assert_eq!(holds("passcodeExpirationDays", number(90), number(30)), number(30));
        assert_eq!(holds("passcodeExpirationDays", number(90), number(0)), number(90), "0 is no limit");
        let (numeric, letters) = (Value::from("numeric"), Value::from("alphanumeric"));
        assert_eq!(holds("passcodeRequiredType", numeric.clone(), letters.clone()), letters);
        assert_eq!(holds("cameraBlocked", Value::from(false), Value::from(true)), Value::from(false));
        for entry in &kind.settings {
            let passcode = entry.delivery[0].payload == "com.apple.mobiledevice.passwordpolicy";
            assert_eq!(entry.strictest.is_some(), passcode, "{}", entry.name);
        }
    }

    #[test]
    fn every_file_reads_and_names_are_unique() {
        for kind in kinds() {
            let mut names = BTreeSet::new();
            let payloads = || kind.settings.iter().flat_map(|entry| &entry.delivery).map(|d| d.payload.as_str());
            let declared = payloads().filter(|payload| is_declaration(payload)).count();
            let all = payloads().count();
            assert!(declared == 0 || declared == all, "{} has profiles and declarations", kind.graph_type);
            for entry in &kind.settings {
                assert!(names.insert(&entry.name), "{} stands twice in {}", entry.name, kind.graph_type);
                assert!(!entry.delivery.is_empty(), "{} has no delivery", entry.name);
                assert!(!kind.stored_only.contains_key(&entry.name), "{} is both", entry.name);
                assert!(!kind.part_of.contains_key(&entry.name), "{} is both", entry.name);
            }
            for (part, wholes) in &kind.part_of {
                assert!(wholes.iter().all(|whole| names.contains(whole)), "{part} belongs to what is not there");
                assert!(!kind.stored_only.contains_key(part), "{part} is both");
            }
        }
    }
}
