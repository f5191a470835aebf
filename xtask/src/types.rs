//! `cargo xtask types`: reads the public Graph metadata where it lies and writes our own compact
//! table of the types we serve: names, types, enum members and marks. Facts only, no texts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Where the table stands in the repository.
const TABLE: &str = "catalogue/types.json";
/// Where the metadata stands beside the repository.
const SOURCE: &str = "../shared/schemas/graph";

/// Entities we serve; what their properties reach comes along, links do not.
const ROOTS: &[&str] = &[
    "allDevicesAssignmentTarget",
    "allLicensedUsersAssignmentTarget",
    "appleEnrollmentProfileAssignment",
    "applePushNotificationCertificate",
    "appleUserInitiatedEnrollmentProfile",
    "auditEvent",
    "detectedApp",
    "deviceAndAppManagementAssignmentFilter",
    "device",
    "deviceCategory",
    "deviceConfigurationAssignment",
    "deviceConfigurationDeviceOverview",
    "deviceConfigurationDeviceStatus",
    "deviceConfigurationSettingState",
    "deviceConfigurationState",
    "deviceEnrollmentLimitConfiguration",
    "directoryObject",
    "domain",
    "enrollmentConfigurationAssignment",
    "enrollmentTroubleshootingEvent",
    "exclusionGroupAssignmentTarget",
    "group",
    "groupAssignmentTarget",
    "intuneBrandingProfile",
    "intuneBrandingProfileAssignment",
    "managedDevice",
    "managedDeviceOverview",
    "omaSettingBase64",
    "omaSettingBoolean",
    "omaSettingDateTime",
    "omaSettingFloatingPoint",
    "omaSettingInteger",
    "omaSettingString",
    "omaSettingStringXml",
    "organization",
    "subscribedSku",
    "user",
];

/// Types that only others extend, where the metadata at hand does not say so.
const ABSTRACT: &[&str] = &[
    "appleDeviceFeaturesConfigurationBase",
    "appleExpeditedCheckinConfigurationBase",
    "appleVpnConfiguration",
    "deviceConfiguration",
    "deviceEnrollmentConfiguration",
    "iosCertificateProfile",
    "iosCertificateProfileBase",
    "macOSCertificateProfileBase",
    "omaSetting",
];

/// Read-only wherever they stand on an entity: accepted in a body and ignored.
const READ_ONLY: &[&str] = &[
    "createdDateTime",
    "deletedDateTime",
    "id",
    "lastModifiedDateTime",
    "modifiedDateTime",
    "payloads",
    "supportsScopeTags",
    "version",
];

/// What an administrator may write on a managedDevice; all else is the device's word.
const DEVICE_WRITABLE: &[&str] =
    &["managedDeviceName", "managedDeviceOwnerType", "notes", "ownerType", "roleScopeTagIds"];

/// Values that are null in every answer.
const SECRET: &[&str] =
    &["activationLockBypassCode", "password", "passwordValue", "preSharedKey", "presharedKey", "sharedSecret"];

const PRIMITIVES: &[&str] =
    &["string", "bool", "int32", "int64", "double", "datetime", "date", "time", "duration", "guid", "binary"];

#[derive(Default)]
struct Type {
    base: Option<String>,
    is_abstract: bool,
    versions: BTreeSet<char>,
    properties: BTreeMap<String, Property>,
}

#[derive(Default)]
struct Property {
    kind: String,
    collection: bool,
    link: bool,
    versions: BTreeSet<char>,
}

#[derive(Default)]
struct Enum {
    flags: bool,
    members: Vec<(String, BTreeSet<char>)>,
}

#[derive(Default)]
struct Model {
    types: BTreeMap<String, Type>,
    enums: BTreeMap<String, Enum>,
}

/// Writes the table, or with `check` says whether it would change.
pub fn run(check: bool) -> Result<()> {
    let root = crate::run::root();
    let (source, table) = (root.join(SOURCE), root.join(TABLE));
    if !source.exists() {
        println!("skipped: {SOURCE} is not there, the table stays as it is");
        return Ok(());
    }
    let mut model = Model::default();
    read_v1(&mut model, &fs::read_to_string(source.join("types-v1.csdl")).context("types-v1.csdl")?);
    let beta = fs::read_to_string(source.join("types-beta.json")).context("types-beta.json")?;
    read_beta(&mut model, &serde_json::from_str(&beta)?)?;
    let text = write(&model);
    let old = fs::read_to_string(&table).unwrap_or_default();
    if check && old != text {
        bail!("{TABLE} is not what `cargo xtask types` writes");
    }
    if old != text {
        fs::write(&table, &text)?;
    }
    println!("{TABLE}: {} bytes", text.len());
    Ok(())
}

fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let start = line.find(&format!(" {name}=\""))? + name.len() + 3;
    let end = line[start..].find('"')?;
    Some(&line[start..start + end])
}

/// The file has one element a line; that is all the XML there is to read.
fn read_v1(model: &mut Model, text: &str) {
    let mut current: Option<String> = None;
    let mut current_enum: Option<String> = None;
    for line in text.lines().map(str::trim) {
        let name = attribute(line, "Name").unwrap_or_default().to_owned();
        if line.starts_with("<EnumType ") {
            model.enums.entry(name.clone()).or_default().flags = line.contains("IsFlags=\"true\"");
            current_enum = Some(name);
        } else if line.starts_with("<Member ") {
            if let Some(owner) = &current_enum
                && let Some(found) = model.enums.get_mut(owner)
            {
                found.members.push((name, BTreeSet::from(['1'])));
            }
        } else if line.starts_with("<EntityType ") || line.starts_with("<ComplexType ") {
            let found = model.types.entry(name.clone()).or_default();
            found.base = attribute(line, "BaseType").map(|base| base.trim_start_matches("graph.").to_owned());
            found.is_abstract = line.contains("Abstract=\"true\"");
            found.versions.insert('1');
            current = (!line.ends_with("/>")).then_some(name);
        } else if line.starts_with("</EntityType") || line.starts_with("</ComplexType") {
            current = None;
        } else if line.starts_with("<Property ") || line.starts_with("<NavigationProperty ") {
            let Some(owner) = current.as_ref().and_then(|owner| model.types.get_mut(owner)) else { continue };
            let full = attribute(line, "Type").unwrap_or_default();
            let inner = full.strip_prefix("Collection(").and_then(|t| t.strip_suffix(')'));
            let property = owner.properties.entry(name).or_default();
            property.collection = inner.is_some();
            property.kind = word(inner.unwrap_or(full));
            property.link = line.starts_with("<Nav");
            property.versions.insert('1');
        }
    }
}

fn word(name: &str) -> String {
    let short = name.trim_start_matches("Edm.").trim_start_matches("graph.");
    match short {
        "String" => "string",
        "Boolean" => "bool",
        "Int16" | "Int32" => "int32",
        "Int64" => "int64",
        "Double" | "Single" | "Decimal" => "double",
        "DateTimeOffset" => "datetime",
        "Date" => "date",
        "TimeOfDay" => "time",
        "Duration" => "duration",
        "Guid" => "guid",
        "Binary" | "Stream" => "binary",
        other => other,
    }
    .to_owned()
}

fn read_beta(model: &mut Model, beta: &Value) -> Result<()> {
    for (name, members) in beta["enums"].as_object().context("enums")? {
        let found = model.enums.entry(name.clone()).or_default();
        for member in members.as_array().into_iter().flatten().filter_map(Value::as_str) {
            match found.members.iter_mut().find(|(m, _)| m == member) {
                Some((_, versions)) => {
                    versions.insert('b');
                }
                None => found.members.push((member.to_owned(), BTreeSet::from(['b']))),
            }
        }
    }
    let enums: BTreeSet<String> = model.enums.keys().cloned().collect();
    for (name, entry) in beta["types"].as_object().context("types")? {
        let found = model.types.entry(name.clone()).or_default();
        found.versions.insert('b');
        if let Some(base) = entry["base"].as_str() {
            found.base = Some(base.to_owned());
        }
        for (property, kind) in entry["properties"].as_object().context("properties")? {
            let kind = kind.as_str().context("a type")?;
            let inner = kind.strip_prefix('[').and_then(|k| k.strip_suffix(']'));
            let known = found.properties.entry(property.clone()).or_default();
            known.versions.insert('b');
            if known.kind.is_empty() {
                known.kind = word(inner.unwrap_or(kind));
                known.collection = inner.is_some();
                // The SDK shows flags as lists; only days of the week are really one.
                if known.collection && enums.contains(&known.kind) && known.kind != "dayOfWeek" {
                    known.collection = false;
                    if let Some(found) = model.enums.get_mut(&known.kind) {
                        found.flags = true;
                    }
                }
            }
        }
    }
    for name in ABSTRACT {
        if let Some(found) = model.types.get_mut(*name) {
            found.is_abstract = true;
        }
    }
    Ok(())
}

