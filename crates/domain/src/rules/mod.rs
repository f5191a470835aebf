//! Rules in words: who is in a dynamic group, and which devices an assignment filter lets through.
//!
//! The directory's own grammar (domain.md 3.1, 3.3): `property operator value` with `-and`, `-or`,
//! `-not` and parentheses. A rule is read against a vocabulary of properties, so that what is read can
//! be evaluated; errors name the character. Texts compare without letter case. Reading goes as deep
//! as [`MAX_DEPTH`] and no deeper; patterns are linear-time regular expressions of bounded size
//! (threats E14).

mod evaluate;
mod parser;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
pub mod vocabulary;
mod words;

use std::{collections::BTreeMap, fmt};

pub use evaluate::Rule;
use vocabulary::{DEVICES, USERS, filter_vocabulary};

/// Most characters of a rule.
pub const MAX_LENGTH: usize = 3072;
/// Most parentheses and `-not`s around one comparison.
pub const MAX_DEPTH: usize = 50;
/// Most patterns of `-match` in a rule.
pub const MAX_PATTERNS: usize = 16;

/// Why a text is no rule, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {message}")]
pub struct RuleError {
    /// The character, counted from 1.
    pub at: usize,
    /// What is wrong there and what would be right.
    pub message: String,
}

impl RuleError {
    fn new(at: usize, message: impl Into<String>) -> Self {
        RuleError { at, message: message.into() }
    }
}

/// Whom a dynamic group holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Members {
    /// People.
    Users,
    /// Devices of the directory.
    Devices,
}

/// Reads the membership rule of a group: about users or about devices, never both.
pub fn membership(rule: &str) -> Result<(Members, Rule), RuleError> {
    let read = read(rule)?;
    let about_devices = read.0.iter().find_map(|placed| match &placed.word {
        words::Word::Name(name) => {
            let subject = name.split('.').next().filter(|_| name.contains('.'))?;
            [("user", false), ("device", true)].iter().find(|(word, _)| word.eq_ignore_ascii_case(subject))
        }
        _ => None,
    });
    let devices = about_devices.is_some_and(|(_, devices)| *devices);
    let (members, vocabulary) = if devices { (Members::Devices, &DEVICES) } else { (Members::Users, &USERS) };
    Ok((members, parser::parse(read, vocabulary, None)?))
}

/// Reads the rule of an assignment filter for a platform (Graph's `devicePlatformType`).
pub fn filter(rule: &str, platform: &str) -> Result<Rule, RuleError> {
    let vocabulary =
        filter_vocabulary(platform).ok_or_else(|| RuleError::new(1, format!("there are no filters for {platform}")))?;
    parser::parse(read(rule)?, vocabulary, Some(platform))
}

/// The words of a rule, and the character behind the last one.
fn read(rule: &str) -> Result<(Vec<words::Placed>, usize), RuleError> {
    if rule.chars().nth(MAX_LENGTH).is_some() {
        return Err(RuleError::new(MAX_LENGTH + 1, format!("a rule has at most {MAX_LENGTH} characters")));
    }
    Ok((words::words(rule)?, rule.trim_end().chars().count() + 1))
}

/// One thing known about a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Text, in lower case.
    Text(String),
    /// Several texts, in lower case.
    Texts(Vec<String>),
    /// True or false.
    Flag(bool),
}

/// What rules may ask about one subject, by property. What is not there is null.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(BTreeMap<&'static str, Known>);

impl Facts {
    /// Sets a text; an empty one is null.
    pub fn text(&mut self, property: &'static str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.0.insert(property, Known::Text(value.to_lowercase()));
        }
    }

    /// Sets several texts; none is null.
    pub fn texts<'a>(&mut self, property: &'static str, values: impl IntoIterator<Item = &'a str>) {
        let values: Vec<String> = values.into_iter().map(str::to_lowercase).collect();
        if !values.is_empty() {
            self.0.insert(property, Known::Texts(values));
        }
    }

    /// Sets a flag.
    pub fn flag(&mut self, property: &'static str, value: Option<bool>) {
        if let Some(value) = value {
            self.0.insert(property, Known::Flag(value));
        }
    }

    /// What is known, null where nothing is.
    pub fn get(&self, property: &str) -> Option<&Known> {
        self.0.get(property)
    }
}

/// The same text for the same facts: changes of it are what rules can see.
impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (property, known) in &self.0 {
            writeln!(f, "{property}={known:?}")?;
        }
        Ok(())
    }
}
