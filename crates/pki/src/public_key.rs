//! [`PublicKey`]: SubjectPublicKeyInfo, verification, and the policy for keys we certify.

use aws_lc_rs::{
    rsa::{Pkcs1PublicEncryptingKey, PublicEncryptingKey},
    signature::{
        ECDSA_P256_SHA1_ASN1, ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1,
        ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA512_ASN1,
        RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey,
        VerificationAlgorithm,
    },
};
use const_oid::ObjectIdentifier;

use crate::{
    Digest, Error, Result,
    asn1::{self, Element, Reader},
    oid, roca, sha1, sha256,
};

/// What a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Parts {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256,
    P384,
}

/// A public key: its SubjectPublicKeyInfo and what was read from it.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    der: Vec<u8>,
    /// Content of the BIT STRING: RSAPublicKey or an uncompressed point.
    bits: Vec<u8>,
    parts: Parts,
}

/// Kind, size and the start of the fingerprint.
impl std::fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.is_rsa() { "RSA" } else { "P" };
        let name = u32::from_be_bytes(*self.fingerprint().first_chunk().expect("a SHA-256 has 32 bytes"));
        write!(formatter, "PublicKey({kind}-{}, {name:08x}..)", self.bits())
    }
}

/// Which signatures are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Legacy {
    /// SHA-1 signatures and RSA keys of 1,024 bits verify too.
    pub sha1: bool,
}

/// A signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// RSASSA-PKCS1-v1_5
    Rsa(Digest),
    /// ECDSA
    Ecdsa(Digest),
}

impl SignatureAlgorithm {
    /// From a signature algorithm's identifier.
    pub fn from_oid(value: ObjectIdentifier) -> Result<Self> {
        Ok(match value {
            oid::SHA1_WITH_RSA => SignatureAlgorithm::Rsa(Digest::Sha1),
            oid::SHA256_WITH_RSA => SignatureAlgorithm::Rsa(Digest::Sha256),
            oid::SHA384_WITH_RSA => SignatureAlgorithm::Rsa(Digest::Sha384),
            oid::SHA512_WITH_RSA => SignatureAlgorithm::Rsa(Digest::Sha512),
            oid::ECDSA_SHA1 => SignatureAlgorithm::Ecdsa(Digest::Sha1),
            oid::ECDSA_SHA256 => SignatureAlgorithm::Ecdsa(Digest::Sha256),
            oid::ECDSA_SHA384 => SignatureAlgorithm::Ecdsa(Digest::Sha384),
            oid::ECDSA_SHA512 => SignatureAlgorithm::Ecdsa(Digest::Sha512),
            _ => return Err(Error::Algorithm("signature")),
        })
    }

    /// AlgorithmIdentifier in DER.
    pub(crate) fn identifier(self) -> Vec<u8> {
        let (value, rsa) = match self {
            SignatureAlgorithm::Rsa(Digest::Sha1) => (oid::SHA1_WITH_RSA, true),
            SignatureAlgorithm::Rsa(Digest::Sha256) => (oid::SHA256_WITH_RSA, true),
            SignatureAlgorithm::Rsa(Digest::Sha384) => (oid::SHA384_WITH_RSA, true),
            SignatureAlgorithm::Rsa(Digest::Sha512) => (oid::SHA512_WITH_RSA, true),
            SignatureAlgorithm::Ecdsa(Digest::Sha1) => (oid::ECDSA_SHA1, false),
            SignatureAlgorithm::Ecdsa(Digest::Sha256) => (oid::ECDSA_SHA256, false),
            SignatureAlgorithm::Ecdsa(Digest::Sha384) => (oid::ECDSA_SHA384, false),
            SignatureAlgorithm::Ecdsa(Digest::Sha512) => (oid::ECDSA_SHA512, false),
        };
        if rsa { asn1::sequence(&[&asn1::oid(value), &asn1::null()]) } else { asn1::sequence(&[&asn1::oid(value)]) }
    }

    /// Reads an AlgorithmIdentifier.
    pub(crate) fn decode(element: &Element<'_>) -> Result<Self> {
        SignatureAlgorithm::from_oid(element.reader().oid()?)
    }
}

