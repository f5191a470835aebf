//! Status reports of declarative management: what is subscribed, what changed, how it is nested.

use serde_json::{Map, Value, json};

use super::{
    device::{Channel, Device},
    rules,
};
use crate::crypto;

impl Device {
    /// The next status report, or nothing if nothing changed.
    pub(crate) fn report(&mut self, channel: Channel) -> Option<Value> {
        let at = channel as usize;
        let full = self.declarations[at].full || !self.declarations[at].introduced;
        let mut items = Map::new();
        let states = self.declaration_states(channel);
        if full || self.declarations[at].reported.get("management.declarations") != Some(&states) {
            let told = match full {
                true => states,
                false => changed_states(self.declarations[at].reported.get("management.declarations"), &states),
            };
            insert(&mut items, "management.declarations", told);
        }
        if full {
            insert(&mut items, "management.client-capabilities", self.client_capabilities());
        }
        let values = self.status_values(channel);
        for name in self.subscriptions(channel) {
            if let Some(value) = values.get(&name)
                && (full || self.declarations[at].reported.get(&name) != Some(value))
            {
                insert(&mut items, &name, value.clone());
            }
        }
        let known = rules::status_items(self);
        let unknown = |name: &String| !known.iter().any(|known| known == name);
        let errors: Vec<_> = self
            .subscriptions(channel)
            .into_iter()
            .filter(unknown)
            .map(|name| {
                json!({"StatusItem": name, "Reasons": [{"Code": "Error.UnknownStatusItem",
                    "Description": "the status item is not supported", "Details": {}}]})
            })
            .collect();
        if items.is_empty() && !full {
            return None;
        }
        let mut report = Map::new();
        report.insert("StatusItems".into(), Value::Object(items));
        report.insert("Errors".into(), Value::Array(if full { errors } else { Vec::new() }));
        if self.hardware.system.0 >= if self.hardware.family.is_mac() { 14 } else { 17 } {
            report.insert("FullReport".into(), Value::Bool(full));
        }
        Some(Value::Object(report))
    }

    /// The server took a report: what it told counts as known.
    pub(crate) fn reported(&mut self, channel: Channel, _report: &Value) {
        let mut known = Map::new();
        known.insert("management.declarations".into(), self.declaration_states(channel));
        let values = self.status_values(channel);
        for name in self.subscriptions(channel) {
            if let Some(value) = values.get(&name) {
                known.insert(name, value.clone());
            }
        }
        let declarations = &mut self.declarations[channel as usize];
        (declarations.reported, declarations.full, declarations.introduced) = (known, false, true);
    }

