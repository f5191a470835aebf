//! The properties that rules may ask for, as data.
//!
//! Two vocabularies that look alike and differ: groups say `Company` where filters say `Corporate`,
//! and their operators are not the same. Membership: domain.md 3.1; filters: domain.md 3.3.

/// How a property is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text, letter case aside.
    Text,
    /// True or false.
    Flag,
    /// Several texts: `-any` and `-all`, or an operator that some of them must satisfy.
    Texts,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// A version, compared number by number.
    Version,
}

/// An operator, without its hyphen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Begins with.
    StartsWith,
    /// Does not begin with.
    NotStartsWith,
    /// Has the text in it.
    Contains,
    /// Does not have the text in it.
    NotContains,
    /// Matches a pattern from its start on.
    Match,
    /// Does not match a pattern.
    NotMatch,
    /// One of a list.
    In,
    /// None of a list.
    NotIn,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
}

use Operator as O;

/// Every operator: the word in a rule, and Graph's word in `assignmentFilterOperator`.
const WORDS: [(Operator, &str, &str); 14] = [
    (O::Eq, "eq", "equals"),
    (O::Ne, "ne", "notEquals"),
    (O::StartsWith, "startsWith", "startsWith"),
    (O::NotStartsWith, "notStartsWith", "notStartsWith"),
    (O::Contains, "contains", "contains"),
    (O::NotContains, "notContains", "notContains"),
    (O::Match, "match", "match"),
    (O::NotMatch, "notMatch", "notMatch"),
    (O::In, "in", "in"),
    (O::NotIn, "notIn", "notIn"),
    (O::Gt, "gt", "greaterThan"),
    (O::Ge, "ge", "greaterThanOrEquals"),
    (O::Lt, "lt", "lessThan"),
    (O::Le, "le", "lessThanOrEquals"),
];

impl Operator {
    /// The word in a rule, without hyphen.
    pub fn word(self) -> &'static str {
        WORDS.iter().find(|(operator, _, _)| *operator == self).map_or("", |(_, word, _)| word)
    }
    /// Graph's word in `assignmentFilterOperator`.
    pub fn graph_word(self) -> &'static str {
        WORDS.iter().find(|(operator, _, _)| *operator == self).map_or("", |(_, _, word)| word)
    }
    /// From the word in a rule; the hyphen may be missing, letter case is free.
    pub fn of(word: &str) -> Option<Self> {
        let bare = word.strip_prefix('-').unwrap_or(word);
        WORDS.iter().find(|(_, word, _)| word.eq_ignore_ascii_case(bare)).map(|(operator, _, _)| *operator)
    }
}

/// One property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// Name behind `user.`, `device.` or `app.`.
    pub name: &'static str,
    /// How it is compared.
    pub kind: Kind,
    /// The operators it takes.
    pub operators: &'static [Operator],
    /// Platforms that have it, by Graph's `devicePlatformType`; empty: every one.
    pub platforms: &'static [&'static str],
}

/// What a rule may say.
#[derive(Debug, PartialEq, Eq)]
pub struct Vocabulary {
    /// The word before the dot.
    pub subject: &'static str,
    /// The properties.
    pub properties: &'static [Property],
    /// `-not`, `-any` and `-all` are words of it.
    pub whole_grammar: bool,
}

impl Vocabulary {
    /// A property by its name, in any letter case.
    pub fn property(&self, name: &str) -> Option<&'static Property> {
        self.properties.iter().find(|property| property.name.eq_ignore_ascii_case(name))
    }
}

const FLAG: &[Operator] = &[O::Eq, O::Ne];
pub(super) const TEXT: &[Operator] = &[
    O::Eq,
    O::Ne,
    O::StartsWith,
    O::NotStartsWith,
    O::Contains,
    O::NotContains,
    O::Match,
    O::NotMatch,
    O::In,
    O::NotIn,
];
const FILTER_TEXT: &[Operator] = &[O::Eq, O::Ne, O::In, O::NotIn, O::StartsWith, O::Contains, O::NotContains];
const LISTED: &[Operator] = &[O::Eq, O::Ne, O::In, O::NotIn];
const ORDERED: &[Operator] = &[O::Eq, O::Ne, O::Gt, O::Ge, O::Lt, O::Le];

const fn property(name: &'static str, kind: Kind, operators: &'static [Operator]) -> Property {
    Property { name, kind, operators, platforms: &[] }
}
const fn text(name: &'static str) -> Property {
    property(name, Kind::Text, TEXT)
}
const fn on(platforms: &'static [&'static str], property: Property) -> Property {
    Property { platforms, ..property }
}

/// Properties of users in rules of groups.
pub static USERS: Vocabulary = Vocabulary {
    subject: "user",
    whole_grammar: true,
    properties: &[
        property("accountEnabled", Kind::Flag, FLAG),
        property("dirSyncEnabled", Kind::Flag, FLAG),
        text("city"),
        text("companyName"),
        text("country"),
        text("department"),
        text("displayName"),
        text("employeeId"),
        text("extensionAttribute1"),
        text("extensionAttribute2"),
        text("extensionAttribute3"),
        text("extensionAttribute4"),
        text("extensionAttribute5"),
        text("extensionAttribute6"),
        text("extensionAttribute7"),
        text("extensionAttribute8"),
        text("extensionAttribute9"),
        text("extensionAttribute10"),
        text("extensionAttribute11"),
        text("extensionAttribute12"),
        text("extensionAttribute13"),
        text("extensionAttribute14"),
        text("extensionAttribute15"),
        text("facsimileTelephoneNumber"),
        text("givenName"),
        text("jobTitle"),
        text("mail"),
        text("mailNickName"),
        text("mobile"),
        text("objectId"),
        text("onPremisesSecurityIdentifier"),
        text("passwordPolicies"),
        text("physicalDeliveryOfficeName"),
        text("postalCode"),
        text("preferredLanguage"),
        text("sipProxyAddress"),
        text("state"),
        text("streetAddress"),
        text("surname"),
        text("telephoneNumber"),
        text("usageLocation"),
        text("userPrincipalName"),
        text("userType"),
        property("otherMails", Kind::Texts, TEXT),
        property("proxyAddresses", Kind::Texts, TEXT),
    ],
};