impl PublicKey {
    /// Decodes a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7). Keys beyond what any policy
    /// accepts are refused here already, before any arithmetic.
    pub fn decode(der: &[u8]) -> Result<Self> {
        let mut outer = Reader::new(der);
        let mut info = outer.sequence("public key")?;
        outer.finish()?;
        let mut algorithm = info.sequence("public key algorithm")?;
        let bits = info.bit_string()?;
        info.finish()?;
        let parts = match algorithm.oid()? {
            oid::RSA_ENCRYPTION => {
                let mut outer = Reader::new(bits);
                let mut key = outer.sequence("RSA key")?;
                outer.finish()?;
                let modulus = unsigned(key.integer()?)?;
                let exponent = unsigned(key.integer()?)?;
                key.finish()?;
                if modulus.len() > 1024 || exponent.len() > 8 {
                    return Err(Error::WeakKey("RSA keys have at most 8192 bits"));
                }
                Parts::Rsa { modulus: modulus.to_vec(), exponent: exponent.to_vec() }
            }
            oid::EC_PUBLIC_KEY => match (algorithm.oid()?, bits.len(), bits.first()) {
                (oid::P256, 65, Some(4)) => Parts::P256,
                (oid::P384, 97, Some(4)) => Parts::P384,
                _ => return Err(Error::Algorithm("curve")),
            },
            _ => return Err(Error::Algorithm("public key")),
        };
        Ok(PublicKey { der: der.to_vec(), bits: bits.to_vec(), parts })
    }

    /// SubjectPublicKeyInfo in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the SubjectPublicKeyInfo: the name of a key in the database.
    pub fn fingerprint(&self) -> [u8; 32] {
        sha256(&self.der)
    }

    /// Key identifier of RFC 5280 section 4.2.1.2, method 1.
    pub fn key_identifier(&self) -> [u8; 20] {
        sha1(&self.bits)
    }

    /// True for RSA keys.
    pub fn is_rsa(&self) -> bool {
        matches!(self.parts, Parts::Rsa { .. })
    }

    /// Bits of the modulus or the curve.
    pub fn bits(&self) -> usize {
        match &self.parts {
            Parts::Rsa { modulus, .. } => {
                modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize)
            }
            Parts::P256 => 256,
            Parts::P384 => 384,
        }
    }

    /// The policy for keys we certify (threats C3): RSA of 2048 to 4096 bits with an odd exponent
    /// of at least 65537 and no known weakness of its generator, or P-256.
    pub fn check_policy(&self) -> Result<()> {
        let Parts::Rsa { modulus, exponent } = &self.parts else {
            return if self.parts == Parts::P256 { Ok(()) } else { Err(Error::WeakKey("of the curves only P-256")) };
        };
        if !(2048..=4096).contains(&self.bits()) {
            return Err(Error::WeakKey("RSA keys have 2048 to 4096 bits"));
        }
        let exponent = exponent.iter().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
        if exponent < 65_537 || exponent.is_multiple_of(2) {
            return Err(Error::WeakKey("the RSA exponent is odd and at least 65537"));
        }
        if modulus.last().is_none_or(|last| last % 2 == 0) || roca::is_weak(modulus) {
            return Err(Error::WeakKey("the RSA modulus is of a weak generator"));
        }
        Ok(())
    }

    /// Verifies a signature over a message.
    pub fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
        legacy: Legacy,
    ) -> Result<()> {
        let known: &'static dyn VerificationAlgorithm = match (&self.parts, algorithm) {
            (Parts::Rsa { .. }, SignatureAlgorithm::Rsa(Digest::Sha256)) if legacy.sha1 => {
                &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY
            }
            (Parts::Rsa { .. }, SignatureAlgorithm::Rsa(Digest::Sha256)) => &RSA_PKCS1_2048_8192_SHA256,
            (Parts::Rsa { .. }, SignatureAlgorithm::Rsa(Digest::Sha384)) => &RSA_PKCS1_2048_8192_SHA384,
            (Parts::Rsa { .. }, SignatureAlgorithm::Rsa(Digest::Sha512)) => &RSA_PKCS1_2048_8192_SHA512,
            (Parts::Rsa { .. }, SignatureAlgorithm::Rsa(Digest::Sha1)) if legacy.sha1 => {
                &RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY
            }
            (Parts::P256, SignatureAlgorithm::Ecdsa(Digest::Sha256)) => &ECDSA_P256_SHA256_ASN1,
            (Parts::P256, SignatureAlgorithm::Ecdsa(Digest::Sha384)) => &ECDSA_P256_SHA384_ASN1,
            (Parts::P256, SignatureAlgorithm::Ecdsa(Digest::Sha512)) => &ECDSA_P256_SHA512_ASN1,
            (Parts::P256, SignatureAlgorithm::Ecdsa(Digest::Sha1)) if legacy.sha1 => &ECDSA_P256_SHA1_ASN1,
            (Parts::P384, SignatureAlgorithm::Ecdsa(Digest::Sha256)) => &ECDSA_P384_SHA256_ASN1,
            (Parts::P384, SignatureAlgorithm::Ecdsa(Digest::Sha384)) => &ECDSA_P384_SHA384_ASN1,
            (Parts::P384, SignatureAlgorithm::Ecdsa(Digest::Sha512)) => &ECDSA_P384_SHA512_ASN1,
            _ => return Err(Error::Algorithm("signature")),
        };
        UnparsedPublicKey::new(known, &self.bits)
            .verify(message, signature)
            .map_err(|_| Error::Signature("wrong signature"))
    }

    /// Encrypts a short value by RSAES-PKCS1-v1_5 (key transport).
    pub fn encrypt(&self, plain: &[u8]) -> Result<Vec<u8>> {
        if !self.is_rsa() {
            return Err(Error::Algorithm("key transport"));
        }
        let key = PublicEncryptingKey::from_der(&self.der).map_err(|_| Error::WeakKey("not usable for encryption"))?;
        let key = Pkcs1PublicEncryptingKey::new(key).map_err(|_| Error::Crypto("encryption key"))?;
        let mut out = vec![0; key.ciphertext_size()];
        let length = key.encrypt(plain, &mut out).map_err(|_| Error::Crypto("encryption"))?.len();
        out.truncate(length);
        Ok(out)
    }
}

