//! Commands written by an administrator: checked before they may stand in a queue, so that one
//! bad document is refused with the place of its fault and never blocks others.
//!
//! Names and types of the keys: Apple's `mdm/commands/*.yaml`.

use crate::{
    plist::{self, DecodeError, Dictionary, Limits, Read, Value},
    profile::Profile,
    requests::Request,
};

/// Why a raw command is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct Refused {
    /// e.g. `Command.Payload`.
    pub place: String,
    /// What is wrong there.
    pub what: String,
}

fn refused<T>(place: impl Into<String>, what: impl Into<String>) -> Result<T, Refused> {
    Err(Refused { place: place.into(), what: what.into() })
}

/// Commands that go through the guard or that we own: never sent raw.
pub const RESERVED: [&str; 12] = [
    "EraseDevice",
    "DeviceLock",
    "ClearPasscode",
    "EnableLostMode",
    "ShutDownDevice",
    "RestartDevice",
    "ClearRestrictionsPassword",
    "DeclarativeManagement",
    "RotateFileVaultKey",
    "SetRecoveryLock",
    "SetFirmwarePassword",
    "DeleteUser",
];

/// Reads and checks a raw command: a whole command document, or only the `Command` dictionary.
pub fn decode(bytes: &[u8]) -> Result<Request, Refused> {
    let document = match plist::decode_dictionary(bytes, &Limits::MESSAGE) {
        Ok(document) => document,
        Err(error) => return refused("document", error.to_string()),
    };
    let inner = match document.get("Command") {
        Some(Value::Dictionary(inner)) => inner.clone(),
        Some(_) => return refused("Command", "is not a dictionary"),
        None if document.contains_key("RequestType") => document,
        None => return refused("Command", "is missing"),
    };
    check(inner)
}

fn check(mut parameters: Dictionary) -> Result<Request, Refused> {
    let request_type = match parameters.remove("RequestType") {
        Some(Value::String(word)) => word,
        Some(_) => return refused("Command.RequestType", "is not a string"),
        None => return refused("Command.RequestType", "is missing"),
    };
    let Some((_, keys)) = COMMANDS.iter().find(|(name, _)| *name == request_type) else {
        return refused("Command.RequestType", format!("{request_type} is not a command we know"));
    };
    if RESERVED.contains(&request_type.as_str()) {
        return refused(
            "Command.RequestType",
            format!("{request_type} has a device action of its own and cannot be sent raw"),
        );
    }
    for (key, value) in &parameters {
        if key == "RequestRequiresNetworkTether" {
            continue;
        }
        let Some((_, kind, _)) = keys.iter().find(|(name, _, _)| name == key) else {
            return refused(format!("Command.{key}"), format!("is not a key of {request_type}"));
        };
        if !kind.fits(value) {
            return refused(format!("Command.{key}"), format!("is not {}", kind.article()));
        }
    }
    for (key, _, required) in keys.iter() {
        if *required && !parameters.contains_key(key) {
            return refused(format!("Command.{key}"), "is missing");
        }
    }
    if request_type == "InstallProfile" {
        check_profile(&parameters)?;
    }
    if request_type == "RemoveProfile" && parameters.text("Identifier") == Ok(Some(String::new())) {
        return refused("Command.Identifier", "is empty");
    }
    Ok(Request { request_type, parameters })
}

