//! FileVault of a Mac: turning on as a profile asks, escrow of the recovery key, rotation.

use plist::{Dictionary, Value};

use super::{answer::Outcome, device::Device};
use crate::{crypto, plists, plists::Keys};

/// Disk encryption of a Mac.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileVault {
    /// The disk is encrypted.
    pub enabled: bool,
    /// Personal recovery key.
    pub recovery_key: Option<String>,
    /// A profile asks to turn it on at the next log-in.
    pub deferred: bool,
}

impl Device {
    /// A profile was installed: settings that act at once.
    pub(crate) fn after_installation(&mut self) {
        if self.hardware.family.is_mac()
            && !self.filevault.enabled
            && self.setting("com.apple.MCX.FileVault2", "Enable").and_then(Value::as_string) == Some("On")
        {
            self.filevault.deferred = true;
            if self.setting("com.apple.MCX.FileVault2", "Defer").and_then(Value::as_boolean) != Some(true) {
                self.log_in();
            }
        }
    }

    /// The person logs in to a Mac: a deferred FileVault turns on.
    pub fn log_in(&mut self) {
        self.wake();
        if self.filevault.deferred {
            self.filevault.deferred = false;
            self.filevault.enabled = true;
            self.filevault.recovery_key = Some(self.fresh_recovery_key());
        }
    }

    fn fresh_recovery_key(&mut self) -> String {
        let groups: Vec<_> = (0..6).map(|_| self.random.text("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", 4)).collect();
        groups.join("-")
    }

    /// The recovery key, encrypted to the certificate of an installed escrow payload.
    pub(crate) fn escrowed_recovery_key(&self) -> Option<(Vec<u8>, String)> {
        let key = self.filevault.recovery_key.as_ref()?;
        let (profile, escrow) = self.profiles.iter().find_map(|profile| {
            let escrow =
                profile.payloads.iter().find(|p| p.payload_type == "com.apple.security.FDERecoveryKeyEscrow")?;
            Some((profile, escrow))
        })?;
        let uuid = escrow.content.text("EncryptCertPayloadUUID")?;
        let certificate = profile.payloads.iter().find(|payload| payload.uuid == uuid)?;
        let sealed = crypto::envelope(certificate.content.data("PayloadContent")?, key.as_bytes()).ok()?;
        let label = escrow.content.text("DeviceKey").unwrap_or(&self.hardware.serial).to_owned();
        Some((sealed, label))
    }

    pub(crate) fn rotate_filevault_key(&mut self, body: &Dictionary) -> Outcome {
        if body.text("KeyType") != Some("personal") {
            return Outcome::mdm_error(12047, "Only personal recovery keys can be rotated.");
        }
        let unlock = body.dictionary("FileVaultUnlock").and_then(|unlock| unlock.text("Password"));
        if !self.filevault.enabled || unlock.is_none() || unlock != self.filevault.recovery_key.as_deref() {
            return Outcome::mdm_error(12048, "The FileVault unlock key is wrong.");
        }
        let fresh = self.fresh_recovery_key();
        let sealed = match body.data("ReplyEncryptionCertificate").map(|der| crypto::envelope(der, fresh.as_bytes())) {
            Some(Ok(sealed)) => sealed,
            _ => return Outcome::mdm_error(12049, "The reply encryption certificate cannot be used."),
        };
        self.filevault.recovery_key = Some(fresh);
        let result = plists::dictionary([("EncryptedNewRecoveryKey", Some(Value::Data(sealed)))]);
        Outcome::with("RotateResult", Value::Dictionary(result))
    }
}
