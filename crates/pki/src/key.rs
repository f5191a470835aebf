//! [`KeyPair`]: private keys, all of whose operations happen in aws-lc-rs.

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::{self, Pkcs1PrivateDecryptingKey, PrivateDecryptingKey},
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
        RSA_PKCS1_SHA512,
    },
};

use crate::{Digest, Error, PublicKey, Result, Secret, asn1, oid, pem, public_key::SignatureAlgorithm};

/// Kinds of keys we make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// RSA, 2048 bits
    Rsa2048,
    /// RSA, 3072 bits
    Rsa3072,
    /// RSA, 4096 bits
    Rsa4096,
    /// P-256
    P256,
}

enum Inner {
    Rsa { signing: rsa::KeyPair, decrypting: Pkcs1PrivateDecryptingKey },
    P256(EcdsaKeyPair),
}

/// A private key with its public key. Shown as its public fingerprint only.
pub struct KeyPair {
    inner: Inner,
    pkcs8: Secret<Vec<u8>>,
    public: PublicKey,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.public.fingerprint();
        write!(formatter, "KeyPair({:02x}{:02x}{:02x}{:02x}..)", name[0], name[1], name[2], name[3])
    }
}

impl KeyPair {
    /// Makes a key. RSA keys take tenths of a second.
    pub fn generate(kind: KeyKind) -> Result<Self> {
        let size = match kind {
            KeyKind::Rsa2048 => rsa::KeySize::Rsa2048,
            KeyKind::Rsa3072 => rsa::KeySize::Rsa3072,
            KeyKind::Rsa4096 => rsa::KeySize::Rsa4096,
            KeyKind::P256 => {
                let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
                    .map_err(|_| Error::Crypto("key generation"))?;
                let pkcs8 = key.to_pkcs8v1().map_err(|_| Error::Crypto("key encoding"))?;
                return KeyPair::from_pkcs8(pkcs8.as_ref());
            }
        };
        let key = rsa::KeyPair::generate(size).map_err(|_| Error::Crypto("key generation"))?;
        let pkcs8 = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'static>>::as_der(&key)
            .map_err(|_| Error::Crypto("key encoding"))?;
        KeyPair::from_pkcs8(pkcs8.as_ref())
    }

