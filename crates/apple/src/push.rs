//! The push that asks a device to connect, and what the push service says when it will not.
//!
//! Apple: "Setting up push notifications for your MDM customers", "Handling notification
//! responses from APNs".

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Body {
    mdm: String,
}

/// The body: exactly `{"mdm": PushMagic}`.
pub fn encode(push_magic: &str) -> Vec<u8> {
    serde_json::to_vec(&Body { mdm: push_magic.into() }).expect("a plain string serializes")
}

/// Reads a body: the PushMagic.
pub fn decode(bytes: &[u8]) -> Option<String> {
    if bytes.len() > 4096 {
        return None;
    }
    serde_json::from_slice::<Body>(bytes).ok().map(|body| body.mdm)
}

/// The JSON of an error answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// e.g. `Unregistered`.
    pub reason: String,
    /// With 410: since when, unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
}

impl Failure {
    /// Reads an error answer; an unreadable one has an empty reason.
    pub fn decode(bytes: &[u8]) -> Self {
        if bytes.len() > 4096 { Failure::default() } else { serde_json::from_slice(bytes).unwrap_or_default() }
    }

    /// The body of an error answer.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain values serialize")
    }
}
