//! Commands: what a device checks before it does anything, and which part of it does what.

use plist::{Dictionary, Value};

use super::{
    answer::Outcome,
    device::{Channel, Device, LeftBecause, Refusal},
    install::Install,
    rules,
};
use crate::plists::{self, Keys};

/// A command from the server.
#[derive(Clone, Debug)]
pub struct Command {
    /// Name the server gave it.
    pub uuid: String,
    /// RequestType.
    pub request_type: String,
    /// The whole `Command` dictionary.
    pub body: Dictionary,
}

/// What executing a command leads to.
pub(crate) enum Reaction {
    Answer(Outcome),
    Enroll(Box<Install>),
}

/// What happens once the server has taken the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Erase,
    LockMac(String),
    Restart,
    ShutDown,
    RemoveManagement,
}

/// iOS commands that are done however locked the device is.
const NEVER_NOT_NOW: &[&str] = &[
    "DeviceInformation",
    "ProfileList",
    "DeviceLock",
    "EraseDevice",
    "ClearPasscode",
    "ProvisioningProfileList",
    "InstalledApplicationList",
    "Restrictions",
];

/// All that a Mac does while it dozes on battery.
const IN_POWER_NAP: &[&str] = &[
    "DeleteUser",
    "DeviceLock",
    "EraseDevice",
    "RestartDevice",
    "ShutDownDevice",
    "UserList",
    "ActivationLockBypassCode",
    "ClearActivationLockBypassCode",
    "UnlockUserAccount",
];

/// The access right a command needs.
fn right(request_type: &str) -> i64 {
    match request_type {
        "ProfileList" | "CertificateList" => 1,
        "InstallProfile" | "RemoveProfile" => 2,
        "DeviceLock" | "ClearPasscode" | "RestartDevice" | "ShutDownDevice" => 4,
        "EraseDevice" => 8,
        "ProvisioningProfileList" => 64,
        "InstallProvisioningProfile" | "RemoveProvisioningProfile" => 128,
        "InstalledApplicationList" => 256,
        "Restrictions" => 512,
        "SecurityInfo" => 1024,
        "Settings" => 2048,
        "InstallApplication" | "RemoveApplication" | "ManagedApplicationList" | "InstallEnterpriseApplication" => 4096,
        _ => 0,
    }
}

impl Command {
    /// Reads the answer to a poll; what cannot be read names its CommandUUID, if any.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let document = plists::read(body).map_err(|_| String::new())?;
        let uuid = document.text("CommandUUID").unwrap_or_default().to_owned();
        let command = document.dictionary("Command").cloned();
        match command {
            Some(body) if !uuid.is_empty() => match body.text("RequestType").map(str::to_owned) {
                Some(request_type) => Ok(Command { uuid, request_type, body }),
                None => Err(uuid),
            },
            _ => Err(uuid),
        }
    }
}

impl Device {
    /// Does a command.
    pub(crate) fn execute(&mut self, channel: Channel, command: &Command) -> Reaction {
        match self.hindrance(channel, command) {
            Some(outcome) => Reaction::Answer(outcome),
            None if command.request_type == "InstallProfile" => self.install_profile(channel, command),
            None => Reaction::Answer(self.perform(channel, command)),
        }
    }

    fn hindrance(&mut self, channel: Channel, command: &Command) -> Option<Outcome> {
        let name = command.request_type.as_str();
        if let Some((refusal, times)) = self.refusals.get_mut(name)
            && *times > 0
        {
            *times -= 1;
            return Some(match refusal {
                Refusal::NotNow => Outcome::NotNow,
                Refusal::Error(code, text) => Outcome::mdm_error(*code, text.clone()),
                Refusal::FormatError => Outcome::Malformed,
            });
        }
        let required = match rules::command(name, self, channel == Channel::User) {
            Ok(required) => required,
            Err(why) => return Some(Outcome::untaken(name, why)),
        };
        if required.iter().any(|key| !command.body.contains_key(key)) {
            return Some(Outcome::Malformed);
        }
        if !self.grants(right(name)) {
            return Some(Outcome::mdm_error(12033, format!("The server has not the right to “{name}”.")));
        }
        let mac = self.hardware.family.is_mac();
        let waits = match channel {
            _ if mac && self.power_nap => !IN_POWER_NAP.contains(&name),
            Channel::User => self.keychain_locked && matches!(name, "InstallProfile" | "RemoveProfile"),
            Channel::Device => !mac && self.locked && !NEVER_NOT_NOW.contains(&name),
        };
        waits.then_some(Outcome::NotNow)
    }

