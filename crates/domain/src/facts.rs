//! Facts: which query gives which fact, on which system and enrollment kind, as data
//! (`catalogue/facts.toml`), and what may be kept of an answer.
//!
//! A personal device is asked for managed apps only, never for a phone number; a User Enrollment never
//! for what identifies the device beyond the enrollment (design, ruling 6; reference: domain.md 1.4, 16).
//! The same table decides what is asked and what is kept, so an answer that says more is not stored.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use crate::catalogue::{Channel, EnrollmentKind, Platform, Version};

/// A query, by Apple's RequestType.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub enum Query {
    /// Named facts.
    DeviceInformation,
    /// Encryption, passcode, boot security.
    SecurityInfo,
    /// Apps; managed ones only on a personal device.
    InstalledApplicationList,
    /// Profiles: shows what vanished.
    ProfileList,
    /// Certificates.
    CertificateList,
}

/// Hours between the check-ins that a channel is asked for when nothing else wakes it.
pub const CHECK_IN_HOURS: i64 = 8;

impl Query {
    /// Every query, in the order in which they are asked.
    pub const ALL: [Query; 5] = [
        Query::DeviceInformation,
        Query::SecurityInfo,
        Query::ProfileList,
        Query::InstalledApplicationList,
        Query::CertificateList,
    ];
    /// Hours after which it is asked again: what says whether the policy stands goes with the scheduled
    /// check-in, lists that are long and change slowly weekly.
    pub fn every_hours(self) -> i64 {
        match self {
            Query::DeviceInformation | Query::SecurityInfo | Query::ProfileList => CHECK_IN_HOURS,
            Query::InstalledApplicationList | Query::CertificateList => 7 * 24,
        }
    }
    /// Apple's word.
    pub fn word(self) -> &'static str {
        match self {
            Query::DeviceInformation => "DeviceInformation",
            Query::SecurityInfo => "SecurityInfo",
            Query::InstalledApplicationList => "InstalledApplicationList",
            Query::ProfileList => "ProfileList",
            Query::CertificateList => "CertificateList",
        }
    }
    /// From Apple's word.
    pub fn of(word: &str) -> Option<Self> {
        Query::ALL.into_iter().find(|query| query.word() == word)
    }
}

/// How a value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Text.
    Text,
    /// True or false.
    Flag,
    /// A number.
    Number,
    /// A number of gigabytes (1024 based), kept as bytes.
    Gigabytes,
}

/// Where a fact is available on one system.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Available {
    /// First OS version.
    pub since: Version,
    /// User Enrollment gives it.
    #[serde(default)]
    pub user_enrollment: bool,
    /// Only a supervised device gives it.
    #[serde(default)]
    pub supervised: bool,
}

/// One fact.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// Our name.
    pub name: String,
    /// The query that gives it.
    pub query: Query,
    /// Key in the answer; a dot steps into a dictionary.
    pub key: String,
    /// How it is read.
    pub kind: Kind,
    /// On iOS and iPadOS.
    #[serde(default)]
    pub ios: Option<Available>,
    /// On macOS.
    #[serde(default)]
    pub macos: Option<Available>,
    /// Column of the device that shows it.
    #[serde(default)]
    pub column: Option<String>,
    /// Graph property of the device that shows it.
    #[serde(default)]
    pub property: Option<String>,
    /// May be asked of a personal device.
    #[serde(default = "yes")]
    pub personal: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct File {
    fact: Vec<Fact>,
}

static FACTS: LazyLock<Vec<Fact>> = LazyLock::new(|| {
    let text = include_str!("../../../catalogue/facts.toml");
    let file: File = toml::from_str(text).unwrap_or_else(|error| panic!("catalogue/facts.toml is malformed: {error}"));
    file.fact
});

/// Every fact.
pub fn facts() -> &'static [Fact] {
    &FACTS
}

/// A fact by its name.
pub fn fact(name: &str) -> Option<&'static Fact> {
    facts().iter().find(|fact| fact.name == name)
}

/// Whose device it is, as far as facts care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The company's.
    Company,
    /// The person's, or not known: treated as the person's.
    Personal,
}

impl Owner {
    /// From the word that a device row holds.
    pub fn of(word: &str) -> Self {
        if word == "company" { Owner::Company } else { Owner::Personal }
    }
}

impl Fact {
    /// True where the fact may be asked for and kept.
    pub fn allowed(&self, channel: &Channel, owner: Owner) -> bool {
        let available = match channel.platform {
            Platform::Ios => &self.ios,
            Platform::MacOs => &self.macos,
        };
        if channel.user_channel || (!self.personal && owner == Owner::Personal) {
            return false;
        }
        available.as_ref().is_some_and(|a| {
            let kind = a.user_enrollment || channel.enrollment == EnrollmentKind::Device;
            let supervised = channel.supervised || !a.supervised;
            kind && supervised && channel.version >= a.since
        })
    }

