//! Assignment: does a document reach a subject, and with which intent?
//!
//! Graph's targets (all devices, all licensed users, group, excluded group, each with a filter and an
//! intent). Excludes count within their own kind only: a user-group exclude takes away what came by a
//! user, a device-group exclude what came by the device. Group membership and filters are evaluated
//! elsewhere and arrive as sets and answers.

use std::collections::BTreeSet;

use uuid::Uuid;

/// Whom an assignment names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// Every device of the tenant.
    AllDevices,
    /// Every device of a licensed user.
    AllUsers,
    /// Members of a group, users or devices.
    Group(Uuid),
}

/// What a filter does to the include it stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FilterMode {
    /// Only matching devices get it.
    Include,
    /// Matching devices do not get it.
    Exclude,
}

/// What the assignment wants done. More specific intents of apps join here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Intent {
    /// Put it on the device.
    Apply,
    /// Take it off; stronger than apply.
    Remove,
}

/// One assignment of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Assignment {
    /// Whom it names.
    pub target: Target,
    /// True where members are left out.
    pub exclude: bool,
    /// A filter over device properties.
    pub filter: Option<(Uuid, FilterMode)>,
    /// What is wanted.
    pub intent: Intent,
}

/// What is known about one device (or app) and its user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Groups that hold the user, directly or through other groups.
    pub user_groups: BTreeSet<Uuid>,
    /// Groups that hold the device, directly or through other groups.
    pub device_groups: BTreeSet<Uuid>,
    /// There is a user, and the user is licensed.
    pub licensed_user: bool,
}

/// Why a document reaches a subject or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// What to do, if it reaches the subject at all.
    pub intent: Option<Intent>,
    /// The includes that brought it.
    pub by: Vec<Assignment>,
    /// Excludes that name the subject but do nothing, because what they could take away came the
    /// other way (by device instead of by user, or the reverse).
    pub idle_excludes: Vec<Assignment>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    User,
    Device,
}

/// Decides the reach of one document. `matches` answers a filter for this subject; `None` means the
/// filter is not known, and then the include it stands on does not count.
pub fn reach(assignments: &[Assignment], subject: &Subject, matches: &dyn Fn(Uuid) -> Option<bool>) -> Reach {
    let excluded = |way: Way| assignments.iter().any(|a| a.exclude && ways(a.target, subject).contains(&Some(way)));
    let (no_user, no_device) = (excluded(Way::User), excluded(Way::Device));
    let mut reach = Reach::default();
    let (mut came_by_user, mut came_by_device) = (false, false);
    for include in assignments.iter().filter(|a| !a.exclude) {
        let passes = match include.filter {
            None => true,
            Some((filter, mode)) => matches(filter).is_some_and(|hit| hit == (mode == FilterMode::Include)),
        };
        if !passes {
            continue;
        }
        let [user, device] = ways(include.target, subject);
        came_by_user |= user.is_some();
        came_by_device |= device.is_some();
        if (user.is_some() && !no_user) || (device.is_some() && !no_device) {
            reach.by.push(*include);
            reach.intent = reach.intent.max(Some(include.intent));
        }
    }
    for exclude in assignments.iter().filter(|a| a.exclude) {
        let [user, device] = ways(exclude.target, subject);
        let works = (user.is_some() && came_by_user) || (device.is_some() && came_by_device);
        let names = user.is_some() || device.is_some();
        if names && !works && reach.intent.is_some() {
            reach.idle_excludes.push(*exclude);
        }
    }
    reach.by.sort();
    reach.by.dedup();
    reach.idle_excludes.sort();
    reach.idle_excludes.dedup();
    reach
}