    fn perform(&mut self, channel: Channel, command: &Command) -> Outcome {
        let body = &command.body;
        match command.request_type.as_str() {
            "DeviceInformation" => self.device_information(channel, body),
            "SecurityInfo" => Outcome::with("SecurityInfo", Value::Dictionary(self.security_info())),
            "ProfileList" => Outcome::with("ProfileList", Value::Array(self.profile_list(channel, body))),
            "CertificateList" => Outcome::with("CertificateList", Value::Array(self.certificate_list(body))),
            "InstalledApplicationList" => self.installed_application_list(body),
            "ManagedApplicationList" => self.managed_application_list(body),
            "InstallApplication" => self.install_application(body),
            "InstallEnterpriseApplication" => self.install_enterprise_application(body),
            "RemoveApplication" => self.remove_application(body),
            "ManagedApplicationConfiguration" => self.managed_application_details(body, "ApplicationConfigurations"),
            "ManagedApplicationAttributes" => self.managed_application_details(body, "ApplicationAttributes"),
            "ManagedApplicationFeedback" => Outcome::with("ManagedApplicationFeedback", Value::Array(Vec::new())),
            "ValidateApplications" => Outcome::done(),
            "RemoveProfile" => self.remove_profile(channel, body),
            "ProvisioningProfileList" => Outcome::with("ProvisioningProfileList", Value::Array(Vec::new())),
            "Restrictions" => self.restrictions(body),
            "Settings" => self.change_settings(body),
            "DeclarativeManagement" => self.declarative_command(channel, body),
            "DeviceLock" => self.device_lock(body),
            "ClearPasscode" => self.clear_passcode(body),
            "EraseDevice" => self.erase_device(body),
            "RestartDevice" => self.later(Effect::Restart),
            "ShutDownDevice" => self.later(Effect::ShutDown),
            "RotateFileVaultKey" => self.rotate_filevault_key(body),
            "ActivationLockBypassCode" => match &self.bypass_code {
                Some(code) => Outcome::with("ActivationLockBypassCode", code.clone()),
                None => Outcome::mdm_error(12076, "There is no activation lock bypass code."),
            },
            "ClearActivationLockBypassCode" => {
                self.bypass_code = None;
                Outcome::done()
            }
            "EnableLostMode" => self.enable_lost_mode(body),
            "DisableLostMode" => match self.lost_mode.take() {
                Some(_) => Outcome::done(),
                None => not_lost(),
            },
            "PlayLostModeSound" if self.lost_mode.is_some() => Outcome::done(),
            "DeviceLocation" if self.lost_mode.is_some() => self.location(),
            "PlayLostModeSound" | "DeviceLocation" => not_lost(),
            "UserList" => self.user_list(),
            "SetRecoveryLock" => self.set_recovery_lock(body),
            "VerifyRecoveryLock" => {
                let right = self.recovery_password.as_deref() == body.text("Password");
                Outcome::with("PasswordVerified", right)
            }
            "UnlockUserAccount" | "EnableRemoteDesktop" | "DisableRemoteDesktop" => Outcome::done(),
            "DeviceConfigured" | "AccountConfiguration" => {
                Outcome::mdm_error(12069, "The device is not awaiting configuration.")
            }
            other => Outcome::mdm_error(12021, format!("“{other}” is not a valid request type.")),
        }
    }

    fn later(&mut self, effect: Effect) -> Outcome {
        self.effect = Some(effect);
        Outcome::done()
    }

    fn device_lock(&mut self, body: &Dictionary) -> Outcome {
        if self.hardware.family.is_mac() {
            return match body.text("PIN") {
                Some(pin) if pin.len() == 6 && pin.bytes().all(|b| b.is_ascii_digit()) => {
                    let pin = pin.to_owned();
                    self.later(Effect::LockMac(pin))
                }
                Some(_) => Outcome::mdm_error(12008, "The PIN must have six digits."),
                None => self.later(Effect::LockMac(String::new())),
            };
        }
        self.locked = true;
        match body.text("Message") {
            None => Outcome::done(),
            Some(message) => {
                self.lock_messages.push(message.to_owned());
                let result = if self.passcode.is_some() { "Success" } else { "NoPasscodeSet" };
                Outcome::with("MessageResult", result)
            }
        }
    }

