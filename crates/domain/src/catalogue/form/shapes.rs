//! Values whose shape on the device is another one than in Graph.

use serde_json::{Map, Value, json};

use super::{Grouped, flags};

/// Graph's home screen items: an app has a bundle id, a folder has pages of apps.
pub(super) fn icons(list: &Value, folders: bool) -> Option<Value> {
    let icons = list.as_array()?.iter().filter_map(|icon| {
        let mut written = Map::new();
        if let Some(bundle) = icon.get("bundleID").and_then(Value::as_str) {
            if icon.get("isWebClip") == Some(&Value::Bool(true)) {
                written.insert("Type".to_owned(), "WebClip".into());
                written.insert("URL".to_owned(), bundle.into());
            } else {
                written.insert("Type".to_owned(), "App".into());
                written.insert("BundleID".to_owned(), bundle.into());
            }
        } else {
            let pages = icon.get("pages").and_then(Value::as_array).filter(|_| folders)?;
            let pages: Vec<Value> = pages.iter().filter_map(|page| icons(page.get("apps")?, false)).collect();
            written.insert("Type".to_owned(), "Folder".into());
            written.insert("DisplayName".to_owned(), icon.get("displayName")?.clone());
            written.insert("Pages".to_owned(), Value::Array(pages));
        }
        Some(Value::Object(written))
    });
    Some(Value::Array(icons.collect()))
}

/// Keys with typed values: Graph calls the key `key` or `name`. The type decides where JSON cannot:
/// 1 of a `keyRealValuePair` is a real number on the device.
pub(super) fn pairs(list: &Value) -> Option<Value> {
    let mut written = Map::new();
    for pair in list.as_array()? {
        let key = pair.get("key").or_else(|| pair.get("name")).and_then(Value::as_str).unwrap_or_default().trim();
        let real = pair.get("@odata.type").and_then(Value::as_str).is_some_and(|kind| kind.contains("keyReal"));
        let value = match pair.get("value") {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => text.trim().into(),
            Some(Value::Number(number)) if real => json!(number.as_f64()?),
            Some(other) => other.clone(),
        };
        if !key.is_empty() {
            written.insert(key.to_owned(), value);
        }
    }
    (!written.is_empty()).then_some(Value::Object(written))
}

pub(super) fn grouped(form: &Grouped, list: &Value) -> Option<Value> {
    let mut written = Map::new();
    for item in list.as_array()? {
        let by = item.get(&form.by).and_then(Value::as_str).unwrap_or_default().trim();
        let Some(taken) = item.get(&form.take).and_then(Value::as_str) else { continue };
        let texts: Vec<Value> = if form.words.is_empty() {
            vec![taken.trim().into()]
        } else {
            flags(taken).filter_map(|word| form.words.get(word)).map(|word| word.as_str().into()).collect()
        };
        if let Value::Array(list) = written.entry(by).or_insert_with(|| Value::Array(Vec::new())) {
            list.extend(texts);
        }
    }
    (!written.is_empty()).then_some(Value::Object(written))
}

/// `iPv4Range`, `iPv6Range` and the two of one address block with a prefix length.
pub(super) fn ranges(list: &Value) -> Option<Value> {
    let ranges: Vec<Value> = list.as_array()?.iter().filter_map(range).collect();
    (!ranges.is_empty()).then_some(Value::Array(ranges))
}

fn range(range: &Value) -> Option<Value> {
    let text = |name: &str| range.get(name).and_then(Value::as_str).map(str::trim);
    let (first, last) = match text("cidrAddress") {
        Some(block) => ends(block)?,
        None => (text("lowerAddress")?.parse().ok()?, text("upperAddress")?.parse().ok()?),
    };
    let first: std::net::IpAddr = first;
    let last: std::net::IpAddr = last;
    let kind = if first.is_ipv4() { "IPv4" } else { "IPv6" };
    (first.is_ipv4() == last.is_ipv4() && first <= last)
        .then(|| json!({ "type": kind, "first": first.to_string(), "last": last.to_string() }))
}

