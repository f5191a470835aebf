//! Values that prove who sends them (tokens, cookies, flow values): made once, kept as a hash.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use muster_pki::sha256;

use crate::Random;

/// A new value of 256 random bits, fit for a header, a cookie or a hidden input.
pub(crate) fn new_value(random: &dyn Random) -> String {
    let mut bytes = [0u8; 32];
    random.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What the database keeps of a value.
pub(crate) fn hash(value: &str) -> [u8; 32] {
    sha256(value.as_bytes())
}

/// The value that writes of a console session must repeat in `X-Muster-CSRF`: derived from the
/// cookie, so that only pages of our own origin can learn it.
pub fn csrf_of(session: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(format!("csrf:{session}").as_bytes()))
}