    fn clear_passcode(&mut self, body: &Dictionary) -> Outcome {
        if body.data("UnlockToken").is_none() {
            return Outcome::Malformed;
        }
        if body.data("UnlockToken") != self.unlock_token.as_deref() {
            return Outcome::mdm_error(12012, "The unlock token is not of this device.");
        }
        self.passcode = None;
        self.locked = false;
        self.fresh_unlock_token();
        self.tasks.push_back(super::session::Task::TokenUpdate(Channel::Device));
        Outcome::done()
    }

    fn erase_device(&mut self, body: &Dictionary) -> Outcome {
        match body.text("PIN") {
            Some(pin) if self.hardware.family.is_mac() && pin.len() != 6 => {
                Outcome::mdm_error(12008, "The PIN must have six characters.")
            }
            _ => self.later(Effect::Erase),
        }
    }

    fn enable_lost_mode(&mut self, body: &Dictionary) -> Outcome {
        match (body.text("Message"), body.text("PhoneNumber")) {
            (None, None) => Outcome::mdm_error(12078, "Lost mode needs a message or a phone number."),
            (message, phone) => {
                self.lost_mode = message.or(phone).map(str::to_owned);
                Outcome::done()
            }
        }
    }

    fn location(&mut self) -> Outcome {
        let mut keys = Dictionary::new();
        let ranges = [
            ("Latitude", 47.0, 8.0),
            ("Longitude", 6.0, 9.0),
            ("HorizontalAccuracy", 5.0, 60.0),
            ("VerticalAccuracy", 3.0, 10.0),
            ("Altitude", 20.0, 800.0),
            ("Speed", 0.0, 3.0),
            ("Course", 0.0, 360.0),
        ];
        for (key, from, range) in ranges {
            keys.insert(key.into(), Value::Real(from + range * (self.random.below(1000) as f64) / 1000.0));
        }
        keys.insert("Timestamp".into(), "2026-01-01T00:00:00Z".into());
        Outcome::Done(keys)
    }

    fn user_list(&self) -> Outcome {
        if !self.hardware.family.is_mac() {
            return Outcome::mdm_error(12046, "The device is not shared.");
        }
        let user = plists::dictionary([
            ("UserName", Some(self.account.1.clone().into())),
            ("FullName", Some(self.account.2.clone().into())),
            ("UserGUID", Some(self.account.0.clone().into())),
            ("UID", Some(501.into())),
            ("IsLoggedIn", Some(true.into())),
            ("MobileAccount", Some(false.into())),
            ("HasSecureToken", Some(true.into())),
        ]);
        Outcome::with("Users", Value::Array(vec![Value::Dictionary(user)]))
    }

    fn set_recovery_lock(&mut self, body: &Dictionary) -> Outcome {
        if self.recovery_password.is_some() && self.recovery_password.as_deref() != body.text("CurrentPassword") {
            return Outcome::mdm_error(12082, "The current recovery password is another one.");
        }
        self.recovery_password = body.text("NewPassword").filter(|new| !new.is_empty()).map(str::to_owned);
        Outcome::done()
    }

    /// Does what waited for the server to take the result.
    pub(crate) fn take_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Erase => self.erase(),
            Effect::LockMac(pin) => self.lock_pin = Some(pin),
            Effect::Restart => {
                self.restarts += 1;
                self.locked = !self.hardware.family.is_mac() && self.passcode.is_some();
            }
            Effect::ShutDown => self.off = true,
            Effect::RemoveManagement => self.unenroll(LeftBecause::RemovedByServer),
        }
    }

    fn erase(&mut self) {
        self.erasures += 1;
        self.forget_management(LeftBecause::Erased);
        self.profiles.clear();
        self.identities.clear();
        self.apps = super::apps::App::preinstalled();
        self.passcode = None;
        self.locked = false;
        self.lost_mode = None;
        self.settings = Dictionary::new();
        self.filevault = Default::default();
        self.tasks.clear();
        self.results = [None, None];
        self.fresh_unlock_token();
    }
}

fn not_lost() -> Outcome {
    Outcome::mdm_error(12067, "The device is not in lost mode.")
}
