//! SignedData (RFC 5652 section 5) with exactly one signer.

use super::{CERTIFICATES, Identifier, content_info, content_of};
use crate::{
    Certificate, Digest, Error, KeyPair, Result,
    asn1::{self, Element, Limits, Reader, tag},
    csr::{attribute, one_value},
    oid::{self, Oid},
    public_key::{Legacy, SignatureAlgorithm},
};

/// Attributes of one signer, at most.
const ATTRIBUTES: usize = 32;

/// Signed attributes: type and the DER of the single value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(Vec<(Oid, Vec<u8>)>);

impl Attributes {
    /// DER of the value, if the attribute is there.
    pub fn get(&self, kind: Oid) -> Option<&[u8]> {
        self.0.iter().find(|(found, _)| *found == kind).map(|(_, value)| value.as_slice())
    }

    /// Textual value.
    pub fn text(&self, kind: Oid) -> Option<String> {
        Element::decode(self.get(kind)?).ok()?.text().ok()
    }

    /// Content of an OCTET STRING value.
    pub fn octets(&self, kind: Oid) -> Option<&[u8]> {
        let element = Element::decode(self.get(kind)?).ok()?;
        (element.tag == tag::OCTET_STRING).then_some(element.content)
    }

    fn decode(content: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(content);
        let mut found = Vec::new();
        while !reader.is_empty() {
            let mut pair = reader.sequence("attribute")?;
            let kind = pair.oid()?;
            let values = pair.expect(tag::SET, "attribute values")?;
            pair.finish()?;
            let twice = found.iter().any(|(other, _)| *other == kind);
            if twice || found.len() >= ATTRIBUTES {
                return Err(Error::Malformed("attributes"));
            }
            found.push((kind, one_value(&values)?.bytes.to_vec()));
        }
        Ok(Attributes(found))
    }
}

#[derive(Clone, Debug)]
struct SignerInfo {
    identifier: Identifier,
    digest: Digest,
    /// Content of the SET as it came, and what it says.
    attributes: Option<(Vec<u8>, Attributes)>,
    algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
}

impl SignerInfo {
    fn decode(element: &Element<'_>) -> Result<Self> {
        let mut parts = element.reader();
        parts.integer()?;
        let identifier = Identifier::decode(&parts.any()?)?;
        let digest = Digest::from_oid(parts.sequence("digest algorithm")?.oid()?)?;
        let attributes = match parts.optional(tag::context(0))? {
            Some(set) => Some((set.content.to_vec(), Attributes::decode(set.content)?)),
            None => None,
        };
        let algorithm = match parts.sequence("signature algorithm")?.oid()? {
            // The key's own identifier takes the digest that is named beside it.
            oid::RSA_ENCRYPTION => SignatureAlgorithm::Rsa(digest),
            oid::EC_PUBLIC_KEY => SignatureAlgorithm::Ecdsa(digest),
            other => SignatureAlgorithm::from_oid(other)?,
        };
        let (SignatureAlgorithm::Rsa(signed_with) | SignatureAlgorithm::Ecdsa(signed_with)) = algorithm;
        if signed_with != digest {
            return Err(Error::Algorithm("signature with another digest"));
        }
        let signature = parts.expect(tag::OCTET_STRING, "signature")?.content.to_vec();
        parts.optional(tag::context(1))?;
        parts.finish()?;
        Ok(SignerInfo { identifier, digest, attributes, algorithm, signature })
    }
}

/// A decoded signed data. Nothing in it is to be believed before [`SignedData::verify`].
#[derive(Clone, Debug)]
pub struct SignedData {
    content_type: Oid,
    content: Option<Vec<u8>>,
    certificates: Vec<Certificate>,
    signers: Vec<SignerInfo>,
}

/// Who signed, and what they signed beside the content.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The signer's certificate. Whether it is trusted is the caller's question.
    pub signer: Certificate,
    /// Digest of the signature.
    pub digest: Digest,
    /// Signed attributes.
    pub attributes: Attributes,
}

