//! The guard's rules, by example and by property.

use proptest::prelude::*;

use super::*;
use crate::actions::{self, DeviceKind, Rule};

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn party(n: u128) -> Party {
    Party { id: id(n), person: None, made_by: None, established_at: 0, strong: true, api_token: false }
}

const NOW: i64 = 1_000 * DAY;

#[test]
fn wipe_always_waits_retire_after_five_and_lock_never() {
    let s = Settings::default();
    assert!(needs_second_person(&s, Verb::Wipe, false, 1, 0));
    assert!(!needs_second_person(&s, Verb::Retire, false, 1, 4));
    assert!(needs_second_person(&s, Verb::Retire, false, 1, 5));
    assert!(needs_second_person(&s, Verb::Delete, false, 6, 0));
    assert!(!needs_second_person(&s, Verb::RemoteLock, false, 1000, 1000));
    // A person's own device needs nobody else.
    assert!(!needs_second_person(&s, Verb::Wipe, true, 1, 0));
}

#[test]
fn h1_who_may_be_the_second_person() {
    let s = Settings::default();
    let ask = party(1);
    assert_eq!(may_approve(&s, &ask, &party(2), NOW), Ok(()));
    assert_eq!(may_approve(&s, &ask, &ask, NOW), Err(Refusal::SelfApproval));

    // A command-line token that acts for the requester, in both directions.
    let theirs = Party { person: Some(id(1)), ..party(3) };
    assert_eq!(may_approve(&s, &ask, &theirs, NOW), Err(Refusal::SelfApproval));
    assert_eq!(may_approve(&s, &theirs, &ask, NOW), Err(Refusal::SelfApproval));

    let token = Party { api_token: true, person: Some(id(2)), ..party(4) };
    assert_eq!(may_approve(&s, &ask, &token, NOW), Err(Refusal::ApiToken));
    let weak = Party { strong: false, ..party(2) };
    assert_eq!(may_approve(&s, &ask, &weak, NOW), Err(Refusal::NotStrong));

    let fresh = Party { made_by: Some(id(1)), established_at: NOW - HOUR, ..party(2) };
    assert_eq!(may_approve(&s, &ask, &fresh, NOW), Err(Refusal::MadeByRequester));
    assert_eq!(may_approve(&s, &ask, &fresh, NOW + DAY), Ok(()));
    let changed = Party { established_at: NOW - HOUR, ..party(2) };
    assert_eq!(may_approve(&s, &ask, &changed, NOW), Err(Refusal::CoolingPeriod));
}

#[test]
fn h6_new_rights_may_not_ask_for_destruction_until_the_day_is_over() {
    let s = Settings::default();
    let fresh = Party { established_at: NOW, ..party(1) };
    assert_eq!(may_ask(&s, &fresh, NOW + DAY - 1), Err(Refusal::CoolingPeriod));
    assert_eq!(may_ask(&s, &fresh, NOW + DAY), Ok(()));
}

#[test]
fn h7_matrix_of_ownership_enrollment_type_and_action() {
    for kind in DeviceKind::ALL {
        for ownership in [Ownership::Unknown, Ownership::Company, Ownership::Personal] {
            for policy in [PersonalWipe::Never, PersonalWipe::UserOnly, PersonalWipe::WithOverride] {
                for (own_device, overridden) in [(false, false), (false, true), (true, false), (true, true)] {
                    let s = Settings { personal_device_wipe: policy, ..Settings::default() };
                    let target = Target { kind, supervised: true, ownership, unlock_token: true, enrolled: true };
                    let exists = actions::check(Verb::Wipe, &target).is_ok();
                    assert_eq!(exists, actions::rule(Verb::Wipe, kind) != Rule::Never);
                    let allowed = may_wipe(&s, &target, own_device, overridden).is_ok();
                    let expected = ownership == Ownership::Company
                        || match policy {
                            PersonalWipe::Never => false,
                            PersonalWipe::UserOnly => own_device,
                            PersonalWipe::WithOverride => own_device || overridden,
                        };
                    assert_eq!(allowed, expected, "{kind:?} {ownership:?} {policy:?}");
                    if kind.is_user_enrollment() {
                        assert!(!exists, "User Enrollment was offered a wipe");
                    }
                    // Retire never depends on who owns the device.
                    let retire = actions::check(Verb::Retire, &target).is_ok();
                    assert_eq!(retire, actions::rule(Verb::Retire, kind) != Rule::Never);
                }
            }
        }
    }
}

