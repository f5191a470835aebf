//! Keeping: of an answer only what the catalogue allows on this channel; written when changed.

use std::collections::BTreeMap;

use muster_apple::{
    CommandResult, Status,
    plist::{Dictionary, Read, Value as Plist},
};
use muster_domain::{
    catalogue::Channel,
    facts::{Fact, Owner, Query, given_by, managed_apps_only},
};
use muster_storage::{
    self as storage, Tx,
    commands::Command,
    device_states,
    devices::{self, Device},
    facts::{self, App},
    subjects::Traits,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::profiles;
use crate::desired::compute::channel;

/// Apps and certificates of one device that are kept.
const LIST_LIMIT: usize = 5_000;
/// Longest text that is kept.
const TEXT_LIMIT: usize = 1_024;

/// Takes the answer to a command of origin `inventory`; called in the transaction that finishes it.
pub fn answered(
    tx: &mut dyn Tx,
    tenant: Uuid,
    command: &Command,
    traits: &Traits,
    result: &CommandResult,
    now: i64,
) -> storage::Result<()> {
    let Some(query) = Query::of(&command.request_type) else { return Ok(()) };
    let due_at = now + super::ask::every(&command.request_type);
    facts::settle_query(tx, tenant, command.enrollment, command.id, due_at, now)?;
    if result.status != Status::Acknowledged {
        return Ok(());
    }
    let Some(channel) = channel(traits) else { return Ok(()) };
    let Some(device) = devices::by_id(tx, tenant, command.device)? else { return Ok(()) };
    // Whose it is is read here: it may have become personal since it began to speak.
    let owner = Owner::of(&device.owner_type);
    let taker = Taker { tenant, device, channel, owner, now };
    match query {
        Query::DeviceInformation => taker.facts(tx, query, "QueryResponses", "deviceInformation", result),
        Query::SecurityInfo => taker.facts(tx, query, "SecurityInfo", "securityInfo", result),
        Query::InstalledApplicationList => taker.apps(tx, result),
        Query::CertificateList => taker.certificates(tx, result),
        Query::ProfileList => profiles::compare(tx, tenant, command.enrollment, result, now),
    }
}

struct Taker {
    tenant: Uuid,
    device: Device,
    channel: Channel,
    owner: Owner,
    now: i64,
}

impl Taker {
    fn facts(
        &self,
        tx: &mut dyn Tx,
        query: Query,
        section: &str,
        source: &str,
        result: &CommandResult,
    ) -> storage::Result<()> {
        let Ok(Some(answers)) = result.body.dictionary(section) else { return Ok(()) };
        let given: Vec<(&'static Fact, Value)> = given_by(query, &self.channel, self.owner)
            .filter_map(|fact| Some((fact, fact.read(&scalar(at(answers, &fact.key)?)?)?)))
            .collect();
        self.keep(tx, source, given.iter().map(|(fact, value)| (fact.name.as_str(), value.clone())))?;
        self.show(tx, &given)
    }

    /// Writes facts that are new or changed.
    fn keep<'a>(
        &self,
        tx: &mut dyn Tx,
        source: &str,
        given: impl Iterator<Item = (&'a str, Value)>,
    ) -> storage::Result<()> {
        let known: BTreeMap<String, facts::Fact> = facts::of_device(tx, self.tenant, self.device.id)?
            .into_iter()
            .map(|fact| (fact.name.clone(), fact))
            .collect();
        for (name, value) in given {
            let value = value.to_string();
            if known.get(name).is_some_and(|fact| fact.value == value && fact.source == source) {
                continue;
            }
            let fact = facts::Fact {
                name: name.to_owned(),
                value,
                source: source.to_owned(),
                observed_at: self.now,
                changed_at: self.now,
            };
            facts::put(tx, self.tenant, self.device.id, &fact)?;
        }
        Ok(())
    }

    /// Writes the device's columns and properties that show facts. What decides about settings marks
    /// the device dirty.
    fn show(&self, tx: &mut dyn Tx, given: &[(&'static Fact, Value)]) -> storage::Result<()> {
        let before = &self.device;
        let mut device = before.clone();
        let mut properties = device.properties()?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        for (fact, value) in given {
            match fact.column.as_deref() {
                Some("name") => device.name = text(value).unwrap_or(device.name),
                Some("osVersion") => device.os_version = text(value),
                Some("model") => device.model = text(value),
                Some("productName") => device.product_name = text(value),
                Some("serialNumber") => device.serial_number = text(value),
                Some("udid") => device.udid = text(value),
                Some("imei") => device.imei = text(value),
                Some("totalBytes") => device.total_bytes = value.as_i64(),
                Some("freeBytes") => device.free_bytes = value.as_i64(),
                Some("isSupervised") => device.is_supervised = value.as_bool().unwrap_or(false),
                _ => {}
            }
            if let Some(property) = &fact.property {
                properties.insert(property.clone(), value.clone());
            }
        }
        let found = |name: &str| given.iter().find(|(fact, _)| fact.name == name).map(|(_, value)| value);
        if let Some(enabled) = found("fileVaultEnabled").and_then(Value::as_bool) {
            device.is_encrypted = Some(enabled);
        } else if let Some(caps) = found("hardwareEncryptionCaps").and_then(Value::as_i64) {
            // Both block and file encryption, which a passcode switches on (reference: apple.md 16).
            let passcode = found("passcodePresent").or(found("passcodeCompliant")).and_then(Value::as_bool);
            device.is_encrypted = Some(caps == 3 && passcode != Some(false));
        }
        device.document = Value::Object(properties).to_string();
        if device == *before {
            return Ok(());
        }
        device.modified_at = self.now;
        devices::put(tx, self.tenant, &device)?;
        let decides = |d: &devices::Device| (d.os_version.clone(), d.is_supervised, d.is_encrypted, d.name.clone());
        if decides(&device) != decides(before) {
            device_states::mark_device_dirty(tx, self.tenant, device.id)?;
        }
        Ok(())
    }

    fn apps(&self, tx: &mut dyn Tx, result: &CommandResult) -> storage::Result<()> {
        let Ok(Some(list)) = result.body.array("InstalledApplicationList") else { return Ok(()) };
        let managed = managed_apps_only(&self.channel, self.owner);
        let mut found: BTreeMap<String, App> = BTreeMap::new();
        for item in list.iter().filter_map(Plist::as_dictionary).take(LIST_LIMIT) {
            let text =
                |key: &str| item.get(key).and_then(Plist::as_string).map(limited).filter(|text| !text.is_empty());
            let Some(identifier) = text("Identifier").or_else(|| text("Name")) else { continue };
            let name = text("Name").unwrap_or_else(|| identifier.clone());
            let version = text("ShortVersion").or_else(|| text("Version")).unwrap_or_default();
            let app = App {
                app_id: self.app_id(&identifier, &name, &version),
                name,
                version,
                size_bytes: item.number("BundleSize").ok().flatten(),
                managed,
                observed_at: self.now,
                identifier: identifier.clone(),
            };
            found.insert(identifier, app);
        }
        let device = self.device.id;
        for known in facts::apps_of_device(tx, self.tenant, device)? {
            match found.remove(&known.identifier) {
                None => facts::remove_app(tx, self.tenant, device, &known.identifier)?,
                Some(now) if App { observed_at: known.observed_at, ..now.clone() } != known => {
                    facts::put_app(tx, self.tenant, device, &now)?;
                }
                Some(_) => {}
            }
        }
        for app in found.values() {
            facts::put_app(tx, self.tenant, device, app)?;
        }
        Ok(())
    }

    /// One id per name, version and identifier in the tenant.
    fn app_id(&self, identifier: &str, name: &str, version: &str) -> Uuid {
        let text = format!("{}\0{identifier}\0{name}\0{version}", self.tenant);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&muster_pki::sha256(text.as_bytes())[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    fn certificates(&self, tx: &mut dyn Tx, result: &CommandResult) -> storage::Result<()> {
        let Ok(Some(list)) = result.body.array("CertificateList") else { return Ok(()) };
        let kept: Vec<Value> = list
            .iter()
            .filter_map(Plist::as_dictionary)
            .take(LIST_LIMIT)
            .map(|item| {
                let digest = item.data("Data").ok().flatten().map(|der| hex::encode(muster_pki::sha256(&der)));
                json!({
                    "commonName": item.get("CommonName").and_then(Plist::as_string).map(limited),
                    "isIdentity": item.flag("IsIdentity").ok().flatten(),
                    "sha256": digest,
                })
            })
            .collect();
        self.keep(tx, "certificateList", std::iter::once(("certificates", Value::Array(kept))))
    }
}

/// The value at a dotted key.
fn at<'a>(from: &'a Dictionary, key: &str) -> Option<&'a Plist> {
    match key.split_once('.') {
        None => from.get(key),
        Some((head, rest)) => at(from.get(head)?.as_dictionary()?, rest),
    }
}

/// A plain value as JSON.
fn scalar(value: &Plist) -> Option<Value> {
    Some(match value {
        Plist::String(text) => Value::from(limited(text)),
        Plist::Boolean(truth) => Value::from(*truth),
        Plist::Integer(number) => Value::from(number.as_signed()?),
        Plist::Real(number) => Value::from(*number),
        _ => return None,
    })
}

fn limited(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TEXT_LIMIT).collect()
}
