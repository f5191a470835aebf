//! Check-in messages, and what a server answers to those that want more than an empty 200.
//!
//! Apple: repository `apple/device-management`, `mdm/checkin/*.yaml`. One variant a
//! `MessageType`, in the order a device's life has them.

use crate::{
    ids::EnrollmentIds,
    plist::{self, DecodeError, Dictionary, Limits, Read, put, put_some},
};

/// A message from the device outside the command cycle.
#[derive(Clone, Debug, PartialEq)]
pub enum CheckIn {
    /// The device wants to enroll.
    Authenticate(Authenticate),
    /// The device can be reached with these push values.
    TokenUpdate(TokenUpdate),
    /// The person removed management.
    CheckOut(CheckOut),
    /// A network or mobile user logs in on a Mac.
    UserAuthenticate(UserAuthenticate),
    /// The Mac escrows its bootstrap token.
    SetBootstrapToken(SetBootstrapToken),
    /// The Mac asks for it back.
    GetBootstrapToken(GetBootstrapToken),
    /// Declarative management.
    DeclarativeManagement(DeclarativeManagement),
    /// The device asks for a token for another service.
    GetToken(GetToken),
    /// An erased device asks how to come back.
    ReturnToService(ReturnToService),
}

/// `Authenticate`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Authenticate {
    /// Who sends it.
    pub ids: EnrollmentIds,
    /// Push topic of the profile.
    pub topic: String,
    /// `OSVersion`.
    pub os_version: Option<String>,
    /// `BuildVersion`.
    pub build_version: Option<String>,
    /// `ProductName`, e.g. `iPhone12,1`.
    pub product_name: Option<String>,
    /// `SerialNumber`; never under User Enrollment.
    pub serial_number: Option<String>,
    /// `IMEI`; never under User Enrollment.
    pub imei: Option<String>,
    /// `MEID`; never under User Enrollment.
    pub meid: Option<String>,
    /// `DeviceName` (macOS).
    pub device_name: Option<String>,
    /// `Model` (macOS).
    pub model: Option<String>,
    /// `ModelName` (macOS).
    pub model_name: Option<String>,
}

/// `TokenUpdate`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenUpdate {
    /// Who sends it.
    pub ids: EnrollmentIds,
    /// Push topic.
    pub topic: String,
    /// Push token, raw bytes.
    pub token: Vec<u8>,
    /// Ties a push to this enrollment.
    pub push_magic: String,
    /// Clears the passcode (iOS device enrollments).
    pub unlock_token: Option<Vec<u8>>,
    /// The device waits in Setup Assistant.
    pub awaiting_configuration: Option<bool>,
}

/// `CheckOut`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CheckOut {
    /// Who sends it.
    pub ids: EnrollmentIds,
    /// Push topic.
    pub topic: Option<String>,
}

/// `UserAuthenticate`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserAuthenticate {
    /// Who sends it.
    pub ids: EnrollmentIds,
    /// Only in the second of the two messages.
    pub digest_response: Option<String>,
}

/// `SetBootstrapToken`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SetBootstrapToken {
    /// Who sends it.
    pub ids: EnrollmentIds,
    /// None or empty: delete.
    pub bootstrap_token: Option<Vec<u8>>,
    /// The device waits in Setup Assistant.
    pub awaiting_configuration: Option<bool>,
}

/// `GetBootstrapToken`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GetBootstrapToken {
    /// Who sends it.
    pub ids: EnrollmentIds,
    /// The device waits in Setup Assistant.
    pub awaiting_configuration: Option<bool>,
}

/// `DeclarativeManagement`; see [`crate::declarative`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeclarativeManagement {
    /// Who sends it.
    pub ids: EnrollmentIds,
    /// `tokens`, `declaration-items`, `declaration/...` or `status`.
    pub endpoint: String,
    /// JSON of a status report.
    pub data: Option<Vec<u8>>,
}

/// `GetToken`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GetToken {
    /// Who sends it.
    pub ids: EnrollmentIds,
    /// `TokenServiceType`.
    pub service_type: String,
}

/// `ReturnToService`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReturnToService {
    /// Who sends it.
    pub ids: EnrollmentIds,
}

