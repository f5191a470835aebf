//! Every setting of the catalogue, sent through rendering and read back; every rendered profile held
//! against Apple's schema where `../shared` is there.

use std::{collections::BTreeMap, path::PathBuf, process::Command, sync::Arc};

use muster_apple::profile::Profile;
use muster_domain::{
    catalogue::{Channel, EnrollmentKind, Entry, Form, ItemKey, Kind, Platform, get_key, kinds, prepare},
    resolve::{Applied, Resolved, resolve},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    documents::fingerprint,
    render::{Material, finish, settings_payloads},
    variables::tests::subject,
};

/// Graph's type of a property, from the type table.
fn graph_type(kind: &Kind, name: &str) -> String {
    let table: Value = serde_json::from_str(include_str!("../../../../catalogue/types.json")).unwrap();
    let mut of = kind.graph_type.clone();
    loop {
        let found = &table["types"][&of];
        if let Some(text) = found[name].as_str() {
            return text.split(' ').next().unwrap_or_default().to_owned();
        }
        let base = found[""].as_str().unwrap_or_default();
        let next = base.split(' ').rev().find(|word| !table["types"][word].is_null());
        match next {
            Some(next) if next != of => of = next.to_owned(),
            _ => return String::new(),
        }
    }
}

/// A value that the setting takes.
fn sample(kind: &Kind, entry: &Entry) -> Value {
    match &entry.delivery[0].form {
        Form::Not | Form::Constant(_) => json!(true),
        Form::Words(words) => json!(words.keys().next().unwrap()),
        Form::Pick(name) => json!([{ name.as_str(): "com.example.app" }]),
        Form::HomeScreen => json!([{ "displayName": "Mail", "bundleID": "com.apple.mobilemail" }]),
        Form::HomeScreenPages => json!([{ "icons": [
            { "displayName": "Mail", "bundleID": "com.apple.mobilemail" },
            { "displayName": "Work", "pages": [{ "apps": [{ "bundleID": "com.example.app" }] }] },
        ] }]),
        Form::Items(keys) => {
            let members = keys.iter().map(|(name, key)| {
                let value = match (name.as_str(), key) {
                    (_, ItemKey::Words { words, .. }) => json!(words.keys().next().unwrap()),
                    ("port", _) => json!(631),
                    ("ipAddress", _) => json!("10.0.0.1"),
                    ("resourcePath", _) => json!("/ipp/print"),
                    ("bundleID", _) => json!("com.example.app"),
                    _ => json!(true),
                };
                (name.clone(), value)
            });
            json!([members.collect::<Map<_, _>>()])
        }
        Form::Same | Form::Times(_) => match graph_type(kind, &entry.name).as_str() {
            "bool" => json!(true),
            "int32" | "int64" => json!(4),
            "string[]" => json!(["example.org"]),
            "string" => json!("com.example.app"),
            other => panic!("{}.{} has the unexpected type {other:?}", kind.graph_type, entry.name),
        },
    }
}

fn channel(platform: Platform, enrollment: EnrollmentKind, supervised: bool) -> Channel {
    let version = if platform == Platform::Ios { "18.3" } else { "15.3" };
    Channel { platform, version: version.parse().unwrap(), supervised, enrollment, user_channel: false }
}

fn resolved(kind: &Kind, body: &Map<String, Value>, channel: &Channel) -> Resolved {
    let prepared = prepare(&kind.graph_type, body, &fingerprint).unwrap();
    let applied = Applied {
        kind: "deviceConfigurations".into(),
        id: Uuid::from_u128(1),
        name: "Everything".into(),
        prepared: Arc::new(prepared),
        references: BTreeMap::new(),
    };
    resolve(&[applied], channel).remove(0)
}

fn rendered(resolved: &Resolved, platform: Platform) -> Option<Vec<u8>> {
    let mut subject = subject();
    subject.platform = platform.name().to_owned();
    let content = resolved.content.clone()?;
    let material = Material {
        version: super::compute::version(&content),
        content,
        name: resolved.name.clone(),
        document: resolved.id,
        subject,
        documents: Vec::new(),
    };
    let profile = Profile::new("", "", &material.name, settings_payloads(&material));
    Some(finish(profile, &material).encode())
}

