//! SecurityInfo, CertificateList and Restrictions: what the device says of its own protection.

use plist::{Dictionary, Value};

use super::{answer::Outcome, device::Device};
use crate::{crypto, plists, plists::Keys};

const PASSWORD_POLICY: &str = "com.apple.mobiledevice.passwordpolicy";

impl Device {
    /// Whether the passcode meets every installed passcode policy.
    pub fn passcode_complies(&self) -> bool {
        let declared = self.declared_passcode();
        let integer = |key: &str| {
            let profiles = self.profiles.iter().flat_map(|profile| &profile.payloads);
            let policies = profiles.filter(|payload| payload.payload_type == PASSWORD_POLICY);
            policies.filter_map(|payload| payload.content.integer(key)).max().unwrap_or(0)
        };
        let flag = |key: &str| self.setting(PASSWORD_POLICY, key).and_then(Value::as_boolean).unwrap_or(false);
        // Under User Enrollment the mere presence of the payload asks for six characters.
        let presence = self.profiles.iter().flat_map(|p| &p.payloads).any(|p| p.payload_type == PASSWORD_POLICY);
        let user = self.is_user_enrollment();
        let required = (presence && (user || flag("forcePIN"))) || declared.required;
        let profile_length = if user && presence { 6 } else { integer("minLength") };
        let length = profile_length.max(declared.length);
        let alphanumeric = (!user && flag("requireAlphanumeric")) || declared.alphanumeric;
        match &self.passcode {
            None => !required,
            Some(passcode) => passcode.length >= length && (passcode.alphanumeric || !alphanumeric),
        }
    }

    pub(crate) fn security_info(&mut self) -> Dictionary {
        let user = self.is_user_enrollment();
        if self.hardware.family.is_mac() {
            return self.mac_security_info(user);
        }
        let complies = self.passcode_complies();
        let mut info = plists::dictionary([
            ("HardwareEncryptionCaps", Some(3.into())),
            ("PasscodeCompliant", Some(complies.into())),
        ]);
        if !user {
            info.insert("PasscodePresent".into(), self.passcode.is_some().into());
            info.insert("PasscodeCompliantWithProfiles".into(), complies.into());
            info.insert("PasscodeLockGracePeriod".into(), 0.into());
            info.insert("PasscodeLockGracePeriodEnforced".into(), 0.into());
            if self.hardware.system.0 >= 17 {
                info.insert("AutoLockTime".into(), 120.into());
            }
        }
        let management = plists::dictionary([("IsUserEnrollment", Some(user.into()))]);
        info.insert("ManagementStatus".into(), Value::Dictionary(management));
        info
    }

    fn mac_security_info(&mut self, user: bool) -> Dictionary {
        let firewall = plists::dictionary([
            ("FirewallEnabled", Some(true.into())),
            ("BlockAllIncoming", Some(false.into())),
            ("StealthMode", Some(false.into())),
            ("LoggingEnabled", Some(true.into())),
            ("LoggingOption", Some("throttled".into())),
        ]);
        let management = plists::dictionary([
            ("EnrolledViaDEP", Some(false.into())),
            ("UserApprovedEnrollment", Some((!user).into())),
            ("IsUserEnrollment", Some(user.into())),
            ("IsActivationLockManageable", Some(self.supervised.into())),
        ]);
        let boot = plists::dictionary([
            ("SecureBootLevel", Some("full".into())),
            ("ExternalBootLevel", Some("not supported".into())),
        ]);
        let mut info = plists::dictionary([
            ("FDE_Enabled", Some(self.filevault.enabled.into())),
            ("SystemIntegrityProtectionEnabled", Some(true.into())),
            ("FirewallSettings", Some(Value::Dictionary(firewall))),
            ("ManagementStatus", Some(Value::Dictionary(management))),
            ("SecureBoot", Some(Value::Dictionary(boot))),
            ("AuthenticatedRootVolumeEnabled", Some(true.into())),
        ]);
        if !user {
            info.insert("FDE_HasPersonalRecoveryKey".into(), self.filevault.recovery_key.is_some().into());
            info.insert("FDE_HasInstitutionalRecoveryKey".into(), false.into());
            info.insert("RemoteDesktopEnabled".into(), false.into());
            info.insert("BootstrapTokenAllowedForAuthentication".into(), "allowed".into());
            info.insert("BootstrapTokenRequiredForSoftwareUpdate".into(), true.into());
            info.insert("BootstrapTokenRequiredForKernelExtensionApproval".into(), true.into());
            info.insert("IsRecoveryLockEnabled".into(), self.recovery_password.is_some().into());
            if let Some((escrowed, key)) = self.escrowed_recovery_key() {
                info.insert("FDE_PersonalRecoveryKeyCMS".into(), Value::Data(escrowed));
                info.insert("FDE_PersonalRecoveryKeyDeviceKey".into(), key.into());
            }
        }
        info
    }

    pub(crate) fn certificate_list(&self, body: &Dictionary) -> Vec<Value> {
        let _managed_only = body.flag("ManagedOnly") || self.is_user_enrollment();
        let entry = |der: &[u8], identity: bool| {
            Value::Dictionary(plists::dictionary([
                ("CommonName", Some(crypto::common_name(der).unwrap_or_default().into())),
                ("IsIdentity", Some(identity.into())),
                ("Data", Some(Value::Data(der.to_vec()))),
            ]))
        };
        let roots = self.profiles.iter().flat_map(|profile| &profile.payloads).filter(|payload| {
            matches!(
                payload.payload_type.as_str(),
                "com.apple.security.root" | "com.apple.security.pkcs1" | "com.apple.security.pem"
            )
        });
        let roots = roots.filter_map(|payload| payload.content.data("PayloadContent"));
        let identities = self.identities.values().map(|identity| entry(&identity.certificate, true));
        roots.map(|der| entry(der, false)).chain(identities).collect()
    }

    pub(crate) fn restrictions(&self, body: &Dictionary) -> Outcome {
        let mut restricted = Dictionary::new();
        let mut by_profile = Dictionary::new();
        for profile in &self.profiles {
            let mut own = Dictionary::new();
            for payload in profile.payloads.iter().filter(|p| p.payload_type == "com.apple.applicationaccess") {
                for (key, value) in payload.content.iter().filter(|(key, _)| !key.starts_with("Payload")) {
                    if let Some(flag) = value.as_boolean() {
                        own.insert(key.clone(), Value::Dictionary(plists::dictionary([("value", Some(flag.into()))])));
                    }
                }
            }
            for (key, value) in &own {
                restricted.insert(key.clone(), value.clone());
            }
            if !own.is_empty() {
                let own = plists::dictionary([("restrictedBool", Some(Value::Dictionary(own)))]);
                by_profile.insert(profile.identifier.clone(), Value::Dictionary(own));
            }
        }
        let global = plists::dictionary([("restrictedBool", Some(Value::Dictionary(restricted)))]);
        let mut result = plists::dictionary([("GlobalRestrictions", Some(Value::Dictionary(global)))]);
        if body.flag("ProfileRestrictions") {
            result.insert("ProfileRestrictions".into(), Value::Dictionary(by_profile));
        }
        Outcome::Done(result)
    }
}
