//! The guard: pure rules about destruction.
//!
//! Lives here: who needs a second person, who may be one, how much may be released in any window,
//! holds, expiry, and which change of the rules themselves is a weakening. Not here: where requests
//! are kept and how they are released (`service::guard`), and what an action does (`actions.rs`).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::actions::{Ownership, Target, Verb};

/// Milliseconds in a minute.
pub const MINUTE: i64 = 60_000;
/// Milliseconds in an hour.
pub const HOUR: i64 = 60 * MINUTE;
/// Milliseconds in a day.
pub const DAY: i64 = 24 * HOUR;

/// When a verb needs a second person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Second {
    /// Never.
    Never,
    /// When one principal asks for more than `burstDevices` in `burstMinutes`.
    AfterBurst,
    /// Always.
    Always,
}

/// What may happen to a personal device by wipe; the order is from strict to loose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PersonalWipe {
    /// Nobody erases a personal device through this server.
    Never,
    /// Only the person, their own device.
    UserOnly,
    /// An operator too, with an explicit override on the request.
    WithOverride,
}

/// A tenant's rules. Every number has a floor and a ceiling, see [`Settings::validate`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    /// Second person for wipe.
    pub wipe_approval: Second,
    /// Second person for retire.
    pub retire_approval: Second,
    /// Second person for delete.
    pub delete_approval: Second,
    /// Retire and delete: so many devices by one principal ...
    pub burst_devices: i64,
    /// ... in so many minutes need no second person.
    pub burst_minutes: i64,
    /// Wipes released in any hour for one principal.
    pub wipes_per_hour_per_principal: i64,
    /// Wipes released in any hour for the tenant.
    pub wipes_per_hour: i64,
    /// Wipes released in any day, at least.
    pub wipes_per_day_minimum: i64,
    /// Wipes released in any day, percent of the fleet.
    pub wipes_per_day_percent: i64,
    /// A request over more devices than this is bulk ...
    pub bulk_devices: i64,
    /// ... and waits so many minutes after it was asked, so that it can be cancelled.
    pub bulk_hold_minutes: i64,
    /// An approval nobody decided expires.
    pub approval_minutes: i64,
    /// A destructive command nobody fetched expires.
    pub undelivered_minutes: i64,
    /// New rights and changed credentials may not destroy for so long.
    pub cooling_minutes: i64,
    /// Where only one approver exists, a request may release itself after this.
    pub self_release_minutes: i64,
    /// A weakening of these rules takes effect so long after its approval.
    pub weakening_delay_minutes: i64,
    /// Wipe of personal devices.
    pub personal_device_wipe: PersonalWipe,
    /// Recovery keys one person may reveal in any day.
    pub reveals_per_day: i64,
    /// Wipes and reveals need `X-Muster-Reason`.
    pub require_reason: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            wipe_approval: Second::Always,
            retire_approval: Second::AfterBurst,
            delete_approval: Second::AfterBurst,
            burst_devices: 5,
            burst_minutes: 10,
            wipes_per_hour_per_principal: 10,
            wipes_per_hour: 50,
            wipes_per_day_minimum: 5,
            wipes_per_day_percent: 2,
            bulk_devices: 5,
            bulk_hold_minutes: 10,
            approval_minutes: 24 * 60,
            undelivered_minutes: 7 * 24 * 60,
            cooling_minutes: 24 * 60,
            self_release_minutes: 60,
            weakening_delay_minutes: 24 * 60,
            personal_device_wipe: PersonalWipe::UserOnly,
            reveals_per_day: 10,
            require_reason: false,
        }
    }
}

impl Settings {
    /// The second-person rule of a verb; verbs that destroy nothing never wait.
    pub fn approval(&self, verb: Verb) -> Second {
        match verb {
            Verb::Wipe => self.wipe_approval,
            Verb::Retire => self.retire_approval,
            Verb::Delete => self.delete_approval,
            _ => Second::Never,
        }
    }