    /// Reads PKCS #8 (PrivateKeyInfo, RFC 5958), RSA or P-256.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self> {
        let pkcs8 = Secret::new(der.to_vec());
        if let Ok(signing) = rsa::KeyPair::from_pkcs8(der) {
            let decrypting = PrivateDecryptingKey::from_pkcs8(der)
                .ok()
                .and_then(|key| Pkcs1PrivateDecryptingKey::new(key).ok())
                .ok_or(Error::Malformed("private key"))?;
            let algorithm = asn1::sequence(&[&asn1::oid(oid::RSA_ENCRYPTION), &asn1::null()]);
            let public = asn1::sequence(&[&algorithm, &asn1::bit_string(signing.public_key().as_ref())]);
            let public = PublicKey::decode(&public)?;
            return Ok(KeyPair { inner: Inner::Rsa { signing, decrypting }, pkcs8, public });
        }
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der)
            .map_err(|_| Error::Malformed("private key"))?;
        let algorithm = asn1::sequence(&[&asn1::oid(oid::EC_PUBLIC_KEY), &asn1::oid(oid::P256)]);
        let public = asn1::sequence(&[&algorithm, &asn1::bit_string(key.public_key().as_ref())]);
        let public = PublicKey::decode(&public)?;
        Ok(KeyPair { inner: Inner::P256(key), pkcs8, public })
    }

    /// Reads PKCS #8, or PEM with the label `PRIVATE KEY`, `RSA PRIVATE KEY` or `EC PRIVATE KEY`.
    pub fn from_der_or_pem(bytes: &[u8]) -> Result<Self> {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) if text.contains("-----BEGIN") => text,
            _ => return KeyPair::from_pkcs8(bytes),
        };
        for (label, der) in pem::decode_all(text)? {
            let der = Secret::new(der);
            match label.as_str() {
                "PRIVATE KEY" => return KeyPair::from_pkcs8(der.expose()),
                "RSA PRIVATE KEY" => {
                    let algorithm = asn1::sequence(&[&asn1::oid(oid::RSA_ENCRYPTION), &asn1::null()]);
                    return KeyPair::from_pkcs8(&wrap(&algorithm, der.expose()));
                }
                "EC PRIVATE KEY" => {
                    let algorithm = asn1::sequence(&[&asn1::oid(oid::EC_PUBLIC_KEY), &asn1::oid(oid::P256)]);
                    return KeyPair::from_pkcs8(&wrap(&algorithm, der.expose()));
                }
                _ => {}
            }
        }
        Err(Error::Malformed("private key"))
    }

    /// PKCS #8 in DER.
    pub fn to_pkcs8(&self) -> &Secret<Vec<u8>> {
        &self.pkcs8
    }

    /// PKCS #8 in PEM.
    pub fn to_pem(&self) -> Secret<String> {
        Secret::new(pem::encode("PRIVATE KEY", self.pkcs8.expose()))
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The algorithm that [`KeyPair::sign`] uses for this digest; P-256 always takes SHA-256.
    pub fn algorithm(&self, digest: Digest) -> SignatureAlgorithm {
        match self.inner {
            Inner::Rsa { .. } => SignatureAlgorithm::Rsa(digest),
            Inner::P256(_) => SignatureAlgorithm::Ecdsa(Digest::Sha256),
        }
    }

    /// Signs a message. SHA-1 is never signed with.
    pub fn sign(&self, digest: Digest, message: &[u8]) -> Result<Vec<u8>> {
        match &self.inner {
            Inner::Rsa { signing, .. } => {
                let padding = match digest {
                    Digest::Sha1 => return Err(Error::Algorithm("SHA-1")),
                    Digest::Sha256 => &RSA_PKCS1_SHA256,
                    Digest::Sha384 => &RSA_PKCS1_SHA384,
                    Digest::Sha512 => &RSA_PKCS1_SHA512,
                };
                let mut out = vec![0; signing.public_modulus_len()];
                signing
                    .sign(padding, &SystemRandom::new(), message, &mut out)
                    .map_err(|_| Error::Crypto("signature"))?;
                Ok(out)
            }
            Inner::P256(key) => {
                let signature = key.sign(&SystemRandom::new(), message).map_err(|_| Error::Crypto("signature"))?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }

    /// Decrypts RSAES-PKCS1-v1_5. The caller must not let a stranger tell failures apart.
    pub(crate) fn decrypt(&self, ciphertext: &[u8]) -> Result<Secret<Vec<u8>>> {
        let Inner::Rsa { decrypting, .. } = &self.inner else { return Err(Error::Decrypt) };
        let mut out = Secret::new(vec![0; decrypting.min_output_size()]);
        let length = decrypting.decrypt(ciphertext, out.expose_mut()).map_err(|_| Error::Decrypt)?.len();
        out.expose_mut().truncate(length);
        Ok(out)
    }
}

fn wrap(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    asn1::sequence(&[&asn1::integer_i64(0), algorithm, &asn1::octet_string(key)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::public_key::Legacy;

    #[test]
    fn keys_round_trip_through_pkcs8_and_pem() {
        for kind in [KeyKind::P256, KeyKind::Rsa2048] {
            let key = KeyPair::generate(kind).unwrap();
            key.public().check_policy().unwrap();
            let again = KeyPair::from_der_or_pem(key.to_pem().expose().as_bytes()).unwrap();
            assert_eq!(again.public(), key.public());
            let signature = again.sign(Digest::Sha256, b"words").unwrap();
            let algorithm = again.algorithm(Digest::Sha256);
            key.public().verify(algorithm, b"words", &signature, Legacy::default()).unwrap();
            assert!(key.public().verify(algorithm, b"other", &signature, Legacy::default()).is_err());
        }
    }

    #[test]
    fn i3_a_key_is_not_in_its_debug_output() {
        let key = KeyPair::generate(KeyKind::P256).unwrap();
        assert!(format!("{key:?}").len() < 30);
    }
}
