//! The Settings command: each item has its own answer; one may fail while others succeed.

use plist::{Dictionary, Value};

use super::{answer::Outcome, device::Device};
use crate::{plists, plists::Keys};

/// A row: item, letters that take it at all, letters that take it under User Enrollment, letters
/// where it needs supervision, the key it needs.
const ITEMS: &[(&str, &str, &str, &str, &str)] = &[
    ("Wallpaper", "i", "", "i", "Image"),
    ("DataRoaming", "i", "", "", "Enabled"),
    ("VoiceRoaming", "i", "", "", "Enabled"),
    ("PersonalHotspot", "i", "", "", "Enabled"),
    ("Bluetooth", "im", "", "i", "Enabled"),
    ("ApplicationConfiguration", "im", "im", "", "Identifier"),
    ("ApplicationAttributes", "i", "i", "", "Identifier"),
    ("DeviceName", "im", "", "i", "DeviceName"),
    ("HostName", "m", "", "", "HostName"),
    ("OrganizationInfo", "im", "im", "", ""),
    ("DefaultApplications", "i", "", "", ""),
    ("MDMOptions", "im", "i", "", "MDMOptions"),
    ("DiagnosticSubmission", "i", "", "", "Enabled"),
    ("AppAnalytics", "i", "", "", "Enabled"),
    ("PasscodeLockGracePeriod", "i", "", "", "PasscodeLockGracePeriod"),
    ("TimeZone", "i", "", "i", "TimeZone"),
    ("SoftwareUpdateSettings", "i", "", "i", "RecommendationCadence"),
    ("AccessibilitySettings", "i", "", "i", ""),
];

impl Device {
    pub(crate) fn change_settings(&mut self, body: &Dictionary) -> Outcome {
        let items = body.dictionaries("Settings").into_iter().cloned().collect::<Vec<_>>();
        if items.is_empty() {
            return Outcome::Malformed;
        }
        let results = items.iter().map(|item| self.change_setting(item)).collect();
        Outcome::with("Settings", Value::Array(results))
    }

    fn change_setting(&mut self, item: &Dictionary) -> Value {
        let name = item.text("Item").unwrap_or_default().to_owned();
        let error = self.setting_error(&name, item);
        if error.is_none() {
            self.apply_setting(&name, item);
        }
        let status = if error.is_some() { "Error" } else { "Acknowledged" };
        let chain = error.map(|text| match Outcome::mdm_error(12054, text).into_keys().remove("ErrorChain") {
            Some(chain) => chain,
            None => Value::Array(Vec::new()),
        });
        Value::Dictionary(plists::dictionary([
            ("Item", Some(name.into())),
            ("Status", Some(status.into())),
            ("ErrorChain", chain),
        ]))
    }

    fn setting_error(&self, name: &str, item: &Dictionary) -> Option<&'static str> {
        let letter = if self.hardware.family.is_mac() { 'm' } else { 'i' };
        let Some(row) = ITEMS.iter().find(|row| row.0 == name && row.1.contains(letter)) else {
            return Some("The setting is not known.");
        };
        if self.is_user_enrollment() && !row.2.contains(letter) {
            return Some("The setting is not available under User Enrollment.");
        }
        if row.3.contains(letter) && !self.supervised {
            return Some("The setting is only available on supervised devices.");
        }
        (!row.4.is_empty() && !item.contains_key(row.4)).then_some("A key of the setting is missing.")
    }

    fn apply_setting(&mut self, name: &str, item: &Dictionary) {
        match name {
            "DeviceName" => {
                if let Some(new) = item.text("DeviceName") {
                    self.name = new.to_owned();
                }
            }
            "ApplicationConfiguration" | "ApplicationAttributes" => {
                let identifier = item.text("Identifier").unwrap_or_default();
                if let Some(app) = self.apps.iter_mut().find(|app| app.managed && app.identifier == identifier) {
                    match name {
                        "ApplicationConfiguration" => app.configuration = item.dictionary("Configuration").cloned(),
                        _ => app.attributes = item.dictionary("Attributes").cloned(),
                    }
                }
            }
            _ => {
                let value = item.get(name).or_else(|| item.get("Enabled")).cloned();
                self.settings.insert(name.to_owned(), value.unwrap_or(Value::Boolean(true)));
            }
        }
    }
}
