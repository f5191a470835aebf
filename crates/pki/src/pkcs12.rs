//! PKCS #12 (RFC 7292), reading only: one private key and its certificates, as push certificates
//! and signing certificates are exported by key chains and tools.
//!
//! Read are bags in the clear, under PBES2 (PBKDF2 with AES) and under the old 3DES scheme. The
//! 40-bit RC2 scheme is refused: such a file is exported again by whoever has it.

use std::num::NonZeroU32;

use aws_lc_rs::{hmac, pbkdf2};

use crate::{
    Certificate, Digest, Error, KeyPair, Result, Secret,
    asn1::{Element, Limits, Reader, tag, to_der},
    cms::Cipher,
    oid::{self, Oid},
};

const PBES2: Oid = Oid::new_unwrap("1.2.840.113549.1.5.13");
const PBKDF2: Oid = Oid::new_unwrap("1.2.840.113549.1.5.12");
const PBE_SHA1_3DES: Oid = Oid::new_unwrap("1.2.840.113549.1.12.1.3");
const HMAC_SHA1: Oid = Oid::new_unwrap("1.2.840.113549.2.7");
const HMAC_SHA256: Oid = Oid::new_unwrap("1.2.840.113549.2.9");
const HMAC_SHA384: Oid = Oid::new_unwrap("1.2.840.113549.2.10");
const HMAC_SHA512: Oid = Oid::new_unwrap("1.2.840.113549.2.11");
const ENCRYPTED_DATA: Oid = Oid::new_unwrap("1.2.840.113549.1.7.6");
const KEY_BAG: Oid = Oid::new_unwrap("1.2.840.113549.1.12.10.1.1");
const SHROUDED_KEY_BAG: Oid = Oid::new_unwrap("1.2.840.113549.1.12.10.1.2");
const CERTIFICATE_BAG: Oid = Oid::new_unwrap("1.2.840.113549.1.12.10.1.3");
const X509: Oid = Oid::new_unwrap("1.2.840.113549.1.9.22.1");

/// Rounds of a key derivation, at most: a file may not keep a core busy for minutes.
const ROUNDS: u32 = 1_000_000;
/// Certificates and keys in one file, at most.
const BAGS: usize = 16;

/// What a file holds.
#[derive(Debug)]
pub struct Identity {
    /// The private key.
    pub key: KeyPair,
    /// Its certificate first, the others in their order.
    pub chain: Vec<Certificate>,
}

/// Opens a file. A wrong password is [`Error::Decrypt`].
pub fn decode(bytes: &[u8], password: &Secret<String>) -> Result<Identity> {
    let der = to_der(bytes, Limits { bytes: 1024 * 1024, ..Limits::default() })?;
    let mut outer = Reader::new(&der).sequence("PKCS #12 file")?;
    outer.integer()?;
    let mut safe = outer.sequence("PKCS #12 safe")?;
    if safe.oid()? != oid::DATA {
        return Err(Error::Algorithm("a PKCS #12 file signed by a key"));
    }
    let safe = Element::decode(safe.expect(tag::context(0), "PKCS #12 safe")?.content)?;
    let mac = outer.expect(tag::SEQUENCE, "PKCS #12 digest")?;
    check_mac(&mac, safe.content, password)?;

    let mut bags = Bags::default();
    let inner = to_der(safe.content, Limits { bytes: 1024 * 1024, ..Limits::default() })?;
    let mut parts = Reader::new(&inner).sequence("PKCS #12 contents")?;
    while !parts.is_empty() {
        let mut part = parts.sequence("PKCS #12 content")?;
        let kind = part.oid()?;
        let content = Element::decode(part.expect(tag::context(0), "PKCS #12 content")?.content)?;
        match kind {
            oid::DATA => bags.read(content.content, password)?,
            ENCRYPTED_DATA => {
                let mut encrypted = content.reader();
                encrypted.integer()?;
                let mut encrypted = encrypted.sequence("encrypted content")?;
                encrypted.oid()?;
                let algorithm = encrypted.expect(tag::SEQUENCE, "encryption")?;
                let content = encrypted.any()?;
                let mut joined = Vec::new();
                if content.tag == tag::context(0) {
                    let mut pieces = content.reader();
                    while !pieces.is_empty() {
                        joined.extend_from_slice(pieces.expect(tag::OCTET_STRING, "encrypted content")?.content);
                    }
                } else {
                    joined.extend_from_slice(content.content);
                }
                bags.read(decrypt(&algorithm, &joined, password)?.expose(), password)?;
            }
            _ => return Err(Error::Algorithm("this kind of PKCS #12 content")),
        }
    }
    let key = bags.key.ok_or(Error::Malformed("PKCS #12 file without a private key"))?;
    let own = bags.certificates.iter().position(|certificate| certificate.public_key() == key.public());
    let own = bags.certificates.remove(own.ok_or(Error::Malformed("PKCS #12 file without the key's certificate"))?);
    let chain = std::iter::once(own).chain(bags.certificates).collect();
    Ok(Identity { key, chain })
}

