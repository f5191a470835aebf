//! Second factors: time-based codes (RFC 6238, SHA-1, six digits, 30 seconds, one step of
//! tolerance) and recovery codes. What lives here is pure; `flow.rs` stores the results.

use muster_pki::sha256;
use subtle::ConstantTimeEq;
use totp_rs::{Algorithm, Builder, Secret, Totp};

use crate::Random;

/// Bytes of a shared secret.
const SECRET: usize = 20;
/// Recovery codes a person gets.
const RECOVERY_CODES: usize = 10;
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A new shared secret.
pub(crate) fn new_secret(random: &dyn Random) -> [u8; SECRET] {
    let mut secret = [0u8; SECRET];
    random.fill(&mut secret);
    secret
}

fn totp(secret: &[u8; SECRET]) -> Totp {
    Builder::new().with_algorithm(Algorithm::SHA1).with_secret(Secret::new_stack(*secret)).build_noncompliant()
}

/// The time step whose code this is, at most one step away from `now`.
pub(crate) fn matching_step(secret: &[u8], code: &str, now: i64) -> Option<i64> {
    let secret: [u8; SECRET] = secret.try_into().ok()?;
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    if code.len() != 6 || !code.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let step = now.max(0) / 30_000;
    let totp = totp(&secret);
    (step - 1..=step + 1).filter(|step| *step >= 0).find(|step| {
        let right = totp.generate(*step as u64 * 30).to_string();
        bool::from(right.as_bytes().ct_eq(code.as_bytes()))
    })
}

/// The code of a time.
#[cfg(feature = "testing")]
pub(crate) fn code_at(secret: &[u8; SECRET], now: i64) -> String {
    totp(secret).generate(now.max(0) as u64 / 1000).to_string()
}

/// RFC 4648 base32 without padding, the form that authenticator apps take.
pub(crate) fn base32(bytes: &[u8]) -> String {
    let mut text = String::new();
    let (mut buffer, mut bits) = (0u32, 0);
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(BASE32[(buffer >> bits & 31) as usize] as char);
        }
    }
    if bits > 0 {
        text.push(BASE32[(buffer << (5 - bits) & 31) as usize] as char);
    }
    text
}

/// The bytes behind base32 text; blanks, dashes, padding and letter case are ignored.
pub(crate) fn parse_base32(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut buffer, mut bits) = (0u32, 0);
    for c in text.bytes().filter(|c| !c.is_ascii_whitespace() && *c != b'-' && *c != b'=') {
        let value = BASE32.iter().position(|b| *b == c.to_ascii_uppercase())?;
        buffer = (buffer << 5) | value as u32;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits) as u8);
            buffer &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

/// The `otpauth:` address that authenticator apps open.
pub(crate) fn address(secret: &[u8], issuer: &str, account: &str) -> String {
    let escape = |text: &str| {
        text.bytes().fold(String::new(), |mut out, b| {
            if b.is_ascii_alphanumeric() || b"-._~@".contains(&b) {
                out.push(b as char);
            } else {
                out.push_str(&format!("%{b:02X}"));
            }
            out
        })
    };
    let (issuer, account) = (escape(issuer), escape(account));
    format!("otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}", base32(secret))
}

/// New recovery codes, as shown and as kept.
pub(crate) fn new_recovery(random: &dyn Random) -> (Vec<String>, String) {
    let codes: Vec<String> = (0..RECOVERY_CODES)
        .map(|_| {
            let mut bytes = [0u8; 10];
            random.fill(&mut bytes);
            let text = base32(&bytes).to_lowercase();
            format!("{}-{}-{}-{}", &text[..4], &text[4..8], &text[8..12], &text[12..])
        })
        .collect();
    let hashes: Vec<String> = codes.iter().map(|code| recovery_hash(code)).collect();
    (codes, serde_json::json!(hashes).to_string())
}

fn recovery_hash(code: &str) -> String {
    let plain: String = code.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    hex::encode(sha256(plain.as_bytes()))
}

/// The list without the code, if the code is in it.
pub(crate) fn spend_recovery(kept: &str, code: &str) -> Option<String> {
    let hashes: Vec<String> = serde_json::from_str(kept).ok()?;
    let hash = recovery_hash(code);
    let left: Vec<&String> = hashes.iter().filter(|kept| !bool::from(kept.as_bytes().ct_eq(hash.as_bytes()))).collect();
    (left.len() < hashes.len()).then(|| serde_json::json!(left).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 6238 appendix B gives 94287082 for this secret at 59 s with eight digits.
        let secret = b"12345678901234567890";
        assert_eq!(matching_step(secret, "287082", 59_000), Some(1));
        assert_eq!(matching_step(secret, "287 082", 89_000), Some(1), "one step late is accepted");
        assert_eq!(matching_step(secret, "287082", 120_000), None);
        assert_eq!(matching_step(secret, "28708x", 59_000), None);
    }

    #[test]
    fn base32_is_that_of_the_standard() {
        assert_eq!(base32(b"foobar"), "MZXW6YTBOI");
        assert_eq!(parse_base32("mzxw 6ytb-oi==").unwrap(), b"foobar");
        assert!(parse_base32("1").is_none());
    }

    #[test]
    fn a_recovery_code_works_once() {
        struct Zero;
        impl Random for Zero {
            fn fill(&self, bytes: &mut [u8]) {
                bytes.fill(7);
            }
        }
        let (codes, _) = new_recovery(&Zero);
        let kept = serde_json::json!([recovery_hash(&codes[0]), "other"]).to_string();
        let left = spend_recovery(&kept, &codes[0].to_uppercase().replace('-', " ")).unwrap();
        assert!(spend_recovery(&left, &codes[0]).is_none());
    }
}
