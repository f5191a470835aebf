//! Every setting of the catalogue, sent through rendering and read back; every rendered profile held
//! against Apple's schema where `../shared` is there.

use std::{collections::BTreeMap, path::PathBuf, process::Command, sync::Arc};

use muster_apple::{plist::put, profile::Profile};
use muster_domain::{
    catalogue::{Channel, EnrollmentKind, Kind, Platform, get_key, kinds, prepare},
    resolve::{Applied, Resolved, resolve},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    catalogue_samples::{samples, table},
    documents::fingerprint,
    render::{ESCROW, Material, finish, settings_payloads},
    variables::tests::subject,
};

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
    let mut profile = Profile::new("", "", &material.name, settings_payloads(&material));
    for payload in profile.payloads.iter_mut().filter(|payload| payload.payload_type == ESCROW) {
        // The service adds the certificate; any payload of the profile will do for the schema.
        put(&mut payload.content, "EncryptCertPayloadUUID", payload.uuid.clone());
    }
    Some(finish(profile, &material).encode())
}

/// A document that was saved some day.
fn saved() -> Map<String, Value> {
    Map::from_iter([("lastModifiedDateTime".to_owned(), Value::from("2026-05-01T09:30:00Z"))])
}

/// Every setting at once, each with its `n`th value.
fn everything(table: &Value, kind: &Kind, n: usize) -> Map<String, Value> {
    let mut body = saved();
    // The older of two properties that write the same: with both there is a conflict and neither is sent.
    for entry in kind.settings.iter().filter(|entry| entry.name != "singleSignOnExtension") {
        let values = samples(table, kind, entry);
        body.insert(entry.name.clone(), values[n % values.len()].clone());
        let when = entry.delivery.iter().flat_map(|delivery| &delivery.when);
        body.extend(when.map(|(name, value)| (name.clone(), value.clone())));
    }
    body
}

/// What a setting needs beside it to be sent.
fn beside(table: &Value, kind: &Kind, payload: &str) -> Option<(String, Value)> {
    let name = match payload {
        "com.apple.app.lock" => "kioskModeManagedAppId",
        "com.apple.homescreenlayout" => "homeScreenPages",
        "com.apple.eas.account" => "hostName",
        "com.apple.security.firewall" => "firewallEnabled",
        "com.apple.MCX.FileVault2" | "com.apple.security.FDERecoveryKeyEscrow" => "fileVaultEnabled",
        _ => return None,
    };
    let entry = kind.settings.iter().find(|entry| entry.name == name).unwrap();
    Some((name.to_owned(), samples(table, kind, entry).remove(0)))
}

#[test]
fn each_setting_arrives_under_its_key() {
    let table = table();
    let mut sent = std::collections::BTreeSet::new();
    for kind in kinds() {
        let able = channel(kind.platform, EnrollmentKind::Device, true);
        for entry in &kind.settings {
            let whens = entry.delivery.iter().map(|delivery| &delivery.when).filter(|when| !when.is_empty());
            let whens: Vec<_> =
                if whens.clone().next().is_some() { whens.collect() } else { vec![&entry.delivery[0].when] };
            for (value, when) in
                samples(&table, kind, entry).into_iter().flat_map(|v| whens.iter().map(move |w| (v.clone(), w)))
            {
                let mut body: Map<String, Value> = (*when).clone().into_iter().collect();
                body.extend(saved());
                body.extend(beside(&table, kind, &entry.delivery[0].payload));
                body.insert(entry.name.clone(), value.clone());
                let resolved = resolved(kind, &body, &able);
                assert!(resolved.exceptions.is_empty(), "{} {value}: {:?}", entry.name, resolved.exceptions);
                let profile = rendered(&resolved, kind.platform)
                    .unwrap_or_else(|| panic!("{} {value} sends nothing", entry.name));
                let profile = Profile::decode(&profile).unwrap();
                let written = resolved.content.as_ref().unwrap()["payloads"].as_object().unwrap();
                for delivery in
                    entry.delivery.iter().filter(|delivery| delivery.when.iter().all(|(k, v)| body.get(k) == Some(v)))
                {
                    let Some(expected) = delivery.write(&value, &body) else { continue };
                    let payload = profile.payload(&delivery.payload);
                    let payload = payload.unwrap_or_else(|| panic!("{} brings no {}", entry.name, delivery.payload));
                    let first = delivery.key.split('.').next().unwrap();
                    let titled = first == "PayloadDisplayName" && payload.display_name.as_deref() == value.as_str();
                    assert!(
                        titled || payload.content.contains_key(first),
                        "{} does not bring {}",
                        entry.name,
                        delivery.key
                    );
                    let there = get_key(written[&delivery.payload].as_object().unwrap(), &delivery.key);
                    let there = there.unwrap_or_else(|| panic!("{} {value} is not at {}", entry.name, delivery.key));
                    assert!(holds(there, &expected), "{}: {there} for {expected}", entry.name);
                    sent.insert((kind.graph_type.as_str(), entry.name.as_str(), delivery.key.as_str()));
                }
            }
            let forgotten = entry.delivery.iter().find(|d| !sent.contains(&(&kind.graph_type, &entry.name, &d.key)));
            assert!(forgotten.is_none(), "no value of {} reaches {:?}", entry.name, forgotten.map(|d| &d.key));
        }
    }
    assert!(sent.len() > 300, "{}", sent.len());
}

