//! X.509 certificates (RFC 5280): [`Certificate`] reads, [`CertificateTemplate`] makes.

mod extensions;
mod template;

pub use extensions::{AlternativeName, Extensions, KeyUsage};
pub use template::{CertificateTemplate, Issuer, Usage, random_serial};
pub(crate) use template::{alternative_names, authority_key_identifier, extension};

use std::fmt;

use crate::{
    Digest, Error, Name, PublicKey, Result,
    asn1::{self, Element, Reader, tag},
    pem,
    public_key::{Legacy, SignatureAlgorithm},
    sha256,
};

/// Most bytes of one certificate.
const LIMIT: usize = 64 * 1024;

/// A decoded certificate with the bytes it came in.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    signed: std::ops::Range<usize>,
    serial: Vec<u8>,
    issuer: Name,
    subject: Name,
    not_before: i64,
    not_after: i64,
    public_key: PublicKey,
    extensions: Extensions,
    algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
}

/// Subject, issuer and the start of the fingerprint.
impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = u32::from_be_bytes(*self.fingerprint().first_chunk().expect("a SHA-256 has 32 bytes"));
        write!(formatter, "Certificate({} by {}, {name:08x}..)", self.subject, self.issuer)
    }
}

impl Certificate {
    /// Decodes one DER certificate that fills `der`.
    pub fn decode(der: &[u8]) -> Result<Self> {
        if der.len() > LIMIT {
            return Err(Error::Malformed("certificate size"));
        }
        let mut outer = Reader::new(der);
        let mut parts = outer.sequence("certificate")?;
        outer.finish()?;
        let to_be_signed = parts.expect(tag::SEQUENCE, "certificate content")?;
        let outer_algorithm = parts.expect(tag::SEQUENCE, "signature algorithm")?;
        let signature = parts.bit_string()?.to_vec();
        parts.finish()?;

        let mut content = to_be_signed.reader();
        if let Some(version) = content.optional(tag::context(0))? {
            let mut version = version.reader();
            version.integer()?;
            version.finish()?;
        }
        let serial = content.integer()?.to_vec();
        if content.expect(tag::SEQUENCE, "signature algorithm")?.bytes != outer_algorithm.bytes {
            return Err(Error::Malformed("signature algorithm"));
        }
        let issuer = Name::from_element(&content.expect(tag::SEQUENCE, "issuer")?)?;
        let mut validity = content.sequence("validity")?;
        let not_before = asn1::decode_time(&validity.any()?)?;
        let not_after = asn1::decode_time(&validity.any()?)?;
        validity.finish()?;
        let subject = Name::from_element(&content.expect(tag::SEQUENCE, "subject")?)?;
        let public_key = PublicKey::decode(content.expect(tag::SEQUENCE, "public key")?.bytes)?;
        for unique_identifier in [1, 2] {
            content.optional(tag::context_primitive(unique_identifier))?;
        }
        let extensions = match content.optional(tag::context(3))? {
            Some(element) => Extensions::decode(&Element::decode(element.content)?)?,
            None => Extensions::default(),
        };
        content.finish()?;
        let start = to_be_signed.bytes.as_ptr() as usize - der.as_ptr() as usize;
        Ok(Certificate {
            signed: start..start + to_be_signed.bytes.len(),
            der: der.to_vec(),
            serial,
            issuer,
            subject,
            not_before,
            not_after,
            public_key,
            extensions,
            algorithm: SignatureAlgorithm::decode(&outer_algorithm)?,
            signature,
        })
    }

    /// Decodes DER, or the first `CERTIFICATE` block of PEM.
    pub fn from_der_or_pem(bytes: &[u8]) -> Result<Self> {
        Certificate::decode(&pem::der_or_pem("CERTIFICATE", bytes)?)
    }

    /// All `CERTIFICATE` blocks of PEM, in their order.
    pub fn all_from_pem(text: &str) -> Result<Vec<Self>> {
        let blocks = pem::decode_all(text)?;
        blocks.iter().filter(|(label, _)| label == "CERTIFICATE").map(|(_, der)| Certificate::decode(der)).collect()
    }

    /// The bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// PEM text.
    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.der)
    }

    /// SHA-256 of the DER: what devices are found by.
    pub fn fingerprint(&self) -> [u8; 32] {
        sha256(&self.der)
    }

    /// Content octets of the serial number.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// Issuer.
    pub fn issuer(&self) -> &Name {
        &self.issuer
    }

    /// Subject.
    pub fn subject(&self) -> &Name {
        &self.subject
    }

    /// Start of validity, unix ms.
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// End of validity, unix ms.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// Public key.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Extensions.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// True within the validity.
    pub fn valid_at(&self, now: i64) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    /// Key identifier: the extension, else computed.
    pub fn key_identifier(&self) -> Vec<u8> {
        self.extensions.subject_key_identifier.clone().unwrap_or_else(|| self.public_key.key_identifier().to_vec())
    }

    /// Verifies that `issuer`'s key signed this certificate.
    pub fn verify_signature(&self, issuer: &PublicKey, legacy: Legacy) -> Result<()> {
        issuer.verify(self.algorithm, &self.der[self.signed.clone()], &self.signature, legacy)
    }

    /// Issuer and serial number as CMS names a certificate.
    pub(crate) fn issuer_and_serial(&self) -> Vec<u8> {
        asn1::sequence(&[self.issuer.der(), &asn1::tlv(tag::INTEGER, &self.serial)])
    }

    /// The digest of the signature, for SCEP answers in kind.
    pub fn signature_digest(&self) -> Digest {
        match self.algorithm {
            SignatureAlgorithm::Rsa(digest) | SignatureAlgorithm::Ecdsa(digest) => digest,
        }
    }
}
