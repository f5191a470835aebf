//! Check-in messages as a device writes them (device-management repository, `mdm/checkin`).

use plist::{Dictionary, Value};

use super::device::{Channel, Device};

impl Device {
    /// The identification keys of every message on a channel.
    pub(crate) fn ids(&self, channel: Channel) -> Dictionary {
        let mut keys = Dictionary::new();
        let Some(management) = &self.management else { return keys };
        match &management.enrollment_id {
            Some(id) => {
                keys.insert("EnrollmentID".into(), id.clone().into());
                if channel == Channel::User {
                    keys.insert("EnrollmentUserID".into(), self.account.0.clone().into());
                }
            }
            None => {
                keys.insert("UDID".into(), self.hardware.udid.clone().into());
                if channel == Channel::User {
                    keys.insert("UserID".into(), self.account.0.clone().into());
                }
            }
        }
        if channel == Channel::User {
            keys.insert("UserShortName".into(), self.account.1.clone().into());
            keys.insert("UserLongName".into(), self.account.2.clone().into());
        }
        keys
    }

    fn message(&self, channel: Channel, message_type: &str) -> Dictionary {
        let mut keys = self.ids(channel);
        keys.insert("MessageType".into(), message_type.into());
        if let Some(management) = &self.management
            && matches!(message_type, "Authenticate" | "TokenUpdate" | "CheckOut")
        {
            keys.insert("Topic".into(), management.topic.clone().into());
        }
        keys
    }

    /// `Authenticate`
    pub(crate) fn authenticate(&self) -> Dictionary {
        let mut keys = self.message(Channel::Device, "Authenticate");
        let mut put = |key: &str, value: &str| keys.insert(key.into(), value.into());
        put("OSVersion", &self.hardware.system.to_string());
        put("BuildVersion", &self.hardware.build);
        put("ProductName", &self.hardware.product_name);
        if !self.is_user_enrollment() && self.grants(16) {
            put("SerialNumber", &self.hardware.serial);
            if let Some(imei) = &self.hardware.imei {
                put("IMEI", imei);
            }
        }
        if self.hardware.family.is_mac() {
            put("DeviceName", &self.name);
            put("Model", &self.hardware.model);
            put("ModelName", &self.hardware.model_name);
        }
        keys
    }

    /// `TokenUpdate`
    pub(crate) fn token_update(&self, channel: Channel) -> Dictionary {
        let mut keys = self.message(channel, "TokenUpdate");
        let Some(management) = &self.management else { return keys };
        let push = match channel {
            Channel::Device => &management.push,
            Channel::User => management.user_push.as_ref().unwrap_or(&management.push),
        };
        keys.insert("PushMagic".into(), push.magic.clone().into());
        keys.insert("Token".into(), Value::Data(push.token.clone()));
        match channel {
            Channel::Device => {
                keys.insert("AwaitingConfiguration".into(), false.into());
                if let Some(token) = &self.unlock_token
                    && !self.is_user_enrollment()
                    && self.grants(4)
                {
                    keys.insert("UnlockToken".into(), Value::Data(token.clone()));
                }
            }
            Channel::User => {
                keys.insert("NotOnConsole".into(), false.into());
            }
        }
        keys
    }

    /// `CheckOut`
    pub(crate) fn check_out(&self) -> Dictionary {
        self.message(Channel::Device, "CheckOut")
    }

    /// `SetBootstrapToken`
    pub(crate) fn set_bootstrap_token(&self) -> Dictionary {
        let mut keys = self.message(Channel::Device, "SetBootstrapToken");
        keys.insert("AwaitingConfiguration".into(), false.into());
        if let Some(token) = &self.bootstrap_token {
            keys.insert("BootstrapToken".into(), Value::Data(token.clone()));
        }
        keys
    }

    /// `GetBootstrapToken`
    pub(crate) fn get_bootstrap_token(&self) -> Dictionary {
        let mut keys = self.message(Channel::Device, "GetBootstrapToken");
        keys.insert("AwaitingConfiguration".into(), false.into());
        keys
    }

    /// `DeclarativeManagement`
    pub(crate) fn declarative_management(&self, channel: Channel, endpoint: &str, data: Option<Vec<u8>>) -> Dictionary {
        let mut keys = self.message(channel, "DeclarativeManagement");
        keys.insert("Endpoint".into(), endpoint.into());
        if let Some(data) = data {
            keys.insert("Data".into(), Value::Data(data));
        }
        keys
    }

    /// `UserAuthenticate`, the first of the two.
    pub(crate) fn user_authenticate(&self) -> Dictionary {
        self.message(Channel::User, "UserAuthenticate")
    }
}
