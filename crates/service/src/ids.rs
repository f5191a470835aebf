//! [`Ids`]: ids for a closure that may run again. Drawn before, they are the same at every run.

use uuid::Uuid;

use crate::Service;

/// A supply of UUIDv7s for one operation; clone it at the start of the closure.
#[derive(Clone, Debug)]
pub struct Ids {
    now: u64,
    seed: [u8; 10],
    salt: [u8; 32],
    drawn: u32,
}

impl Ids {
    /// The next id.
    #[expect(clippy::should_implement_trait, reason = "a supply has no end; an iterator's Option would say it has")]
    pub fn next(&mut self) -> Uuid {
        let mut bytes = self.seed;
        // The count stands in front, around the bits that say version and variant, so that ids of one
        // operation sort in the order drawn; the tail keeps 48 random bits.
        let count = self.drawn.to_be_bytes();
        let low = u16::from_be_bytes([count[2], count[3]]);
        bytes[0] = count[0] & 0x0f;
        bytes[1] = (count[1] << 2) | count[2] >> 6;
        bytes[2] = (low >> 8) as u8 & 0x3f;
        bytes[3] = count[3];
        self.drawn += 1;
        uuid::Builder::from_unix_timestamp_millis(self.now, &bytes).into_uuid()
    }

    /// Random bytes to salt a digest with.
    pub fn salt(&mut self) -> [u8; 16] {
        let mut input = self.salt.to_vec();
        input.extend_from_slice(&self.drawn.to_be_bytes());
        self.drawn += 1;
        let digest = muster_pki::sha256(&input);
        let mut salt = [0; 16];
        salt.copy_from_slice(&digest[..16]);
        salt
    }
}

impl Service {
    /// Ids for one operation that begins now.
    pub fn ids(&self, now: i64) -> Ids {
        let (mut seed, mut salt) = ([0; 10], [0; 32]);
        self.random.fill(&mut seed);
        self.random.fill(&mut salt);
        Ids { now: u64::try_from(now).unwrap_or(0), seed, salt, drawn: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_operation_differ_and_sort_as_drawn() {
        let mut ids = Ids { now: 1_700_000_000_000, seed: [0xff; 10], salt: [0; 32], drawn: 0 };
        let drawn: Vec<Uuid> = (0..70_000).map(|_| ids.next()).collect();
        assert!(drawn.is_sorted_by(|a, b| a < b));
        assert_eq!(drawn[69_999].get_version_num(), 7);
    }
}