/// Equal, or a dictionary that another delivery added to.
fn holds(there: &Value, expected: &Value) -> bool {
    match (there, expected) {
        (Value::Object(there), Value::Object(expected)) => {
            expected.iter().all(|(key, value)| there.get(key) == Some(value))
        }
        _ => there == expected,
    }
}

/// Runs the checker; `None` where it is not there.
pub(super) fn check(name: &str, profile: &[u8], os: &str, version: &str, enrollment: &str) -> Option<String> {
    run_checker(name, "profile", profile, os, version, enrollment)
}

/// The same for a document of another sort.
fn check_as(sort: &str, document: &[u8], os: &str, version: &str, enrollment: &str) -> Option<String> {
    run_checker("every_rendered_profile_conforms", sort, document, os, version, enrollment)
}

fn run_checker(name: &str, sort: &str, document: &[u8], os: &str, version: &str, enrollment: &str) -> Option<String> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let checker = root.join("../shared/tools/apple_schema.py");
    if !checker.exists() {
        muster_storage::testing::skipped(name, "../shared/tools/apple_schema.py is not there");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("profile.mobileconfig");
    std::fs::write(&file, document).unwrap();
    let output = Command::new("python3")
        .arg(checker)
        .args([sort.as_ref(), file.as_os_str()])
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
    let table = table();
    for kind in kinds() {
        for (word, enrollment, supervised) in [
            ("supervised", EnrollmentKind::Device, true),
            ("device", EnrollmentKind::Device, kind.platform == Platform::MacOs),
            ("user", EnrollmentKind::User, false),
        ] {
            if word == "supervised" && kind.platform == Platform::MacOs {
                continue;
            }
            // Four rounds reach every type of a setting that may hold one of several.
            for n in 0..if enrollment == EnrollmentKind::User { 1 } else { 4 } {
                let body = everything(&table, kind, n);
                let channel = channel(kind.platform, enrollment, supervised);
                let (resolved, version) = (resolved(kind, &body, &channel), channel.version.to_string());
                let os = kind.platform.name();
                let mut said = Vec::new();
                if resolved.declared {
                    let payloads =
                        resolved.content.iter().flat_map(|content| content["payloads"].as_object()).flatten();
                    for (kind, payload) in payloads {
                        let text = json!({ "Type": kind, "Identifier": "a", "ServerToken": "1", "Payload": payload });
                        said.extend(check_as("declaration", text.to_string().as_bytes(), os, &version, word));
                    }
                } else if let Some(profile) = rendered(&resolved, kind.platform) {
                    said.extend(check("every_rendered_profile_conforms", &profile, os, &version, word));
                }
                assert!(said.iter().all(|said| said.trim().is_empty()), "{} under {word}: {said:?}", kind.graph_type);
            }
        }
    }
}
