//! Cryptographic Message Syntax (RFC 5652): signed data, enveloped data, bags of certificates.
//!
//! Messages of others pass the bounded rewriter ([`crate::asn1::to_der`]) before anything else.
//! What does not live here: attributes that SCEP defines (module [`crate::scep`]).

mod cipher;
mod enveloped;
mod signed;

pub use cipher::Cipher;
pub use enveloped::{Ciphers, EnvelopedData, encrypt};
pub use signed::{Attached, Attributes, SignRequest, SignedData, Verified, verify_attached, verify_detached};

use crate::{
    Certificate, Error, Result,
    asn1::{self, Element, Limits, Reader, tag},
    oid::{self, Oid},
};

/// Certificates in one message, at most.
const CERTIFICATES: usize = 16;

/// How a message names a certificate: SignerIdentifier, RecipientIdentifier.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Identifier {
    /// DER of issuerAndSerialNumber
    IssuerAndSerial(Vec<u8>),
    /// subjectKeyIdentifier
    Key(Vec<u8>),
}

impl Identifier {
    fn decode(element: &Element<'_>) -> Result<Self> {
        match element.tag {
            tag::SEQUENCE => Ok(Identifier::IssuerAndSerial(element.bytes.to_vec())),
            0x80 => Ok(Identifier::Key(element.content.to_vec())),
            _ => Err(Error::Malformed("certificate identifier")),
        }
    }

    fn names(&self, certificate: &Certificate) -> bool {
        match self {
            Identifier::IssuerAndSerial(bytes) => *bytes == certificate.issuer_and_serial(),
            Identifier::Key(identifier) => *identifier == certificate.key_identifier(),
        }
    }
}

/// ContentInfo around a content in DER.
fn content_info(kind: Oid, content: &[u8]) -> Vec<u8> {
    asn1::sequence(&[&asn1::oid(kind), &asn1::context(0, content)])
}

/// Content of a ContentInfo of this type.
fn content_of<'a>(der: &'a [u8], kind: Oid, what: &'static str) -> Result<Element<'a>> {
    let mut outer = Reader::new(der);
    let mut parts = outer.sequence(what)?;
    outer.finish()?;
    if parts.oid()? != kind {
        return Err(Error::Malformed(what));
    }
    let content = parts.expect(tag::context(0), what)?;
    parts.finish()?;
    Element::decode(content.content)
}

/// A signed data without content and signers: how certificates travel in SCEP answers.
pub fn certificates_only(certificates: &[&Certificate]) -> Vec<u8> {
    let bag = asn1::set_of(certificates.iter().map(|certificate| certificate.der().to_vec()).collect());
    let data = asn1::sequence(&[
        &asn1::integer_i64(1),
        &asn1::set(&[]),
        &asn1::sequence(&[&asn1::oid(oid::DATA)]),
        &asn1::context(0, &bag),
        &asn1::set(&[]),
    ]);
    content_info(oid::SIGNED_DATA, &data)
}

/// The certificates of a signed data, whoever signed it or nobody.
pub fn decode_certificates(bytes: &[u8], limits: Limits) -> Result<Vec<Certificate>> {
    Ok(SignedData::decode(bytes, limits)?.into_certificates())
}
