//! The enrollment profile: trust, an identity by SCEP, and exactly one `com.apple.mdm`.
//!
//! Apple: `mdm/profiles/com.apple.mdm.yaml`, `com.apple.security.scep.yaml`.

use crate::{
    plist::{DecodeError, Dictionary, Read, Value, put, put_some},
    profile::{Payload, Profile, Scope, root_certificate},
};

/// What the server may do; a device enrollment names its rights.
pub mod access_rights {
    /// Inspect profiles.
    pub const INSPECT_PROFILES: u16 = 1;
    /// Install and remove profiles.
    pub const INSTALL_PROFILES: u16 = 2;
    /// Lock and clear the passcode.
    pub const LOCK: u16 = 4;
    /// Erase.
    pub const ERASE: u16 = 8;
    /// Device information.
    pub const INFORMATION: u16 = 16;
    /// Network information.
    pub const NETWORK: u16 = 32;
    /// Inspect provisioning profiles.
    pub const INSPECT_PROVISIONING: u16 = 64;
    /// Install and remove provisioning profiles.
    pub const INSTALL_PROVISIONING: u16 = 128;
    /// Inspect apps.
    pub const INSPECT_APPS: u16 = 256;
    /// Restriction queries.
    pub const RESTRICTIONS: u16 = 512;
    /// Security queries.
    pub const SECURITY: u16 = 1024;
    /// Settings.
    pub const SETTINGS: u16 = 2048;
    /// App management.
    pub const MANAGE_APPS: u16 = 4096;
    /// All of them.
    pub const ALL: u16 = 8191;
}

/// `EnrollmentMode` of account-driven enrollments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// User Enrollment.
    Byod,
    /// Device Enrollment.
    Adde,
}

/// How the device gets its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScepPayload {
    /// Where the SCEP server is.
    pub url: String,
    /// CA id, sent as `message` of GetCACert.
    pub name: String,
    /// Relative distinguished names in order: (attribute, value).
    pub subject: Vec<(String, String)>,
    /// One-time challenge.
    pub challenge: String,
    /// Bits of the RSA key.
    pub key_size: u32,
    /// 1 sign, 4 encrypt.
    pub key_usage: u32,
    /// SHA-256 or SHA-1 of the CA certificate.
    pub ca_fingerprint: Option<Vec<u8>>,
}

/// The keys of `com.apple.mdm` that we use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MdmPayload {
    /// `PayloadUUID` of the identity payload.
    pub identity_certificate_uuid: String,
    /// Push topic.
    pub topic: String,
    /// Check-in and commands.
    pub server_url: String,
    /// Adds `Mdm-Signature`.
    pub sign_message: bool,
    /// Bits of [`access_rights`]; never written for BYOD: the device would cancel.
    pub access_rights: Option<u16>,
    /// Account-driven enrollments.
    pub mode: Option<Mode>,
    /// Managed Apple Account, for account-driven enrollments.
    pub assigned_managed_apple_id: Option<String>,
    /// `ServerCapabilities`.
    pub server_capabilities: Vec<String>,
    /// Ask for `CheckOut`.
    pub check_out_when_removed: bool,
    /// Push through the development environment.
    pub use_development_apns: bool,
}

/// The whole profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrollmentProfile {
    /// Top-level `PayloadIdentifier`; the same again at renewal.
    pub identifier: String,
    /// Top-level `PayloadUUID`.
    pub uuid: String,
    /// Title.
    pub display_name: String,
    /// Organisation.
    pub organization: String,
    /// What it says to the person.
    pub description: Option<String>,
    /// Root certificates to trust: (UUID, name, DER).
    pub roots: Vec<(String, String, Vec<u8>)>,
    /// Identity.
    pub scep: ScepPayload,
    /// Management.
    pub mdm: MdmPayload,
    /// `PayloadUUID` of the `com.apple.mdm` payload.
    pub mdm_uuid: String,
}

const SCEP: &str = "com.apple.security.scep";
const MDM: &str = "com.apple.mdm";

impl ScepPayload {
    /// The payload's own keys: everything sits inside an inner `PayloadContent`.
    pub fn content(&self) -> Dictionary {
        let subject = self
            .subject
            .iter()
            .map(|(name, value)| {
                let pair = Value::Array(vec![name.clone().into(), value.clone().into()]);
                Value::Array(vec![pair])
            })
            .collect();
        let mut inner = crate::dict! {
            "URL" => self.url.clone(),
            "Name" => self.name.clone(),
            "Subject" => Value::Array(subject),
            "Challenge" => self.challenge.clone(),
            "Keysize" => i64::from(self.key_size),
            "Key Type" => "RSA",
            "Key Usage" => i64::from(self.key_usage),
            "Retries" => 3,
            "RetryDelay" => 10,
            "KeyIsExtractable" => false,
        };
        put_some(&mut inner, "CAFingerprint", self.ca_fingerprint.clone().map(Value::Data));
        crate::dict! { "PayloadContent" => inner }
    }

    /// Reads a SCEP payload as a device does.
    pub fn decode(payload: &Payload) -> Result<Self, DecodeError> {
        let inner = payload
            .content
            .dictionary("PayloadContent")?
            .ok_or_else(|| DecodeError::Missing("PayloadContent".into()))?;
        let mut subject = Vec::new();
        for rdn in inner.array("Subject")?.into_iter().flatten() {
            for pair in rdn.as_array().into_iter().flatten() {
                let pair = pair.as_array().map(Vec::as_slice).unwrap_or_default();
                if let [Value::String(name), Value::String(value)] = pair {
                    subject.push((name.clone(), value.clone()));
                }
            }
        }
        let number = |key: &str, default: u32| -> Result<u32, DecodeError> {
            Ok(inner.number(key)?.and_then(|n| u32::try_from(n).ok()).unwrap_or(default))
        };
        Ok(ScepPayload {
            url: inner.need_text("URL")?,
            name: inner.text("Name")?.unwrap_or_default(),
            subject,
            challenge: inner.text("Challenge")?.unwrap_or_default(),
            key_size: number("Keysize", 1024)?,
            key_usage: number("Key Usage", 0)?,
            ca_fingerprint: inner.data("CAFingerprint")?,
        })
    }
}

