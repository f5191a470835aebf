//! [`CertificateTemplate`]: what a new certificate says; signing it makes the certificate.

use super::{AlternativeName, Certificate, KeyUsage};
use crate::{
    Digest, Fill, KeyPair, Name, PublicKey, Result,
    asn1::{self, tag},
    oid::{self, Oid},
};

/// What a key may be used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// A certificate authority, with the number of further authorities below it.
    pub authority: Option<Option<u8>>,
    /// keyUsage
    pub key: KeyUsage,
    /// extendedKeyUsage; empty for none.
    pub extended: Vec<Oid>,
}

impl Usage {
    /// A root.
    pub fn root() -> Self {
        Usage { authority: Some(None), key: KeyUsage::CERTIFICATE_SIGN.and(KeyUsage::CRL_SIGN), extended: Vec::new() }
    }

    /// An authority that issues to devices, and answers SCEP with the same key: it also signs and
    /// decrypts messages.
    pub fn issuing() -> Self {
        let messages = KeyUsage::DIGITAL_SIGNATURE.and(KeyUsage::KEY_ENCIPHERMENT);
        let authority = KeyUsage::CERTIFICATE_SIGN.and(KeyUsage::CRL_SIGN);
        Usage { authority: Some(Some(0)), key: messages.and(authority), extended: Vec::new() }
    }

    /// A TLS server.
    pub fn server() -> Self {
        let key = KeyUsage::DIGITAL_SIGNATURE.and(KeyUsage::KEY_ENCIPHERMENT);
        Usage { authority: None, key, extended: vec![oid::SERVER_AUTH] }
    }

    /// A TLS client that also signs and decrypts messages: a device.
    pub fn client() -> Self {
        Usage { extended: vec![oid::CLIENT_AUTH], ..Usage::server() }
    }

    /// A signer of documents.
    pub fn signer() -> Self {
        Usage { authority: None, key: KeyUsage::DIGITAL_SIGNATURE, extended: Vec::new() }
    }
}

/// What a new certificate says.
#[derive(Clone, Debug)]
pub struct CertificateTemplate {
    /// Serial number, see [`random_serial`].
    pub serial: Vec<u8>,
    /// Subject.
    pub subject: Name,
    /// Start of validity, unix ms.
    pub not_before: i64,
    /// End of validity, unix ms.
    pub not_after: i64,
    /// The key that is certified.
    pub public_key: PublicKey,
    /// What it may be used for.
    pub usage: Usage,
    /// Subject alternative names.
    pub alternative_names: Vec<AlternativeName>,
    /// Where the issuer's revocation list is, if anywhere.
    pub crl_url: Option<String>,
}

/// Who signs.
#[derive(Clone, Copy, Debug)]
pub struct Issuer<'a> {
    /// Its certificate.
    pub certificate: &'a Certificate,
    /// Its key.
    pub key: &'a KeyPair,
}

impl<'a> Issuer<'a> {
    /// Both parts.
    pub fn new(certificate: &'a Certificate, key: &'a KeyPair) -> Self {
        Issuer { certificate, key }
    }
}

/// A serial number of 16 octets, positive, with 126 random bits (threats C9).
pub fn random_serial(random: Fill<'_>) -> Vec<u8> {
    let mut serial = vec![0; 16];
    random(&mut serial);
    serial[0] = serial[0] & 0x3f | 0x40;
    serial
}

impl CertificateTemplate {
    /// Signs with an authority's key.
    pub fn sign(&self, issuer: Issuer<'_>) -> Result<Certificate> {
        self.finish(issuer.certificate.subject(), &issuer.certificate.key_identifier(), issuer.key)
    }

    /// Signs with its own key: a root, or the throw-away certificate of a SCEP client.
    pub fn self_sign(&self, key: &KeyPair) -> Result<Certificate> {
        self.finish(&self.subject, &key.public().key_identifier(), key)
    }

    fn finish(&self, issuer: &Name, issuer_key_identifier: &[u8], key: &KeyPair) -> Result<Certificate> {
        let algorithm = key.algorithm(Digest::Sha256).identifier();
        let content = asn1::sequence(&[
            &asn1::context(0, &asn1::integer_i64(2)),
            &asn1::integer(&self.serial),
            &algorithm,
            issuer.der(),
            &asn1::sequence(&[&asn1::encode_time(self.not_before), &asn1::encode_time(self.not_after)]),
            self.subject.der(),
            self.public_key.der(),
            &asn1::context(3, &asn1::tlv(tag::SEQUENCE, &self.extensions(issuer_key_identifier))),
        ]);
        let signature = key.sign(Digest::Sha256, &content)?;
        Certificate::decode(&asn1::sequence(&[&content, &algorithm, &asn1::bit_string(&signature)]))
    }