fn check_profile(parameters: &Dictionary) -> Result<(), Refused> {
    let Ok(Some(bytes)) = parameters.data("Payload") else { return refused("Command.Payload", "is not data") };
    // A signed profile is DER; the device judges its content.
    if bytes.first() == Some(&0x30) {
        return Ok(());
    }
    let profile = match Profile::decode(&bytes) {
        Ok(profile) => profile,
        Err(DecodeError::Missing(key)) => return refused(format!("Command.Payload.{key}"), "is missing"),
        Err(DecodeError::Key(key, what)) => return refused(format!("Command.Payload.{key}"), what),
        Err(error) => return refused("Command.Payload", error.to_string()),
    };
    if profile.payload("com.apple.mdm").is_some() {
        return refused("Command.Payload", "an enrollment profile cannot be sent raw");
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Flag,
    Number,
    Data,
    Dictionary,
    Array,
}

impl Kind {
    fn fits(self, value: &Value) -> bool {
        match self {
            Kind::Text => value.as_string().is_some(),
            Kind::Flag => value.as_boolean().is_some(),
            Kind::Number => matches!(value, Value::Integer(_) | Value::Real(_)),
            Kind::Data => value.as_data().is_some(),
            Kind::Dictionary => value.as_dictionary().is_some(),
            Kind::Array => value.as_array().is_some(),
        }
    }

    fn article(self) -> &'static str {
        match self {
            Kind::Text => "a string",
            Kind::Flag => "a boolean",
            Kind::Number => "a number",
            Kind::Data => "data",
            Kind::Dictionary => "a dictionary",
            Kind::Array => "an array",
        }
    }
}

use Kind::{Array, Data, Flag, Number, Text};

type Keys = &'static [(&'static str, Kind, bool)];

