//! PKCS #10 certification requests (RFC 2986): [`Csr`] reads, [`CsrTemplate`] makes.

use crate::{
    AlternativeName, Digest, Error, KeyPair, Name, PublicKey, Result, Secret,
    asn1::{self, Element, Reader, tag},
    certificate::Extensions,
    oid, pem,
    public_key::{Legacy, SignatureAlgorithm},
};

/// Most bytes of one request.
const LIMIT: usize = 64 * 1024;
/// Attributes that are looked at; more are refused.
const MOST: usize = 32;
/// Longest challengePassword (PKCS #9 gives 255).
const CHALLENGE: usize = 255;

/// A decoded request. Of all it says, only the key and the challenge count for us.
#[derive(Clone, PartialEq, Eq)]
pub struct Csr {
    der: Vec<u8>,
    signed: std::ops::Range<usize>,
    subject: Name,
    public_key: PublicKey,
    challenge: Option<Secret<String>>,
    extensions: Extensions,
    algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
}

impl std::fmt::Debug for Csr {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Csr({} for {:?})", self.subject, self.public_key)
    }
}

impl Csr {
    /// Decodes one DER request that fills `der`. The signature is [`Csr::verify`]'s.
    pub fn decode(der: &[u8]) -> Result<Self> {
        if der.len() > LIMIT {
            return Err(Error::Malformed("request size"));
        }
        let mut outer = Reader::new(der);
        let mut parts = outer.sequence("request")?;
        outer.finish()?;
        let info = parts.expect(tag::SEQUENCE, "request content")?;
        let algorithm = SignatureAlgorithm::decode(&parts.expect(tag::SEQUENCE, "signature algorithm")?)?;
        let signature = parts.bit_string()?.to_vec();
        parts.finish()?;

        let mut content = info.reader();
        content.integer()?;
        let subject = Name::from_element(&content.expect(tag::SEQUENCE, "subject")?)?;
        let public_key = PublicKey::decode(content.expect(tag::SEQUENCE, "public key")?.bytes)?;
        let mut challenge = None;
        let mut extensions = Extensions::default();
        if let Some(attributes) = content.optional(tag::context(0))? {
            let mut attributes = attributes.reader();
            let mut count = 0;
            while !attributes.is_empty() {
                count += 1;
                let mut attribute = attributes.sequence("attribute")?;
                let kind = attribute.oid()?;
                let mut values = attribute.set("attribute values")?;
                attribute.finish()?;
                match kind {
                    oid::CHALLENGE_PASSWORD => {
                        let value = values.any()?;
                        values.finish()?;
                        if challenge.is_some() || value.content.len() > CHALLENGE {
                            return Err(Error::Malformed("challengePassword"));
                        }
                        challenge = Some(Secret::new(value.text()?));
                    }
                    oid::EXTENSION_REQUEST => extensions = Extensions::decode(&values.any()?)?,
                    _ => {}
                }
                if count > MOST {
                    return Err(Error::Malformed("attributes"));
                }
            }
        }
        content.finish()?;
        let start = info.bytes.as_ptr() as usize - der.as_ptr() as usize;
        Ok(Csr {
            signed: start..start + info.bytes.len(),
            der: der.to_vec(),
            subject,
            public_key,
            challenge,
            extensions,
            algorithm,
            signature,
        })
    }

    /// Decodes DER, or a `CERTIFICATE REQUEST` block of PEM.
    pub fn from_der_or_pem(bytes: &[u8]) -> Result<Self> {
        Csr::decode(&pem::der_or_pem("CERTIFICATE REQUEST", bytes)?)
    }

    /// Proof of possession: the request is signed by the key it asks for.
    pub fn verify(&self, legacy: Legacy) -> Result<()> {
        self.public_key.verify(self.algorithm, &self.der[self.signed.clone()], &self.signature, legacy)
    }

