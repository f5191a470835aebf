//! Configuration profiles: a top level and payloads, as values. Signing is in crate `pki`.
//!
//! Apple: `mdm/profiles/TopLevel.yaml`, `CommonPayloadKeys.yaml`.

use crate::plist::{self, DecodeError, Dictionary, Limits, Read, Value, put, put_some};

/// `PayloadScope`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The device.
    System,
    /// The managed user.
    User,
}

/// A configuration profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Top-level `PayloadIdentifier`: a profile with the same one replaces this one.
    pub identifier: String,
    /// Top-level `PayloadUUID`.
    pub uuid: String,
    /// `PayloadDisplayName`.
    pub display_name: String,
    /// `PayloadDescription`.
    pub description: Option<String>,
    /// `PayloadOrganization`.
    pub organization: Option<String>,
    /// `PayloadScope`.
    pub scope: Option<Scope>,
    /// `PayloadRemovalDisallowed`.
    pub removal_disallowed: Option<bool>,
    /// Every other top-level key.
    pub extra: Dictionary,
    /// `PayloadContent`.
    pub payloads: Vec<Payload>,
}

/// One payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload {
    /// `PayloadType`.
    pub payload_type: String,
    /// `PayloadIdentifier`.
    pub identifier: String,
    /// `PayloadUUID`.
    pub uuid: String,
    /// `PayloadVersion`, 1 everywhere.
    pub version: i64,
    /// `PayloadDisplayName`.
    pub display_name: Option<String>,
    /// Every other key.
    pub content: Dictionary,
}

impl Payload {
    /// A payload of version 1.
    pub fn new(payload_type: &str, identifier: &str, uuid: &str, content: Dictionary) -> Self {
        Payload {
            payload_type: payload_type.into(),
            identifier: identifier.into(),
            uuid: uuid.into(),
            version: 1,
            display_name: None,
            content,
        }
    }

    /// The same with a title.
    pub fn titled(mut self, title: &str) -> Self {
        self.display_name = Some(title.into());
        self
    }

    fn encode(&self) -> Dictionary {
        let mut dictionary = self.content.clone();
        put(&mut dictionary, "PayloadType", self.payload_type.clone());
        put(&mut dictionary, "PayloadIdentifier", self.identifier.clone());
        put(&mut dictionary, "PayloadUUID", self.uuid.clone());
        put(&mut dictionary, "PayloadVersion", self.version);
        put_some(&mut dictionary, "PayloadDisplayName", self.display_name.clone());
        dictionary
    }

    fn decode(value: &Value) -> Result<Self, DecodeError> {
        let mut content = value
            .as_dictionary()
            .ok_or_else(|| DecodeError::Key("PayloadContent".into(), "holds something that is no payload"))?
            .clone();
        let payload = Payload {
            payload_type: content.need_text("PayloadType")?,
            identifier: content.need_text("PayloadIdentifier")?,
            uuid: content.need_text("PayloadUUID")?,
            version: content.number("PayloadVersion")?.unwrap_or(1),
            display_name: content.text("PayloadDisplayName")?,
            content: Dictionary::new(),
        };
        for key in ["PayloadType", "PayloadIdentifier", "PayloadUUID", "PayloadVersion", "PayloadDisplayName"] {
            content.remove(key);
        }
        Ok(Payload { content, ..payload })
    }
}

impl Profile {
    /// A profile with its payloads.
    pub fn new(identifier: &str, uuid: &str, display_name: &str, payloads: Vec<Payload>) -> Self {
        Profile {
            identifier: identifier.into(),
            uuid: uuid.into(),
            display_name: display_name.into(),
            description: None,
            organization: None,
            scope: None,
            removal_disallowed: None,
            extra: Dictionary::new(),
            payloads,
        }
    }

    /// The unsigned document.
    pub fn encode(&self) -> Vec<u8> {
        let mut top = self.extra.clone();
        put(&mut top, "PayloadType", "Configuration");
        put(&mut top, "PayloadVersion", 1);
        put(&mut top, "PayloadIdentifier", self.identifier.clone());
        put(&mut top, "PayloadUUID", self.uuid.clone());
        put(&mut top, "PayloadDisplayName", self.display_name.clone());
        put_some(&mut top, "PayloadDescription", self.description.clone());
        put_some(&mut top, "PayloadOrganization", self.organization.clone());
        put_some(
            &mut top,
            "PayloadScope",
            self.scope.map(|scope| match scope {
                Scope::System => "System",
                Scope::User => "User",
            }),
        );
        put_some(&mut top, "PayloadRemovalDisallowed", self.removal_disallowed);
        let payloads = self.payloads.iter().map(|payload| Value::Dictionary(payload.encode())).collect();
        put(&mut top, "PayloadContent", Value::Array(payloads));
        plist::encode_dictionary(top)
    }

    /// Reads an unsigned document (the content of a signed one).
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut top = plist::decode_dictionary(bytes, &Limits::RESULT)?;
        if top.need_text("PayloadType")? != "Configuration" {
            return Err(DecodeError::Key("PayloadType".into(), "is not Configuration"));
        }
        let payloads = match top.array("PayloadContent")? {
            Some(payloads) => payloads.iter().map(Payload::decode).collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        let profile = Profile {
            identifier: top.need_text("PayloadIdentifier")?,
            uuid: top.need_text("PayloadUUID")?,
            display_name: top.text("PayloadDisplayName")?.unwrap_or_default(),
            description: top.text("PayloadDescription")?,
            organization: top.text("PayloadOrganization")?,
            scope: match top.text("PayloadScope")?.as_deref() {
                Some("System") => Some(Scope::System),
                Some("User") => Some(Scope::User),
                Some(_) => return Err(DecodeError::Key("PayloadScope".into(), "is neither System nor User")),
                None => None,
            },
            removal_disallowed: top.flag("PayloadRemovalDisallowed")?,
            extra: Dictionary::new(),
            payloads,
        };
        for key in [
            "PayloadType",
            "PayloadVersion",
            "PayloadIdentifier",
            "PayloadUUID",
            "PayloadDisplayName",
            "PayloadDescription",
            "PayloadOrganization",
            "PayloadScope",
            "PayloadRemovalDisallowed",
            "PayloadContent",
        ] {
            top.remove(key);
        }
        Ok(Profile { extra: top, ..profile })
    }

    /// The first payload of a type.
    pub fn payload(&self, payload_type: &str) -> Option<&Payload> {
        self.payloads.iter().find(|payload| payload.payload_type == payload_type)
    }
}

/// A payload with a root certificate (DER).
pub fn root_certificate(identifier: &str, uuid: &str, name: &str, der: Vec<u8>) -> Payload {
    Payload::new(
        "com.apple.security.root",
        identifier,
        uuid,
        crate::dict! { "PayloadContent" => Value::Data(der), "PayloadCertificateFileName" => format!("{name}.cer") },
    )
    .titled(name)
}
