//! What rules see of a person and of a device. Names of properties: `muster_domain::rules::vocabulary`.

use muster_domain::rules::{
    Facts,
    vocabulary::{DEVICES, FILTER_DEVICES, Kind, USERS},
};
use muster_storage::{devices::Device, people::Person};
use serde_json::{Map, Value};

/// Properties of users that Graph calls otherwise.
const USER_ALIASES: [(&str, &str); 7] = [
    ("dirSyncEnabled", "onPremisesSyncEnabled"),
    ("facsimileTelephoneNumber", "faxNumber"),
    ("mailNickName", "mailNickname"),
    ("mobile", "mobilePhone"),
    ("physicalDeliveryOfficeName", "officeLocation"),
    ("sipProxyAddress", "imAddresses"),
    ("telephoneNumber", "businessPhones"),
];

/// What rules of groups see of a person.
pub fn of_user(person: &Person) -> Facts {
    let document: Map<String, Value> = serde_json::from_str(&person.document).unwrap_or_default();
    let mut facts = Facts::default();
    let id = person.id.to_string();
    for property in USERS.properties {
        let name = property.name;
        let graph = USER_ALIASES.iter().find(|(rule, _)| *rule == name).map_or(name, |(_, graph)| graph);
        let value = match name.starts_with("extensionAttribute") {
            true => document.get("onPremisesExtensionAttributes").and_then(|all| all.get(name)),
            false => document.get(graph),
        };
        match name {
            "accountEnabled" => facts.flag(name, Some(person.account_enabled)),
            "displayName" => facts.text(name, Some(&person.display_name)),
            "mail" => facts.text(name, person.mail.as_deref()),
            "objectId" => facts.text(name, Some(&id)),
            "userPrincipalName" => facts.text(name, Some(&person.user_principal_name)),
            "userType" => facts.text(name, value.and_then(Value::as_str).or(Some("Member"))),
            _ => match (property.kind, value) {
                (Kind::Flag, value) => facts.flag(name, value.and_then(Value::as_bool)),
                (Kind::Texts, Some(Value::Array(items))) => facts.texts(name, items.iter().filter_map(Value::as_str)),
                // Of several telephone numbers, the first.
                (_, Some(Value::Array(items))) => facts.text(name, items.first().and_then(Value::as_str)),
                (_, value) => facts.text(name, value.and_then(Value::as_str)),
            },
        }
    }
    facts
}

/// What rules of groups see of a device.
pub fn of_device(device: &Device) -> Facts {
    let mut facts = Facts::default();
    let (id, device_id) = (device.directory_id.to_string(), device.azure_ad_device_id.to_string());
    for property in DEVICES.properties {
        let name = property.name;
        match name {
            "accountEnabled" => facts.flag(name, Some(true)),
            "deviceCategory" => facts.text(name, device.category_name.as_deref()),
            "deviceId" => facts.text(name, Some(&device_id)),
            "deviceManufacturer" => facts.text(name, device.manufacturer.as_deref()),
            "deviceModel" => facts.text(name, device.model.as_deref()),
            "deviceOSType" => facts.texts(name, systems(&device.operating_system)),
            "deviceOSVersion" => facts.text(name, device.os_version.as_deref()),
            "deviceOwnership" => facts.text(
                name,
                Some(match device.owner_type.as_str() {
                    "company" => "Company",
                    "personal" => "Personal",
                    _ => "Unknown",
                }),
            ),
            "displayName" => facts.text(name, Some(&device.name)),
            "enrollmentProfileName" => facts.text(name, device.enrollment_profile_name.as_deref()),
            "managementType" => facts.text(name, Some("MDM")),
            "objectId" => facts.text(name, Some(&id)),
            // Nothing tells us whether it is rooted; labels and physical ids come with other systems.
            _ => {}
        }
    }
    facts
}

/// What filters see of a device. `apple_silicon` is the one fact that is no column.
pub fn of_filter(device: &Device, apple_silicon: Option<bool>) -> Facts {
    let mut facts = Facts::default();
    for property in FILTER_DEVICES.properties {
        let name = property.name;
        match name {
            "cpuArchitecture" => facts.text(
                name,
                Some(match apple_silicon {
                    Some(true) => "arm64",
                    Some(false) => "x64",
                    None => "unknown",
                }),
            ),
            "deviceCategory" => facts.text(name, device.category_name.as_deref()),
            "deviceName" => facts.text(name, Some(&device.name)),
            "deviceOwnership" => facts.text(
                name,
                Some(match device.owner_type.as_str() {
                    "company" => "Corporate",
                    "personal" => "Personal",
                    _ => "unknown",
                }),
            ),
            "enrollmentProfileName" => facts.text(name, device.enrollment_profile_name.as_deref()),
            // Apple's management tells nothing about it.
            "isRooted" => facts.text(name, Some("unknown")),
            "isSupervised" => facts.text(name, Some(if device.is_supervised { "True" } else { "False" })),
            "manufacturer" => facts.text(name, device.manufacturer.as_deref()),
            "model" => facts.text(name, device.model.as_deref()),
            "osVersion" | "operatingSystemVersion" => facts.text(name, device.os_version.as_deref()),
            _ => {}
        }
    }
    facts
}

/// A system by its own name and by the directory's.
fn systems(operating_system: &str) -> impl Iterator<Item = &str> {
    let directory = match operating_system {
        "iOS" => Some("iPhone"),
        "iPadOS" => Some("iPad"),
        "macOS" => Some("MacMDM"),
        _ => None,
    };
    std::iter::once(operating_system).chain(directory)
}