impl SignedData {
    /// Decodes BER or DER.
    pub fn decode(bytes: &[u8], limits: Limits) -> Result<Self> {
        let der = asn1::to_der(bytes, limits)?;
        let mut parts =
            Reader::new(content_of(&der, oid::SIGNED_DATA, "signed data")?.bytes).sequence("signed data")?;
        parts.integer()?;
        parts.expect(tag::SET, "digest algorithms")?;
        let mut encapsulated = parts.sequence("encapsulated content")?;
        let content_type = encapsulated.oid()?;
        let content = match encapsulated.optional(tag::context(0))? {
            Some(element) => Some(Reader::new(element.content).expect(tag::OCTET_STRING, "content")?.content.to_vec()),
            None => None,
        };
        encapsulated.finish()?;
        let mut certificates = Vec::new();
        if let Some(bag) = parts.optional(tag::context(0))? {
            let mut bag = bag.reader();
            let mut count = 0;
            while !bag.is_empty() {
                count += 1;
                if count > CERTIFICATES {
                    return Err(Error::Malformed("number of certificates"));
                }
                // A certificate with a key or algorithm that we do not know cannot be the signer.
                certificates.extend(Certificate::decode(bag.any()?.bytes).ok());
            }
        }
        parts.optional(tag::context(1))?;
        let mut infos = parts.set("signers")?;
        parts.finish()?;
        let mut signers = Vec::new();
        while !infos.is_empty() {
            if !signers.is_empty() {
                return Err(Error::Signature("more than one signer"));
            }
            signers.push(SignerInfo::decode(&infos.expect(tag::SEQUENCE, "signer")?)?);
        }
        Ok(SignedData { content_type, content, certificates, signers })
    }

    /// The attached content.
    pub fn content(&self) -> Option<&[u8]> {
        self.content.as_deref()
    }

    /// The attached content and certificates.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// The certificates.
    pub fn into_certificates(self) -> Vec<Certificate> {
        self.certificates
    }

    /// The signer's attributes before verification: only for answering that it failed.
    pub fn unverified_attributes(&self) -> Option<&Attributes> {
        self.signers.first().and_then(|signer| signer.attributes.as_ref()).map(|(_, attributes)| attributes)
    }

    /// Verifies the one signature over the content, attached or given; where both are there they
    /// must be equal.
    pub fn verify(&self, given: Option<&[u8]>, legacy: Legacy) -> Result<Verified> {
        let [signer] = &self.signers[..] else { return Err(Error::Signature("no signer")) };
        let content = match (self.content.as_deref(), given) {
            (Some(attached), Some(given)) if attached != given => return Err(Error::Signature("other content")),
            (Some(content), _) | (None, Some(content)) => content,
            (None, None) => return Err(Error::Signature("no content")),
        };
        let certificate = self.certificates.iter().find(|certificate| signer.identifier.names(certificate));
        let certificate = certificate.ok_or(Error::Signature("the signer's certificate is missing"))?;
        let check =
            |message: &[u8]| certificate.public_key().verify(signer.algorithm, message, &signer.signature, legacy);
        let Some((as_sent, attributes)) = &signer.attributes else {
            // RFC 5652 section 5.3: without attributes the content is plain data.
            if self.content_type != oid::DATA {
                return Err(Error::Signature("signed attributes are missing"));
            }
            check(content)?;
            let attributes = Attributes::default();
            return Ok(Verified { signer: certificate.clone(), digest: signer.digest, attributes });
        };
        if attributes.get(oid::CONTENT_TYPE) != Some(&asn1::oid(self.content_type)) {
            return Err(Error::Signature("wrong content type"));
        }
        if attributes.octets(oid::MESSAGE_DIGEST) != Some(&signer.digest.hash(content)) {
            return Err(Error::Signature("wrong message digest"));
        }
        // The signature covers the attributes as a SET: as they were sent first, then in DER's
        // order for signers that sort only what they sign.
        if check(&asn1::tlv(tag::SET, as_sent)).is_err() {
            check(&asn1::tlv(tag::SET, &sorted(as_sent)?))?;
        }
        Ok(Verified { signer: certificate.clone(), digest: signer.digest, attributes: attributes.clone() })
    }
}

