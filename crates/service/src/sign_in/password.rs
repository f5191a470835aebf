//! Local passwords: argon2id with 19 MiB, two passes, one lane, away from the async threads and
//! never more than a few at once.

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString},
};
use tokio::sync::Semaphore;

use crate::{Error, Kind, Random, Result};

/// Hashings at once; a waiting line longer than [`LINE`] is refused.
static HASHINGS: Semaphore = Semaphore::const_new(2);
static WAITING: Semaphore = Semaphore::const_new(LINE);
const LINE: usize = 2000;

/// A hash of nothing: verified in place of the hash of a person who does not exist, so that both
/// cost the same. No password leads to its all-zero output.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Fewest and most characters of a new password.
const LENGTH: std::ops::RangeInclusive<usize> = 8..=256;

fn argon() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, None).expect("the parameters are within argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// The right to hash, and the place in the line behind it.
pub(crate) struct Turn {
    _turn: tokio::sync::SemaphorePermit<'static>,
}

/// Waits for a turn to hash; a full line is a refusal.
pub(crate) async fn turn() -> Result<Turn> {
    let _place = WAITING.try_acquire().map_err(|_| {
        let mut refusal =
            Error::refused(Kind::Unavailable, "ServiceUnavailable", "too many people sign in at once; try again");
        if let Error::Refused(refusal) = &mut refusal {
            refusal.retry_after = Some(5);
        }
        refusal
    })?;
    let turn = HASHINGS.acquire().await.map_err(Error::internal)?;
    Ok(Turn { _turn: turn })
}

/// True where the password is the one behind `hash`; without a hash the same work is done and the
/// answer is false.
pub(crate) async fn verify(turn: Turn, password: String, hash: Option<String>) -> Result<bool> {
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let exists = hash.is_some();
        let text = hash.unwrap_or_else(|| NOBODY.to_owned());
        let parsed = PasswordHash::new(&text).map_err(Error::internal)?;
        let right = argon().verify_password(password.as_bytes(), &parsed).is_ok();
        Ok(right && exists)
    })
    .await
    .map_err(Error::internal)?
}

/// Hashes a new password.
pub(crate) async fn hash(random: &dyn Random, password: String) -> Result<String> {
    let mut salt = [0u8; 16];
    random.fill(&mut salt);
    let turn = turn().await?;
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let salt = SaltString::encode_b64(&salt).map_err(Error::internal)?;
        let hash = argon().hash_password(password.as_bytes(), &salt).map_err(Error::internal)?;
        Ok(hash.to_string())
    })
    .await
    .map_err(Error::internal)?
}

/// Refuses a new password that is too short, too long, or the person's own name.
pub(crate) fn check_new(password: &str, user_principal_name: &str) -> Result<()> {
    let length = password.chars().count();
    if !LENGTH.contains(&length) {
        return Err(Error::bad_request(format!("a password has {} to {} characters", LENGTH.start(), LENGTH.end())));
    }
    let lower = password.to_lowercase();
    let name = user_principal_name.to_lowercase();
    let local = name.split('@').next().unwrap_or_default();
    if lower == name || lower == local {
        return Err(Error::bad_request("a password must differ from the user name"));
    }
    let first = password.chars().next();
    if password.chars().all(|c| Some(c) == first) {
        return Err(Error::bad_request("a password must not be one character repeated"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counter;
    impl Random for Counter {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.iter_mut().enumerate().for_each(|(i, b)| *b = i as u8);
        }
    }

    #[tokio::test]
    async fn a_password_verifies_against_its_own_hash_only() {
        let hashed = hash(&Counter, "correct horse".into()).await.unwrap();
        assert!(hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hashed}");
        assert!(verify(turn().await.unwrap(), "correct horse".into(), Some(hashed.clone())).await.unwrap());
        assert!(!verify(turn().await.unwrap(), "correct house".into(), Some(hashed)).await.unwrap());
    }

    #[tokio::test]
    async fn b5_nobody_is_verified_with_the_same_parameters_and_never_let_in() {
        let parsed = PasswordHash::new(NOBODY).unwrap();
        assert_eq!(Params::try_from(&parsed).unwrap().m_cost(), 19456);
        assert_eq!(Params::try_from(&parsed).unwrap().t_cost(), 2);
        assert!(!verify(turn().await.unwrap(), "anything".into(), None).await.unwrap());
    }

    #[test]
    fn weak_passwords_are_refused_with_the_reason() {
        assert!(check_new("short", "ada@example.org").is_err());
        assert!(check_new("ada@example.org", "Ada@Example.org").is_err());
        assert!(check_new("aaaaaaaaaaaa", "ada@example.org").is_err());
        assert!(check_new("a long enough one", "ada@example.org").is_ok());
    }
}