#[test]
fn h7_a_switch_of_owner_counts_after_the_cooling_period() {
    let s = Settings::default();
    let at = |now| effective_ownership(&s, Ownership::Company, Some(Ownership::Personal), Some(NOW), now);
    assert_eq!(at(NOW + DAY - 1), Ownership::Personal);
    assert_eq!(at(NOW + DAY), Ownership::Company);
}

#[test]
fn h3_bulk_waits_and_a_few_do_not() {
    let s = Settings::default();
    assert_eq!(release_after(&s, 5, NOW), NOW);
    assert_eq!(release_after(&s, 6, NOW), NOW + 10 * MINUTE);
}

#[test]
fn the_daily_ceiling_is_two_percent_but_never_below_five() {
    let s = Settings::default();
    assert_eq!(s.wipes_per_day(10), 5);
    assert_eq!(s.wipes_per_day(249), 5);
    assert_eq!(s.wipes_per_day(300), 6);
    assert_eq!(s.wipes_per_day(100_000), 2_000);
}

#[test]
fn h9_a_weakening_is_recognised_and_a_tightening_is_not() {
    let s = Settings::default();
    assert_eq!(s.weakened(&s), Vec::<&str>::new());
    let weak = Settings { wipes_per_hour: 51, cooling_minutes: 1, ..s.clone() };
    assert_eq!(s.weakened(&weak), ["wipesPerHour", "coolingMinutes"]);
    let off = Settings { wipe_approval: Second::Never, ..s.clone() };
    assert_eq!(s.weakened(&off), ["wipeApproval"]);
    assert_eq!(off.weakened(&s), Vec::<&str>::new());
    let tight = Settings { personal_device_wipe: PersonalWipe::Never, require_reason: true, ..s.clone() };
    assert_eq!(s.weakened(&tight), Vec::<&str>::new());
}