impl Model {
    fn is_a(&self, name: &str, base: &str) -> bool {
        let mut at = Some(name.to_owned());
        while let Some(name) = at {
            if name == base {
                return true;
            }
            at = self.types.get(&name).and_then(|t| t.base.clone());
        }
        false
    }

    /// Roots, Apple's configurations, their bases and everything their properties hold.
    fn reach(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let apple = |name: &str| ["ios", "macOS", "apple"].iter().any(|p| name.starts_with(p));
        let mut open: Vec<String> = ROOTS.iter().map(|root| (*root).to_owned()).collect();
        open.extend(self.types.keys().filter(|n| apple(n) && self.is_a(n, "deviceConfiguration")).cloned());
        let (mut types, mut enums) = (BTreeSet::new(), BTreeSet::new());
        while let Some(name) = open.pop() {
            let Some(found) = self.types.get(&name) else { continue };
            if !types.insert(name.clone()) {
                continue;
            }
            open.extend(found.base.clone());
            for property in found.properties.values() {
                if self.enums.contains_key(&property.kind) {
                    enums.insert(property.kind.clone());
                } else if !self.is_link(property) && self.types.contains_key(&property.kind) {
                    open.push(property.kind.clone());
                    // A polymorphic value: whatever extends it may stand there.
                    open.extend(
                        self.types
                            .keys()
                            .filter(|n| **n != property.kind && self.is_a(n, &property.kind))
                            .filter(|n| !n.starts_with("windows") && !n.starts_with("android"))
                            .cloned(),
                    );
                }
            }
        }
        (types, enums)
    }

    fn is_link(&self, property: &Property) -> bool {
        property.link || self.is_a(&property.kind, "entity")
    }
}

fn mark(versions: &BTreeSet<char>) -> &'static str {
    match (versions.contains(&'1'), versions.contains(&'b')) {
        (true, false) => " v1",
        (false, true) => " beta",
        _ => "",
    }
}

fn write(model: &Model) -> String {
    let (types, enums) = model.reach();
    let mut out = String::from("{\n\"enums\": {\n");
    for (i, name) in enums.iter().enumerate() {
        let found = &model.enums[name];
        let members: Vec<String> = found
            .members
            .iter()
            .filter(|(member, _)| member != "unknownFutureValue")
            .map(|(member, versions)| format!("{member}{}", mark(versions)))
            .collect();
        let flags = if found.flags { "flags: " } else { "" };
        let end = if i + 1 == enums.len() { "" } else { "," };
        let _ = writeln!(out, "\"{name}\": \"{flags}{}\"{end}", members.join(", "));
    }
    out.push_str("},\n\"types\": {\n");
    for (i, name) in types.iter().enumerate() {
        let found = &model.types[name];
        let entity = model.is_a(name, "entity");
        let head = format!(
            "{}{}{}",
            found.base.as_deref().unwrap_or(""),
            if found.is_abstract { " abstract" } else { "" },
            mark(&found.versions)
        );
        let _ = write!(out, "\"{name}\": {{\"\": \"{}\"", head.trim_start());
        for (property, facts) in &found.properties {
            let holds_known = PRIMITIVES.contains(&facts.kind.as_str())
                || model.enums.contains_key(&facts.kind)
                || model.types.contains_key(&facts.kind);
            if !holds_known {
                continue;
            }
            let collection = if facts.collection { "[]" } else { "" };
            let mut marks = mark(&facts.versions).to_owned();
            if facts.versions == found.versions {
                marks.clear();
            }
            if model.is_link(facts) {
                marks.push_str(" link");
            }
            let device = name == "managedDevice" && !DEVICE_WRITABLE.contains(&property.as_str());
            let computed = name == "applePushNotificationCertificate"
                && !["appleIdentifier", "certificate"].contains(&property.as_str());
            if device || computed || (entity && READ_ONLY.contains(&property.as_str())) {
                marks.push_str(" ro");
            }
            if SECRET.contains(&property.as_str()) {
                marks.push_str(" secret");
            }
            let _ = write!(out, ",\n  \"{property}\": \"{}{collection}{marks}\"", facts.kind);
        }
        out.push_str(if i + 1 == types.len() { "}\n" } else { "},\n" });
    }
    out.push_str("}\n}\n");
    out
}
