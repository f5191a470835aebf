//! Account-driven enrollment up to the profile: the well-known document, the challenge that opens
//! a web view, and the hand-over at its end.
//!
//! Apple: "Discover account-driven enrollment servers", "Implementing the simple authentication
//! user-enrollment flow".

use serde::{Deserialize, Serialize};

use crate::plist::DecodeError;

/// Path of the discovery document on an organisation's mail domain.
pub const WELL_KNOWN_PATH: &str = "/.well-known/com.apple.remotemanagement";
/// Content type of an enrollment profile.
pub const PROFILE_TYPE: &str = "application/x-apple-aspen-config";
/// Scheme and host that end the web view.
const RESULTS: &str = "apple-remotemanagement-user-login://authentication-results?access-token=";

/// `Version` of a server in the discovery document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Version {
    /// User Enrollment.
    #[serde(rename = "mdm-byod")]
    Byod,
    /// Device Enrollment.
    #[serde(rename = "mdm-adde")]
    Adde,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Kind of enrollment.
    #[serde(rename = "Version")]
    pub version: Version,
    /// Where to ask for the profile.
    #[serde(rename = "BaseURL")]
    pub base_url: String,
}

#[derive(Serialize, Deserialize)]
struct Document {
    #[serde(rename = "Servers")]
    servers: Vec<Server>,
}

/// The discovery document: exactly one server.
pub fn encode(server: &Server) -> Vec<u8> {
    serde_json::to_vec(&Document { servers: vec![server.clone()] }).expect("plain strings serialize")
}

/// Reads a discovery document: exactly one entry that we know.
pub fn decode(bytes: &[u8]) -> Result<Server, DecodeError> {
    if bytes.len() > 64 * 1024 {
        return Err(DecodeError::TooLong(bytes.len(), 64 * 1024));
    }
    let mut document: Document =
        serde_json::from_slice(bytes).map_err(|error| DecodeError::Syntax(error.to_string()))?;
    match (document.servers.pop(), document.servers.is_empty()) {
        (Some(server), true) => Ok(server),
        (None, _) => Err(DecodeError::Missing("Servers".into())),
        (Some(_), false) => Err(DecodeError::Key("Servers".into(), "has more than one entry")),
    }
}

/// The `WWW-Authenticate` value that opens a web view at `url`.
pub fn web_challenge(url: &str) -> String {
    format!("Bearer method=\"apple-as-web\", url=\"{url}\"")
}

/// Reads [`web_challenge`], with or without the comma.
pub fn decode_web_challenge(header: &str) -> Option<String> {
    let rest = header.strip_prefix("Bearer ")?;
    let parameter = |name: &str| {
        let start = rest.find(&format!("{name}=\""))? + name.len() + 2;
        let end = rest[start..].find('"')? + start;
        Some(rest[start..end].to_owned())
    };
    (parameter("method")? == "apple-as-web").then(|| parameter("url")).flatten()
}

/// The `Location` that ends the web view and hands the token over.
pub fn results_location(token: &str) -> String {
    format!("{RESULTS}{token}")
}

/// Reads [`results_location`].
pub fn decode_results_location(location: &str) -> Option<&str> {
    location.strip_prefix(RESULTS).filter(|token| !token.is_empty())
}