fn everything(kind: &Kind) -> Map<String, Value> {
    kind.settings.iter().map(|entry| (entry.name.clone(), sample(kind, entry))).collect()
}

#[test]
fn each_setting_arrives_under_its_key() {
    let mut sent = 0;
    for kind in kinds() {
        let able = channel(kind.platform, EnrollmentKind::Device, true);
        for entry in &kind.settings {
            let mut body = Map::from_iter([(entry.name.clone(), sample(kind, entry))]);
            // What only works beside another setting gets it.
            for (payload, key) in
                [("com.apple.app.lock", "kioskModeManagedAppId"), ("com.apple.homescreenlayout", "homeScreenPages")]
            {
                if entry.delivery[0].payload == payload && !entry.name.ends_with("AppId") {
                    let other = kind.settings.iter().find(|other| other.name == key).unwrap();
                    body.entry(key).or_insert_with(|| sample(kind, other));
                }
            }
            let resolved = resolved(kind, &body, &able);
            assert!(resolved.exceptions.is_empty(), "{}: {:?}", entry.name, resolved.exceptions);
            let profile = Profile::decode(&rendered(&resolved, kind.platform).unwrap()).unwrap();
            let written = resolved.content.as_ref().unwrap()["payloads"].as_object().unwrap();
            for delivery in &entry.delivery {
                let Some(expected) = delivery.form.write(&body[&entry.name]) else { continue };
                let payload = profile.payload(&delivery.payload);
                let payload = payload.unwrap_or_else(|| panic!("{} brings no {}", entry.name, delivery.payload));
                let first = delivery.key.split('.').next().unwrap();
                assert!(payload.content.contains_key(first), "{} does not bring {}", entry.name, delivery.key);
                let keys = written[&delivery.payload].as_object().unwrap();
                assert_eq!(get_key(keys, &delivery.key), Some(&expected), "{}", entry.name);
                sent += 1;
            }
        }
    }
    assert!(sent > 200, "{sent}");
}

/// Runs the checker; `None` where it is not there.
pub(super) fn check(name: &str, profile: &[u8], os: &str, version: &str, enrollment: &str) -> Option<String> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let checker = root.join("../shared/tools/apple_schema.py");
    if !checker.exists() {
        muster_storage::testing::skipped(name, "../shared/tools/apple_schema.py is not there");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("profile.mobileconfig");
    std::fs::write(&file, profile).unwrap();
    let output = Command::new("python3")
        .arg(checker)
        .args(["profile".as_ref(), file.as_os_str()])
        .args(["--os", os, "--os-version", version, "--enrollment", enrollment])
        .output();
    match output {
        Ok(output) if output.status.code() == Some(2) => {
            muster_storage::testing::skipped(name, &String::from_utf8_lossy(&output.stderr));
            None
        }
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(error) => {
            muster_storage::testing::skipped(name, &error.to_string());
            None
        }
    }
}

#[test]
fn every_rendered_profile_conforms_to_apple_s_schema() {
    for kind in kinds() {
        let body = everything(kind);
        for (word, enrollment, supervised) in [
            ("supervised", EnrollmentKind::Device, true),
            ("device", EnrollmentKind::Device, kind.platform == Platform::MacOs),
            ("user", EnrollmentKind::User, false),
        ] {
            if word == "supervised" && kind.platform == Platform::MacOs {
                continue;
            }
            let channel = channel(kind.platform, enrollment, supervised);
            let Some(profile) = rendered(&resolved(kind, &body, &channel), kind.platform) else { continue };
            let version = channel.version.to_string();
            let said = check("every_rendered_profile_conforms", &profile, kind.platform.name(), &version, word);
            if let Some(said) = said {
                assert_eq!(said.trim(), "", "{} under {word}", kind.graph_type);
            }
        }
    }
}
