//! EnvelopedData (RFC 5652 section 6) with RSA key transport.
//!
//! A key that does not unwrap is replaced by a random one, so that a stranger who sends altered
//! messages learns the same from every failure (Bleichenbacher's question stays unanswered).

use super::{Cipher, Identifier, content_info, content_of};
use crate::{
    Certificate, Error, Fill, KeyPair, Result, Secret,
    asn1::{self, Element, Limits, Reader, tag},
    oid,
};

/// Recipients of one message, at most.
const RECIPIENTS: usize = 8;

/// Which content encryption is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ciphers {
    /// 3DES too.
    pub des: bool,
}

/// A decoded enveloped data.
#[derive(Clone, Debug)]
pub struct EnvelopedData {
    /// Who, and the content key wrapped for them.
    recipients: Vec<(Identifier, Vec<u8>)>,
    cipher: Cipher,
    iv: Vec<u8>,
    content: Vec<u8>,
}

impl EnvelopedData {
    /// Decodes BER or DER.
    pub fn decode(bytes: &[u8], limits: Limits) -> Result<Self> {
        let der = asn1::to_der(bytes, limits)?;
        let what = "enveloped data";
        let mut parts = Reader::new(content_of(&der, oid::ENVELOPED_DATA, what)?.bytes).sequence(what)?;
        parts.integer()?;
        parts.optional(tag::context(0))?;
        let mut infos = parts.set("recipients")?;
        let mut encrypted = parts.sequence("encrypted content")?;
        parts.optional(tag::context(1))?;
        parts.finish()?;

        let mut recipients = Vec::new();
        while !infos.is_empty() {
            if recipients.len() >= RECIPIENTS {
                return Err(Error::Malformed("number of recipients"));
            }
            recipients.extend(recipient(&infos.any()?)?);
        }
        encrypted.oid()?;
        let mut algorithm = encrypted.sequence("content encryption")?;
        let cipher = Cipher::from_oid(algorithm.oid()?)?;
        let iv = algorithm.expect(tag::OCTET_STRING, "initialisation vector")?.content.to_vec();
        if iv.len() != cipher.iv_length() {
            return Err(Error::Malformed("initialisation vector"));
        }
        let content = encrypted.any()?;
        encrypted.finish()?;
        let content = match content.tag {
            0x80 => content.content.to_vec(),
            // The rewriter cannot know that this implicit tag stands for an OCTET STRING in pieces.
            0xa0 => {
                let mut pieces = content.reader();
                let mut joined = Vec::new();
                while !pieces.is_empty() {
                    joined.extend_from_slice(pieces.expect(tag::OCTET_STRING, "encrypted content")?.content);
                }
                joined
            }
            _ => return Err(Error::Malformed("encrypted content")),
        };
        Ok(EnvelopedData { recipients, cipher, iv, content })
    }

    /// The content encryption.
    pub fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// True where a recipient is named by this certificate.
    pub fn is_for(&self, certificate: &Certificate) -> bool {
        self.wrapped(certificate).is_some()
    }

    fn wrapped(&self, certificate: &Certificate) -> Option<&[u8]> {
        let found = self.recipients.iter().find(|(identifier, _)| identifier.names(certificate));
        found.map(|(_, wrapped)| wrapped.as_slice())
    }

    /// Decrypts with the key of the recipient that the certificate names.
    pub fn decrypt(
        &self,
        certificate: &Certificate,
        key: &KeyPair,
        ciphers: Ciphers,
        random: Fill<'_>,
    ) -> Result<Secret<Vec<u8>>> {
        if self.cipher == Cipher::DesEde3 && !ciphers.des {
            return Err(Error::Algorithm("3DES"));
        }
        let wrapped = self.wrapped(certificate).ok_or(Error::Untrusted("encrypted for another recipient"))?;
        let mut substitute = Secret::new(vec![0; self.cipher.key_length()]);
        random(substitute.expose_mut());
        let content_key = match key.decrypt(wrapped) {
            Ok(unwrapped) if unwrapped.expose().len() == self.cipher.key_length() => unwrapped,
            _ => substitute,
        };
        self.cipher.decrypt(content_key.expose(), &self.iv, &self.content).map_err(|_| Error::Decrypt)
    }
}

