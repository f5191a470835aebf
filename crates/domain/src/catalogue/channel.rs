//! What a channel is, as far as settings care.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer};

/// Operating systems the catalogue delivers to. iPadOS counts as iOS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub enum Platform {
    /// iOS and iPadOS.
    #[serde(rename = "iOS")]
    Ios,
    /// macOS.
    #[serde(rename = "macOS")]
    MacOs,
}

impl Platform {
    /// From the word that a device row holds.
    pub fn of(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "ios" | "ipados" => Some(Platform::Ios),
            "macos" => Some(Platform::MacOs),
            _ => None,
        }
    }
    /// From the name of a Graph type.
    pub fn of_type(graph_type: &str) -> Option<Self> {
        match graph_type {
            name if name.starts_with("ios") => Some(Platform::Ios),
            name if name.starts_with("macOS") => Some(Platform::MacOs),
            _ => None,
        }
    }
    /// Graph's and Apple's word.
    pub fn name(self) -> &'static str {
        match self {
            Platform::Ios => "iOS",
            Platform::MacOs => "macOS",
        }
    }
}

/// How a device is enrolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EnrollmentKind {
    /// The whole device is managed.
    Device,
    /// Apple User Enrollment: a managed volume beside the person's own.
    User,
}

/// An OS version; missing parts count as zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(Vec<u32>);

impl FromStr for Version {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        for part in text.split('.').take(4) {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            parts.push(digits.parse().map_err(|_| format!("{text:?} is not a version"))?);
        }
        while parts.last() == Some(&0) {
            parts.pop();
        }
        Ok(Version(parts))
    }
}

impl Version {
    /// Reads what a device said; something unreadable counts as the oldest.
    pub fn lenient(text: &str) -> Self {
        text.parse().unwrap_or_default()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = self.0.clone();
        while parts.len() < 2 {
            parts.push(0);
        }
        let words: Vec<String> = parts.iter().map(u32::to_string).collect();
        f.write_str(&words.join("."))
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The device or user channel that settings go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Operating system.
    pub platform: Platform,
    /// Its version.
    pub version: Version,
    /// Supervised. A Mac under device enrollment counts as supervised.
    pub supervised: bool,
    /// Kind of enrollment.
    pub enrollment: EnrollmentKind,
    /// True for the user channel of a Mac.
    pub user_channel: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        let v = |text: &str| text.parse::<Version>().unwrap();
        assert!(v("9.3") < v("10.0"));
        assert!(v("17") == v("17.0.0"));
        assert!(v("17.4.1") > v("17.4"));
        assert_eq!(v("13").to_string(), "13.0");
        assert!("x".parse::<Version>().is_err());
    }
}
