//! Configuration profiles as a device reads and keeps them, and ProfileList.

use std::sync::Arc;

use plist::{Dictionary, Value};

use super::device::{Channel, Device};
use crate::{crypto, plists, plists::Keys};

/// A profile a device was given, read but not yet judged.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Top-level PayloadIdentifier: the same replaces.
    pub identifier: String,
    /// Top-level PayloadUUID.
    pub uuid: String,
    /// The top level without PayloadContent.
    pub top: Dictionary,
    /// Payloads in order.
    pub payloads: Vec<Payload>,
    /// Certificates of the signer, none when unsigned.
    pub signers: Vec<Vec<u8>>,
}

/// One payload.
#[derive(Clone, Debug)]
pub struct Payload {
    /// PayloadType.
    pub payload_type: String,
    /// PayloadIdentifier.
    pub identifier: String,
    /// PayloadUUID.
    pub uuid: String,
    /// The whole payload.
    pub content: Arc<Dictionary>,
}

/// A profile that is installed.
#[derive(Clone, Debug)]
pub struct InstalledProfile {
    /// Top-level PayloadIdentifier.
    pub identifier: String,
    /// Top-level PayloadUUID.
    pub uuid: String,
    /// The top level without PayloadContent.
    pub top: Dictionary,
    /// Payloads.
    pub payloads: Vec<Payload>,
    /// Certificates of the signer.
    pub signers: Vec<Vec<u8>>,
    /// Installed by the server.
    pub managed: bool,
    /// On which channel.
    pub channel: Channel,
    /// The declaration it came with.
    pub declaration: Option<String>,
}

impl Profile {
    /// Reads a profile: an XML property list, or one inside a CMS signature.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let (document, signers) = if bytes.trim_ascii_start().starts_with(b"<") {
            (bytes.to_vec(), Vec::new())
        } else {
            crypto::open_signed(bytes).map_err(|error| format!("the signature cannot be read: {error}"))?
        };
        let mut top = plists::read(&document).map_err(|error| error.to_string())?;
        if top.text("PayloadType") != Some("Configuration") {
            return Err("the PayloadType is not “Configuration”".into());
        }
        let identifier = top.need("PayloadIdentifier").map_err(|error| error.to_string())?.to_owned();
        let uuid = top.need("PayloadUUID").map_err(|error| error.to_string())?.to_owned();
        let content = match top.remove("PayloadContent") {
            Some(Value::Array(content)) => content,
            None => Vec::new(),
            Some(_) => return Err("PayloadContent is no array".into()),
        };
        let payloads = content.into_iter().map(Payload::read).collect::<Result<_, _>>()?;
        Ok(Profile { identifier, uuid, top, payloads, signers })
    }

    /// The only payload of a type.
    pub fn payload(&self, payload_type: &str) -> Option<&Payload> {
        self.payloads.iter().find(|payload| payload.payload_type == payload_type)
    }
}

impl Payload {
    fn read(value: Value) -> Result<Self, String> {
        let Value::Dictionary(content) = value else { return Err("a payload is no dictionary".into()) };
        let need = |key: &str| content.need(key).map(str::to_owned).map_err(|error| error.to_string());
        Ok(Payload {
            payload_type: need("PayloadType")?,
            identifier: need("PayloadIdentifier")?,
            uuid: need("PayloadUUID")?,
            content: Arc::new(content),
        })
    }
}

/// Keys of the top level and of payloads that ProfileList tells.
const TOLD: &[&str] = &["PayloadVersion", "PayloadDisplayName", "PayloadOrganization", "PayloadDescription"];

impl Device {
    pub(crate) fn profile_list(&self, channel: Channel, body: &Dictionary) -> Vec<Value> {
        let managed_only = body.flag("ManagedOnly") || self.is_user_enrollment();
        let shown = |profile: &&InstalledProfile| profile.channel == channel && (profile.managed || !managed_only);
        self.profiles.iter().filter(shown).map(|profile| Value::Dictionary(self.profile_entry(profile))).collect()
    }

    fn profile_entry(&self, profile: &InstalledProfile) -> Dictionary {
        let told = |from: &Dictionary, into: &mut Dictionary| {
            for key in TOLD {
                if let Some(value) = from.get(key) {
                    into.insert((*key).to_owned(), value.clone());
                }
            }
        };
        let payloads = profile
            .payloads
            .iter()
            .map(|payload| {
                let mut entry = plists::dictionary([
                    ("PayloadType", Some(payload.payload_type.clone().into())),
                    ("PayloadIdentifier", Some(payload.identifier.clone().into())),
                ]);
                told(&payload.content, &mut entry);
                if self.tells_payload_uuid() {
                    entry.insert("PayloadUUID".into(), payload.uuid.clone().into());
                }
                Value::Dictionary(entry)
            })
            .collect();
        let mac = self.hardware.family.is_mac();
        let mut entry = plists::dictionary([
            ("PayloadIdentifier", Some(profile.identifier.clone().into())),
            ("PayloadUUID", Some(profile.uuid.clone().into())),
            ("PayloadRemovalDisallowed", Some(profile.top.flag("PayloadRemovalDisallowed").into())),
            ("HasRemovalPasscode", Some(false.into())),
            ("IsEncrypted", Some(false.into())),
            ("IsManaged", (!mac).then(|| profile.managed.into())),
            ("PayloadContent", Some(Value::Array(payloads))),
        ]);
        told(&profile.top, &mut entry);
        if !profile.signers.is_empty() {
            let signers = profile.signers.iter().map(|der| Value::Data(der.clone())).collect();
            entry.insert("SignerCertificates".into(), Value::Array(signers));
        }
        entry
    }

    fn tells_payload_uuid(&self) -> bool {
        self.hardware.system.0 >= if self.hardware.family.is_mac() { 14 } else { 17 }
    }
}