/// Properties of devices in rules of groups.
pub static DEVICES: Vocabulary = Vocabulary {
    subject: "device",
    whole_grammar: true,
    properties: &[
        property("accountEnabled", Kind::Flag, FLAG),
        property("isRooted", Kind::Flag, FLAG),
        property("deviceOwnership", Kind::Choice(&["Personal", "Company", "Unknown"]), TEXT),
        text("deviceCategory"),
        text("deviceId"),
        text("deviceManufacturer"),
        text("deviceModel"),
        text("deviceOSType"),
        text("deviceOSVersion"),
        text("displayName"),
        text("enrollmentProfileName"),
        text("managementType"),
        text("objectId"),
        property("devicePhysicalIds", Kind::Texts, TEXT),
        property("systemLabels", Kind::Texts, TEXT),
    ],
};

const APPLE: &[&str] = &["iOS", "macOS"];
const WINDOWS: &[&str] = &["windows10AndLater"];
const ROOTABLE: &[&str] = &["android", "androidForWork", "androidWorkProfile", "androidAOSP", "iOS"];
const DESKTOPS: &[&str] = &["macOS", "windows10AndLater"];
const VERSIONED: &[&str] =
    &["androidForWork", "androidWorkProfile", "androidAOSP", "iOS", "macOS", "windows10AndLater"];

/// Properties of devices in filters. `isSupervised` is ours.
pub static FILTER_DEVICES: Vocabulary = Vocabulary {
    subject: "device",
    whole_grammar: false,
    properties: &[
        property("deviceName", Kind::Text, FILTER_TEXT),
        property("manufacturer", Kind::Text, FILTER_TEXT),
        property("model", Kind::Text, FILTER_TEXT),
        property("deviceCategory", Kind::Text, FILTER_TEXT),
        property("osVersion", Kind::Text, FILTER_TEXT),
        on(VERSIONED, property("operatingSystemVersion", Kind::Version, ORDERED)),
        property("deviceOwnership", Kind::Choice(&["Personal", "Corporate", "unknown"]), FLAG),
        property("enrollmentProfileName", Kind::Text, FILTER_TEXT),
        on(ROOTABLE, property("isRooted", Kind::Choice(&["True", "False", "unknown"]), FLAG)),
        on(APPLE, property("isSupervised", Kind::Choice(&["True", "False"]), FLAG)),
        on(DESKTOPS, property("cpuArchitecture", Kind::Choice(&["x64", "arm64", "amd64", "x86", "unknown"]), LISTED)),
        on(
            WINDOWS,
            property(
                "deviceTrustType",
                Kind::Choice(&["Azure AD joined", "Azure AD registered", "Hybrid Azure AD joined", "Unknown"]),
                LISTED,
            ),
        ),
        on(WINDOWS, property("operatingSystemSKU", Kind::Text, FILTER_TEXT)),
    ],
};

/// Properties of managed apps in filters.
pub static FILTER_APPS: Vocabulary = Vocabulary {
    subject: "app",
    whole_grammar: false,
    properties: &[
        property("appVersion", Kind::Text, FILTER_TEXT),
        property("deviceManagementType", Kind::Text, FILTER_TEXT),
        property("deviceManufacturer", Kind::Text, FILTER_TEXT),
        property("deviceModel", Kind::Text, FILTER_TEXT),
        property("osVersion", Kind::Text, FILTER_TEXT),
        property("operatingSystemVersion", Kind::Version, ORDERED),
    ],
};

/// Platforms whose filters ask about managed apps instead of devices.
const APP_PLATFORMS: &[&str] =
    &["androidMobileApplicationManagement", "iOSMobileApplicationManagement", "windowsMobileApplicationManagement"];

/// Platforms whose filters ask about devices.
const DEVICE_PLATFORMS: &[&str] =
    &["android", "androidForWork", "androidWorkProfile", "androidAOSP", "iOS", "macOS", "windows10AndLater"];

/// What filters of a platform (Graph's `devicePlatformType`) may say; none where there are no filters.
pub fn filter_vocabulary(platform: &str) -> Option<&'static Vocabulary> {
    match platform {
        apps if APP_PLATFORMS.contains(&apps) => Some(&FILTER_APPS),
        devices if DEVICE_PLATFORMS.contains(&devices) => Some(&FILTER_DEVICES),
        _ => None,
    }
}

/// The properties that filters of a platform may ask for.
pub fn filter_properties(platform: &str) -> impl Iterator<Item = &'static Property> {
    filter_vocabulary(platform)
        .into_iter()
        .flat_map(|vocabulary| vocabulary.properties)
        .filter(move |property| property.platforms.is_empty() || property.platforms.contains(&platform))
}