/// The ways in which a target names a subject.
fn ways(target: Target, subject: &Subject) -> [Option<Way>; 2] {
    let (user, device) = match target {
        Target::AllDevices => (false, true),
        Target::AllUsers => (subject.licensed_user, false),
        Target::Group(group) => (subject.user_groups.contains(&group), subject.device_groups.contains(&group)),
    };
    [user.then_some(Way::User), device.then_some(Way::Device)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }
    fn include(target: Target) -> Assignment {
        Assignment { target, exclude: false, filter: None, intent: Intent::Apply }
    }
    fn exclude(target: Target) -> Assignment {
        Assignment { exclude: true, ..include(target) }
    }
    fn subject(user: &[u128], device: &[u128]) -> Subject {
        Subject {
            user_groups: user.iter().map(|n| id(*n)).collect(),
            device_groups: device.iter().map(|n| id(*n)).collect(),
            licensed_user: true,
        }
    }
    fn none(_: Uuid) -> Option<bool> {
        None
    }

    #[test]
    fn all_devices_reaches_a_device_without_a_user() {
        let lonely = Subject::default();
        assert_eq!(reach(&[include(Target::AllDevices)], &lonely, &none).intent, Some(Intent::Apply));
        assert_eq!(reach(&[include(Target::AllUsers)], &lonely, &none).intent, None);
    }

    #[test]
    fn an_exclude_of_the_same_kind_wins() {
        let both = [include(Target::AllUsers), exclude(Target::Group(id(1)))];
        assert_eq!(reach(&both, &subject(&[1], &[]), &none).intent, None);
        assert_eq!(reach(&both, &subject(&[2], &[]), &none).intent, Some(Intent::Apply));
    }

    #[test]
    fn an_exclude_of_the_other_kind_does_nothing_and_is_named() {
        let both = [include(Target::AllUsers), exclude(Target::Group(id(1)))];
        let reach = reach(&both, &subject(&[], &[1]), &none);
        assert_eq!(reach.intent, Some(Intent::Apply));
        assert_eq!(reach.idle_excludes, vec![exclude(Target::Group(id(1)))]);
    }

    #[test]
    fn a_filter_narrows_its_include_and_an_unknown_one_stops_it() {
        let with = |mode| [Assignment { filter: Some((id(9), mode)), ..include(Target::AllDevices) }];
        let s = Subject::default();
        assert!(reach(&with(FilterMode::Include), &s, &|_| Some(true)).intent.is_some());
        assert!(reach(&with(FilterMode::Include), &s, &|_| Some(false)).intent.is_none());
        assert!(reach(&with(FilterMode::Exclude), &s, &|_| Some(true)).intent.is_none());
        assert!(reach(&with(FilterMode::Exclude), &s, &|_| Some(false)).intent.is_some());
        assert!(reach(&with(FilterMode::Exclude), &s, &none).intent.is_none());
    }

    fn any_assignment() -> impl Strategy<Value = Assignment> {
        (
            prop_oneof![
                Just(Target::AllDevices),
                Just(Target::AllUsers),
                (0u128..4).prop_map(|n| Target::Group(id(n)))
            ],
            any::<bool>(),
            prop::option::of((4u128..6, any::<bool>())),
            any::<bool>(),
        )
            .prop_map(|(target, exclude, filter, apply)| Assignment {
                target,
                exclude,
                filter: filter.map(|(n, m)| (id(n), if m { FilterMode::Include } else { FilterMode::Exclude })),
                intent: if apply { Intent::Apply } else { Intent::Remove },
            })
    }

    proptest! {
        #[test]
        fn the_order_of_assignments_does_not_matter(
            assignments in prop::collection::vec(any_assignment(), 0..8),
            users in prop::collection::vec(0u128..4, 0..3),
            devices in prop::collection::vec(0u128..4, 0..3),
            rotate in 0usize..8,
        ) {
            let subject = subject(&users, &devices);
            let filter = |f: Uuid| Some(f == id(4));
            let one = reach(&assignments, &subject, &filter);
            let mut other = assignments.clone();
            other.reverse();
            if !other.is_empty() {
                let n = rotate % other.len();
                other.rotate_left(n);
            }
            prop_assert_eq!(one, reach(&other, &subject, &filter));
        }

        #[test]
        fn an_exclude_never_widens(
            assignments in prop::collection::vec(any_assignment(), 0..8),
            group in 0u128..4,
            users in prop::collection::vec(0u128..4, 0..3),
        ) {
            let subject = subject(&users, &[]);
            let filter = |f: Uuid| Some(f == id(4));
            let before = reach(&assignments, &subject, &filter).intent;
            let mut more = assignments;
            more.push(exclude(Target::Group(id(group))));
            prop_assert!(reach(&more, &subject, &filter).intent <= before);
        }
    }
}
