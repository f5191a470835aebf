//! Content encryption of enveloped data: CBC with PKCS #7 padding.

use aws_lc_rs::{
    cipher::{
        AES_128, AES_256, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
        UnboundCipherKey,
    },
    iv::FixedLength,
};

use crate::{
    Error, Result, Secret,
    oid::{self, Oid},
};

/// A content encryption algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// AES-128-CBC
    Aes128,
    /// AES-256-CBC
    Aes256,
    /// 3DES-CBC, for old clients and only by a flag.
    DesEde3,
}

impl Cipher {
    /// The identifier.
    pub fn oid(self) -> Oid {
        match self {
            Cipher::Aes128 => oid::AES128_CBC,
            Cipher::Aes256 => oid::AES256_CBC,
            Cipher::DesEde3 => oid::DES_EDE3_CBC,
        }
    }

    /// From its identifier.
    pub fn from_oid(value: Oid) -> Result<Self> {
        [Cipher::Aes128, Cipher::Aes256, Cipher::DesEde3]
            .into_iter()
            .find(|cipher| cipher.oid() == value)
            .ok_or(Error::Algorithm("content encryption"))
    }

    /// Octets of a key.
    pub(crate) fn key_length(self) -> usize {
        match self {
            Cipher::Aes128 => 16,
            Cipher::Aes256 => 32,
            Cipher::DesEde3 => 24,
        }
    }

    /// Octets of an initialisation vector.
    pub(super) fn iv_length(self) -> usize {
        if self == Cipher::DesEde3 { 8 } else { 16 }
    }

    fn key(self, key: &[u8]) -> Result<UnboundCipherKey> {
        let algorithm = match self {
            Cipher::Aes128 => &AES_128,
            Cipher::Aes256 => &AES_256,
            #[expect(deprecated, reason = "clients without AES exist; the caller's flag decides")]
            Cipher::DesEde3 => &aws_lc_rs::cipher::DES_EDE3_FOR_LEGACY_USE_ONLY,
        };
        UnboundCipherKey::new(algorithm, key).map_err(|_| Error::Crypto("content key"))
    }

    fn iv(self, iv: &[u8]) -> Result<EncryptionContext> {
        let wrong = |_| Error::Malformed("initialisation vector");
        Ok(match self {
            Cipher::DesEde3 => EncryptionContext::Iv64(FixedLength::from(<[u8; 8]>::try_from(iv).map_err(wrong)?)),
            _ => EncryptionContext::Iv128(FixedLength::from(<[u8; 16]>::try_from(iv).map_err(wrong)?)),
        })
    }

    /// Encrypts and pads.
    pub(super) fn encrypt(self, key: &[u8], iv: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        let key = PaddedBlockEncryptingKey::cbc_pkcs7(self.key(key)?).map_err(|_| Error::Crypto("content key"))?;
        let mut body = plain.to_vec();
        key.less_safe_encrypt(&mut body, self.iv(iv)?).map_err(|_| Error::Crypto("content encryption"))?;
        Ok(body)
    }

    /// Decrypts and takes the padding off.
    pub(crate) fn decrypt(self, key: &[u8], iv: &[u8], ciphertext: &[u8]) -> Result<Secret<Vec<u8>>> {
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(self.key(key)?).map_err(|_| Error::Crypto("content key"))?;
        let mut body = Secret::new(ciphertext.to_vec());
        let context = DecryptionContext::from(self.iv(iv)?);
        let length = key.decrypt(body.expose_mut(), context).map_err(|_| Error::Decrypt)?.len();
        body.expose_mut().truncate(length);
        Ok(body)
    }
}
