//! DeviceInformation: every query this model can answer, from its state.

use plist::{Dictionary, Value};

use super::{
    answer::Outcome,
    device::{Channel, Device},
    rules,
};
use crate::{plists, plists::Keys};

/// Queries that need the right to network information instead of device information.
const NETWORK: &[&str] = &[
    "ICCID",
    "BluetoothMAC",
    "WiFiMAC",
    "EthernetMAC",
    "CurrentCarrierNetwork",
    "SubscriberCarrierNetwork",
    "CarrierSettingsVersion",
    "PhoneNumber",
    "VoiceRoamingEnabled",
    "DataRoamingEnabled",
    "IsRoaming",
    "SubscriberMCC",
    "SubscriberMNC",
    "CurrentMCC",
    "CurrentMNC",
];

impl Device {
    pub(crate) fn device_information(&mut self, channel: Channel, body: &Dictionary) -> Outcome {
        let mut answers = Dictionary::new();
        for query in body.texts("Queries") {
            let right = if NETWORK.contains(&query.as_str()) { 32 } else { 16 };
            if !rules::query(&query, self) || !self.grants(right) {
                continue;
            }
            if let Some(value) = self.information(channel, &query) {
                answers.insert(query, value);
            }
        }
        Outcome::with("QueryResponses", Value::Dictionary(answers))
    }

    fn information(&mut self, channel: Channel, query: &str) -> Option<Value> {
        let hardware = &self.hardware;
        let mac = hardware.family.is_mac();
        let text = |value: &str| Some(Value::String(value.to_owned()));
        let flag = |value: bool| Some(Value::Boolean(value));
        match query {
            "UDID" | "ProvisioningUDID" => text(&hardware.udid),
            "OrganizationInfo" => self.settings.get(query).cloned(),
            "MDMOptions" => {
                Some(self.settings.get(query).cloned().unwrap_or_else(|| Value::Dictionary(Dictionary::new())))
            }
            "AwaitingConfiguration" => flag(false),
            "iTunesStoreAccountIsActive" => flag(true),
            // Since iOS 16 the name a person chose is not told under User Enrollment.
            "DeviceName" if self.is_user_enrollment() => text(&hardware.model_name),
            "DeviceName" => text(&self.name),
            "OSVersion" => text(&hardware.system.to_string()),
            "BuildVersion" | "SupplementalBuildVersion" => text(&hardware.build),
            "SupplementalOSVersionExtra" => None,
            "ModelName" => text(&hardware.model_name),
            "Model" => text(&hardware.model),
            "ModelNumber" => text(&format!("{}LL/A", hardware.model)),
            "IsAppleSilicon" => flag(true),
            "ProductName" => text(&hardware.product_name),
            "SerialNumber" => text(&hardware.serial),
            "DeviceCapacity" => Some(Value::Real(hardware.capacity)),
            "AvailableDeviceCapacity" => {
                let used: u64 = self.apps.iter().map(|app| app.size).sum();
                Some(Value::Real((hardware.capacity * 0.6 - used as f64 / 1e9).max(1.0)))
            }
            "IMEI" => hardware.imei.clone().map(Value::String),
            "ModemFirmwareVersion" => hardware.imei.as_ref().and_then(|_| text("2.21.00")),
            "CellularTechnology" => Some(Value::Integer(if hardware.imei.is_some() { 1.into() } else { 0.into() })),
            "BatteryLevel" => Some(Value::Real((20 + self.random.below(80)) as f64 / 100.0)),
            "HasBattery" => flag(hardware.model_name != "Mac mini"),
            "IsSupervised" => flag(self.supervised),
            "IsMultiUser" => flag(false),
            "IsDeviceLocatorServiceEnabled" => flag(true),
            "IsActivationLockEnabled" => flag(!self.supervised),
            "IsActivationLockSupported" => flag(true),
            "IsDoNotDisturbInEffect" => flag(false),
            "EASDeviceIdentifier" => text(&format!("EAS{}", hardware.serial)),
            "IsCloudBackupEnabled" => flag(true),
            "ActiveManagedUsers" => Some(Value::Array(vec![Value::String(self.account.0.clone())])),
            "OSUpdateSettings" => Some(Value::Dictionary(plists::dictionary([
                ("AutoCheckEnabled", Some(true.into())),
                ("BackgroundDownloadEnabled", Some(true.into())),
                ("AutomaticOSInstallationEnabled", Some(false.into())),
                ("AutomaticSecurityUpdatesEnabled", Some(true.into())),
            ]))),
            "LocalHostName" | "HostName" => {
                let host: String = self.name.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
                text(&if query == "HostName" { format!("{host}.local") } else { host })
            }
            "SystemIntegrityProtectionEnabled" => flag(true),
            "SupportsLOMDevice" => flag(false),
            "IsMDMLostModeEnabled" => flag(self.lost_mode.is_some()),
            "PushToken" => {
                let management = self.management.as_ref()?;
                let target = match channel {
                    Channel::Device => &management.push,
                    Channel::User => management.user_push.as_ref()?,
                };
                Some(Value::Data(target.token.clone()))
            }
            "DiagnosticSubmissionEnabled" => flag(false),
            "AppAnalyticsEnabled" => flag(false),
            "TimeZone" => text("Europe/Berlin"),
            "BluetoothMAC" => text(&hardware.bluetooth_mac),
            "WiFiMAC" => text(&hardware.wifi_mac),
            "EthernetMAC" => text(&hardware.wifi_mac.replace("3c:", "3e:")),
            "DataRoamingEnabled" | "PersonalHotspotEnabled" | "IsRoaming" | "IsNetworkTethered" => flag(false),
            "ServiceSubscriptions" => {
                let imei = hardware.imei.clone()?;
                let subscription = plists::dictionary([
                    ("IMEI", Some(imei.into())),
                    ("Label", Some("Primary".into())),
                    ("LabelID", Some("00000000-0000-0000-0000-000000000001".into())),
                    ("Slot", Some("CTSubscriptionSlotOne".into())),
                    ("IsDataPreferred", Some(true.into())),
                    ("IsVoicePreferred", Some(true.into())),
                    ("IsRoaming", Some(false.into())),
                ]);
                Some(Value::Array(vec![Value::Dictionary(subscription)]))
            }
            "PINRequiredForEraseDevice" | "PINRequiredForDeviceLock" => flag(false),
            "SupportsiOSAppInstalls" => flag(mac),
            "SoftwareUpdateDeviceID" => text(&hardware.product_name),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{Device, Family, Version, device::Channel};
    use crate::{plists, random::Seeded};
    use plist::Value;

    #[test]
    fn an_unmanaged_device_has_no_rights_to_grant() {
        let mut phone = Device::new(Family::IPhone, Version(17, 0, 0), false, "Ada", &mut Seeded::new(1));
        let body = plists::dictionary([("Queries", Some(Value::Array(vec!["UDID".into()])))]);
        let outcome = phone.device_information(Channel::Device, &body);
        assert_eq!(outcome, crate::model::answer::Outcome::with("QueryResponses", plist::Dictionary::new()));
    }
}
