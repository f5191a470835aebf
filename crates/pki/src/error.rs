//! What can go wrong with bytes and keys.

/// An error of this crate. Texts never hold key material.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are not what the standard says, or exceed a bound.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// An algorithm that is not accepted here.
    #[error("{0} is not an accepted algorithm")]
    Algorithm(&'static str),
    /// A key that the policy refuses.
    #[error("the key is refused: {0}")]
    WeakKey(&'static str),
    /// A signature or digest that does not verify, or a signer that is missing or not alone.
    #[error("the signature does not verify: {0}")]
    Signature(&'static str),
    /// A certificate that does not lead to a given root.
    #[error("the certificate is not trusted: {0}")]
    Untrusted(&'static str),
    /// Ciphertext that does not decrypt; the reason is never told.
    #[error("the content does not decrypt")]
    Decrypt,
    /// The cryptographic library refused an operation on our own data.
    #[error("cryptographic operation failed: {0}")]
    Crypto(&'static str),
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
