//! Declarative management: endpoints, synchronisation tokens, declarations, status reports.
//! JSON inside the check-in message `DeclarativeManagement`.
//!
//! Apple: `declarative/protocol/*.yaml`. What declarations contain is data of the catalogue.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::plist::DecodeError;

/// Longest identifier or server token, in octets.
pub const ID_BYTES: usize = 64;
/// Largest status report.
const REPORT_BYTES: usize = 1 << 20;
/// Values in a status report, counted over all levels.
const REPORT_VALUES: usize = 50_000;

/// The four kinds of declaration, by their word in paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Says which configurations are in force.
    Activation,
    /// Data others refer to.
    Asset,
    /// Settings.
    Configuration,
    /// Facts about the organisation and the server.
    Management,
}

impl Kind {
    /// The word in a path.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Activation => "activation",
            Kind::Asset => "asset",
            Kind::Configuration => "configuration",
            Kind::Management => "management",
        }
    }

    /// By the declaration's `Type`, e.g. `com.apple.configuration.passcode.settings`.
    pub fn of_type(declaration_type: &str) -> Option<Self> {
        let word = declaration_type.strip_prefix("com.apple.")?.split('.').next()?;
        [Kind::Activation, Kind::Asset, Kind::Configuration, Kind::Management]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

/// What a message asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The current tokens.
    Tokens,
    /// All declarations with their tokens.
    DeclarationItems,
    /// One declaration.
    Declaration(Kind, String),
    /// A status report.
    Status,
}

impl Endpoint {
    /// Reads `Endpoint`; identifiers may contain `/`.
    pub fn decode(endpoint: &str) -> Option<Self> {
        match endpoint {
            "tokens" => Some(Endpoint::Tokens),
            "declaration-items" => Some(Endpoint::DeclarationItems),
            "status" => Some(Endpoint::Status),
            _ => {
                let mut parts = endpoint.splitn(3, '/');
                let (word, kind, id) = (parts.next()?, parts.next()?, parts.next()?);
                let kind = [Kind::Activation, Kind::Asset, Kind::Configuration, Kind::Management]
                    .into_iter()
                    .find(|known| known.as_str() == kind)?;
                let fits = word == "declaration" && !id.is_empty() && id.len() <= ID_BYTES;
                fits.then(|| Endpoint::Declaration(kind, id.to_owned()))
            }
        }
    }

    /// Writes `Endpoint`.
    pub fn encode(&self) -> String {
        match self {
            Endpoint::Tokens => "tokens".into(),
            Endpoint::DeclarationItems => "declaration-items".into(),
            Endpoint::Status => "status".into(),
            Endpoint::Declaration(kind, id) => format!("declaration/{}/{id}", kind.as_str()),
        }
    }
}

/// Answer to `tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// `SyncTokens`.
    #[serde(rename = "SyncTokens")]
    pub sync_tokens: SyncTokens,
}

/// `SyncTokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncTokens {
    /// RFC 3339 without fractions.
    #[serde(rename = "Timestamp")]
    pub timestamp: String,
    /// Changes exactly when the list changes.
    #[serde(rename = "DeclarationsToken")]
    pub declarations_token: String,
}

/// One line of `declaration-items`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Item {
    /// Identifier.
    #[serde(rename = "Identifier")]
    pub identifier: String,
    /// Changes exactly when the declaration changes.
    #[serde(rename = "ServerToken")]
    pub server_token: String,
}

/// `Declarations`: all four lists are required even if empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemLists {
    /// Activations.
    #[serde(rename = "Activations")]
    pub activations: Vec<Item>,
    /// Assets.
    #[serde(rename = "Assets")]
    pub assets: Vec<Item>,
    /// Configurations.
    #[serde(rename = "Configurations")]
    pub configurations: Vec<Item>,
    /// Management.
    #[serde(rename = "Management")]
    pub management: Vec<Item>,
}

impl ItemLists {
    /// The list of a kind.
    pub fn of(&mut self, kind: Kind) -> &mut Vec<Item> {
        match kind {
            Kind::Activation => &mut self.activations,
            Kind::Asset => &mut self.assets,
            Kind::Configuration => &mut self.configurations,
            Kind::Management => &mut self.management,
        }
    }

    /// Every line with its kind.
    pub fn all(&self) -> impl Iterator<Item = (Kind, &Item)> {
        let tag = |kind: Kind| move |item| (kind, item);
        (self.activations.iter().map(tag(Kind::Activation)))
            .chain(self.assets.iter().map(tag(Kind::Asset)))
            .chain(self.configurations.iter().map(tag(Kind::Configuration)))
            .chain(self.management.iter().map(tag(Kind::Management)))
    }
}

/// Answer to `declaration-items`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclarationItems {
    /// The lists.
    #[serde(rename = "Declarations")]
    pub declarations: ItemLists,
    /// As in [`SyncTokens`].
    #[serde(rename = "DeclarationsToken")]
    pub declarations_token: String,
}