/// The longest name or version that is kept.
const TEXT_BYTES: usize = 256;
/// A push token is 32 bytes today; Apple asks servers not to rely on it.
const TOKEN_BYTES: usize = 1024;
/// Unlock and bootstrap tokens have several kilobytes.
const SECRET_BYTES: usize = 64 * 1024;

impl CheckIn {
    /// Decodes a request body.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let message = plist::decode_dictionary(bytes, &Limits::MESSAGE)?;
        let ids = EnrollmentIds::decode(&message)?;
        let m = &message;
        let kind = m.need_text("MessageType")?;
        Ok(match kind.as_str() {
            "Authenticate" => CheckIn::Authenticate(Authenticate {
                topic: need_short(m, "Topic")?,
                os_version: short(m, "OSVersion")?,
                build_version: short(m, "BuildVersion")?,
                product_name: short(m, "ProductName")?,
                serial_number: short(m, "SerialNumber")?,
                imei: short(m, "IMEI")?,
                meid: short(m, "MEID")?,
                device_name: short(m, "DeviceName")?,
                model: short(m, "Model")?,
                model_name: short(m, "ModelName")?,
                ids,
            }),
            "TokenUpdate" => CheckIn::TokenUpdate(TokenUpdate {
                topic: need_short(m, "Topic")?,
                token: bounded(m, "Token", TOKEN_BYTES)?
                    .filter(|token| !token.is_empty())
                    .ok_or_else(|| DecodeError::Missing("Token".into()))?,
                push_magic: need_short(m, "PushMagic")?,
                unlock_token: bounded(m, "UnlockToken", SECRET_BYTES)?,
                awaiting_configuration: m.flag("AwaitingConfiguration")?,
                ids,
            }),
            "CheckOut" => CheckIn::CheckOut(CheckOut { topic: short(m, "Topic")?, ids }),
            "UserAuthenticate" => {
                CheckIn::UserAuthenticate(UserAuthenticate { digest_response: short(m, "DigestResponse")?, ids })
            }
            "SetBootstrapToken" => CheckIn::SetBootstrapToken(SetBootstrapToken {
                bootstrap_token: bounded(m, "BootstrapToken", SECRET_BYTES)?.filter(|t| !t.is_empty()),
                awaiting_configuration: m.flag("AwaitingConfiguration")?,
                ids,
            }),
            "GetBootstrapToken" => CheckIn::GetBootstrapToken(GetBootstrapToken {
                awaiting_configuration: m.flag("AwaitingConfiguration")?,
                ids,
            }),
            "DeclarativeManagement" => CheckIn::DeclarativeManagement(DeclarativeManagement {
                endpoint: need_short(m, "Endpoint")?,
                data: m.data("Data")?,
                ids,
            }),
            "GetToken" => CheckIn::GetToken(GetToken { service_type: need_short(m, "TokenServiceType")?, ids }),
            "ReturnToService" => CheckIn::ReturnToService(ReturnToService { ids }),
            _ => return Err(DecodeError::Key("MessageType".into(), "is not a check-in message we know")),
        })
    }

    /// Encodes the message as a device sends it.
    pub fn encode(&self) -> Vec<u8> {
        let mut m = Dictionary::new();
        put(&mut m, "MessageType", self.message_type());
        self.ids().encode(&mut m);
        match self {
            CheckIn::Authenticate(a) => {
                put(&mut m, "Topic", a.topic.clone());
                put_some(&mut m, "OSVersion", a.os_version.clone());
                put_some(&mut m, "BuildVersion", a.build_version.clone());
                put_some(&mut m, "ProductName", a.product_name.clone());
                put_some(&mut m, "SerialNumber", a.serial_number.clone());
                put_some(&mut m, "IMEI", a.imei.clone());
                put_some(&mut m, "MEID", a.meid.clone());
                put_some(&mut m, "DeviceName", a.device_name.clone());
                put_some(&mut m, "Model", a.model.clone());
                put_some(&mut m, "ModelName", a.model_name.clone());
            }
            CheckIn::TokenUpdate(t) => {
                put(&mut m, "Topic", t.topic.clone());
                put(&mut m, "Token", plist::Value::Data(t.token.clone()));
                put(&mut m, "PushMagic", t.push_magic.clone());
                put_some(&mut m, "UnlockToken", t.unlock_token.clone().map(plist::Value::Data));
                put_some(&mut m, "AwaitingConfiguration", t.awaiting_configuration);
            }
            CheckIn::CheckOut(c) => put_some(&mut m, "Topic", c.topic.clone()),
            CheckIn::UserAuthenticate(u) => put_some(&mut m, "DigestResponse", u.digest_response.clone()),
            CheckIn::SetBootstrapToken(b) => {
                put_some(&mut m, "BootstrapToken", b.bootstrap_token.clone().map(plist::Value::Data));
                put_some(&mut m, "AwaitingConfiguration", b.awaiting_configuration);
            }
            CheckIn::GetBootstrapToken(b) => {
                put_some(&mut m, "AwaitingConfiguration", b.awaiting_configuration);
            }
            CheckIn::DeclarativeManagement(d) => {
                put(&mut m, "Endpoint", d.endpoint.clone());
                put_some(&mut m, "Data", d.data.clone().map(plist::Value::Data));
            }
            CheckIn::GetToken(g) => put(&mut m, "TokenServiceType", g.service_type.clone()),
            CheckIn::ReturnToService(_) => {}
        }
        plist::encode_dictionary(m)
    }

    /// The `MessageType`.
    pub fn message_type(&self) -> &'static str {
        match self {
            CheckIn::Authenticate(_) => "Authenticate",
            CheckIn::TokenUpdate(_) => "TokenUpdate",
            CheckIn::CheckOut(_) => "CheckOut",
            CheckIn::UserAuthenticate(_) => "UserAuthenticate",
            CheckIn::SetBootstrapToken(_) => "SetBootstrapToken",
            CheckIn::GetBootstrapToken(_) => "GetBootstrapToken",
            CheckIn::DeclarativeManagement(_) => "DeclarativeManagement",
            CheckIn::GetToken(_) => "GetToken",
            CheckIn::ReturnToService(_) => "ReturnToService",
        }
    }

    /// Who sent it.
    pub fn ids(&self) -> &EnrollmentIds {
        match self {
            CheckIn::Authenticate(m) => &m.ids,
            CheckIn::TokenUpdate(m) => &m.ids,
            CheckIn::CheckOut(m) => &m.ids,
            CheckIn::UserAuthenticate(m) => &m.ids,
            CheckIn::SetBootstrapToken(m) => &m.ids,
            CheckIn::GetBootstrapToken(m) => &m.ids,
            CheckIn::DeclarativeManagement(m) => &m.ids,
            CheckIn::GetToken(m) => &m.ids,
            CheckIn::ReturnToService(m) => &m.ids,
        }
    }
}