#[derive(Default)]
struct Bags {
    key: Option<KeyPair>,
    certificates: Vec<Certificate>,
    count: usize,
}

impl Bags {
    fn read(&mut self, contents: &[u8], password: &Secret<String>) -> Result<()> {
        let mut bags = Reader::new(contents).sequence("PKCS #12 bags")?;
        while !bags.is_empty() {
            self.count += 1;
            if self.count > BAGS {
                return Err(Error::Malformed("number of PKCS #12 bags"));
            }
            let mut bag = bags.sequence("PKCS #12 bag")?;
            let kind = bag.oid()?;
            let value = Element::decode(bag.expect(tag::context(0), "PKCS #12 bag")?.content)?;
            let key = match kind {
                KEY_BAG => KeyPair::from_pkcs8(value.bytes)?,
                SHROUDED_KEY_BAG => {
                    let mut shrouded = value.reader();
                    let algorithm = shrouded.expect(tag::SEQUENCE, "encryption")?;
                    let encrypted = shrouded.expect(tag::OCTET_STRING, "encrypted key")?;
                    KeyPair::from_pkcs8(decrypt(&algorithm, encrypted.content, password)?.expose())?
                }
                CERTIFICATE_BAG => {
                    let mut certificate = value.reader();
                    if certificate.oid()? == X509 {
                        let held = certificate.expect(tag::context(0), "certificate bag")?;
                        self.certificates.push(Certificate::decode(Element::decode(held.content)?.content)?);
                    }
                    continue;
                }
                _ => continue,
            };
            if self.key.replace(key).is_some() {
                return Err(Error::Malformed("PKCS #12 file with several keys"));
            }
        }
        Ok(())
    }
}

fn rounds(element: &Element<'_>) -> Result<NonZeroU32> {
    NonZeroU32::new(element.small_integer()?)
        .filter(|rounds| rounds.get() <= ROUNDS)
        .ok_or(Error::Malformed("rounds of a PKCS #12 file"))
}

fn check_mac(mac: &Element<'_>, content: &[u8], password: &Secret<String>) -> Result<()> {
    let mut parts = mac.reader();
    let mut info = parts.sequence("PKCS #12 digest")?;
    let digest = Digest::from_oid(info.sequence("PKCS #12 digest")?.oid()?)?;
    let expected = info.expect(tag::OCTET_STRING, "PKCS #12 digest")?.content;
    let salt = parts.expect(tag::OCTET_STRING, "PKCS #12 salt")?.content;
    let rounds = match parts.optional(tag::INTEGER)? {
        Some(element) => rounds(&element)?,
        None => NonZeroU32::MIN,
    };
    let (algorithm, length) = match digest {
        Digest::Sha1 => (hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, 20),
        Digest::Sha256 => (hmac::HMAC_SHA256, 32),
        Digest::Sha384 => (hmac::HMAC_SHA384, 48),
        Digest::Sha512 => (hmac::HMAC_SHA512, 64),
    };
    let key = derive(digest, 3, password, salt, rounds, length)?;
    hmac::verify(&hmac::Key::new(algorithm, key.expose()), content, expected).map_err(|_| Error::Decrypt)
}