    fn extensions(&self, issuer_key_identifier: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let constraints = match self.usage.authority {
            None => asn1::sequence(&[]),
            Some(None) => asn1::sequence(&[&asn1::boolean(true)]),
            Some(Some(length)) => asn1::sequence(&[&asn1::boolean(true), &asn1::integer_i64(length.into())]),
        };
        out.extend(extension(oid::BASIC_CONSTRAINTS, true, &constraints));
        out.extend(extension(oid::KEY_USAGE, true, &self.usage.key.encode()));
        if !self.usage.extended.is_empty() {
            let usages: Vec<u8> = self.usage.extended.iter().flat_map(|&usage| asn1::oid(usage)).collect();
            out.extend(extension(oid::EXTENDED_KEY_USAGE, false, &asn1::tlv(tag::SEQUENCE, &usages)));
        }
        out.extend(subject_key_identifier(&self.public_key));
        out.extend(authority_key_identifier(issuer_key_identifier));
        if !self.alternative_names.is_empty() {
            out.extend(alternative_names(&self.alternative_names, self.subject.is_empty()));
        }
        if let Some(url) = &self.crl_url {
            let name = asn1::context(0, &asn1::context(0, &asn1::context_bytes(6, url.as_bytes())));
            out.extend(extension(oid::CRL_DISTRIBUTION_POINTS, false, &asn1::sequence(&[&asn1::sequence(&[&name])])));
        }
        out
    }
}

/// One extension.
pub(crate) fn extension(kind: Oid, critical: bool, value: &[u8]) -> Vec<u8> {
    let flag = if critical { asn1::boolean(true) } else { Vec::new() };
    asn1::sequence(&[&asn1::oid(kind), &flag, &asn1::octet_string(value)])
}

fn subject_key_identifier(key: &PublicKey) -> Vec<u8> {
    extension(oid::SUBJECT_KEY_IDENTIFIER, false, &asn1::octet_string(&key.key_identifier()))
}

/// The extension that names the issuer's key, in certificates and revocation lists.
pub(crate) fn authority_key_identifier(identifier: &[u8]) -> Vec<u8> {
    extension(oid::AUTHORITY_KEY_IDENTIFIER, false, &asn1::sequence(&[&asn1::context_bytes(0, identifier)]))
}

/// subjectAltName, critical where the subject is empty.
pub(crate) fn alternative_names(names: &[AlternativeName], critical: bool) -> Vec<u8> {
    let content: Vec<u8> = names.iter().flat_map(AlternativeName::encode).collect();
    extension(oid::SUBJECT_ALTERNATIVE_NAME, critical, &asn1::tlv(tag::SEQUENCE, &content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyKind, public_key::Legacy};

    #[test]
    fn an_issued_certificate_says_what_the_template_says() {
        let ca_key = KeyPair::generate(KeyKind::P256).unwrap();
        let key = KeyPair::generate(KeyKind::P256).unwrap();
        let root = CertificateTemplate {
            serial: vec![1],
            subject: Name::common("Root"),
            not_before: 0,
            not_after: 4_000_000_000_000,
            public_key: ca_key.public().clone(),
            usage: Usage::root(),
            alternative_names: vec![],
            crl_url: None,
        };
        let root = root.self_sign(&ca_key).unwrap();
        let names = vec![
            AlternativeName::Dns("mdm.example.org".into()),
            AlternativeName::Ip([127, 0, 0, 1].into()),
            AlternativeName::UserPrincipalName("anna@example.org".into()),
        ];
        let template = CertificateTemplate {
            serial: vec![0x40, 2],
            subject: Name::common("server"),
            not_before: 1_000,
            not_after: 2_000,
            public_key: key.public().clone(),
            usage: Usage::server(),
            alternative_names: names.clone(),
            crl_url: Some("http://localhost/crl/device.crl".into()),
        };
        let issued = template.sign(Issuer { certificate: &root, key: &ca_key }).unwrap();
        issued.verify_signature(root.public_key(), Legacy::default()).unwrap();
        assert!(root.verify_signature(key.public(), Legacy::default()).is_err());
        assert_eq!(issued.extensions().alternative_names, names);
        assert_eq!(issued.extensions().extended_key_usage, [oid::SERVER_AUTH]);
        assert_eq!(issued.extensions().authority, None);
        assert_eq!(issued.issuer(), root.subject());
        assert_eq!((issued.not_before(), issued.not_after()), (1_000, 2_000));
        assert!(!issued.valid_at(2_001) && !issued.valid_at(999));
        assert_eq!(issued.extensions().authority_key_identifier, Some(root.key_identifier()));
        assert_eq!(Certificate::from_der_or_pem(issued.to_pem().as_bytes()).unwrap(), issued);
    }

    #[test]
    fn c9_serials_are_random_and_positive() {
        let zeros = random_serial(&|bytes| bytes.fill(0));
        let ones = random_serial(&|bytes| bytes.fill(0xff));
        assert_eq!((zeros.len(), zeros[0]), (16, 0x40));
        assert_eq!((ones.len(), ones[0]), (16, 0x7f));
        // Every bit but the two that make the number positive and 16 octets long is the caller's.
        let fixed = zeros.iter().zip(&ones).map(|(a, b)| (!(a ^ b)).count_ones()).sum::<u32>();
        assert_eq!(fixed, 2);
    }
}
