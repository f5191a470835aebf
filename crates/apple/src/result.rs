//! What a device says about a command, and `Idle`.
//!
//! Apple: "Sending MDM commands", "Handling NotNow status responses".

use crate::{
    ids::EnrollmentIds,
    plist::{self, DecodeError, Dictionary, Limits, Read, Value, put},
};

/// `Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// The device asks for work.
    Idle,
    /// Done.
    Acknowledged,
    /// Failed; see the error chain.
    Error,
    /// The device does not understand the command.
    CommandFormatError,
    /// Not now; the command stays queued.
    NotNow,
}

impl Status {
    /// Apple's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Idle => "Idle",
            Status::Acknowledged => "Acknowledged",
            Status::Error => "Error",
            Status::CommandFormatError => "CommandFormatError",
            Status::NotNow => "NotNow",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Status::Idle, Status::Acknowledged, Status::Error, Status::CommandFormatError, Status::NotNow]
            .into_iter()
            .find(|status| status.as_str() == word)
    }
}

/// One item of `ErrorChain`, top level first. Codes are diagnostics: never branch on texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorChainItem {
    /// `ErrorCode`.
    pub code: i64,
    /// `ErrorDomain`.
    pub domain: String,
    /// `LocalizedDescription`.
    pub localized_description: Option<String>,
    /// `USEnglishDescription`.
    pub us_english_description: Option<String>,
}

/// A device's PUT to the command URL.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandResult {
    /// Who sends it.
    pub ids: EnrollmentIds,
    /// What it says.
    pub status: Status,
    /// The command it speaks of; none with `Idle`.
    pub command_uuid: Option<String>,
    /// Why it failed.
    pub error_chain: Vec<ErrorChainItem>,
    /// Every other key: the result itself.
    pub body: Dictionary,
}

/// Items of an error chain that are kept.
const CHAIN_ITEMS: usize = 16;
/// Longest text of an error that is kept.
const CHAIN_TEXT: usize = 1024;

const ENVELOPE: [&str; 10] = [
    "UDID",
    "EnrollmentID",
    "EnrollmentUserID",
    "UserID",
    "UserShortName",
    "UserLongName",
    "NotOnConsole",
    "Status",
    "CommandUUID",
    "ErrorChain",
];

impl CommandResult {
    /// An `Idle` poll.
    pub fn idle(ids: EnrollmentIds) -> Self {
        CommandResult {
            ids,
            status: Status::Idle,
            command_uuid: None,
            error_chain: Vec::new(),
            body: Dictionary::new(),
        }
    }

    /// A result of `status` for the command `uuid`.
    pub fn of(ids: EnrollmentIds, status: Status, uuid: &str, body: Dictionary) -> Self {
        CommandResult { ids, status, command_uuid: Some(uuid.into()), error_chain: Vec::new(), body }
    }

    /// Decodes a request body.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut message = plist::decode_dictionary(bytes, &Limits::RESULT)?;
        let ids = EnrollmentIds::decode(&message)?;
        let status = Status::parse(&message.need_text("Status")?)
            .ok_or_else(|| DecodeError::Key("Status".into(), "is not a status we know"))?;
        let command_uuid = message.text("CommandUUID")?;
        if command_uuid.as_ref().is_some_and(|uuid| uuid.len() > 128) {
            return Err(DecodeError::Key("CommandUUID".into(), "is too long"));
        }
        if status != Status::Idle && command_uuid.is_none() {
            return Err(DecodeError::Missing("CommandUUID".into()));
        }
        let error_chain = message
            .array("ErrorChain")?
            .map(|items| items.iter().take(CHAIN_ITEMS).filter_map(chain_item).collect())
            .unwrap_or_default();
        for key in ENVELOPE {
            message.remove(key);
        }
        Ok(CommandResult { ids, status, command_uuid, error_chain, body: message })
    }

    /// Encodes the result as a device sends it.
    pub fn encode(&self) -> Vec<u8> {
        let mut message = Dictionary::new();
        self.ids.encode(&mut message);
        put(&mut message, "Status", self.status.as_str());
        if let Some(uuid) = &self.command_uuid {
            put(&mut message, "CommandUUID", uuid.clone());
        }
        if !self.error_chain.is_empty() {
            let chain = self.error_chain.iter().map(|item| Value::Dictionary(encode_item(item))).collect();
            put(&mut message, "ErrorChain", Value::Array(chain));
        }
        for (key, value) in &self.body {
            message.insert(key.clone(), value.clone());
        }
        plist::encode_dictionary(message)
    }
}

fn chain_item(value: &Value) -> Option<ErrorChainItem> {
    let item = value.as_dictionary()?;
    let text = |key: &str| {
        item.get(key).and_then(Value::as_string).map(|text| text.chars().take(CHAIN_TEXT).collect::<String>())
    };
    Some(ErrorChainItem {
        code: item.number("ErrorCode").ok().flatten().unwrap_or_default(),
        domain: text("ErrorDomain").unwrap_or_default(),
        localized_description: text("LocalizedDescription"),
        us_english_description: text("USEnglishDescription"),
    })
}

fn encode_item(item: &ErrorChainItem) -> Dictionary {
    let mut dictionary = crate::dict! { "ErrorCode" => item.code, "ErrorDomain" => item.domain.clone() };
    plist::put_some(&mut dictionary, "LocalizedDescription", item.localized_description.clone());
    plist::put_some(&mut dictionary, "USEnglishDescription", item.us_english_description.clone());
    dictionary
}
