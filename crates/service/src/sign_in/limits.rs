//! Slowing down guesses: attempts are debited before they are looked at, by account and by network
//! address, and given back when they succeed. All counters are server-wide (the nil tenant), so
//! that an account that does not exist is slowed down exactly like one that does.

use std::net::IpAddr;

use muster_storage::{self as storage, Tx, credentials};
use uuid::Uuid;

use super::bearer;

/// How a counter slows down.
#[derive(Clone, Copy, Debug)]
struct Rule {
    /// Failures without a delay.
    free: i64,
    /// Longest delay, ms.
    cap: i64,
    /// Failures are forgotten after this time without one, ms.
    memory: i64,
}

const ACCOUNT: Rule = Rule { free: 5, cap: 15 * 60_000, memory: 24 * 3_600_000 };
const ADDRESS: Rule = Rule { free: 30, cap: 15 * 60_000, memory: 3_600_000 };
const CODE: Rule = Rule { free: 5, cap: 15 * 60_000, memory: 24 * 3_600_000 };

/// What an attempt is counted under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scopes(Vec<(String, ScopeRule)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ScopeRule {
    Account,
    Address,
    Code,
}

impl ScopeRule {
    fn rule(self) -> Rule {
        match self {
            ScopeRule::Account => ACCOUNT,
            ScopeRule::Address => ADDRESS,
            ScopeRule::Code => CODE,
        }
    }
}

impl Scopes {
    /// A password attempt.
    pub(crate) fn password(username: &str, address: Option<IpAddr>) -> Self {
        let key = storage::people::Person::key(username);
        let mut scopes = vec![(format!("account:{}", hex::encode(bearer::hash(&key))), ScopeRule::Account)];
        scopes.extend(address.map(|address| (address_scope(address), ScopeRule::Address)));
        Scopes(scopes)
    }

    /// A second-factor attempt of a person.
    pub(crate) fn code(person: Uuid, address: Option<IpAddr>) -> Self {
        let mut scopes = vec![(format!("code:{person}"), ScopeRule::Code)];
        scopes.extend(address.map(|address| (address_scope(address), ScopeRule::Address)));
        Scopes(scopes)
    }
}

/// An IPv6 client owns its /64.
fn address_scope(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => format!("address:{v4}"),
        IpAddr::V6(v6) => {
            let s = v6.segments();
            format!("address:{:x}:{:x}:{:x}:{:x}::/64", s[0], s[1], s[2], s[3])
        }
    }
}

/// Delay after this many failures in a row, ms.
fn delay(rule: Rule, failures: i64) -> i64 {
    let over = failures - rule.free;
    if over < 0 { 0 } else { (1000i64 << over.min(20)).min(rule.cap) }
}

/// The longest wait any scope asks for at `now`, ms; 0 when the attempt may be made.
pub(crate) fn wait(tx: &mut dyn Tx, scopes: &Scopes, now: i64) -> storage::Result<i64> {
    let mut longest = 0;
    for (scope, _) in &scopes.0 {
        if let Some(attempts) = credentials::attempts(tx, Uuid::nil(), scope)? {
            longest = longest.max(attempts.not_before - now);
        }
    }
    Ok(longest)
}

/// Counts the attempt as a failure in every scope unless one asks to wait; answers that wait.
pub(crate) fn debit(tx: &mut dyn Tx, scopes: &Scopes, now: i64) -> storage::Result<i64> {
    let longest = wait(tx, scopes, now)?;
    if longest > 0 {
        return Ok(longest);
    }
    for (scope, rule) in &scopes.0 {
        let rule = rule.rule();
        let before = credentials::attempts(tx, Uuid::nil(), scope)?
            .filter(|attempts| now - attempts.updated_at < rule.memory)
            .unwrap_or_default();
        let failures = before.failures + 1;
        let attempts = credentials::Attempts { failures, not_before: now + delay(rule, failures), updated_at: now };
        credentials::set_attempts(tx, Uuid::nil(), scope, attempts)?;
    }
    Ok(0)
}

/// The attempt succeeded: the account starts afresh, the address gets its one attempt back.
pub(crate) fn give_back(tx: &mut dyn Tx, scopes: &Scopes, now: i64) -> storage::Result<()> {
    for (scope, rule) in &scopes.0 {
        if *rule != ScopeRule::Address {
            credentials::clear_attempts(tx, Uuid::nil(), scope)?;
            continue;
        }
        let Some(before) = credentials::attempts(tx, Uuid::nil(), scope)? else { continue };
        if before.failures <= 1 {
            credentials::clear_attempts(tx, Uuid::nil(), scope)?;
        } else {
            let failures = before.failures - 1;
            let not_before = if delay(rule.rule(), failures) == 0 { 0 } else { before.not_before.min(now) };
            let attempts = credentials::Attempts { failures, not_before, updated_at: before.updated_at };
            credentials::set_attempts(tx, Uuid::nil(), scope, attempts)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d11_delays_grow_and_stop_growing() {
        assert_eq!(delay(ACCOUNT, 4), 0);
        assert_eq!(delay(ACCOUNT, 5), 1000);
        assert_eq!(delay(ACCOUNT, 8), 8000);
        assert_eq!(delay(ACCOUNT, 500), ACCOUNT.cap);
    }

    #[test]
    fn e10_an_ipv6_client_cannot_hop_inside_its_network() {
        let a: IpAddr = "2001:db8:1:2::1".parse().unwrap();
        let b: IpAddr = "2001:db8:1:2:ffff::9".parse().unwrap();
        assert_eq!(address_scope(a), address_scope(b));
        let mapped: IpAddr = "::ffff:192.0.2.7".parse().unwrap();
        assert_eq!(address_scope(mapped), "address:192.0.2.7");
    }
}
