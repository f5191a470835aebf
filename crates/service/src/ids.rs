//! [`Ids`]: ids for a closure that may run again. Drawn before, they are the same at every run.

use uuid::Uuid;

use crate::Service;

/// A supply of UUIDv7s for one operation; clone it at the start of the closure.
#[derive(Clone, Debug)]
pub struct Ids {
    now: u64,
    seed: [u8; 10],
    drawn: u32,
}

impl Ids {
    /// The next id.
    pub fn next(&mut self) -> Uuid {
        let mut bytes = self.seed;
        // The count stands in the middle, so that ids of one operation sort in the order drawn as far
        // as a millisecond allows, and the tail keeps 48 random bits.
        let count = self.drawn.to_be_bytes();
        bytes[0] = count[0];
        bytes[1] = count[1];
        bytes[2] = count[2];
        bytes[3] = count[3];
        self.drawn += 1;
        uuid::Builder::from_unix_timestamp_millis(self.now, &bytes).into_uuid()
    }
}

impl Service {
    /// Ids for one operation that begins now.
    pub fn ids(&self, now: i64) -> Ids {
        let mut seed = [0; 10];
        self.random.fill(&mut seed);
        Ids { now: u64::try_from(now).unwrap_or(0), seed, drawn: 0 }
    }
}