fn sorted(set: &[u8]) -> Result<Vec<u8>> {
    let mut reader = Reader::new(set);
    let mut elements = Vec::new();
    while !reader.is_empty() {
        elements.push(reader.any()?.bytes.to_vec());
    }
    Ok(asn1::set_of(elements))
}

/// A verified attached content.
#[derive(Clone, Debug)]
pub struct Attached {
    /// The content.
    pub content: Vec<u8>,
    /// The signer's certificate; whether it is trusted is the caller's question ([`crate::chain`]).
    pub signer: Certificate,
    /// All certificates of the message.
    pub certificates: Vec<Certificate>,
}

/// Verifies a message with its content inside.
pub fn verify_attached(bytes: &[u8], limits: Limits, legacy: Legacy) -> Result<Attached> {
    let data = SignedData::decode(bytes, limits)?;
    let signer = data.verify(None, legacy)?.signer;
    Ok(Attached { content: data.content.unwrap_or_default(), signer, certificates: data.certificates })
}

/// Verifies a signature over content that travels beside it; answers the signer's certificate.
pub fn verify_detached(bytes: &[u8], content: &[u8], legacy: Legacy) -> Result<Certificate> {
    // Limits are the signature's own; an attached copy of the content is allowed for.
    let limits = Limits::default();
    let limits = Limits { bytes: limits.bytes + content.len(), ..limits };
    Ok(SignedData::decode(bytes, limits)?.verify(Some(content), legacy)?.signer)
}

/// What to sign and with what.
#[derive(Clone, Copy, Debug)]
pub struct SignRequest<'a> {
    /// The signer's key.
    pub key: &'a KeyPair,
    /// The signer's certificate.
    pub certificate: &'a Certificate,
    /// Certificates that lead from the signer to a root, sent along.
    pub chain: &'a [Certificate],
    /// Digest; SHA-256 where nothing else is asked for.
    pub digest: Digest,
    /// signingTime, unix ms.
    pub signing_time: Option<i64>,
}

impl<'a> SignRequest<'a> {
    /// SHA-256, no chain, no time.
    pub fn new(key: &'a KeyPair, certificate: &'a Certificate) -> Self {
        SignRequest { key, certificate, chain: &[], digest: Digest::Sha256, signing_time: None }
    }

    /// A message with the content inside.
    pub fn attached(&self, content: &[u8]) -> Result<Vec<u8>> {
        self.sign(content, true, &[])
    }

    /// A signature for content that travels beside it.
    pub fn detached(&self, content: &[u8]) -> Result<Vec<u8>> {
        self.sign(content, false, &[])
    }