    /// Reads an answer's value; `None` where it is of another kind.
    pub fn read(&self, value: &Value) -> Option<Value> {
        match self.kind {
            Kind::Text => value.as_str().filter(|text| !text.is_empty()).map(Value::from),
            Kind::Flag => value.as_bool().map(Value::from),
            Kind::Number => value.as_i64().map(Value::from).or_else(|| value.as_f64().map(Value::from)),
            Kind::Gigabytes => {
                let gigabytes = value.as_f64().filter(|n| n.is_finite() && (0.0..1e9).contains(n))?;
                Some(Value::from((gigabytes * 1_073_741_824.0) as i64))
            }
        }
    }
}

/// The facts that a query gives on this channel, in the order of the table.
pub fn given_by(query: Query, channel: &Channel, owner: Owner) -> impl Iterator<Item = &'static Fact> {
    facts().iter().filter(move |fact| fact.query == query && fact.allowed(channel, owner))
}

/// The queries that are asked on this channel.
pub fn queries(channel: &Channel) -> impl Iterator<Item = Query> {
    let (user_channel, user_enrollment) = (channel.user_channel, channel.enrollment == EnrollmentKind::User);
    let mac = channel.platform == Platform::MacOs;
    Query::ALL.into_iter().filter(move |query| match query {
        Query::ProfileList => true,
        // Apple forbids the list to a Mac under User Enrollment.
        Query::InstalledApplicationList => !(user_channel || mac && user_enrollment),
        _ => !user_channel,
    })
}

/// Only managed apps are asked for.
pub fn managed_apps_only(channel: &Channel, owner: Owner) -> bool {
    owner == Owner::Personal || channel.enrollment == EnrollmentKind::User
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn channel(platform: Platform, enrollment: EnrollmentKind) -> Channel {
        Channel { platform, version: "17.4".parse().unwrap(), supervised: false, enrollment, user_channel: false }
    }
    fn names(query: Query, channel: &Channel, owner: Owner) -> BTreeSet<&'static str> {
        given_by(query, channel, owner).map(|fact| fact.name.as_str()).collect()
    }

    #[test]
    fn the_table_reads_and_names_are_unique() {
        let names: BTreeSet<_> = facts().iter().map(|fact| &fact.name).collect();
        assert_eq!(names.len(), facts().len());
        assert!(facts().iter().all(|fact| fact.ios.is_some() || fact.macos.is_some()));
    }

    #[test]
    fn a_phone_number_is_never_asked_for() {
        assert!(facts().iter().all(|fact| !fact.key.contains("PhoneNumber") && fact.key != "ServiceSubscriptions"));
    }

    #[test]
    fn user_enrollment_is_never_asked_what_identifies_the_device() {
        for platform in [Platform::Ios, Platform::MacOs] {
            let user = channel(platform, EnrollmentKind::User);
            for owner in [Owner::Company, Owner::Personal] {
                let asked = names(Query::DeviceInformation, &user, owner);
                for hidden in ["udid", "serialNumber", "imei", "meid", "iccid", "wiFiMacAddress", "bluetoothMacAddress"]
                {
                    assert!(!asked.contains(hidden), "{hidden}");
                }
                assert!(asked.contains("osVersion"));
            }
            assert!(managed_apps_only(&user, Owner::Company));
        }
    }

    #[test]
    fn a_personal_device_is_asked_less() {
        let phone = channel(Platform::Ios, EnrollmentKind::Device);
        let (ours, theirs) = (
            names(Query::DeviceInformation, &phone, Owner::Company),
            names(Query::DeviceInformation, &phone, Owner::Personal),
        );
        assert!(theirs.is_subset(&ours) && theirs.len() < ours.len());
        assert!(theirs.contains("serialNumber"));
        assert!(managed_apps_only(&phone, Owner::Personal) && !managed_apps_only(&phone, Owner::Company));
    }

    #[test]
    fn values_of_another_kind_are_not_kept() {
        let total = fact("totalStorageSpaceInBytes").unwrap();
        assert_eq!(total.read(&Value::from(2.0)), Some(Value::from(2_147_483_648_i64)));
        assert_eq!(total.read(&Value::from("2")), None);
        assert_eq!(total.read(&Value::from(-1.0)), None);
        assert_eq!(fact("isSupervised").unwrap().read(&Value::from("true")), None);
    }
}
