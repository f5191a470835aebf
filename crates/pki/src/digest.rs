//! Hash algorithms and their identifiers.

use aws_lc_rs::digest;
use const_oid::ObjectIdentifier;

use crate::{Error, Result, asn1, oid};

/// A hash algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Digest {
    /// SHA-1, for signatures of very old clients and only by a flag.
    Sha1,
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

impl Digest {
    /// Hashes.
    pub fn hash(self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Digest::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Digest::Sha256 => &digest::SHA256,
            Digest::Sha384 => &digest::SHA384,
            Digest::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes).as_ref().to_vec()
    }

    /// The identifier.
    pub fn oid(self) -> ObjectIdentifier {
        match self {
            Digest::Sha1 => oid::SHA1,
            Digest::Sha256 => oid::SHA256,
            Digest::Sha384 => oid::SHA384,
            Digest::Sha512 => oid::SHA512,
        }
    }

    /// From its identifier.
    pub fn from_oid(value: ObjectIdentifier) -> Result<Self> {
        [Digest::Sha1, Digest::Sha256, Digest::Sha384, Digest::Sha512]
            .into_iter()
            .find(|digest| digest.oid() == value)
            .ok_or(Error::Algorithm("digest"))
    }

    /// AlgorithmIdentifier, without parameters (RFC 5754 section 2).
    pub(crate) fn identifier(self) -> Vec<u8> {
        asn1::sequence(&[&asn1::oid(self.oid())])
    }
}

/// SHA-256: what fingerprints and lookups use.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// SHA-1: subject key identifiers and names of keys, never a protection.
pub fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut out = [0; 20];
    out.copy_from_slice(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref());
    out
}
