//! `MachineInfo`: what a device says of itself when it asks for an enrollment profile. It comes
//! inside a CMS signature by the device's built-in identity; checking that is in crate `pki`.
//!
//! Apple: `other/machineinfo.yaml`. Account-driven enrollments send only the first three keys.

use crate::plist::{self, DecodeError, Dictionary, Limits, Read, put, put_some};

/// The signed content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineInfo {
    /// `LANGUAGE`.
    pub language: Option<String>,
    /// `PRODUCT`, e.g. `iPhone14,5`.
    pub product: String,
    /// `VERSION`: the build.
    pub version: String,
    /// `OS_VERSION`.
    pub os_version: Option<String>,
    /// `UDID`; never for User Enrollment.
    pub udid: Option<String>,
    /// `SERIAL`; never for User Enrollment.
    pub serial: Option<String>,
    /// `MDM_CAN_REQUEST_SOFTWARE_UPDATE`.
    pub can_request_software_update: Option<bool>,
}

impl MachineInfo {
    /// Decodes the signed content.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let info = plist::decode_dictionary(bytes, &Limits::MESSAGE)?;
        let short = |key: &str| -> Result<Option<String>, DecodeError> {
            match info.text(key)? {
                Some(text) if text.len() > 256 => Err(DecodeError::Key(key.into(), "is too long")),
                other => Ok(other),
            }
        };
        Ok(MachineInfo {
            language: short("LANGUAGE")?,
            product: short("PRODUCT")?.ok_or_else(|| DecodeError::Missing("PRODUCT".into()))?,
            version: short("VERSION")?.unwrap_or_default(),
            os_version: short("OS_VERSION")?,
            udid: short("UDID")?,
            serial: short("SERIAL")?,
            can_request_software_update: info.flag("MDM_CAN_REQUEST_SOFTWARE_UPDATE")?,
        })
    }

    /// Encodes the content that a device signs.
    pub fn encode(&self) -> Vec<u8> {
        let mut info = Dictionary::new();
        put_some(&mut info, "LANGUAGE", self.language.clone());
        put(&mut info, "PRODUCT", self.product.clone());
        put(&mut info, "VERSION", self.version.clone());
        put_some(&mut info, "OS_VERSION", self.os_version.clone());
        put_some(&mut info, "UDID", self.udid.clone());
        put_some(&mut info, "SERIAL", self.serial.clone());
        put_some(&mut info, "MDM_CAN_REQUEST_SOFTWARE_UPDATE", self.can_request_software_update);
        plist::encode_dictionary(info)
    }
}