    /// Refuses numbers that make no sense; names the field.
    pub fn validate(&self) -> Result<(), String> {
        let ranges: [(&str, i64, i64, i64); 14] = [
            ("burstDevices", self.burst_devices, 0, 1_000_000),
            ("burstMinutes", self.burst_minutes, 1, 10_080),
            ("wipesPerHourPerPrincipal", self.wipes_per_hour_per_principal, 1, 1_000_000),
            ("wipesPerHour", self.wipes_per_hour, 1, 1_000_000),
            ("wipesPerDayMinimum", self.wipes_per_day_minimum, 1, 1_000_000),
            ("wipesPerDayPercent", self.wipes_per_day_percent, 0, 100),
            ("bulkDevices", self.bulk_devices, 1, 1_000_000),
            ("bulkHoldMinutes", self.bulk_hold_minutes, 0, 10_080),
            ("approvalMinutes", self.approval_minutes, 1, 43_200),
            ("undeliveredMinutes", self.undelivered_minutes, 1, 129_600),
            ("coolingMinutes", self.cooling_minutes, 0, 43_200),
            ("selfReleaseMinutes", self.self_release_minutes, 1, 10_080),
            ("weakeningDelayMinutes", self.weakening_delay_minutes, 0, 43_200),
            ("revealsPerDay", self.reveals_per_day, 0, 10_000),
        ];
        match ranges.iter().find(|(_, value, low, high)| !(low..=high).contains(&value)) {
            Some((name, value, low, high)) => Err(format!("{name} is between {low} and {high}, not {value}")),
            None => Ok(()),
        }
    }

    /// The fields in which `new` guards less than `self`: such a change needs a second person and
    /// a delay.
    pub fn weakened(&self, new: &Settings) -> Vec<&'static str> {
        let mut fields = Vec::new();
        let mut note = |weaker: bool, name: &'static str| {
            if weaker {
                fields.push(name);
            }
        };
        note(new.wipe_approval < self.wipe_approval, "wipeApproval");
        note(new.retire_approval < self.retire_approval, "retireApproval");
        note(new.delete_approval < self.delete_approval, "deleteApproval");
        note(new.burst_devices > self.burst_devices, "burstDevices");
        note(new.burst_minutes < self.burst_minutes, "burstMinutes");
        note(new.wipes_per_hour_per_principal > self.wipes_per_hour_per_principal, "wipesPerHourPerPrincipal");
        note(new.wipes_per_hour > self.wipes_per_hour, "wipesPerHour");
        note(new.wipes_per_day_minimum > self.wipes_per_day_minimum, "wipesPerDayMinimum");
        note(new.wipes_per_day_percent > self.wipes_per_day_percent, "wipesPerDayPercent");
        note(new.bulk_devices > self.bulk_devices, "bulkDevices");
        note(new.bulk_hold_minutes < self.bulk_hold_minutes, "bulkHoldMinutes");
        note(new.approval_minutes > self.approval_minutes, "approvalMinutes");
        note(new.undelivered_minutes > self.undelivered_minutes, "undeliveredMinutes");
        note(new.cooling_minutes < self.cooling_minutes, "coolingMinutes");
        note(new.self_release_minutes < self.self_release_minutes, "selfReleaseMinutes");
        note(new.weakening_delay_minutes < self.weakening_delay_minutes, "weakeningDelayMinutes");
        note(new.personal_device_wipe > self.personal_device_wipe, "personalDeviceWipe");
        note(new.reveals_per_day > self.reveals_per_day, "revealsPerDay");
        note(!new.require_reason && self.require_reason, "requireReason");
        fields
    }

    /// Wipes that may be released in any day for a fleet of this size.
    pub fn wipes_per_day(&self, fleet: i64) -> i64 {
        self.wipes_per_day_minimum.max(fleet.saturating_mul(self.wipes_per_day_percent) / 100)
    }
}

/// How a principal stands before the guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// Person, token or command-line id.
    pub id: Uuid,
    /// The person behind a token, if any.
    pub person: Option<Uuid>,
    /// Who gave this principal its role or made it.
    pub made_by: Option<Uuid>,
    /// Since when rights and credentials are unchanged.
    pub established_at: i64,
    /// A second factor was presented, or it counts so.
    pub strong: bool,
    /// A token made through the API: counts as its maker, and may neither approve nor reveal.
    pub api_token: bool,
}

impl Party {
    /// Whose limits and whose approvals count: the person behind, else the principal itself.
    pub fn principal(&self) -> Uuid {
        self.person.unwrap_or(self.id)
    }
    fn is(&self, id: Uuid) -> bool {
        self.id == id || self.person == Some(id)
    }
    /// True where both are the same person.
    pub fn same(&self, other: &Party) -> bool {
        self.is(other.id) || other.person.is_some_and(|person| self.is(person))
    }
    /// True while rights or credentials are too new.
    pub fn cooling(&self, settings: &Settings, now: i64) -> bool {
        now < self.established_at.saturating_add(settings.cooling_minutes * MINUTE)
    }
}

