//! The type table: names, types, enum members and marks of every Graph type we serve, from
//! `catalogue/types.json` (written by `cargo xtask types`).

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

use serde_json::Value;

use super::Version;

/// What a property holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    String,
    /// true or false.
    Bool,
    /// Whole number of 32 bits.
    Int32,
    /// Whole number of 64 bits.
    Int64,
    /// Any number.
    Double,
    /// RFC 3339.
    DateTime,
    /// `2026-05-01`
    Date,
    /// `10:00:00.000`
    Time,
    /// ISO 8601, `PT12H`.
    Duration,
    /// UUID.
    Guid,
    /// base64.
    Binary,
    /// An enum by name.
    Enum(String),
    /// A complex type or entity by name.
    Complex(String),
}

impl Kind {
    /// The name of the complex type or entity it holds.
    pub fn complex(&self) -> Option<&str> {
        match self {
            Kind::Complex(name) => Some(name),
            _ => None,
        }
    }
}

/// One property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// Graph's spelling.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// A list of that.
    pub collection: bool,
    /// A link to other entities, no value of its own.
    pub link: bool,
    /// Accepted and ignored in bodies.
    pub read_only: bool,
    /// Null in answers.
    pub secret: bool,
    v1: bool,
    beta: bool,
}

impl Property {
    /// Says whether the surface has it.
    pub fn in_version(&self, version: Version) -> bool {
        match version {
            Version::V1 => self.v1,
            Version::Beta => self.beta,
        }
    }
}

/// One type.
#[derive(Clone, Debug, Default)]
pub struct Type {
    /// The type it extends.
    pub base: Option<String>,
    /// Only others extend it.
    pub is_abstract: bool,
    properties: BTreeMap<String, Property>,
}

impl Type {
    /// Its own properties, its base's not.
    pub fn own_properties(&self) -> impl Iterator<Item = &Property> {
        self.properties.values()
    }
}

/// One enum.
#[derive(Clone, Debug, Default)]
pub struct Enum {
    /// Several members at once, comma separated.
    pub flags: bool,
    /// Members with their presence in v1.0.
    pub members: Vec<(String, bool)>,
}

/// The table.
#[derive(Debug, Default)]
pub struct Table {
    types: HashMap<String, Type>,
    enums: HashMap<String, Enum>,
    lower: HashMap<String, String>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let document: Value = serde_json::from_str(include_str!("../../../../catalogue/types.json"))
        .expect("the table is checked in as JSON and read by a test");
    Table::read(&document)
});

/// The table of this build.
pub fn table() -> &'static Table {
    &TABLE
}

fn presence(words: &[&str]) -> (bool, bool) {
    (!words.contains(&"beta"), !words.contains(&"v1"))
}

impl Table {
    fn read(document: &Value) -> Table {
        let mut table = Table::default();
        for (name, text) in document["enums"].as_object().into_iter().flatten() {
            let text = text.as_str().unwrap_or_default();
            let (flags, members) = match text.strip_prefix("flags: ") {
                Some(members) => (true, members),
                None => (false, text),
            };
            let members = members.split(", ").map(|member| match member.split_once(' ') {
                Some((member, mark)) => (member.to_owned(), mark != "beta"),
                None => (member.to_owned(), true),
            });
            table.enums.insert(name.clone(), Enum { flags, members: members.collect() });
        }
        for (name, entry) in document["types"].as_object().into_iter().flatten() {
            let mut found = Type::default();
            for (property, text) in entry.as_object().into_iter().flatten() {
                let words: Vec<&str> = text.as_str().unwrap_or_default().split(' ').collect();
                let (v1, beta) = presence(&words);
                if property.is_empty() {
                    found.base =
                        words.first().filter(|w| !["", "abstract", "beta", "v1"].contains(w)).map(|w| (*w).to_owned());
                    found.is_abstract = words.contains(&"abstract");
                    continue;
                }
                let kind = words.first().copied().unwrap_or_default();
                let (kind, collection) = match kind.strip_suffix("[]") {
                    Some(kind) => (kind, true),
                    None => (kind, false),
                };
                found.properties.insert(
                    property.clone(),
                    Property {
                        name: property.clone(),
                        kind: table.kind(kind),
                        collection,
                        link: words.contains(&"link"),
                        read_only: words.contains(&"ro"),
                        secret: words.contains(&"secret"),
                        v1,
                        beta,
                    },
                );
            }
            table.lower.insert(name.to_ascii_lowercase(), name.clone());
            table.types.insert(name.clone(), found);
        }
        table
    }