/// Digits of a positive INTEGER without the sign octet.
fn unsigned(content: &[u8]) -> Result<&[u8]> {
    match content {
        [0, digits @ ..] if digits.first().is_some_and(|first| first & 0x80 != 0) => Ok(digits),
        [first, ..] if first & 0x80 == 0 && *first != 0 => Ok(content),
        _ => Err(Error::Malformed("RSA key")),
    }
}

/// SubjectPublicKeyInfo of an RSA key from its numbers.
pub fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Result<PublicKey> {
    let key = asn1::sequence(&[&asn1::integer(modulus), &asn1::integer(exponent)]);
    let algorithm = asn1::sequence(&[&asn1::oid(oid::RSA_ENCRYPTION), &asn1::null()]);
    PublicKey::decode(&asn1::sequence(&[&algorithm, &asn1::bit_string(&key)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roca::tests::weak_modulus;

    fn modulus(bits: usize) -> Vec<u8> {
        let mut digits: Vec<u8> = (0..bits / 8).map(|at| (at * 73 + 41) as u8).collect();
        digits[0] |= 0x80;
        *digits.last_mut().unwrap() |= 1;
        digits
    }

    #[test]
    fn c3_key_policy() {
        let check = |modulus: &[u8], exponent: &[u8]| rsa_public_key(modulus, exponent)?.check_policy();
        assert_eq!(check(&modulus(2048), &[1, 0, 1]), Ok(()));
        assert_eq!(check(&modulus(4096), &[1, 0, 1]), Ok(()));
        for refused in [
            check(&modulus(1024), &[1, 0, 1]),
            check(&modulus(2040), &[1, 0, 1]),
            check(&modulus(4104), &[1, 0, 1]),
            check(&modulus(16384), &[1, 0, 1]),
            check(&modulus(2048), &[1]),
            check(&modulus(2048), &[3]),
            check(&modulus(2048), &[1, 0, 2]),
            check(&weak_modulus(), &[1, 0, 1]),
        ] {
            assert!(matches!(refused, Err(Error::WeakKey(_))), "{refused:?}");
        }
    }
}