/// The derivation of RFC 7292 appendix B, for `purpose` key (1), initialisation vector (2), MAC (3).
fn derive(
    digest: Digest,
    purpose: u8,
    password: &Secret<String>,
    salt: &[u8],
    rounds: NonZeroU32,
    length: usize,
) -> Result<Secret<Vec<u8>>> {
    let block = if matches!(digest, Digest::Sha384 | Digest::Sha512) { 128 } else { 64 };
    let units = password.expose().encode_utf16().chain(std::iter::once(0));
    let password = Secret::new(units.flat_map(u16::to_be_bytes).collect::<Vec<u8>>());
    let fill =
        |text: &[u8]| -> Vec<u8> { text.iter().copied().cycle().take(block * text.len().div_ceil(block)).collect() };
    let mut input = Secret::new([fill(salt), fill(password.expose())].concat());
    let mut out = Secret::new(Vec::new());
    while out.expose().len() < length {
        let mut hash = digest.hash(&[&vec![purpose; block][..], input.expose()].concat());
        for _ in 1..rounds.get() {
            hash = digest.hash(&hash);
        }
        out.expose_mut().extend_from_slice(&hash);
        let add: Vec<u8> = hash.iter().copied().cycle().take(block).collect();
        for piece in input.expose_mut().chunks_mut(block) {
            let mut carry = 1u16;
            for (digit, more) in piece.iter_mut().rev().zip(add.iter().rev()) {
                let sum = u16::from(*digit) + u16::from(*more) + carry;
                *digit = sum as u8;
                carry = sum >> 8;
            }
        }
    }
    out.expose_mut().truncate(length);
    Ok(out)
}

fn decrypt(algorithm: &Element<'_>, ciphertext: &[u8], password: &Secret<String>) -> Result<Secret<Vec<u8>>> {
    let mut parts = algorithm.reader();
    let kind = parts.oid()?;
    let mut parameters = parts.sequence("encryption parameters")?;
    match kind {
        PBE_SHA1_3DES => {
            let salt = parameters.expect(tag::OCTET_STRING, "salt")?.content;
            let rounds = rounds(&parameters.any()?)?;
            let key = derive(Digest::Sha1, 1, password, salt, rounds, 24)?;
            let iv = derive(Digest::Sha1, 2, password, salt, rounds, 8)?;
            Cipher::DesEde3.decrypt(key.expose(), iv.expose(), ciphertext)
        }
        PBES2 => {
            let mut derivation = parameters.sequence("key derivation")?;
            if derivation.oid()? != PBKDF2 {
                return Err(Error::Algorithm("key derivation"));
            }
            let mut derivation = derivation.sequence("key derivation")?;
            let salt = derivation.expect(tag::OCTET_STRING, "salt")?.content;
            let rounds = rounds(&derivation.any()?)?;
            derivation.optional(tag::INTEGER)?;
            let function = match derivation.optional(tag::SEQUENCE)? {
                Some(function) => function.reader().oid()?,
                None => HMAC_SHA1,
            };
            let function = match function {
                HMAC_SHA1 => pbkdf2::PBKDF2_HMAC_SHA1,
                HMAC_SHA256 => pbkdf2::PBKDF2_HMAC_SHA256,
                HMAC_SHA384 => pbkdf2::PBKDF2_HMAC_SHA384,
                HMAC_SHA512 => pbkdf2::PBKDF2_HMAC_SHA512,
                _ => return Err(Error::Algorithm("key derivation")),
            };
            let mut scheme = parameters.sequence("encryption")?;
            let cipher = Cipher::from_oid(scheme.oid()?)?;
            let iv = scheme.expect(tag::OCTET_STRING, "initialisation vector")?.content;
            let mut key = Secret::new(vec![0; cipher.key_length()]);
            pbkdf2::derive(function, rounds, salt, password.expose().as_bytes(), key.expose_mut());
            cipher.decrypt(key.expose(), iv, ciphertext)
        }
        _ => Err(Error::Algorithm("this encryption of a PKCS #12 file")),
    }
}