#[test]
fn settings_read_what_they_write_and_refuse_nonsense() {
    let s = Settings::default();
    let json = serde_json::to_string(&s).unwrap();
    assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), s);
    assert!(serde_json::from_str::<Settings>(r#"{"wipesPerHuor":1}"#).is_err());
    assert!(Settings { wipes_per_hour: 0, ..s.clone() }.validate().is_err());
    assert!(s.validate().is_ok());
}

#[test]
fn the_estimate_spreads_bulk_over_the_windows() {
    let s = Settings::default();
    let limits = s.limits(Verb::Wipe, 10_000); // 10/h for one principal, 200 a day
    let end = estimated_end(&Ledger::default(), &limits, id(1), 10, NOW);
    assert_eq!(end, NOW);
    let end = estimated_end(&Ledger::default(), &limits, id(1), 100, NOW);
    assert_eq!(end, NOW + 9 * HOUR);
    // 240 in the first day are cut at 200: the rest waits for the next day.
    let end = estimated_end(&Ledger::default(), &limits, id(1), 210, NOW);
    assert_eq!(end, NOW + DAY);
    let none = s.limits(Verb::Retire, 10_000);
    assert_eq!(estimated_end(&Ledger::default(), &none, id(1), 100_000, NOW), NOW);
}

/// In no window of any limit were more released than it counts.
fn never_more_than_the_limit(released: &[(i64, Uuid)], limits: &Limits) {
    for (start, who) in released {
        for limit in &limits.principal {
            let within = released.iter().filter(|(at, w)| w == who && *at >= *start && *at < start + limit.window);
            assert!(within.count() as i64 <= limit.count, "principal over {limit:?}");
        }
        for limit in &limits.tenant {
            let within = released.iter().filter(|(at, _)| *at >= *start && *at < start + limit.window);
            assert!(within.count() as i64 <= limit.count, "tenant over {limit:?}");
        }
    }
}

proptest! {
    #[test]
    fn h2_no_window_ever_holds_more_than_the_limit(
        per_principal in 1i64..6,
        per_tenant in 1i64..10,
        per_day in 1i64..20,
        fleet in 0i64..2000,
        asks in proptest::collection::vec((0u128..4, 0i64..3 * HOUR), 1..120),
    ) {
        let s = Settings {
            wipes_per_hour_per_principal: per_principal,
            wipes_per_hour: per_tenant,
            wipes_per_day_minimum: per_day,
            ..Settings::default()
        };
        let limits = s.limits(Verb::Wipe, fleet);
        let mut ledger = Ledger::default();
        let mut released = Vec::new();
        let mut waiting: Vec<Waiting> = Vec::new();
        let mut now = NOW;
        for (n, (principal, wait)) in asks.iter().enumerate() {
            now += wait;
            waiting.push(Waiting { action: id(n as u128), principal: id(*principal) });
            for go in releasable(&ledger, &limits, &waiting, now) {
                ledger.record(now, go.principal);
                released.push((now, go.principal));
                waiting.retain(|w| w.action != go.action);
            }
        }
        never_more_than_the_limit(&released, &limits);
    }

    #[test]
    fn h2_how_many_are_released_does_not_depend_on_who_asks_first(
        seed in proptest::collection::vec(0u128..1, 1..60),
        shift in 0usize..60,
    ) {
        // One principal: any order of the same requests releases the same number.
        let limits = Settings::default().limits(Verb::Wipe, 1000);
        let forth: Vec<_> = seed.iter().enumerate()
            .map(|(n, p)| Waiting { action: id(n as u128), principal: id(*p) }).collect();
        let mut back = forth.clone();
        back.rotate_left(shift % forth.len());
        back.reverse();
        let a = releasable(&Ledger::default(), &limits, &forth, NOW).len();
        let b = releasable(&Ledger::default(), &limits, &back, NOW).len();
        prop_assert_eq!(a, b);
        prop_assert_eq!(a, seed.len().min(10));
    }

    #[test]
    fn h2_a_ledger_means_the_same_in_any_order(
        entries in proptest::collection::vec((0i64..DAY, 0u128..3), 0..80),
        turn in 0usize..80,
    ) {
        let rows: Vec<_> = entries.iter().map(|(at, p)| (NOW + at, id(*p))).collect();
        let mut turned = rows.clone();
        if !turned.is_empty() { let n = turn % turned.len(); turned.rotate_left(n); }
        let limits = Settings::default().limits(Verb::Wipe, 500);
        for p in 0..3 {
            prop_assert_eq!(
                Ledger::new(rows.clone()).next(&limits, id(p), NOW + DAY),
                Ledger::new(turned.clone()).next(&limits, id(p), NOW + DAY)
            );
        }
    }

    #[test]
    fn the_estimate_is_when_the_last_one_goes(count in 1usize..80, fleet in 0i64..3000) {
        let limits = Settings::default().limits(Verb::Wipe, fleet);
        let end = estimated_end(&Ledger::default(), &limits, id(1), count, NOW);
        let mut ledger = Ledger::default();
        let mut left = count;
        let mut now = NOW;
        while left > 0 {
            let waiting: Vec<_> = (0..left)
                .map(|n| Waiting { action: id(n as u128), principal: id(1) }).collect();
            for go in releasable(&ledger, &limits, &waiting, now) {
                ledger.record(now, go.principal);
                left -= 1;
            }
            if left > 0 { now = ledger.next(&limits, id(1), now); }
        }
        prop_assert_eq!(end, now);
    }
}
