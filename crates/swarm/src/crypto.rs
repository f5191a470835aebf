//! What a device does with keys: identities, signatures, envelopes. All of it by crate `pki`.

use std::sync::{Arc, OnceLock};

use muster_pki::{
    Certificate, KeyKind, KeyPair,
    asn1::Limits,
    cms::{self, Cipher, SignRequest},
    oid,
    public_key::Legacy,
};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};

use crate::shell::Error;

/// A private key of a device or a stand-in.
pub type Key = KeyPair;

/// A certificate with its key.
pub struct Identity {
    /// DER.
    pub certificate: Vec<u8>,
    /// The key.
    pub key: Arc<Key>,
    decoded: Certificate,
    chain: Vec<Certificate>,
    certified: OnceLock<Arc<CertifiedKey>>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", common_name(&self.certificate).unwrap_or_default())
    }
}

impl Identity {
    /// An identity of a certificate, with the certificates that lead to its root.
    pub fn new(certificate: Certificate, chain: Vec<Certificate>, key: Arc<Key>) -> Self {
        let der = certificate.der().to_vec();
        Identity { certificate: der, key, decoded: certificate, chain, certified: OnceLock::new() }
    }

    /// The certificate, decoded.
    pub fn decoded(&self) -> &Certificate {
        &self.decoded
    }

    /// A signature over bytes that travel beside it.
    pub fn sign_detached(&self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        SignRequest::new(&self.key, &self.decoded).detached(bytes).map_err(device)
    }

    /// Signed bytes with the chain inside.
    pub fn sign_attached(&self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let request = SignRequest { chain: &self.chain, ..SignRequest::new(&self.key, &self.decoded) };
        request.attached(bytes).map_err(device)
    }

    /// For TLS.
    pub fn certified(&self) -> Result<Arc<CertifiedKey>, Error> {
        if let Some(ready) = self.certified.get() {
            return Ok(ready.clone());
        }
        let pkcs8 = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.to_pkcs8().expose().clone()));
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&pkcs8).map_err(device)?;
        let chain = std::iter::once(&self.decoded).chain(&self.chain);
        let chain = chain.map(|certificate| CertificateDer::from(certificate.der().to_vec())).collect();
        Ok(self.certified.get_or_init(|| Arc::new(CertifiedKey::new(chain, key))).clone())
    }

    /// Certificate and key as PEM, chain included.
    pub fn pem(&self) -> (String, String) {
        let chain = std::iter::once(&self.decoded).chain(&self.chain).map(Certificate::to_pem).collect::<String>();
        (chain, self.key.to_pem().expose().clone())
    }
}

fn device(error: impl std::fmt::Display) -> Error {
    Error::Device(error.to_string())
}

/// Random bytes fit for keys; a simulated device has no server's source to draw from.
#[expect(clippy::disallowed_methods, reason = "a simulated device is a process of its own, outside the server")]
pub fn fill(bytes: &mut [u8]) {
    aws_lc_rs::rand::fill(bytes).expect("the operating system has randomness");
}

/// A new RSA key, as SCEP payloads ask for.
pub fn generate() -> Result<Key, String> {
    KeyPair::generate(KeyKind::Rsa2048).map_err(|error| error.to_string())
}

/// Opens a signed profile: content and certificates.
pub fn open_signed(bytes: &[u8]) -> Result<(Vec<u8>, Vec<Vec<u8>>), String> {
    let attached = cms::verify_attached(bytes, Limits { bytes: 16 << 20, ..Limits::default() }, Legacy::default())
        .map_err(|error| error.to_string())?;
    let mut signers = vec![attached.signer.der().to_vec()];
    signers.extend(attached.certificates.iter().filter(|c| **c != attached.signer).map(|c| c.der().to_vec()));
    Ok((attached.content, signers))
}

/// Encrypts to a certificate.
pub fn envelope(certificate: &[u8], content: &[u8]) -> Result<Vec<u8>, String> {
    let certificate = Certificate::from_der_or_pem(certificate).map_err(|error| error.to_string())?;
    cms::encrypt(content, &certificate, Cipher::Aes256, &fill).map_err(|error| error.to_string())
}

/// Whether these bytes are one certificate.
pub fn is_certificate(bytes: &[u8]) -> bool {
    Certificate::from_der_or_pem(bytes).is_ok()
}

/// Common name of a certificate's subject.
pub fn common_name(der: &[u8]) -> Option<String> {
    let certificate = Certificate::decode(der).ok()?;
    certificate.subject().get(oid::COMMON_NAME)
}

/// The six digits an authenticator app shows for a base32 secret at a time (RFC 6238, SHA-1, 30 s).
pub fn totp(secret: &str, now: i64) -> Option<String> {
    let mut key = Vec::new();
    let (mut buffer, mut bits) = (0u32, 0);
    for c in secret.chars().filter(|c| !c.is_whitespace() && *c != '=' && *c != '-') {
        let value = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(c.to_ascii_uppercase())? as u32;
        (buffer, bits) = (buffer << 5 | value, bits + 5);
        if bits >= 8 {
            bits -= 8;
            key.push((buffer >> bits) as u8);
            buffer &= (1 << bits) - 1;
        }
    }
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
    let tag = aws_lc_rs::hmac::sign(&key, &(now.max(0) as u64 / 30_000).to_be_bytes());
    let tag = tag.as_ref();
    let at = (tag.last()? & 15) as usize;
    let number = u32::from_be_bytes(tag[at..at + 4].try_into().ok()?) & 0x7fff_ffff;
    Some(format!("{:06}", number % 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totp_shows_the_digits_of_rfc_6238() {
        let secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        assert_eq!(totp(secret, 59_000).as_deref(), Some("287082"));
        assert_eq!(totp(secret, 1_111_111_109_000).as_deref(), Some("081804"));
    }
}