/// `RequestType` -> (key, type, required).
#[rustfmt::skip]
const COMMANDS: &[(&str, Keys)] = &[
    ("AccountConfiguration", &[("SkipPrimarySetupAccountCreation", Flag, false), ("SetPrimarySetupAccountAsRegularUser", Flag, false), ("PrimaryAccountFullName", Text, false), ("PrimaryAccountUserName", Text, false), ("DontAutoPopulatePrimaryAccountInfo", Flag, false), ("LockPrimaryAccountInfo", Flag, false), ("AutoSetupAdminAccounts", Array, false), ("ManagedLocalUserShortName", Text, false)]),
    ("ActivationLockBypassCode", &[]),
    ("ActiveNSExtensions", &[("FilterExtensionPoints", Array, false)]),
    ("ApplyRedemptionCode", &[("Identifier", Text, true), ("RedemptionCode", Text, true)]),
    ("AvailableOSUpdates", &[]),
    ("CertificateList", &[("ManagedOnly", Flag, false)]),
    ("ClearActivationLockBypassCode", &[]),
    ("ClearPasscode", &[("UnlockToken", Data, true)]),
    ("ClearRestrictionsPassword", &[]),
    ("ContentCachingInformation", &[]),
    ("DeclarativeManagement", &[("Data", Data, false)]),
    ("DeleteUser", &[("UserName", Text, false), ("ForceDeletion", Flag, false), ("DeleteAllUsers", Flag, false)]),
    ("DeviceConfigured", &[]),
    ("DeviceInformation", &[("Queries", Array, true), ("DeviceAttestationNonce", Data, false)]),
    ("DeviceLocation", &[]),
    ("DeviceLock", &[("Message", Text, false), ("PhoneNumber", Text, false), ("PIN", Text, false)]),
    ("DisableLostMode", &[]),
    ("DisableRemoteDesktop", &[]),
    ("EnableLostMode", &[("Message", Text, false), ("PhoneNumber", Text, false), ("Footnote", Text, false)]),
    ("EnableRemoteDesktop", &[]),
    ("EraseDevice", &[("PreserveDataPlan", Flag, false), ("DisallowProximitySetup", Flag, false), ("PIN", Text, false), ("ObliterationBehavior", Text, false), ("ReturnToService", Kind::Dictionary, false)]),
    ("InstallApplication", &[("iTunesStoreID", Number, false), ("Identifier", Text, false), ("Options", Kind::Dictionary, false), ("ManifestURL", Text, false), ("ManagementFlags", Number, false), ("Configuration", Kind::Dictionary, false), ("Attributes", Kind::Dictionary, false), ("ChangeManagementState", Text, false), ("InstallAsManaged", Flag, false), ("iOSApp", Flag, false)]),
    ("InstallEnterpriseApplication", &[("Manifest", Kind::Dictionary, false), ("ManifestURL", Text, false), ("ManifestURLPinningCerts", Array, false), ("PinningRevocationCheckRequired", Flag, false), ("InstallAsManaged", Flag, false), ("ManagementFlags", Number, false), ("Configuration", Kind::Dictionary, false), ("ChangeManagementState", Text, false), ("iOSApp", Flag, false)]),
    ("InstallMedia", &[("iTunesStoreID", Number, false), ("MediaURL", Text, false), ("MediaType", Text, true), ("PersistentID", Text, false), ("Kind", Text, false), ("Version", Text, false), ("Author", Text, false), ("Title", Text, false)]),
    ("InstallProfile", &[("Payload", Data, true)]),
    ("InstallProvisioningProfile", &[("ProvisioningProfile", Data, true)]),
    ("InstalledApplicationList", &[("Identifiers", Array, false), ("ManagedAppsOnly", Flag, false), ("Items", Array, false)]),
    ("InviteToProgram", &[("ProgramID", Text, true), ("InvitationURL", Text, true)]),
    ("LOMDeviceRequest", &[("RequestList", Array, true)]),
    ("LOMSetupRequest", &[]),
    ("LogOutUser", &[]),
    ("ManagedApplicationAttributes", &[("Identifiers", Array, true)]),
    ("ManagedApplicationConfiguration", &[("Identifiers", Array, true)]),
    ("ManagedApplicationFeedback", &[("Identifiers", Array, true), ("DeleteFeedback", Flag, false)]),
    ("ManagedApplicationList", &[("Identifiers", Array, false)]),
    ("ManagedMediaList", &[]),
    ("NSExtensionMappings", &[]),
    ("OSUpdateStatus", &[]),
    ("PlayLostModeSound", &[]),
    ("ProfileList", &[("ManagedOnly", Flag, false)]),
    ("ProvisioningProfileList", &[("ManagedOnly", Flag, false)]),
    ("RefreshCellularPlans", &[("eSIMServerURL", Text, true)]),
    ("RemoveApplication", &[("Identifier", Text, true)]),
    ("RemoveMedia", &[("MediaType", Text, true), ("iTunesStoreID", Text, false), ("PersistentID", Text, false)]),
    ("RemoveProfile", &[("Identifier", Text, true)]),
    ("RemoveProvisioningProfile", &[("UUID", Text, true)]),
    ("RequestMirroring", &[("DestinationName", Text, false), ("DestinationDeviceID", Text, false), ("ScanTime", Number, false), ("Password", Text, false)]),
    ("RequestUnlockToken", &[]),
    ("RestartDevice", &[("RebuildKernelCache", Flag, false), ("KextPaths", Array, false), ("NotifyUser", Flag, false)]),
    ("Restrictions", &[("ProfileRestrictions", Flag, false)]),
    ("RotateFileVaultKey", &[("KeyType", Text, true), ("FileVaultUnlock", Kind::Dictionary, true), ("NewCertificate", Data, false), ("ReplyEncryptionCertificate", Data, false)]),
    ("ScheduleOSUpdate", &[("Updates", Array, true)]),
    ("ScheduleOSUpdateScan", &[("Force", Flag, false)]),
    ("SecurityInfo", &[]),
    ("SetAutoAdminPassword", &[("GUID", Text, true), ("passwordHash", Data, true)]),
    ("SetFirmwarePassword", &[("CurrentPassword", Text, false), ("NewPassword", Text, true), ("AllowOroms", Flag, false)]),
    ("SetRecoveryLock", &[("CurrentPassword", Text, false), ("NewPassword", Text, true)]),
    ("Settings", &[("Settings", Array, true)]),
    ("ShutDownDevice", &[]),
    ("StopMirroring", &[]),
    ("UnlockUserAccount", &[("UserName", Text, true)]),
    ("UserConfigured", &[]),
    ("UserList", &[]),
    ("ValidateApplications", &[("Identifiers", Array, false)]),
    ("VerifyFirmwarePassword", &[("Password", Text, true)]),
    ("VerifyRecoveryLock", &[("Password", Text, true)]),
];
