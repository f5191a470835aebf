//! Reconcile: desired minus reported over (item, version).
//!
//! What a device settled at a version, whether well or as an error, counts as reported; a retry is a
//! timer that asks once more. A version that nobody can tell is written as [`UNKNOWN`]: the device may
//! hold it, so it differs from every desired version and is removed when nothing is desired.

use std::collections::BTreeMap;

/// A version in words of the server only: a hash over an item's logical content.
pub type Version = Vec<u8>;

/// Something was handed out and no answer is known.
pub const UNKNOWN: &[u8] = b"";

/// What is recorded of an item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Have {
    /// What it should be; `None`: should not be there.
    pub desired: Option<Version>,
    /// What the device settled; `None`: is not there.
    pub reported: Option<Version>,
    /// A command for `desired` is on its way.
    pub in_flight: bool,
    /// A settled error may be tried again now.
    pub retry: bool,
}

/// What to do about an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this version.
    Install(Version),
    /// Take it off.
    Remove,
    /// Nothing is there and nothing should be: drop the record.
    Forget,
    /// As it should be, or on its way.
    Rest,
}

/// The step for one item.
pub fn step(want: Option<&Version>, have: &Have) -> Step {
    match want {
        Some(version) => {
            let on_its_way = have.in_flight && have.desired.as_ref() == Some(version);
            let settled = have.reported.as_ref() == Some(version) && !have.retry && !have.in_flight;
            if on_its_way || settled { Step::Rest } else { Step::Install(version.clone()) }
        }
        None => match (&have.reported, have.in_flight && have.desired.is_none()) {
            (_, true) => Step::Rest,
            (None, false) => Step::Forget,
            // A removal that the device refused is settled too, until its timer.
            (Some(_), false) if have.desired.is_none() && !have.retry => Step::Rest,
            (Some(_), false) => Step::Remove,
        },
    }
}

/// Steps for all items that need one, by key.
pub fn reconcile(want: &BTreeMap<String, Version>, have: &BTreeMap<String, Have>) -> BTreeMap<String, Step> {
    let nothing = Have::default();
    let keys = want.keys().chain(have.keys());
    keys.map(|key| (key.clone(), step(want.get(key), have.get(key).unwrap_or(&nothing))))
        .filter(|(_, step)| *step != Step::Rest)
        .collect()
}