/// Why the guard says no; `code` is what the API answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The requester approving the own request.
    #[error("a request is approved by another person than the one who made it")]
    SelfApproval,
    /// The approver was made by the requester less than a cooling period ago.
    #[error("an account made by the requester in the last 24 hours cannot approve")]
    MadeByRequester,
    /// No second factor.
    #[error("this needs a sign-in with a second factor")]
    NotStrong,
    /// A token made through the API.
    #[error("a token made through the API counts as its maker and cannot approve")]
    ApiToken,
    /// New rights, or a changed password or second factor.
    #[error("this account or its credentials changed too recently to approve or ask for destruction")]
    CoolingPeriod,
    /// A wipe of a personal device.
    #[error("{0}")]
    PersonalDevice(&'static str),
}

impl Refusal {
    /// Code of the error body.
    pub fn code(self) -> &'static str {
        match self {
            Refusal::SelfApproval => "selfApproval",
            Refusal::MadeByRequester => "madeByRequester",
            Refusal::NotStrong => "strongAuthenticationRequired",
            Refusal::ApiToken => "apiToken",
            Refusal::CoolingPeriod => "cooling_period",
            Refusal::PersonalDevice(_) => "personalDevice",
        }
    }
}

/// Whether an operator or token may ask for something destructive at all.
pub fn may_ask(settings: &Settings, asker: &Party, now: i64) -> Result<(), Refusal> {
    if !asker.strong {
        return Err(Refusal::NotStrong);
    }
    if asker.cooling(settings, now) {
        return Err(Refusal::CoolingPeriod);
    }
    Ok(())
}

/// Whether `approver` may agree to what `requester` asked.
pub fn may_approve(settings: &Settings, requester: &Party, approver: &Party, now: i64) -> Result<(), Refusal> {
    if requester.same(approver) {
        return Err(Refusal::SelfApproval);
    }
    if approver.api_token {
        return Err(Refusal::ApiToken);
    }
    if !approver.strong {
        return Err(Refusal::NotStrong);
    }
    if approver.made_by.is_some_and(|maker| requester.is(maker)) && now < approver.established_at.saturating_add(DAY) {
        return Err(Refusal::MadeByRequester);
    }
    if approver.cooling(settings, now) {
        return Err(Refusal::CoolingPeriod);
    }
    Ok(())
}

/// Whether a request waits for a second person. `recent` counts the devices the principal asked
/// this verb for within the burst window, this request's not included.
pub fn needs_second_person(settings: &Settings, verb: Verb, own_device: bool, devices: i64, recent: i64) -> bool {
    if own_device {
        return false;
    }
    match settings.approval(verb) {
        Second::Never => false,
        Second::AfterBurst => recent.saturating_add(devices) > settings.burst_devices,
        Second::Always => true,
    }
}

/// When a request may be released at the earliest: bulk waits so that it can be cancelled.
pub fn release_after(settings: &Settings, devices: i64, now: i64) -> i64 {
    match devices > settings.bulk_devices {
        true => now.saturating_add(settings.bulk_hold_minutes * MINUTE),
        false => now,
    }
}

/// Ownership for the rule of personal devices: what it was before the cooling period.
pub fn effective_ownership(
    settings: &Settings,
    current: Ownership,
    before: Option<Ownership>,
    changed_at: Option<i64>,
    now: i64,
) -> Ownership {
    match (before, changed_at) {
        (Some(before), Some(at)) if now < at.saturating_add(settings.cooling_minutes * MINUTE) => before,
        _ => current,
    }
}

/// Whether a wipe of this device is allowed by the rule of personal devices. User Enrollment is not
/// asked here: it has no wipe at all (`actions::check`).
pub fn may_wipe(settings: &Settings, target: &Target, own_device: bool, overridden: bool) -> Result<(), Refusal> {
    if target.ownership == Ownership::Company {
        return Ok(());
    }
    match settings.personal_device_wipe {
        PersonalWipe::Never => Err(Refusal::PersonalDevice(
            "personal devices are never wiped here (personalDeviceWipe is never); retire takes the company's data back",
        )),
        _ if own_device => Ok(()),
        PersonalWipe::UserOnly => Err(Refusal::PersonalDevice(
            "a personal device is wiped by its user only (personalDeviceWipe is userOnly); retire takes the company's data back",
        )),
        PersonalWipe::WithOverride if overridden => Ok(()),
        PersonalWipe::WithOverride => Err(Refusal::PersonalDevice(
            "this is a personal device; retire takes the company's data back, or repeat with X-Muster-Override: personalDevice",
        )),
    }
}