/// Answer to `declaration/...`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declaration {
    /// e.g. `com.apple.configuration.passcode.settings`.
    #[serde(rename = "Type")]
    pub declaration_type: String,
    /// Identifier.
    #[serde(rename = "Identifier")]
    pub identifier: String,
    /// Server token.
    #[serde(rename = "ServerToken")]
    pub server_token: String,
    /// Its own keys.
    #[serde(rename = "Payload")]
    pub payload: Map<String, Value>,
}

/// A status report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    /// Nested objects by dotted name.
    #[serde(rename = "StatusItems", default)]
    pub status_items: Map<String, Value>,
    /// Items that could not be reported.
    #[serde(rename = "Errors", default)]
    pub errors: Vec<Value>,
    /// True: replaces everything known.
    #[serde(rename = "FullReport", default, skip_serializing_if = "Option::is_none")]
    pub full_report: Option<bool>,
}

/// What a report says of one declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclarationStatus {
    /// Which list it stood in.
    pub kind: Kind,
    /// Identifier.
    pub identifier: String,
    /// The device acts on it.
    pub active: bool,
    /// `valid`, `invalid` or `unknown`.
    pub valid: String,
    /// Of the version it speaks of.
    pub server_token: String,
    /// First reason: code and description.
    pub reason: Option<(String, String)>,
}

impl StatusReport {
    /// Decodes a report: bounded in bytes, depth (by the JSON reader) and number of values.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > REPORT_BYTES {
            return Err(DecodeError::TooLong(bytes.len(), REPORT_BYTES));
        }
        let report: StatusReport =
            serde_json::from_slice(bytes).map_err(|error| DecodeError::Syntax(error.to_string()))?;
        let mut left = REPORT_VALUES;
        for value in report.status_items.values().chain(&report.errors) {
            count(value, &mut left)?;
        }
        Ok(report)
    }

    /// Encodes a report.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("JSON values serialize")
    }

    /// A status item by its dotted name, e.g. `device.operating-system.version`.
    pub fn item(&self, name: &str) -> Option<&Value> {
        let mut parts = name.split('.');
        let mut value = self.status_items.get(parts.next()?)?;
        for part in parts {
            value = value.get(part)?;
        }
        Some(value)
    }

    /// Sets a status item by its dotted name.
    pub fn set_item(&mut self, name: &str, value: Value) {
        let mut parts: Vec<&str> = name.split('.').collect();
        let last = parts.pop().unwrap_or_default();
        let mut place = &mut self.status_items;
        for part in parts {
            let inner = place.entry(part).or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            let Value::Object(map) = inner else { return };
            place = map;
        }
        place.insert(last.to_owned(), value);
    }

    /// The state of declarations in this report.
    pub fn declarations(&self) -> Vec<DeclarationStatus> {
        let mut states = Vec::new();
        for (list, kind) in [
            ("activations", Kind::Activation),
            ("assets", Kind::Asset),
            ("configurations", Kind::Configuration),
            ("management", Kind::Management),
        ] {
            let items = self.item(&format!("management.declarations.{list}")).and_then(Value::as_array);
            for item in items.into_iter().flatten() {
                let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
                let identifier = text("identifier");
                if identifier.is_empty() || identifier.len() > ID_BYTES {
                    continue;
                }
                let reason = item.get("reasons").and_then(|reasons| reasons.get(0)).map(|reason| {
                    let text = |key: &str| {
                        let text = reason.get(key).and_then(Value::as_str).unwrap_or_default();
                        text.chars().take(512).collect::<String>()
                    };
                    (text("code"), text("description"))
                });
                states.push(DeclarationStatus {
                    kind,
                    identifier,
                    active: item.get("active").and_then(Value::as_bool).unwrap_or(false),
                    valid: text("valid"),
                    server_token: text("server-token"),
                    reason,
                });
            }
        }
        states
    }
}

fn count(value: &Value, left: &mut usize) -> Result<(), DecodeError> {
    *left = left.checked_sub(1).ok_or(DecodeError::TooMany(REPORT_VALUES))?;
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| count(item, left)),
        Value::Object(map) => map.values().try_for_each(|item| count(item, left)),
        Value::String(text) if text.contains('\0') => Err(DecodeError::Markup("a NUL character")),
        _ => Ok(()),
    }
}

/// `com.apple.activation.simple` over configurations.
pub fn simple_activation(configurations: &[String]) -> Map<String, Value> {
    let mut payload = Map::new();
    payload.insert("StandardConfigurations".into(), configurations.into());
    payload
}

/// `com.apple.configuration.management.status-subscriptions` for these items.
pub fn status_subscriptions(items: &[&str]) -> Map<String, Value> {
    let items = items.iter().map(|name| serde_json::json!({ "Name": name })).collect();
    let mut payload = Map::new();
    payload.insert("StatusItems".into(), Value::Array(items));
    payload
}