/// First and last address of a block such as `10.0.0.0/8`.
fn ends(block: &str) -> Option<(std::net::IpAddr, std::net::IpAddr)> {
    let (address, length) = block.split_once('/')?;
    let length: u32 = length.parse().ok()?;
    match address.parse().ok()? {
        std::net::IpAddr::V4(address) if length <= 32 => {
            let hosts = u32::MAX.checked_shr(length).unwrap_or(0);
            let first = u32::from(address) & !hosts;
            Some((std::net::Ipv4Addr::from(first).into(), std::net::Ipv4Addr::from(first | hosts).into()))
        }
        std::net::IpAddr::V6(address) if length <= 128 => {
            let hosts = u128::MAX.checked_shr(length).unwrap_or(0);
            let first = u128::from(address) & !hosts;
            Some((std::net::Ipv6Addr::from(first).into(), std::net::Ipv6Addr::from(first | hosts).into()))
        }
        _ => None,
    }
}

/// Services by Graph's word. `block...` words are truth values that only ever deny: the system asks
/// the person before it lets an app listen or look.
const SERVICES: &[(&str, &str)] = &[
    ("accessibility", "Accessibility"),
    ("addressBook", "AddressBook"),
    ("blockCamera", "Camera"),
    ("blockListenEvent", "ListenEvent"),
    ("blockMicrophone", "Microphone"),
    ("blockScreenCapture", "ScreenCapture"),
    ("calendar", "Calendar"),
    ("fileProviderPresence", "FileProviderPresence"),
    ("mediaLibrary", "MediaLibrary"),
    ("photos", "Photos"),
    ("postEvent", "PostEvent"),
    ("reminders", "Reminders"),
    ("speechRecognition", "SpeechRecognition"),
    ("systemPolicyAllFiles", "SystemPolicyAllFiles"),
    ("systemPolicyDesktopFolder", "SystemPolicyDesktopFolder"),
    ("systemPolicyDocumentsFolder", "SystemPolicyDocumentsFolder"),
    ("systemPolicyDownloadsFolder", "SystemPolicyDownloadsFolder"),
    ("systemPolicyNetworkVolumes", "SystemPolicyNetworkVolumes"),
    ("systemPolicyRemovableVolumes", "SystemPolicyRemovableVolumes"),
    ("systemPolicySystemAdminFiles", "SystemPolicySysAdminFiles"),
];

/// Graph lists apps with their rights, a Mac takes services with their apps.
pub(super) fn privacy_access(list: &Value) -> Option<Value> {
    let mut services = Map::new();
    let mut add = |service: &str, rule: Map<String, Value>| {
        if let Value::Array(rules) = services.entry(service).or_insert_with(|| Value::Array(Vec::new())) {
            rules.push(Value::Object(rule));
        }
    };
    for app in list.as_array()? {
        let rule = |allowed: bool| {
            let mut rule = process(app, ["Identifier", "IdentifierType", "CodeRequirement"])?;
            rule.insert("Allowed".to_owned(), allowed.into());
            if app.get("staticCodeValidation") == Some(&Value::Bool(true)) {
                rule.insert("StaticCode".to_owned(), true.into());
            }
            if let Some(name) = app.get("displayName").and_then(Value::as_str).filter(|name| !name.is_empty()) {
                rule.insert("Comment".to_owned(), name.into());
            }
            Some(rule)
        };
        for (name, service) in SERVICES {
            let allowed = match app.get(*name) {
                Some(Value::Bool(true)) => false,
                Some(Value::String(word)) if word == "enabled" => true,
                Some(Value::String(word)) if word == "disabled" => false,
                _ => continue,
            };
            add(service, rule(allowed)?);
        }
        for receiver in app.get("appleEventsAllowedReceivers").and_then(Value::as_array).into_iter().flatten() {
            let mut rule = rule(receiver.get("allowed").and_then(Value::as_bool).unwrap_or(false))?;
            rule.extend(process(
                receiver,
                ["AEReceiverIdentifier", "AEReceiverIdentifierType", "AEReceiverCodeRequirement"],
            )?);
            add("AppleEvents", rule);
        }
    }
    (!services.is_empty()).then_some(Value::Object(services))
}