/// One limit: at most `count` in any `window` milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many.
    pub count: i64,
    /// In how long.
    pub window: i64,
}

/// The limits on releases of a verb for one principal and for the tenant. A verb without limits has
/// none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// For one principal.
    pub principal: Vec<Limit>,
    /// For the tenant.
    pub tenant: Vec<Limit>,
}

impl Settings {
    /// The limits of a verb for a fleet of this size.
    pub fn limits(&self, verb: Verb, fleet: i64) -> Limits {
        if verb != Verb::Wipe {
            return Limits::default();
        }
        Limits {
            principal: vec![Limit { count: self.wipes_per_hour_per_principal, window: HOUR }],
            tenant: vec![
                Limit { count: self.wipes_per_hour, window: HOUR },
                Limit { count: self.wipes_per_day(fleet), window: DAY },
            ],
        }
    }
}

/// What was released lately: times in ascending order, with whose request it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    entries: Vec<(i64, Uuid)>,
}

impl Ledger {
    /// From rows of any order.
    pub fn new(mut entries: Vec<(i64, Uuid)>) -> Self {
        entries.sort_unstable();
        Ledger { entries }
    }

    /// The earliest time from `now` on at which one more may be released for `principal`.
    pub fn next(&self, limits: &Limits, principal: Uuid, now: i64) -> i64 {
        let own = limits.principal.iter().map(|limit| {
            let mine = self.entries.iter().rev().filter(|(_, who)| *who == principal);
            free_at(mine.map(|(at, _)| *at), *limit)
        });
        let all = limits.tenant.iter().map(|limit| free_at(self.entries.iter().rev().map(|(at, _)| *at), *limit));
        own.chain(all).fold(now, i64::max)
    }

    /// Notes a release. Times never go back: a clock that did is taken as standing still.
    pub fn record(&mut self, at: i64, principal: Uuid) {
        let at = self.entries.last().map_or(at, |(last, _)| at.max(*last));
        self.entries.push((at, principal));
    }

    /// Releases in the window that ends at `now`.
    pub fn count(&self, window: i64, principal: Option<Uuid>, now: i64) -> i64 {
        let since = now.saturating_sub(window);
        let counted = self.entries.iter().filter(|(at, who)| *at > since && principal.is_none_or(|p| p == *who));
        i64::try_from(counted.count()).unwrap_or(i64::MAX)
    }
}

/// When a limit has room again, given the releases from the newest on.
fn free_at(newest_first: impl Iterator<Item = i64>, limit: Limit) -> i64 {
    let Ok(skip) = usize::try_from(limit.count.saturating_sub(1)) else { return i64::MAX };
    if limit.count < 1 {
        return i64::MAX;
    }
    let mut newest_first = newest_first;
    newest_first.nth(skip).map_or(i64::MIN, |at| at.saturating_add(limit.window))
}

/// One request that waits for the releaser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The action.
    pub action: Uuid,
    /// Whose limits it uses.
    pub principal: Uuid,
}

/// Which of the waiting may go now, in their order; one principal at its limit holds up nobody else.
pub fn releasable(ledger: &Ledger, limits: &Limits, waiting: &[Waiting], now: i64) -> Vec<Waiting> {
    let mut ledger = ledger.clone();
    let mut go = Vec::new();
    for request in waiting {
        if ledger.next(limits, request.principal, now) <= now {
            ledger.record(now, request.principal);
            go.push(*request);
        }
    }
    go
}

/// When the last of `count` more requests of one principal will have been released, with nobody
/// else asking meanwhile.
pub fn estimated_end(ledger: &Ledger, limits: &Limits, principal: Uuid, count: usize, from: i64) -> i64 {
    // Only the newest releases matter: as many as the largest limit counts.
    let widest = limits.principal.iter().chain(&limits.tenant).map(|l| l.count).max();
    let keep = widest.and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
    let mut ledger = ledger.clone();
    let mut now = from;
    if widest.is_none() {
        return now;
    }
    // Releases come in steps: while there is room now, fill it; then jump to the next opening.
    for _ in 0..count {
        now = ledger.next(limits, principal, now);
        if now == i64::MAX {
            return now;
        }
        ledger.record(now, principal);
        if ledger.entries.len() > keep.saturating_mul(2).max(64) {
            ledger.entries.drain(..ledger.entries.len() - keep);
        }
    }
    now
}

/// True where the epoch says that the emergency stop is on: it is raised by every stop and lift.
pub fn stopped(stop_epoch: i64) -> bool {
    stop_epoch % 2 != 0
}

#[cfg(test)]
mod tests;
