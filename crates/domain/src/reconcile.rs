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
    /// That command was handed out: it may take effect though no answer came.
    pub handed_out: bool,
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
            (None, false) if have.in_flight && have.handed_out => Step::Remove,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A device that does what it is told, and a server that records what it is told.
    #[derive(Clone, Debug, Default)]
    struct Model {
        on_device: BTreeMap<String, Version>,
        have: BTreeMap<String, Have>,
    }

    #[derive(Clone, Copy, Debug)]
    enum Fate {
        Acknowledged,
        Refused,
        AnswerLost,
        NeverHandedOut,
    }

    impl Model {
        fn round(&mut self, want: &BTreeMap<String, Version>, fate: Fate) -> usize {
            let steps = reconcile(want, &self.have);
            for (key, step) in &steps {
                let have = self.have.entry(key.clone()).or_default();
                if have.in_flight && have.handed_out {
                    have.reported = Some(UNKNOWN.to_vec());
                }
                have.retry = false;
                match step {
                    Step::Install(version) => {
                        have.desired = Some(version.clone());
                        (have.in_flight, have.handed_out) = (true, false);
                    }
                    Step::Remove => {
                        have.desired = None;
                        (have.in_flight, have.handed_out) = (true, false);
                    }
                    Step::Forget => {
                        self.have.remove(key);
                    }
                    Step::Rest => {}
                }
            }
            for (key, have) in &mut self.have {
                if !have.in_flight {
                    continue;
                }
                match fate {
                    Fate::NeverHandedOut => {}
                    Fate::Refused => {
                        (have.in_flight, have.handed_out) = (false, false);
                        if have.desired.is_some() {
                            have.reported.clone_from(&have.desired);
                        }
                    }
                    Fate::AnswerLost | Fate::Acknowledged => {
                        match &have.desired {
                            Some(version) => self.on_device.insert(key.clone(), version.clone()),
                            None => self.on_device.remove(key),
                        };
                        have.handed_out = true;
                        if matches!(fate, Fate::Acknowledged) {
                            (have.in_flight, have.handed_out) = (false, false);
                            have.reported.clone_from(&have.desired);
                        }
                    }
                }
            }
            steps.len()
        }
    }

    fn wants() -> impl Strategy<Value = BTreeMap<String, Version>> {
        prop::collection::btree_map("[a-c]", (1u8..4).prop_map(|n| vec![n]), 0..4)
    }
    fn fates() -> impl Strategy<Value = Fate> {
        prop_oneof![Just(Fate::Acknowledged), Just(Fate::Refused), Just(Fate::AnswerLost), Just(Fate::NeverHandedOut)]
    }

    proptest! {
        /// Whatever happened before, devices that answer end up with exactly what is wanted.
        #[test]
        fn nothing_is_lost_and_nothing_stays(
            history in prop::collection::vec((wants(), fates()), 0..8),
            last in wants(),
        ) {
            let mut model = Model::default();
            for (want, fate) in history {
                model.round(&want, fate);
            }
            // Settled refusals are tried again once.
            for have in model.have.values_mut() {
                have.retry = true;
            }
            for _ in 0..3 {
                model.round(&last, Fate::Acknowledged);
            }
            prop_assert_eq!(&model.on_device, &last);
            prop_assert_eq!(model.round(&last, Fate::Acknowledged), 0, "no endless difference");
        }

        #[test]
        fn a_refusing_device_is_not_asked_for_ever(want in wants()) {
            let mut model = Model::default();
            model.round(&want, Fate::Refused);
            prop_assert_eq!(model.round(&want, Fate::Refused), 0);
        }
    }
}