/// The answer to `GetBootstrapToken`.
pub fn bootstrap_token_reply(token: &[u8]) -> Vec<u8> {
    plist::encode_dictionary(crate::dict! { "BootstrapToken" => plist::Value::Data(token.to_vec()) })
}

/// Reads the answer to `GetBootstrapToken`; an empty body means none is known.
pub fn decode_bootstrap_token_reply(body: &[u8]) -> Result<Option<Vec<u8>>, DecodeError> {
    if body.is_empty() {
        return Ok(None);
    }
    let reply = plist::decode_dictionary(body, &Limits::MESSAGE)?;
    Ok(reply.data("BootstrapToken")?.filter(|token| !token.is_empty()))
}

fn short(message: &Dictionary, key: &str) -> Result<Option<String>, DecodeError> {
    match message.text(key)? {
        Some(text) if text.len() > TEXT_BYTES => Err(DecodeError::Key(key.into(), "is too long")),
        Some(text) if text.is_empty() => Ok(None),
        other => Ok(other),
    }
}

fn need_short(message: &Dictionary, key: &str) -> Result<String, DecodeError> {
    short(message, key)?.ok_or_else(|| DecodeError::Missing(key.into()))
}

fn bounded(message: &Dictionary, key: &str, limit: usize) -> Result<Option<Vec<u8>>, DecodeError> {
    match message.data(key)? {
        Some(bytes) if bytes.len() > limit => Err(DecodeError::Key(key.into(), "is too long")),
        other => Ok(other),
    }
}
