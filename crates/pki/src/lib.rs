//! Bytes and keys: certificates, requests, CMS, SCEP, CRLs and sealed secrets.
//!
//! Decoders take bytes from strangers: sizes, depth and element counts are bounded before anything
//! else (see [`asn1`]). Encoders write DER. Every operation with a private key happens in
//! aws-lc-rs. No clock and no ambient randomness: times are unix milliseconds given by the caller,
//! random bytes come from a [`Fill`]; only key generation and RSA padding use the library's own.
//! What does not live here: who may have which certificate (crate `service`).

pub mod asn1;
pub mod certificate;
pub mod chain;
pub mod cms;
pub mod crl;
pub mod csr;
pub mod key;
pub mod name;
pub mod oid;
pub mod pem;
pub mod pkcs12;
pub mod public_key;
pub mod scep;
pub mod seal;

mod digest;
mod error;
mod roca;
mod secret;

pub use certificate::{AlternativeName, Certificate, CertificateTemplate, Usage};
pub use csr::{Csr, CsrTemplate};
pub use digest::{Digest, sha1, sha256};
pub use error::{Error, Result};
pub use key::{KeyKind, KeyPair};
pub use name::Name;
pub use public_key::PublicKey;
pub use secret::Secret;

/// Fills a slice with random bytes fit for keys.
pub type Fill<'a> = &'a dyn Fn(&mut [u8]);