    fn subscriptions(&self, channel: Channel) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for declaration in self.declarations[channel as usize].installed.values() {
            if declaration.active
                && declaration.declaration_type == "com.apple.configuration.management.status-subscriptions"
            {
                let items = declaration.payload["StatusItems"].as_array().into_iter().flatten();
                names.extend(items.filter_map(|item| item["Name"].as_str().map(str::to_owned)));
            }
        }
        names.sort();
        names.dedup();
        names
    }

    fn declaration_states(&self, channel: Channel) -> Value {
        let mut states = Map::new();
        for (list, kind) in [
            ("activations", "activation"),
            ("configurations", "configuration"),
            ("assets", "asset"),
            ("management", "management"),
        ] {
            let of_kind = self.declarations[channel as usize].installed.iter().filter(|(_, d)| d.kind == kind);
            let entries = of_kind.map(|(identifier, declaration)| {
                let mut entry = json!({
                    "identifier": identifier,
                    "active": declaration.active,
                    "valid": if declaration.problem.is_some() { "invalid" } else { "valid" },
                    "server-token": declaration.server_token,
                });
                if let Some((code, description)) = &declaration.problem {
                    entry["reasons"] = json!([{"code": code, "description": description, "details": {}}]);
                }
                entry
            });
            states.insert(list.into(), entries.collect());
        }
        Value::Object(states)
    }

    fn client_capabilities(&self) -> Value {
        json!({
            "supported-versions": ["1.0.0"],
            "supported-features": {},
            "supported-payloads": {
                "declarations": {
                    "activations": rules::declarations_of("activation", self),
                    "assets": rules::declarations_of("asset", self),
                    "configurations": rules::declarations_of("configuration", self),
                    "management": rules::declarations_of("management", self),
                },
                "status-items": rules::status_items(self),
            },
        })
    }

    /// Every status item this device could report now.
    pub(crate) fn status_values(&self, channel: Channel) -> Map<String, Value> {
        let hardware = &self.hardware;
        let mac = hardware.family.is_mac();
        let system = match (mac, hardware.family.word()) {
            (true, _) => "macOS",
            (_, "iPad") => "iPadOS",
            _ => "iOS",
        };
        let apps: Vec<_> = self
            .apps
            .iter()
            .filter(|app| app.managed)
            .map(|app| {
                json!({"identifier": app.identifier, "name": app.name, "version": app.version,
                       "short-version": app.version, "state": "managed"})
            })
            .collect();
        let certificates: Vec<_> = self
            .identities
            .iter()
            .map(|(uuid, identity)| {
                use base64::Engine as _;
                let data = base64::engine::general_purpose::STANDARD.encode(&identity.certificate);
                json!({"identifier": uuid, "is-identity": true, "data": data,
                       "subject-summary": crypto::common_name(&identity.certificate).unwrap_or_default()})
            })
            .collect();
        let all = [
            ("device.identifier.serial-number", json!(hardware.serial)),
            ("device.identifier.udid", json!(hardware.udid)),
            ("device.model.family", json!(hardware.family.word())),
            ("device.model.identifier", json!(hardware.product_name)),
            ("device.model.marketing-name", json!(hardware.model_name)),
            ("device.model.number", json!(format!("{}LL/A", hardware.model))),
            ("device.operating-system.build-version", json!(hardware.build)),
            ("device.operating-system.family", json!(system)),
            ("device.operating-system.marketing-name", json!(format!("{system} {}", hardware.system.0))),
            ("device.operating-system.supplemental.build-version", json!(hardware.build)),
            ("device.operating-system.supplemental.extra-version", json!("")),
            ("device.operating-system.version", json!(hardware.system.to_string())),
            ("device.power.battery-health", json!("normal")),
            ("diskmanagement.filevault.enabled", json!(self.filevault.enabled)),
            ("mdm.app", json!(apps)),
            ("passcode.is-compliant", json!(self.passcode_complies())),
            ("passcode.is-present", json!(self.passcode.is_some())),
            ("security.certificate.list", json!(certificates)),
            ("softwareupdate.device-id", json!(hardware.product_name)),
            ("softwareupdate.install-state", json!("none")),
            ("softwareupdate.failure-reason", json!({"count": 0})),
            ("softwareupdate.install-reason", json!({"reason": []})),
        ];
        let possible = rules::status_items(self);
        let here =
            |name: &str| possible.contains(&name) && (channel == Channel::Device || !name.starts_with("passcode"));
        all.into_iter().filter(|(name, _)| here(name)).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Entries that are new or changed, and `_removed` ones.
fn changed_states(before: Option<&Value>, now: &Value) -> Value {
    let mut told = Map::new();
    for (list, entries) in now.as_object().into_iter().flatten() {
        let before = before.and_then(|before| before[list.as_str()].as_array()).cloned().unwrap_or_default();
        let entries = entries.as_array().cloned().unwrap_or_default();
        let gone = before.iter().filter(|old| !entries.iter().any(|new| new["identifier"] == old["identifier"]));
        let gone = gone.map(|old| json!({"identifier": old["identifier"], "_removed": true}));
        let fresh = entries.iter().filter(|new| !before.contains(new)).cloned();
        told.insert(list.clone(), fresh.chain(gone).collect());
    }
    Value::Object(told)
}

/// Puts a value at a dotted name.
fn insert(into: &mut Map<String, Value>, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            into.insert(name.to_owned(), value);
        }
        Some((head, rest)) => {
            let inner = into.entry(head.to_owned()).or_insert_with(|| json!({}));
            if let Some(inner) = inner.as_object_mut() {
                insert(inner, rest, value);
            }
        }
    }
}
