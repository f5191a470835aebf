//! Judging the payloads of a profile before anything of it is installed.

use plist::Value;

use super::{
    device::{Channel, Device},
    profile::{Payload, Profile},
    rules::{self, Untaken},
};
use crate::plists::Keys;

/// Why a profile is refused: code and text of the error chain's last link.
pub(crate) type Objection = (i64, String);

/// Wi-Fi encryption words.
const ENCRYPTION: &[&str] = &["WEP", "WPA", "WPA2", "WPA3", "Any", "None"];

impl Device {
    /// Looks at every payload; the first objection refuses the whole profile.
    pub(crate) fn judge(&self, profile: &Profile, channel: Channel) -> Result<(), Objection> {
        for (at, payload) in profile.payloads.iter().enumerate() {
            self.judge_payload(profile, payload, channel)?;
            if profile.payloads[..at].iter().any(|earlier| earlier.uuid == payload.uuid) {
                return Err((1000, format!("The PayloadUUID {} appears twice.", payload.uuid)));
            }
        }
        Ok(())
    }

    fn judge_payload(&self, profile: &Profile, payload: &Payload, channel: Channel) -> Result<(), Objection> {
        let name = payload.payload_type.as_str();
        let user_channel = channel == Channel::User;
        let required = match rules::payload(name, self, user_channel) {
            Ok(required) => required,
            Err(Untaken::Unknown) => return Err((1009, format!("The payload type “{name}” is not known."))),
            Err(Untaken::System) => return Err((1009, format!("The payload type “{name}” is not for this system."))),
            Err(Untaken::Enrollment) => {
                return Err((4037, format!("The payload “{name}” is not allowed under User Enrollment.")));
            }
            Err(Untaken::Supervision) => return Err((4034, format!("The payload “{name}” needs supervision."))),
            Err(Untaken::Channel) => return Err((4036, format!("The payload “{name}” is not for this channel."))),
        };
        if let Some(key) = required.iter().find(|key| !payload.content.contains_key(key)) {
            return Err((1003, format!("The key “{key}” of the payload “{name}” is missing.")));
        }
        match name {
            "com.apple.wifi.managed" => judge_wifi(profile, payload),
            "com.apple.security.root" | "com.apple.security.pkcs1" | "com.apple.security.pem" => {
                match payload.content.data("PayloadContent") {
                    Some(der) if crate::crypto::is_certificate(der) => Ok(()),
                    _ => Err((16000, "The certificate cannot be read.".into())),
                }
            }
            "com.apple.security.scep" => match payload.content.dictionary("PayloadContent") {
                Some(content) if content.text("URL").is_some() => Ok(()),
                _ => Err((1003, "The key “URL” of the SCEP payload is missing.".into())),
            },
            "com.apple.webClip.managed" => match payload.content.text("URL") {
                Some(url) if url.contains(':') => Ok(()),
                _ => Err((1003, "The URL of the web clip is invalid.".into())),
            },
            "com.apple.vpn.managed" | "com.apple.vpn.managed.applayer" => judge_vpn(profile, payload),
            "com.apple.extensiblesso" => judge_sign_on(profile, payload, self.hardware.family.is_mac()),
            "com.apple.eas.account" => certificates_known(profile, &payload.content, EXCHANGE),
            "com.apple.security.FDERecoveryKeyEscrow" => {
                certificates_known(profile, &payload.content, &["EncryptCertPayloadUUID"])
            }
            "com.apple.applicationaccess" => judge_restrictions(payload),
            "com.apple.mobiledevice.passwordpolicy" => judge_passcode(payload),
            _ => Ok(()),
        }
    }
}

fn judge_wifi(profile: &Profile, payload: &Payload) -> Result<(), Objection> {
    let content = &payload.content;
    let encryption = content.text("EncryptionType").unwrap_or("Any");
    if !ENCRYPTION.contains(&encryption) {
        return Err((13003, format!("The encryption “{encryption}” is not known.")));
    }
    if !content.flag("HIDDEN_NETWORK") && content.text("SSID_STR").is_none() && content.text("DomainName").is_none() {
        return Err((13000, "A Wi-Fi payload needs an SSID_STR.".into()));
    }
    let known = |uuid: &str| profile.payloads.iter().any(|payload| payload.uuid == uuid);
    if let Some(uuid) = content.text("PayloadCertificateUUID")
        && !known(uuid)
    {
        return Err((13005, format!("The identity {uuid} of the Wi-Fi payload is not in the profile.")));
    }
    let Some(eap) = content.dictionary("EAPClientConfiguration") else { return Ok(()) };
    let types: Vec<i64> = eap.array("AcceptEAPTypes").iter().filter_map(Value::as_signed_integer).collect();
    if types.is_empty() {
        return Err((13004, "AcceptEAPTypes is empty.".into()));
    }
    if types.contains(&13) && content.text("PayloadCertificateUUID").is_none() {
        return Err((13005, "EAP-TLS needs a PayloadCertificateUUID.".into()));
    }
    match eap.texts("PayloadCertificateAnchorUUID").iter().find(|uuid| !known(uuid)) {
        Some(uuid) => Err((13005, format!("The anchor {uuid} of the Wi-Fi payload is not in the profile."))),
        None => Ok(()),
    }
}