/// KeyTransRecipientInfo; other kinds are passed over.
fn recipient(element: &Element<'_>) -> Result<Option<(Identifier, Vec<u8>)>> {
    if element.tag != tag::SEQUENCE {
        return Ok(None);
    }
    let mut parts = element.reader();
    parts.integer()?;
    let identifier = Identifier::decode(&parts.any()?)?;
    if parts.sequence("key encryption")?.oid()? != oid::RSA_ENCRYPTION {
        return Ok(None);
    }
    let wrapped = parts.expect(tag::OCTET_STRING, "encrypted key")?.content.to_vec();
    parts.finish()?;
    Ok(Some((identifier, wrapped)))
}

/// Encrypts `content` for the holder of an RSA certificate.
pub fn encrypt(content: &[u8], recipient: &Certificate, cipher: Cipher, random: Fill<'_>) -> Result<Vec<u8>> {
    let mut key = Secret::new(vec![0; cipher.key_length()]);
    random(key.expose_mut());
    let mut iv = vec![0; cipher.iv_length()];
    random(&mut iv);
    let encrypted = cipher.encrypt(key.expose(), &iv, content)?;
    let wrapped = recipient.public_key().encrypt(key.expose())?;
    let info = asn1::sequence(&[
        &asn1::integer_i64(0),
        &recipient.issuer_and_serial(),
        // With NULL parameters, as RFC 3370 section 4.2.1 asks; some clients compare.
        &asn1::sequence(&[&asn1::oid(oid::RSA_ENCRYPTION), &asn1::null()]),
        &asn1::octet_string(&wrapped),
    ]);
    let data = asn1::sequence(&[
        &asn1::integer_i64(0),
        &asn1::set(&[&info]),
        &asn1::sequence(&[
            &asn1::oid(oid::DATA),
            &asn1::sequence(&[&asn1::oid(cipher.oid()), &asn1::octet_string(&iv)]),
            &asn1::context_bytes(0, &encrypted),
        ]),
    ]);
    Ok(content_info(oid::ENVELOPED_DATA, &data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CertificateTemplate, KeyKind, Name, Usage};

    fn counting() -> impl Fn(&mut [u8]) {
        let next = std::cell::Cell::new(0u8);
        move |bytes: &mut [u8]| {
            for byte in bytes {
                next.set(next.get().wrapping_mul(5).wrapping_add(3));
                *byte = next.get();
            }
        }
    }

    fn recipient() -> (KeyPair, Certificate) {
        let key = KeyPair::generate(KeyKind::Rsa2048).unwrap();
        let template = CertificateTemplate {
            serial: vec![9],
            subject: Name::common("recipient"),
            not_before: 0,
            not_after: 1_000_000,
            public_key: key.public().clone(),
            usage: Usage::client(),
            alternative_names: vec![],
            crl_url: None,
        };
        let certificate = template.self_sign(&key).unwrap();
        (key, certificate)
    }

    #[test]
    fn content_decrypts_for_its_recipient() {
        let (key, certificate) = recipient();
        let random = counting();
        for cipher in [Cipher::Aes128, Cipher::Aes256, Cipher::DesEde3] {
            let bytes = encrypt(b"a request", &certificate, cipher, &random).unwrap();
            let data = EnvelopedData::decode(&bytes, Limits::default()).unwrap();
            assert!(data.is_for(&certificate));
            let ciphers = Ciphers { des: true };
            assert_eq!(data.decrypt(&certificate, &key, ciphers, &random).unwrap().expose(), b"a request");
            let strict = data.decrypt(&certificate, &key, Ciphers::default(), &random);
            assert_eq!(strict.is_ok(), cipher != Cipher::DesEde3, "3DES only by the flag");
        }
    }

    #[test]
    fn a_failed_unwrap_and_a_failed_decryption_look_the_same() {
        let (key, certificate) = recipient();
        let random = counting();
        let bytes = encrypt(&[7; 100], &certificate, Cipher::Aes128, &random).unwrap();
        let good = EnvelopedData::decode(&bytes, Limits::default()).unwrap();
        let mut bad_key = good.clone();
        bad_key.recipients[0].1 = certificate.public_key().encrypt(&[1; 5]).unwrap();
        let mut bad_padding = good.clone();
        bad_padding.recipients[0].1[100] ^= 1;
        let mut bad_content = good.clone();
        *bad_content.content.last_mut().unwrap() ^= 0x55;
        for data in [bad_key, bad_padding, bad_content] {
            let answer = data.decrypt(&certificate, &key, Ciphers::default(), &random);
            assert_eq!(answer.map(|plain| plain.expose().clone()), Err(Error::Decrypt));
        }
    }
}
