//! Bodies of a 403 that tell a device more than "no".
//!
//! Apple: `mdm/errors/*.yaml`. JSON, so `Content-Type: application/json`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Management of this device has ended: it removes the profile (iOS 17, macOS 14).
pub const UNRECOGNIZED_DEVICE: &str = "com.apple.unrecognized.device";
/// Discovery is refused.
pub const WELL_KNOWN_FAILED: &str = "com.apple.well-known.failed";
/// The device must update first.
pub const SOFTWARE_UPDATE_REQUIRED: &str = "com.apple.softwareupdate.required";

/// A 403 body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Apple's code.
    pub code: String,
    /// For logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// For the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// More, by code.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
}

impl Refusal {
    /// A refusal with a message for the person.
    pub fn new(code: &str, message: &str) -> Self {
        Refusal {
            code: code.into(),
            description: Some(message.into()),
            message: Some(message.into()),
            details: Map::new(),
        }
    }

    /// The body.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain strings serialize")
    }

    /// Reads a body.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > 64 * 1024 { None } else { serde_json::from_slice(bytes).ok() }
    }
}