/// Keys of an Exchange account that name certificates.
const EXCHANGE: &[&str] = &["PayloadCertificateUUID", "SMIMESigningCertificateUUID", "SMIMEEncryptionCertificateUUID"];

/// A payload can name certificates of its own profile only.
fn certificates_known(profile: &Profile, content: &plist::Dictionary, keys: &[&str]) -> Result<(), Objection> {
    let named = keys.iter().filter_map(|key| content.text(key));
    match named.into_iter().find(|uuid| !profile.payloads.iter().any(|payload| payload.uuid == *uuid)) {
        Some(uuid) => Err((1003, format!("The certificate {uuid} is not in the profile."))),
        None => Ok(()),
    }
}

fn judge_vpn(profile: &Profile, payload: &Payload) -> Result<(), Objection> {
    let content = &payload.content;
    let kind = content.text("VPNType").unwrap_or_default();
    let Some(own) = content.dictionary(kind) else {
        return Err((15000, format!("A VPN payload of the type “{kind}” needs a dictionary of that name.")));
    };
    let needed: &[&str] = match kind {
        "IKEv2" => &["RemoteAddress", "LocalIdentifier", "RemoteIdentifier", "AuthenticationMethod"],
        "IPSec" | "VPN" => &["RemoteAddress"],
        "AlwaysOn" => &["TunnelConfigurations"],
        _ => return Err((15000, format!("The VPN type “{kind}” is not known."))),
    };
    if let Some(key) = needed.iter().find(|key| !own.contains_key(key)) {
        return Err((15001, format!("The key “{key}” of the VPN payload is missing.")));
    }
    if kind == "VPN" && content.text("VPNSubType").is_none() {
        return Err((15001, "A VPN of an app needs its VPNSubType.".into()));
    }
    if own.text("AuthenticationMethod") == Some("Certificate") && own.text("PayloadCertificateUUID").is_none() {
        return Err((15005, "A VPN that proves itself with a certificate needs one.".into()));
    }
    certificates_known(profile, own, &["PayloadCertificateUUID"])
}

fn judge_sign_on(profile: &Profile, payload: &Payload, mac: bool) -> Result<(), Objection> {
    let content = &payload.content;
    let needed = match content.text("Type") {
        Some("Redirect") => "URLs",
        Some("Credential") => "Hosts",
        _ => return Err((1003, "The Type of the sign-on extension is neither Redirect nor Credential.".into())),
    };
    if content.array(needed).is_empty() {
        return Err((1003, format!("The key “{needed}” of the sign-on extension is missing.")));
    }
    if mac && content.text("TeamIdentifier").is_none() {
        return Err((1003, "The TeamIdentifier of the sign-on extension is missing.".into()));
    }
    match content.dictionary("ExtensionData") {
        Some(data) => certificates_known(profile, data, &["certificateUUID"]),
        None => Ok(()),
    }
}

fn judge_restrictions(payload: &Payload) -> Result<(), Objection> {
    for (key, value) in payload.content.iter() {
        let switch = key.starts_with("allow") || key.starts_with("force") || key.starts_with("require");
        if switch && value.as_boolean().is_none() && key != "allowListedAppBundleIDs" {
            return Err((1004, format!("The restriction “{key}” is no boolean.")));
        }
    }
    Ok(())
}

fn judge_passcode(payload: &Payload) -> Result<(), Objection> {
    let ranges =
        [("minLength", 0, 16), ("maxFailedAttempts", 2, 11), ("maxPINAgeInDays", 0, 730), ("pinHistory", 0, 50)];
    for (key, least, most) in ranges {
        if let Some(value) = payload.content.get(key) {
            match value.as_signed_integer() {
                Some(value) if (least..=most).contains(&value) => {}
                _ => return Err((5001, format!("The passcode rule “{key}” is out of range."))),
            }
        }
    }
    Ok(())
}
