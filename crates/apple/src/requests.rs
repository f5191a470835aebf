//! The commands we send, one function each.
//!
//! Apple: `mdm/commands/*.yaml`. A function takes what the command needs and nothing else; rules
//! about which enrollment may get it live in the catalogue.

use crate::{
    dict,
    plist::{Dictionary, Value, put, put_some},
};

/// `RequestType` and the keys beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// `RequestType`.
    pub request_type: String,
    /// Every other key of `Command`.
    pub parameters: Dictionary,
}

impl Request {
    /// A request with parameters.
    pub fn new(request_type: &str, parameters: Dictionary) -> Self {
        Request { request_type: request_type.into(), parameters }
    }

    /// A request without parameters.
    pub fn bare(request_type: &str) -> Self {
        Request::new(request_type, Dictionary::new())
    }
}

fn strings(values: &[&str]) -> Value {
    Value::Array(values.iter().map(|value| Value::from(*value)).collect())
}

/// Installs a profile, or replaces the one of the same top-level `PayloadIdentifier`.
pub fn install_profile(profile: Vec<u8>) -> Request {
    Request::new("InstallProfile", dict! { "Payload" => Value::Data(profile) })
}

/// Removes the profile of that top-level `PayloadIdentifier`.
pub fn remove_profile(identifier: &str) -> Request {
    Request::new("RemoveProfile", dict! { "Identifier" => identifier })
}

/// Lists installed profiles.
pub fn profile_list() -> Request {
    Request::bare("ProfileList")
}

/// Asks for named facts; an empty list is left out and asks for all the device may tell.
pub fn device_information(queries: &[&str]) -> Request {
    if queries.is_empty() {
        return Request::bare("DeviceInformation");
    }
    Request::new("DeviceInformation", dict! { "Queries" => strings(queries) })
}

/// Asks for encryption, passcode and boot security.
pub fn security_info() -> Request {
    Request::bare("SecurityInfo")
}

/// Lists apps.
pub fn installed_application_list(managed_only: bool, items: &[&str]) -> Request {
    let mut parameters = dict! { "ManagedAppsOnly" => managed_only };
    if !items.is_empty() {
        put(&mut parameters, "Items", strings(items));
    }
    Request::new("InstalledApplicationList", parameters)
}

/// Lists what became of managed apps.
pub fn managed_application_list() -> Request {
    Request::bare("ManagedApplicationList")
}

/// Lists certificates.
pub fn certificate_list(managed_only: bool) -> Request {
    Request::new("CertificateList", dict! { "ManagedOnly" => managed_only })
}

/// Locks the screen; a Mac also needs a six-digit PIN to be opened again.
pub fn device_lock(message: Option<&str>, phone_number: Option<&str>, pin: Option<&str>) -> Request {
    let mut parameters = Dictionary::new();
    put_some(&mut parameters, "Message", message);
    put_some(&mut parameters, "PhoneNumber", phone_number);
    put_some(&mut parameters, "PIN", pin);
    Request::new("DeviceLock", parameters)
}

/// Options of [`erase_device`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EraseDevice {
    /// Keep the cellular plan.
    pub preserve_data_plan: Option<bool>,
    /// Skip proximity setup.
    pub disallow_proximity_setup: Option<bool>,
    /// Six digits; Macs before T2.
    pub pin: Option<String>,
    /// `Default`, `DoNotObliterate`, `ObliterateWithWarning`, `Always` (macOS 12).
    pub obliteration_behavior: Option<String>,
}

/// Erases everything.
pub fn erase_device(options: &EraseDevice) -> Request {
    let mut parameters = Dictionary::new();
    put_some(&mut parameters, "PreserveDataPlan", options.preserve_data_plan);
    put_some(&mut parameters, "DisallowProximitySetup", options.disallow_proximity_setup);
    put_some(&mut parameters, "PIN", options.pin.clone());
    put_some(&mut parameters, "ObliterationBehavior", options.obliteration_behavior.clone());
    Request::new("EraseDevice", parameters)
}

/// Removes the passcode.
pub fn clear_passcode(unlock_token: Vec<u8>) -> Request {
    Request::new("ClearPasscode", dict! { "UnlockToken" => Value::Data(unlock_token) })
}

/// Restarts.
pub fn restart_device(notify_user: Option<bool>) -> Request {
    let mut parameters = Dictionary::new();
    put_some(&mut parameters, "NotifyUser", notify_user);
    Request::new("RestartDevice", parameters)
}

/// Shuts down.
pub fn shut_down_device() -> Request {
    Request::bare("ShutDownDevice")
}

/// Changes settings; each item is a dictionary with `Item`.
pub fn settings(items: Vec<Dictionary>) -> Request {
    let items = items.into_iter().map(Value::Dictionary).collect();
    Request::new("Settings", dict! { "Settings" => Value::Array(items) })
}

/// Renames the device.
pub fn set_device_name(name: &str) -> Request {
    settings(vec![dict! { "Item" => "DeviceName", "DeviceName" => name }])
}

/// Switches declarative management on and asks for a synchronisation; `tokens` is the JSON of
/// the `tokens` answer and saves the device one trip.
pub fn declarative_management(tokens: Option<Vec<u8>>) -> Request {
    let mut parameters = Dictionary::new();
    put_some(&mut parameters, "Data", tokens.map(Value::Data));
    Request::new("DeclarativeManagement", parameters)
}

/// Makes a new personal recovery key, encrypted to `reply_certificate` (DER).
pub fn rotate_file_vault_key(current_key: &str, reply_certificate: Vec<u8>) -> Request {
    Request::new(
        "RotateFileVaultKey",
        dict! {
            "KeyType" => "personal",
            "FileVaultUnlock" => dict! { "Password" => current_key },
            "ReplyEncryptionCertificate" => Value::Data(reply_certificate),
        },
    )
}

/// Lists the accounts of a Mac or a Shared iPad.
pub fn user_list() -> Request {
    Request::bare("UserList")
}

/// Ends the hold in Setup Assistant.
pub fn device_configured() -> Request {
    Request::bare("DeviceConfigured")
}

/// Lists restrictions in force.
pub fn restrictions() -> Request {
    Request::bare("Restrictions")
}

/// Lists provisioning profiles.
pub fn provisioning_profile_list() -> Request {
    Request::bare("ProvisioningProfileList")
}