    fn kind(&self, word: &str) -> Kind {
        match word {
            "string" => Kind::String,
            "bool" => Kind::Bool,
            "int32" => Kind::Int32,
            "int64" => Kind::Int64,
            "double" => Kind::Double,
            "datetime" => Kind::DateTime,
            "date" => Kind::Date,
            "time" => Kind::Time,
            "duration" => Kind::Duration,
            "guid" => Kind::Guid,
            "binary" => Kind::Binary,
            other if self.enums.contains_key(other) => Kind::Enum(other.to_owned()),
            other => Kind::Complex(other.to_owned()),
        }
    }

    /// Every type.
    pub fn types(&self) -> impl Iterator<Item = (&str, &Type)> {
        self.types.iter().map(|(name, found)| (name.as_str(), found))
    }

    /// Every enum.
    pub fn enums(&self) -> impl Iterator<Item = (&str, &Enum)> {
        self.enums.iter().map(|(name, found)| (name.as_str(), found))
    }

    /// The type of that name.
    pub fn get(&self, name: &str) -> Option<&Type> {
        self.types.get(name)
    }

    /// Graph's spelling of a type's name in any letter case.
    pub fn canonical(&self, name: &str) -> Option<&str> {
        self.lower.get(&name.to_ascii_lowercase()).map(String::as_str)
    }

    /// The enum of that name.
    pub fn get_enum(&self, name: &str) -> Option<&Enum> {
        self.enums.get(name)
    }

    /// The type and what it extends, itself first.
    pub fn lineage(&self, name: &str) -> impl Iterator<Item = (&str, &Type)> {
        let mut at = self.types.get_key_value(name);
        std::iter::from_fn(move || {
            let (name, found) = at?;
            at = found.base.as_deref().and_then(|base| self.types.get_key_value(base));
            Some((name.as_str(), found))
        })
    }

    /// Says whether `name` is `base` or extends it, in any letter case.
    pub fn is_a(&self, name: &str, base: &str) -> bool {
        self.canonical(name).is_some_and(|name| self.lineage(name).any(|(at, _)| at.eq_ignore_ascii_case(base)))
    }

    /// A property of a type or of what it extends, in any letter case.
    pub fn property(&self, name: &str, property: &str) -> Option<&Property> {
        self.lineage(name).find_map(|(_, found)| {
            found
                .properties
                .get(property)
                .or_else(|| found.properties.values().find(|candidate| candidate.name.eq_ignore_ascii_case(property)))
        })
    }

    /// Every property of a type, its base's included.
    pub fn properties(&self, name: &str) -> impl Iterator<Item = &Property> {
        self.lineage(name).flat_map(|(_, found)| found.properties.values())
    }

    /// Types that may be created where `base` is asked for.
    pub fn concrete<'a>(&'a self, base: &'a str) -> impl Iterator<Item = &'a str> {
        self.types
            .iter()
            .filter(move |(name, found)| !found.is_abstract && self.is_a(name, base))
            .map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_knows_what_we_serve() {
        let table = table();
        assert!(table.is_a("iosCustomConfiguration", "deviceConfiguration"));
        assert!(table.is_a("IOSCUSTOMCONFIGURATION", "entity"));
        assert!(!table.is_a("user", "deviceConfiguration"));
        assert_eq!(table.property("iosCustomConfiguration", "payload").unwrap().kind, Kind::Binary);
        assert!(table.property("iosCustomConfiguration", "Version").unwrap().read_only);
        assert!(table.property("iosWiFiConfiguration", "preSharedKey").unwrap().secret);
        assert!(table.property("managedDevice", "users").unwrap().link);
        assert!(!table.property("managedDevice", "notes").unwrap().read_only);
        assert!(table.property("managedDevice", "serialNumber").unwrap().read_only);
        let types = table.get_enum("deviceEnrollmentType").unwrap();
        assert!(types.members.contains(&("appleAccountDrivenUserEnrollment".into(), false)));
        assert!(table.get_enum("keyUsages").unwrap().flags);
    }

    #[test]
    fn every_property_has_a_type_of_the_table() {
        let table = table();
        for (name, found) in &table.types {
            assert!(found.base.as_ref().is_none_or(|base| table.types.contains_key(base)), "{name}");
            for property in found.properties.values().filter(|property| !property.link) {
                if let Kind::Complex(kind) = &property.kind {
                    assert!(table.types.contains_key(kind), "{name}.{} is a {kind}", property.name);
                }
            }
        }
    }
}
