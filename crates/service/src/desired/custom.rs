//! Custom profiles: an operator's own mobileconfig, checked when it is saved.
//!
//! Only what would keep it from being a profile of ours is checked: that it reads, that it is one
//! configuration profile, that payload identifiers and UUIDs are there and unique, that it does not
//! enroll the device elsewhere. What the payloads ask for is the device's business.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use muster_apple::{
    plist::{Dictionary, Value as Plist},
    profile::Profile,
};
use serde_json::{Map, Value};

use super::{profile_identifier, render::Material};

/// Most bytes of a mobileconfig.
const LIMIT: usize = 1_000_000;

/// Why a custom profile was refused, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct Refused {
    /// Property or key.
    pub place: String,
    /// What is wrong, and what to do.
    pub what: String,
}

fn refused(place: impl Into<String>, what: impl Into<String>) -> Refused {
    Refused { place: place.into(), what: what.into() }
}

/// Reads and checks the profile in a document's `payload`.
pub fn read(body: &Map<String, Value>) -> Result<Profile, Refused> {
    let text = body
        .get("payload")
        .and_then(Value::as_str)
        .ok_or_else(|| refused("payload", "is missing; send the mobileconfig file as base64"))?;
    let bytes = STANDARD
        .decode(text.split_ascii_whitespace().collect::<String>())
        .map_err(|error| refused("payload", format!("is not base64: {error}")))?;
    if bytes.len() > LIMIT {
        return Err(refused("payload", format!("has {} bytes, {LIMIT} are allowed", bytes.len())));
    }
    if bytes.first() == Some(&0x30) {
        return Err(refused("payload", "is a signed profile; send it unsigned, it is signed when it is delivered"));
    }
    let profile = Profile::decode(&bytes).map_err(|error| refused("payload", error.to_string()))?;
    if profile.payloads.is_empty() {
        return Err(refused("payload.PayloadContent", "is empty; the profile would do nothing"));
    }
    let (mut identifiers, mut uuids) = (BTreeSet::new(), BTreeSet::new());
    for (n, payload) in profile.payloads.iter().enumerate() {
        let place = format!("payload.PayloadContent[{n}]");
        if payload.payload_type == "com.apple.mdm" {
            return Err(refused(place, "is an enrollment; a custom profile cannot enroll the device elsewhere"));
        }
        for (key, value) in [
            ("PayloadType", &payload.payload_type),
            ("PayloadIdentifier", &payload.identifier),
            ("PayloadUUID", &payload.uuid),
        ] {
            if value.trim().is_empty() {
                return Err(refused(format!("{place}.{key}"), "is empty"));
            }
        }
        if !identifiers.insert(payload.identifier.as_str()) {
            let what = format!("{:?} stands twice; payload identifiers must differ", payload.identifier);
            return Err(refused(format!("{place}.PayloadIdentifier"), what));
        }
        if !uuids.insert(payload.uuid.to_ascii_uppercase()) {
            let what = format!("{:?} stands twice; payload UUIDs must differ", payload.uuid);
            return Err(refused(format!("{place}.PayloadUUID"), what));
        }
    }
    Ok(profile)
}

/// The profile for one device: identifiers under the document's own, device variables filled in.
pub(crate) fn personal(mut profile: Profile, material: &Material) -> Profile {
    let prefix = profile_identifier(material.document);
    if profile.display_name.trim().is_empty() {
        profile.display_name.clone_from(&material.name);
    }
    for payload in &mut profile.payloads {
        payload.identifier = format!("{prefix}.{}", payload.identifier);
        fill_dictionary(&mut payload.content, material);
    }
    profile
}

fn fill_dictionary(dictionary: &mut Dictionary, material: &Material) {
    for (_, value) in dictionary.iter_mut() {
        fill(value, material, 0);
    }
}

/// Nesting is bounded by the decoder; the counter says so again.
fn fill(value: &mut Plist, material: &Material, depth: usize) {
    match value {
        Plist::String(text) if text.contains("{{") => *text = super::variables::fill_known(text, &material.subject),
        Plist::Array(list) if depth < 64 => list.iter_mut().for_each(|value| fill(value, material, depth + 1)),
        Plist::Dictionary(members) if depth < 64 => {
            for (_, value) in members.iter_mut() {
                fill(value, material, depth + 1);
            }
        }
        _ => {}
    }
}