    /// The bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// PEM text.
    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE REQUEST", &self.der)
    }

    /// The key.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// challengePassword, if any.
    pub fn challenge(&self) -> Option<&Secret<String>> {
        self.challenge.as_ref()
    }

    /// What the requester would like to be called; never trusted.
    pub fn subject(&self) -> &Name {
        &self.subject
    }

    /// Extensions the requester would like; never trusted.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }
}

/// What a new request says.
#[derive(Clone, Debug)]
pub struct CsrTemplate {
    /// Subject.
    pub subject: Name,
    /// challengePassword
    pub challenge: Option<Secret<String>>,
    /// Requested subject alternative names.
    pub alternative_names: Vec<AlternativeName>,
    /// Further requested extensions, each a DER `Extension`.
    pub extensions: Vec<Vec<u8>>,
}

impl CsrTemplate {
    /// A request with a subject only.
    pub fn new(subject: Name) -> Self {
        CsrTemplate { subject, challenge: None, alternative_names: Vec::new(), extensions: Vec::new() }
    }

    /// Signs with the key that asks.
    pub fn sign(&self, key: &KeyPair) -> Result<Csr> {
        let mut attributes = Vec::new();
        if let Some(challenge) = &self.challenge {
            let text = challenge.expose();
            let printable = text.bytes().all(|b| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&b));
            let value = if printable { asn1::printable_string(text) } else { asn1::utf8_string(text) };
            attributes.push(attribute(oid::CHALLENGE_PASSWORD, &value));
        }
        let mut extensions = self.extensions.concat();
        if !self.alternative_names.is_empty() {
            extensions.extend(crate::certificate::alternative_names(&self.alternative_names, false));
        }
        if !extensions.is_empty() {
            attributes.push(attribute(oid::EXTENSION_REQUEST, &asn1::tlv(tag::SEQUENCE, &extensions)));
        }
        let info = asn1::sequence(&[
            &asn1::integer_i64(0),
            self.subject.der(),
            key.public().der(),
            &asn1::context(0, &asn1::set_of(attributes)),
        ]);
        let signature = key.sign(Digest::Sha256, &info)?;
        let algorithm = key.algorithm(Digest::Sha256).identifier();
        Csr::decode(&asn1::sequence(&[&info, &algorithm, &asn1::bit_string(&signature)]))
    }
}

/// One attribute with one value.
pub(crate) fn attribute(kind: oid::Oid, value: &[u8]) -> Vec<u8> {
    asn1::sequence(&[&asn1::oid(kind), &asn1::set(&[value])])
}

/// Reads exactly one value of an attribute's SET.
pub(crate) fn one_value<'a>(values: &Element<'a>) -> Result<Element<'a>> {
    Element::decode(values.content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyKind;

    #[test]
    fn requests_round_trip_with_challenge_and_proof_of_possession() {
        let key = KeyPair::generate(KeyKind::P256).unwrap();
        let template = CsrTemplate {
            challenge: Some(Secret::new("s3cret-Challenge_ü".into())),
            alternative_names: vec![AlternativeName::Email("anna@example.org".into())],
            ..CsrTemplate::new(Name::common("iPhone"))
        };
        let csr = template.sign(&key).unwrap();
        assert_eq!(Csr::from_der_or_pem(csr.to_pem().as_bytes()).unwrap(), csr);
        assert_eq!(csr.challenge().unwrap().expose(), "s3cret-Challenge_ü");
        assert_eq!(csr.extensions().alternative_names, template.alternative_names);
        csr.verify(Legacy::default()).unwrap();
    }

    #[test]
    fn c3_a_request_signed_by_another_key_fails_proof_of_possession() {
        let [key, other] = [(); 2].map(|()| KeyPair::generate(KeyKind::P256).unwrap());
        let csr = CsrTemplate::new(Name::common("x")).sign(&key).unwrap();
        let mut der = csr.der().to_vec();
        let at = der.windows(key.public().der().len()).position(|part| part == key.public().der()).unwrap();
        der[at..at + other.public().der().len()].copy_from_slice(other.public().der());
        assert_eq!(Csr::decode(&der).unwrap().verify(Legacy::default()), Err(Error::Signature("wrong signature")));
    }
}