/// What names a program, under these keys.
fn process(of: &Value, keys: [&str; 3]) -> Option<Map<String, Value>> {
    let values = ["identifier", "identifierType", "codeRequirement"].map(|name| of.get(name));
    let mut written = Map::new();
    for (key, value) in keys.into_iter().zip(values) {
        written.insert(key.to_owned(), value.filter(|value| value.is_string())?.clone());
    }
    Some(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_trimmed_and_keep_their_types() {
        let list = json!([
            { "@odata.type": "#microsoft.graph.keyStringValuePair", "key": " device_registration ", "value": " on " },
            { "@odata.type": "#microsoft.graph.keyIntegerValuePair", "key": "n", "value": 1 },
            { "@odata.type": "#microsoft.graph.keyRealValuePair", "key": "r", "value": 1 },
            { "@odata.type": "#microsoft.graph.keyBooleanValuePair", "key": "b", "value": false },
            { "name": "old", "value": "x" },
        ]);
        let written = pairs(&list).unwrap();
        assert_eq!(written, json!({ "device_registration": "on", "n": 1, "r": 1.0, "b": false, "old": "x" }));
        assert!(written["r"].is_f64());
    }

    #[test]
    fn a_block_becomes_its_ends() {
        let list = json!([
            { "@odata.type": "#microsoft.graph.iPv4CidrRange", "cidrAddress": "10.1.2.3/16" },
            { "lowerAddress": "192.168.0.1", "upperAddress": "192.168.0.9" },
            { "cidrAddress": "fd00::/120" },
            { "lowerAddress": "192.168.0.9", "upperAddress": "192.168.0.1" },
            { "cidrAddress": "10.0.0.0/40" },
        ]);
        let written = json!([
            { "type": "IPv4", "first": "10.1.0.0", "last": "10.1.255.255" },
            { "type": "IPv4", "first": "192.168.0.1", "last": "192.168.0.9" },
            { "type": "IPv6", "first": "fd00::", "last": "fd00::ff" },
        ]);
        assert_eq!(ranges(&list), Some(written));
    }

    #[test]
    fn apps_with_rights_become_services_with_apps() {
        let app = json!([{
            "displayName": "Agent", "identifier": "com.example.agent", "identifierType": "bundleID",
            "codeRequirement": "anchor apple", "systemPolicyAllFiles": "enabled", "photos": "disabled",
            "calendar": "notConfigured", "blockCamera": true, "blockMicrophone": false,
            "appleEventsAllowedReceivers": [{ "identifier": "com.apple.finder", "identifierType": "bundleID",
                "codeRequirement": "anchor apple", "allowed": true }],
        }]);
        let written = privacy_access(&app).unwrap();
        let names: Vec<&String> = written.as_object().unwrap().keys().collect();
        assert_eq!(names, ["Camera", "Photos", "SystemPolicyAllFiles", "AppleEvents"]);
        assert_eq!(written["SystemPolicyAllFiles"][0]["Allowed"], true);
        assert_eq!(written["Camera"][0]["Allowed"], false);
        assert_eq!(written["AppleEvents"][0]["AEReceiverIdentifier"], "com.apple.finder");
    }

    #[test]
    fn kernel_extensions_are_grouped_by_team() {
        let form = Grouped { by: "teamIdentifier".into(), take: "bundleId".into(), words: Default::default() };
        let list = json!([{ "teamIdentifier": "T", "bundleId": "a" }, { "bundleId": "c" },
            { "teamIdentifier": "T", "bundleId": "b" }]);
        assert_eq!(grouped(&form, &list), Some(json!({ "T": ["a", "b"], "": ["c"] })));
    }
}
