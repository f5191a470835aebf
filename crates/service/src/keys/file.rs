//! The key file: the keys under which every data key and private key of the database is wrapped.
//!
//! Text, one key a line, the last one in use; earlier ones stay so that older backups still open.
//! Reading and writing the file is the binary's; here are only its bytes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use muster_pki::{Secret, seal::SealKey, sha256};

use crate::{Error, Random, Result};

const HEADER: &str = "# Muster key file. Keep a copy apart from the backups: without it the database cannot be read.";
/// Octets of a key's name.
pub(super) const NAME: usize = 8;

/// Keys of the key file.
#[derive(Clone, Debug)]
pub struct KeyFile {
    keys: Vec<([u8; NAME], SealKey)>,
}

fn named(key: SealKey) -> ([u8; NAME], SealKey) {
    let mut name = [0; NAME];
    name.copy_from_slice(&sha256(key.to_bytes().expose())[..NAME]);
    (name, key)
}

impl KeyFile {
    /// A key file with one new key, for a first run.
    pub fn generate(random: &dyn Random) -> Self {
        KeyFile { keys: vec![named(SealKey::generate(&|bytes| random.fill(bytes)))] }
    }

    /// Reads the bytes of a key file.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let wrong = |line: usize| Error::internal(format!("the key file is damaged in line {line}"));
        let text = std::str::from_utf8(bytes).map_err(|_| Error::internal("the key file is not text"))?;
        let mut keys = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let encoded = line.strip_prefix("key ").ok_or_else(|| wrong(at + 1))?;
            let bytes = Secret::new(STANDARD.decode(encoded.trim()).map_err(|_| wrong(at + 1))?);
            keys.push(named(SealKey::from_bytes(bytes.expose()).map_err(|_| wrong(at + 1))?));
        }
        if keys.is_empty() { Err(Error::internal("the key file has no key")) } else { Ok(KeyFile { keys }) }
    }

    /// The text to write; whoever writes it keeps it from other users of the machine.
    pub fn to_text(&self) -> Secret<String> {
        let mut text = format!("{HEADER}\n");
        for (_, key) in &self.keys {
            let encoded = Secret::new(STANDARD.encode(key.to_bytes().expose()));
            text.push_str("key ");
            text.push_str(encoded.expose());
            text.push('\n');
        }
        Secret::new(text)
    }

    /// With a further key, which is in use from now on.
    pub fn with_new_key(&self, random: &dyn Random) -> Self {
        let mut keys = self.keys.clone();
        keys.extend(KeyFile::generate(random).keys);
        KeyFile { keys }
    }

    pub(super) fn current(&self) -> &([u8; NAME], SealKey) {
        self.keys.last().expect("a key file is never made without a key")
    }

    pub(super) fn by_name(&self, name: &[u8]) -> Option<&SealKey> {
        self.keys.iter().find(|(known, _)| known == name).map(|(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SeededRandom;

    #[test]
    fn key_files_round_trip_and_damage_is_named() {
        let random = SeededRandom::new(3);
        let file = KeyFile::generate(&*random).with_new_key(&*random);
        let text = file.to_text();
        let again = KeyFile::parse(text.expose().as_bytes()).unwrap();
        assert_eq!(again.current(), file.current());
        assert_eq!(again.keys.len(), 2);
        let damaged = text.expose().replace("key ", "kex ");
        assert!(KeyFile::parse(damaged.as_bytes()).unwrap_err().to_string().contains("line 2"));
        assert!(KeyFile::parse(b"").is_err());
        assert!(!format!("{file:?}").contains(text.expose().lines().nth(1).unwrap().trim_start_matches("key ")));
    }
}
