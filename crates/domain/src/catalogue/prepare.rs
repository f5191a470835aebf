//! A document read against the catalogue, once per version.

use serde_json::{Map, Value};

use uuid::Uuid;

use super::{Entry, Kind, Link, Platform, built, is_declaration, kind, platform, short, variables};

/// A configured setting of a document.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its entry.
    pub entry: &'static Entry,
    /// The value that Graph holds.
    pub value: Value,
    /// What goes into which payload: type, dotted key, value.
    pub writes: Vec<(&'static str, &'static str, Value)>,
}

/// A configured property that is stored and not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOnly {
    /// Graph's property name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// What a document asks for, independent of any device.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Graph type without its namespace.
    pub graph_type: String,
    /// Where it goes.
    pub platform: Platform,
    /// It belongs on the user channel of a Mac.
    pub user_channel: bool,
    /// The device takes it as declarations, not as a profile.
    pub declared: bool,
    /// Settings from the catalogue.
    pub settings: Vec<Setting>,
    /// A shape that needs building.
    pub built: Option<built::Built>,
    /// Certificate profiles that settings use.
    pub links: Vec<(&'static Link, Uuid)>,
    /// Configured properties that say how another one counts, and those.
    pub parts: Vec<(&'static str, &'static [String])>,
    /// What cannot be delivered yet.
    pub stored_only: Vec<StoredOnly>,
}

impl Prepared {
    /// The documents this one cannot be delivered without.
    pub fn references(&self) -> Vec<Uuid> {
        let built = self.built.iter().flat_map(|built| built.references.iter().copied());
        built.chain(self.links.iter().map(|(_, id)| *id)).collect()
    }
}

/// Properties of every document, none of them a setting.
const COMMON: &[&str] = &[
    "id",
    "displayName",
    "description",
    "version",
    "createdDateTime",
    "lastModifiedDateTime",
    "roleScopeTagIds",
    "supportsScopeTags",
    "assignments",
    "deploymentChannel",
];

/// Reads a document; `hash` makes fingerprints. `None`: a type of a system that is not here.
pub fn prepare(odata_type: &str, body: &Map<String, Value>, hash: &dyn Fn(&[u8]) -> String) -> Option<Prepared> {
    let graph_type = short(odata_type).to_owned();
    let user_channel = body.get("deploymentChannel").and_then(Value::as_str) == Some("userChannel");
    let Some(kind) = kind(&graph_type) else {
        let platform = platform(&graph_type).or_else(|| Platform::of_type(&graph_type))?;
        let built = built::platform(&graph_type).map(|_| built::build(&graph_type, body, hash));
        let stored_only = built::stored_only(built.as_ref(), &graph_type, body);
        return Some(Prepared {
            platform,
            user_channel: user_channel && platform == Platform::MacOs,
            declared: false,
            settings: Vec::new(),
            built,
            links: Vec::new(),
            parts: Vec::new(),
            stored_only,
            graph_type,
        });
    };
    let mut settings = Vec::new();
    let mut stored_only = Vec::new();
    for (name, value) in body {
        if is_common(name) || kind.part_of.contains_key(name) || kind.links.iter().any(|link| link.name == *name) {
            continue;
        }
        let Some(entry) = kind.settings.iter().find(|entry| entry.name == *name) else {
            if !is_unset(value, &[], false) {
                let reason = kind.stored_only.get(name).map_or("stored; not delivered yet", String::as_str);
                stored_only.push(StoredOnly { name: name.clone(), reason: reason.to_owned() });
            }
            continue;
        };
        if is_unset(value, &entry.unset, entry.false_counts) {
            continue;
        }
        let writes: Vec<_> = entry
            .delivery
            .iter()
            .filter_map(|d| Some((d.payload.as_str(), d.key.as_str(), d.write(value, body)?)))
            .collect();
        if writes.is_empty() {
            stored_only.push(StoredOnly { name: name.clone(), reason: "this value asks nothing of the device".into() });
        } else {
            stored_only.extend(unknown_variables(name, value));
            settings.push(Setting { entry, value: value.clone(), writes });
        }
    }
    settings.sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
    stored_only.sort_by(|a, b| a.name.cmp(&b.name));
    stored_only.dedup();
    Some(Prepared {
        platform: kind.platform,
        user_channel: user_channel && kind.platform == Platform::MacOs,
        declared: kind.settings.iter().flat_map(|entry| &entry.delivery).any(|d| is_declaration(&d.payload)),
        settings,
        built: None,
        links: kind
            .links
            .iter()
            .filter(|link| link.when.iter().all(|(name, wanted)| body.get(name) == Some(wanted)))
            .flat_map(|link| built::linked(body, &link.name).into_iter().map(move |id| (link, id)))
            .collect(),
        parts: parts(kind, body),
        stored_only,
        graph_type,
    })
}

/// True for what every document has and no device is sent.
pub fn is_common(name: &str) -> bool {
    COMMON.contains(&name) || name.contains('@') || name.starts_with("deviceManagementApplicability")
}

/// Variables that nobody knows, each told beside the setting that is sent with it.
fn unknown_variables(name: &str, value: &Value) -> Vec<StoredOnly> {
    let told = |unknown: &str| StoredOnly {
        name: format!("{name} {{{{{unknown}}}}}"),
        reason: format!("{{{{{unknown}}}}} is no variable; it is sent as it stands"),
    };
    match value {
        Value::String(text) => variables::unknown(text).map(told).collect(),
        Value::Array(list) => list.iter().flat_map(|value| unknown_variables(name, value)).collect(),
        Value::Object(members) => members.values().flat_map(|value| unknown_variables(name, value)).collect(),
        _ => Vec::new(),
    }
}

/// Configured properties that say how another one counts.
fn parts(kind: &'static Kind, body: &Map<String, Value>) -> Vec<(&'static str, &'static [String])> {
    let said = |name: &str| body.get(name).is_some_and(|value| !is_unset(value, &[], false));
    let parts = kind.part_of.iter().filter(|(name, _)| said(name));
    parts.map(|(name, whole)| (name.as_str(), whole.as_slice())).collect()
}

pub(super) fn is_unset(value: &Value, unset: &[Value], false_counts: bool) -> bool {
    if unset.contains(value) {
        return true;
    }
    match value {
        Value::Null => true,
        Value::Bool(truth) => !truth && !false_counts,
        Value::String(text) => {
            matches!(text.as_str(), "" | "notConfigured" | "none" | "deviceDefault" | "browserDefault")
        }
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.iter().all(|(name, value)| name.contains('@') || value.is_null()),
        Value::Number(_) => false,
    }
}
