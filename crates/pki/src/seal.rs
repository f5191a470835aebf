//! Sealed secrets: AES-256-GCM with a random 96-bit nonce and given additional data.
//!
//! Form: version (1), nonce (12 bytes), ciphertext and tag. The additional data says where the
//! value belongs, so a value moved to another row, column or tenant does not open. Keys are wrapped
//! the same way. What does not live here: which key, which place (crate `service`).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::{Error, Fill, Result, Secret};

const VERSION: u8 = 1;
const NONCE: usize = 12;
const TAG: usize = 16;

/// A 256-bit sealing key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealKey(Secret<[u8; 32]>);

impl SealKey {
    /// A new key.
    pub fn generate(random: Fill<'_>) -> Self {
        let mut bytes = [0; 32];
        random(&mut bytes);
        SealKey(Secret::new(bytes))
    }

    /// From 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| Error::Malformed("sealing key"))?;
        Ok(SealKey(Secret::new(bytes)))
    }

    /// The bytes, for the key file and for wrapping.
    pub fn to_bytes(&self) -> Secret<Vec<u8>> {
        Secret::new(self.0.expose().to_vec())
    }

    fn cipher(&self) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, self.0.expose()).expect("the key has 32 bytes"))
    }

    /// Seals `plain` for the place that `aad` names.
    pub fn seal(&self, aad: &[u8], plain: &[u8], random: Fill<'_>) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        random(&mut nonce);
        let mut body = plain.to_vec();
        self.cipher()
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut body)
            .expect("a value in memory is shorter than the cipher's limit");
        let mut out = Vec::with_capacity(1 + NONCE + body.len());
        out.push(VERSION);
        out.extend_from_slice(&nonce);
        out.append(&mut body);
        out
    }

    /// Opens what [`SealKey::seal`] made for the same place with the same key.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Secret<Vec<u8>>> {
        let [VERSION, rest @ ..] = sealed else { return Err(Error::Decrypt) };
        let (nonce, body) = rest.split_at_checked(NONCE).ok_or(Error::Decrypt)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Error::Decrypt)?;
        let mut body = Secret::new(body.to_vec());
        let length =
            self.cipher().open_in_place(nonce, Aad::from(aad), body.expose_mut()).map_err(|_| Error::Decrypt)?.len();
        debug_assert_eq!(length + TAG, body.expose().len());
        body.expose_mut().truncate(length);
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counting() -> impl Fn(&mut [u8]) {
        let next = std::cell::Cell::new(0u8);
        move |bytes: &mut [u8]| {
            for byte in bytes {
                next.set(next.get().wrapping_add(1));
                *byte = next.get();
            }
        }
    }

    #[test]
    fn g1_a_sealed_value_opens_only_in_its_place() {
        let random = counting();
        let key = SealKey::generate(&random);
        let sealed = key.seal(b"tenant|secret|sealed|row1", b"pin 1234", &random);
        assert_eq!(key.open(b"tenant|secret|sealed|row1", &sealed).unwrap().expose(), b"pin 1234");
        assert!(key.open(b"tenant|secret|sealed|row2", &sealed).is_err());
        assert!(SealKey::generate(&random).open(b"tenant|secret|sealed|row1", &sealed).is_err());
        assert_ne!(sealed, key.seal(b"tenant|secret|sealed|row1", b"pin 1234", &random), "each nonce is new");
        assert!(!sealed.windows(4).any(|part| part == b"1234"));
    }

    proptest! {
        #[test]
        fn changed_bytes_do_not_open(at in 0usize..45, flip in 1u8..) {
            let random = counting();
            let key = SealKey::generate(&random);
            let mut sealed = key.seal(b"here", b"sixteen bytes ok", &random);
            sealed[at] ^= flip;
            prop_assert!(key.open(b"here", &sealed).is_err());
        }

        #[test]
        fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let key = SealKey::from_bytes(&[9; 32]).unwrap();
            prop_assert!(key.open(b"", &bytes).is_err());
        }
    }
}