    /// With further signed attributes (type and DER of the value).
    pub(crate) fn sign(&self, content: &[u8], attached: bool, further: &[(Oid, Vec<u8>)]) -> Result<Vec<u8>> {
        let algorithm = self.key.algorithm(self.digest);
        let (SignatureAlgorithm::Rsa(digest) | SignatureAlgorithm::Ecdsa(digest)) = algorithm;
        let mut attributes = vec![
            attribute(oid::CONTENT_TYPE, &asn1::oid(oid::DATA)),
            attribute(oid::MESSAGE_DIGEST, &asn1::octet_string(&digest.hash(content))),
        ];
        attributes.extend(self.signing_time.map(|time| attribute(oid::SIGNING_TIME, &asn1::encode_time(time))));
        attributes.extend(further.iter().map(|(kind, value)| attribute(*kind, value)));
        let attributes = asn1::set_of(attributes);
        let signature = self.key.sign(digest, &asn1::tlv(tag::SET, &attributes))?;
        // RFC 3370 section 3.2: RSA goes by its key's identifier here, and some clients know no other.
        let identifier = match algorithm {
            SignatureAlgorithm::Rsa(_) => asn1::sequence(&[&asn1::oid(oid::RSA_ENCRYPTION), &asn1::null()]),
            SignatureAlgorithm::Ecdsa(_) => algorithm.identifier(),
        };
        let signer = asn1::sequence(&[
            &asn1::integer_i64(1),
            &self.certificate.issuer_and_serial(),
            &digest.identifier(),
            &asn1::context(0, &attributes),
            &identifier,
            &asn1::octet_string(&signature),
        ]);
        let inside = if attached { asn1::context(0, &asn1::octet_string(content)) } else { Vec::new() };
        let bag = std::iter::once(self.certificate).chain(self.chain).map(|other| other.der().to_vec()).collect();
        let data = asn1::sequence(&[
            &asn1::integer_i64(1),
            &asn1::set(&[&digest.identifier()]),
            &asn1::sequence(&[&asn1::oid(oid::DATA), &inside]),
            &asn1::context(0, &asn1::set_of(bag)),
            &asn1::set(&[&signer]),
        ]);
        Ok(content_info(oid::SIGNED_DATA, &data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CertificateTemplate, KeyKind, Name, Usage};

    fn signer(kind: KeyKind) -> (KeyPair, Certificate) {
        let key = KeyPair::generate(kind).unwrap();
        let template = CertificateTemplate {
            serial: vec![7],
            subject: Name::common("signer"),
            not_before: 0,
            not_after: 1_000_000,
            public_key: key.public().clone(),
            usage: Usage::signer(),
            alternative_names: vec![],
            crl_url: None,
        };
        let certificate = template.self_sign(&key).unwrap();
        (key, certificate)
    }

    #[test]
    fn signatures_cover_every_byte_of_the_content() {
        let (key, certificate) = signer(KeyKind::P256);
        let request = SignRequest { signing_time: Some(5_000), ..SignRequest::new(&key, &certificate) };
        let attached = request.attached(b"profile").unwrap();
        let read = verify_attached(&attached, Limits::default(), Legacy::default()).unwrap();
        assert_eq!((read.content.as_slice(), &read.signer), (&b"profile"[..], &certificate));
        verify_detached(&attached, b"profile", Legacy::default()).unwrap();
        assert!(verify_detached(&attached, b"profilf", Legacy::default()).is_err());

        let detached = request.detached(b"body").unwrap();
        assert_eq!(verify_detached(&detached, b"body", Legacy::default()).unwrap(), certificate);
        assert!(verify_detached(&detached, b"bodx", Legacy::default()).is_err());
        assert!(verify_attached(&detached, Limits::default(), Legacy::default()).is_err());
    }

    #[test]
    fn rsa_signs_with_each_digest() {
        let (key, certificate) = signer(KeyKind::Rsa2048);
        for digest in [Digest::Sha256, Digest::Sha384, Digest::Sha512] {
            let request = SignRequest { digest, ..SignRequest::new(&key, &certificate) };
            let bytes = request.detached(b"body").unwrap();
            verify_detached(&bytes, b"body", Legacy::default()).unwrap();
        }
        let request = SignRequest { digest: Digest::Sha1, ..SignRequest::new(&key, &certificate) };
        assert!(request.detached(b"body").is_err());
    }

    #[test]
    fn a5_two_signers_and_foreign_certificates_are_refused() {
        let (key, certificate) = signer(KeyKind::P256);
        let (_, other) = signer(KeyKind::P256);
        // The other certificate carries the same issuer and serial, but not the key.
        let forged = SignRequest::new(&key, &other).detached(b"body").unwrap();
        assert!(verify_detached(&forged, b"body", Legacy::default()).is_err());

        let one = SignRequest::new(&key, &certificate).detached(b"body").unwrap();
        let data = content_of(&one, oid::SIGNED_DATA, "").unwrap();
        let mut parts = data.reader();
        let mut elements = Vec::new();
        while !parts.is_empty() {
            elements.push(parts.any().unwrap());
        }
        let signers = elements.pop().unwrap();
        let twice = asn1::tlv(tag::SET, &signers.content.repeat(2));
        let mut content: Vec<u8> = elements.iter().flat_map(|element| element.bytes.to_vec()).collect();
        content.extend(twice);
        let two = content_info(oid::SIGNED_DATA, &asn1::tlv(tag::SEQUENCE, &content));
        assert_eq!(verify_detached(&two, b"body", Legacy::default()), Err(Error::Signature("more than one signer")));
    }
}