impl MdmPayload {
    /// The payload's keys.
    pub fn content(&self) -> Dictionary {
        let mut content = crate::dict! {
            "IdentityCertificateUUID" => self.identity_certificate_uuid.clone(),
            "Topic" => self.topic.clone(),
            "ServerURL" => self.server_url.clone(),
            "SignMessage" => self.sign_message,
            "CheckOutWhenRemoved" => self.check_out_when_removed,
        };
        if self.mode != Some(Mode::Byod) {
            put_some(&mut content, "AccessRights", self.access_rights.map(i64::from));
        }
        put_some(
            &mut content,
            "EnrollmentMode",
            self.mode.map(|mode| match mode {
                Mode::Byod => "BYOD",
                Mode::Adde => "ADDE",
            }),
        );
        put_some(&mut content, "AssignedManagedAppleID", self.assigned_managed_apple_id.clone());
        if !self.server_capabilities.is_empty() {
            let words = self.server_capabilities.iter().map(|word| Value::from(word.clone())).collect();
            put(&mut content, "ServerCapabilities", Value::Array(words));
        }
        if self.use_development_apns {
            put(&mut content, "UseDevelopmentAPNS", true);
        }
        content
    }

    /// Reads a `com.apple.mdm` payload as a device does.
    pub fn decode(payload: &Payload) -> Result<Self, DecodeError> {
        let content = &payload.content;
        Ok(MdmPayload {
            identity_certificate_uuid: content.need_text("IdentityCertificateUUID")?,
            topic: content.need_text("Topic")?,
            server_url: content.need_text("ServerURL")?,
            sign_message: content.flag("SignMessage")?.unwrap_or(false),
            access_rights: content.number("AccessRights")?.and_then(|n| u16::try_from(n).ok()),
            mode: match content.text("EnrollmentMode")?.as_deref() {
                Some("BYOD") => Some(Mode::Byod),
                Some("ADDE") => Some(Mode::Adde),
                Some(_) => return Err(DecodeError::Key("EnrollmentMode".into(), "is neither BYOD nor ADDE")),
                None => None,
            },
            assigned_managed_apple_id: content.text("AssignedManagedAppleID")?,
            server_capabilities: content
                .array("ServerCapabilities")?
                .map(|words| words.iter().filter_map(|word| word.as_string().map(str::to_owned)).collect())
                .unwrap_or_default(),
            check_out_when_removed: content.flag("CheckOutWhenRemoved")?.unwrap_or(false),
            use_development_apns: content.flag("UseDevelopmentAPNS")?.unwrap_or(false),
        })
    }
}

impl EnrollmentProfile {
    /// The profile as a general one.
    pub fn profile(&self) -> Profile {
        let mut payloads: Vec<Payload> = self
            .roots
            .iter()
            .enumerate()
            .map(|(n, (uuid, name, der))| {
                root_certificate(&format!("{}.root.{n}", self.identifier), uuid, name, der.clone())
            })
            .collect();
        payloads.push(
            Payload::new(
                SCEP,
                &format!("{}.identity", self.identifier),
                &self.mdm.identity_certificate_uuid,
                self.scep.content(),
            )
            .titled("Device identity"),
        );
        payloads.push(
            Payload::new(MDM, &format!("{}.mdm", self.identifier), &self.mdm_uuid, self.mdm.content())
                .titled("Management"),
        );
        let mut profile = Profile::new(&self.identifier, &self.uuid, &self.display_name, payloads);
        profile.organization = Some(self.organization.clone());
        profile.description = self.description.clone();
        profile.scope = Some(if self.mdm.mode == Some(Mode::Byod) { Scope::User } else { Scope::System });
        profile
    }

    /// The unsigned document.
    pub fn encode(&self) -> Vec<u8> {
        self.profile().encode()
    }

    /// Reads an enrollment profile as a device does: exactly one `com.apple.mdm`, whose identity
    /// payload is in the same profile and is SCEP.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let profile = Profile::decode(bytes)?;
        let mut managements = profile.payloads.iter().filter(|payload| payload.payload_type == MDM);
        let payload = managements.next().ok_or_else(|| DecodeError::Missing(MDM.into()))?;
        if managements.next().is_some() {
            return Err(DecodeError::Key(MDM.into(), "appears twice"));
        }
        let mdm = MdmPayload::decode(payload)?;
        let identity = profile
            .payloads
            .iter()
            .find(|other| other.uuid == mdm.identity_certificate_uuid && other.payload_type == SCEP)
            .ok_or_else(|| DecodeError::Missing(SCEP.into()))?;
        let mut roots = Vec::new();
        for root in profile.payloads.iter().filter(|p| p.payload_type == "com.apple.security.root") {
            let name = root.display_name.clone().unwrap_or_default();
            roots.push((root.uuid.clone(), name, root.content.need_data("PayloadContent")?));
        }
        Ok(EnrollmentProfile {
            scep: ScepPayload::decode(identity)?,
            mdm_uuid: payload.uuid.clone(),
            mdm,
            roots,
            identifier: profile.identifier,
            uuid: profile.uuid,
            display_name: profile.display_name,
            organization: profile.organization.unwrap_or_default(),
            description: profile.description,
        })
    }
}
