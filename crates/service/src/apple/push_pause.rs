//! What keeps a tenant's pushes back: the push service is out of reach, or refuses the certificate.
//! While that lasts nothing is sent (one try at its end finds out), and what waits is given its
//! place in a line, so that the end is not a herd. Kept in memory: a fresh process finds out by itself.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use uuid::Uuid;

use crate::settings::{HOUR, MINUTE, SECOND};

/// Between two pushes of the line that forms while nothing is sent: 100 a second and process.
const STEP: i64 = 10;
/// The first pause of an outage; each further one is twice as long.
const SHORTEST: i64 = 10 * SECOND;
/// No pause of an outage is longer.
const LONGEST: i64 = 5 * MINUTE;

/// Why nothing is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Because {
    /// The service does not answer, or says that it cannot.
    Down,
    /// The certificate is refused or has expired.
    Certificate,
}

#[derive(Clone, Debug)]
struct Pause {
    because: Because,
    /// Of the push certificate; with another one everything is tried anew.
    version: i64,
    until: i64,
    /// Pauses in a row.
    times: u32,
    /// Length of the line.
    waiting: i64,
}

/// The pauses of all tenants.
#[derive(Default)]
pub(super) struct Pauses(Mutex<HashMap<Uuid, Pause>>);

impl Pauses {
    /// When the next in line may try, if nothing is sent at the moment.
    pub(super) fn wait(&self, tenant: Uuid, version: i64, now: i64) -> Option<i64> {
        let mut pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = pauses.get_mut(&tenant).filter(|pause| pause.version == version && now < pause.until)?;
        pause.waiting += 1;
        Some(pause.until + pause.waiting * STEP)
    }

    /// A push failed: nothing more is sent for a while. Answers when it may be tried again, and whether
    /// this is new (and to be told) or known from an earlier push.
    pub(super) fn start(&self, tenant: Uuid, version: i64, because: Because, now: i64) -> (i64, bool) {
        let mut pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = pauses.get(&tenant).filter(|pause| pause.version == version && pause.because == because);
        let new = known.is_none();
        // Pushes that were under way together fail together: that is one failure.
        let pause = match known {
            Some(pause) if now < pause.until => Pause { waiting: pause.waiting + 1, ..pause.clone() },
            _ => {
                let times = known.map_or(0, |pause| pause.times).saturating_add(1);
                let length = match because {
                    Because::Down => (SHORTEST << times.min(6).saturating_sub(1)).min(LONGEST),
                    Because::Certificate => HOUR,
                };
                Pause { because, version, until: now + length, times, waiting: 0 }
            }
        };
        let at = pause.until + pause.waiting * STEP;
        pauses.insert(tenant, pause);
        (at, new)
    }

    /// The service answered: it is there.
    pub(super) fn end(&self, tenant: Uuid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&tenant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_what_waits_stands_in_line() {
        let (pauses, tenant) = (Pauses::default(), Uuid::nil());
        assert_eq!(pauses.wait(tenant, 1, 0), None);
        assert_eq!(pauses.start(tenant, 1, Because::Down, 0), (10_000, true));
        assert_eq!(pauses.start(tenant, 1, Because::Down, 5), (10_010, false), "under way with the first");
        assert_eq!(pauses.wait(tenant, 1, 6), Some(10_020));
        assert_eq!(pauses.wait(Uuid::max(), 1, 6), None, "another tenant's are sent");
        assert_eq!(pauses.wait(tenant, 1, 10_000), None, "the first of the line tries");
        assert_eq!(pauses.start(tenant, 1, Because::Down, 10_000), (30_000, false));
        for _ in 0..10 {
            let (at, _) = pauses.start(tenant, 1, Because::Down, i64::from(u32::MAX));
            assert!(at <= i64::from(u32::MAX) + LONGEST + 10 * STEP);
        }
        pauses.end(tenant);
        assert_eq!(pauses.wait(tenant, 1, 0), None);
    }

    #[test]
    fn another_certificate_is_tried_at_once() {
        let (pauses, tenant) = (Pauses::default(), Uuid::nil());
        assert_eq!(pauses.start(tenant, 1, Because::Certificate, 0), (HOUR, true));
        assert_eq!(pauses.wait(tenant, 2, 1), None);
        assert_eq!(pauses.start(tenant, 2, Because::Certificate, 1), (HOUR + 1, true));
    }
}
