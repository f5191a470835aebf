//! Certificate revocation lists (RFC 5280 section 5).

use crate::{
    Digest, Error, Result,
    asn1::{self, Reader, tag},
    certificate::{Issuer, authority_key_identifier, extension},
    oid,
    public_key::{Legacy, PublicKey, SignatureAlgorithm},
};

/// Why a certificate was revoked (RFC 5280 section 5.3.1), the reasons we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// 0; left out of the list as the RFC recommends.
    Unspecified,
    /// 1
    KeyCompromise,
    /// 4
    Superseded,
    /// 5
    CessationOfOperation,
}

/// One revoked certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Content octets of its serial number.
    pub serial: Vec<u8>,
    /// When, unix ms.
    pub at: i64,
    /// Why.
    pub reason: Reason,
}

/// What a new list says.
#[derive(Clone, Debug)]
pub struct CrlTemplate<'a> {
    /// Its number: rises with every list of the issuer.
    pub number: i64,
    /// Unix ms.
    pub this_update: i64,
    /// Unix ms.
    pub next_update: i64,
    /// All revoked certificates of the issuer that have not expired.
    pub revoked: &'a [Revoked],
}

impl CrlTemplate<'_> {
    /// Signs the list; answers its DER.
    pub fn sign(&self, issuer: Issuer<'_>) -> Result<Vec<u8>> {
        let algorithm = issuer.key.algorithm(Digest::Sha256).identifier();
        let entries: Vec<u8> = self.revoked.iter().flat_map(entry).collect();
        let list = if entries.is_empty() { Vec::new() } else { asn1::tlv(tag::SEQUENCE, &entries) };
        let extensions = [
            authority_key_identifier(&issuer.certificate.key_identifier()),
            extension(oid::CRL_NUMBER, false, &asn1::integer_i64(self.number)),
        ];
        let content = asn1::sequence(&[
            &asn1::integer_i64(1),
            &algorithm,
            issuer.certificate.subject().der(),
            &asn1::encode_time(self.this_update),
            &asn1::encode_time(self.next_update),
            &list,
            &asn1::context(0, &asn1::tlv(tag::SEQUENCE, &extensions.concat())),
        ]);
        let signature = issuer.key.sign(Digest::Sha256, &content)?;
        Ok(asn1::sequence(&[&content, &algorithm, &asn1::bit_string(&signature)]))
    }
}

fn entry(revoked: &Revoked) -> Vec<u8> {
    let reason = match revoked.reason {
        Reason::Unspecified => Vec::new(),
        Reason::KeyCompromise => reason(1),
        Reason::Superseded => reason(4),
        Reason::CessationOfOperation => reason(5),
    };
    asn1::sequence(&[&asn1::tlv(tag::INTEGER, &revoked.serial), &asn1::encode_time(revoked.at), &reason])
}

fn reason(code: u8) -> Vec<u8> {
    const ENUMERATED: u8 = 0x0a;
    asn1::sequence(&[&extension(oid::CRL_REASON, false, &asn1::tlv(ENUMERATED, &[code]))])
}

/// A decoded list: what a relying party needs of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crl {
    /// Unix ms.
    pub this_update: i64,
    /// Unix ms.
    pub next_update: Option<i64>,
    /// Content octets of the revoked serial numbers.
    pub serials: Vec<Vec<u8>>,
}

impl Crl {
    /// Decodes a list that was signed by `issuer`.
    pub fn decode(der: &[u8], issuer: &PublicKey) -> Result<Self> {
        let mut outer = Reader::new(der);
        let mut parts = outer.sequence("revocation list")?;
        outer.finish()?;
        let signed = parts.expect(tag::SEQUENCE, "revocation list")?;
        let algorithm = SignatureAlgorithm::decode(&parts.expect(tag::SEQUENCE, "signature algorithm")?)?;
        issuer.verify(algorithm, signed.bytes, parts.bit_string()?, Legacy::default())?;
        let mut content = signed.reader();
        content.optional(tag::INTEGER)?;
        content.expect(tag::SEQUENCE, "signature algorithm")?;
        content.expect(tag::SEQUENCE, "issuer")?;
        let this_update = asn1::decode_time(&content.any()?)?;
        let next_update = match content.peek() {
            Some(tag::UTC_TIME | tag::GENERALIZED_TIME) => Some(asn1::decode_time(&content.any()?)?),
            _ => None,
        };
        let mut serials = Vec::new();
        if let Some(list) = content.optional(tag::SEQUENCE)? {
            let mut list = list.reader();
            while !list.is_empty() {
                serials.push(list.sequence("revoked certificate")?.integer()?.to_vec());
            }
        }
        content.optional(tag::context(0))?;
        content.finish().map_err(|_| Error::Malformed("revocation list"))?;
        Ok(Crl { this_update, next_update, serials })
    }
}
