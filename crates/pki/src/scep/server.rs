//! The certification authority's side: read a request, open it, answer it.

use super::{FailInfo, Header, MessageType};
use crate::{
    Certificate, Csr, Digest, Error, Fill, Result,
    asn1::{self, Limits},
    certificate::Issuer,
    cms::{Cipher, Ciphers, EnvelopedData, SignRequest, SignedData, certificates_only, encrypt},
    oid,
    public_key::Legacy,
};

/// Old algorithms that a configuration may allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Signatures with SHA-1.
    pub legacy: Legacy,
    /// 3DES.
    pub ciphers: Ciphers,
}

/// A request as it came. Its parts are reached through [`Message::signer`] and [`Message::open`],
/// which answer only when the signature verifies.
#[derive(Clone, Debug)]
pub struct Message {
    header: Header,
    verified: Result<(Certificate, Digest)>,
    envelope: Result<EnvelopedData>,
    options: Options,
}

impl Message {
    /// Decodes a pkiMessage. An error here means that not even a refusal can be addressed.
    pub fn decode(bytes: &[u8], limits: Limits, options: Options) -> Result<Self> {
        let data = SignedData::decode(bytes, limits)?;
        let header = Header::read(data.unverified_attributes().ok_or(Error::Malformed("signed attributes"))?)?;
        let content = data.content().ok_or(Error::Malformed("content"))?;
        let verified = data.verify(None, options.legacy).map(|verified| (verified.signer, verified.digest));
        let envelope = EnvelopedData::decode(content, limits);
        Ok(Message { header, verified, envelope, options })
    }

    /// Attributes; not to be believed where [`Message::signer`] fails.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Who signed: a throw-away certificate of the new key, or the certificate that is renewed.
    pub fn signer(&self) -> Result<&Certificate> {
        self.verified.as_ref().map(|(signer, _)| signer).map_err(|error| *error)
    }

    /// True where the request is encrypted for this authority.
    pub fn is_for(&self, authority: &Certificate) -> bool {
        self.envelope.as_ref().is_ok_and(|envelope| envelope.is_for(authority))
    }

    /// Decrypts and decodes the certification request, and checks that its key signed it.
    ///
    /// Whatever is wrong inside the envelope is one and the same [`Error::Decrypt`].
    pub fn open(&self, authority: Issuer<'_>, random: Fill<'_>) -> Result<Csr> {
        self.signer()?;
        let envelope = self.envelope.as_ref().map_err(|error| *error)?;
        let plain = envelope.decrypt(authority.certificate, authority.key, self.options.ciphers, random)?;
        let csr = Csr::decode(plain.expose()).map_err(hide)?;
        csr.verify(self.options.legacy).map_err(hide)?;
        Ok(csr)
    }

    /// The content encryption to answer with: what the request used.
    fn cipher(&self) -> Cipher {
        self.envelope.as_ref().map_or(Cipher::Aes128, EnvelopedData::cipher)
    }

    /// The digest to answer with: what the request used, never SHA-1.
    fn digest(&self) -> Digest {
        match &self.verified {
            Ok((_, digest)) if *digest != Digest::Sha1 => *digest,
            _ => Digest::Sha256,
        }
    }

    /// CertRep with the issued certificate, encrypted for the request's signer.
    pub fn success(&self, issued: &Certificate, authority: Issuer<'_>, random: Fill<'_>) -> Result<Vec<u8>> {
        let bag = certificates_only(&[issued]);
        let envelope = encrypt(&bag, self.signer()?, self.cipher(), random)?;
        self.reply(Some(&envelope), "0", None, authority, random)
    }

    /// CertRep that refuses.
    pub fn failure(&self, info: FailInfo, authority: Issuer<'_>, random: Fill<'_>) -> Result<Vec<u8>> {
        self.reply(None, "2", Some(info), authority, random)
    }

    fn reply(
        &self,
        content: Option<&[u8]>,
        status: &str,
        info: Option<FailInfo>,
        authority: Issuer<'_>,
        random: Fill<'_>,
    ) -> Result<Vec<u8>> {
        let mut nonce = vec![0; 16];
        random(&mut nonce);
        let header = Header {
            message_type: MessageType::CertRep,
            transaction_id: self.header.transaction_id.clone(),
            sender_nonce: nonce,
        };
        let mut attributes = header.write();
        attributes.push((oid::SCEP_PKI_STATUS, asn1::printable_string(status)));
        attributes.push((oid::SCEP_RECIPIENT_NONCE, asn1::octet_string(&self.header.sender_nonce)));
        attributes.extend(info.map(|info| (oid::SCEP_FAIL_INFO, asn1::printable_string(&info.number().to_string()))));
        let request = SignRequest { digest: self.digest(), ..SignRequest::new(authority.key, authority.certificate) };
        request.sign(content.unwrap_or_default(), content.is_some(), &attributes)
    }
}

/// Algorithms and weak keys are judged from what anybody can see; the rest is one answer.
fn hide(error: Error) -> Error {
    match error {
        Error::WeakKey(_) => error,
        _ => Error::Decrypt,
    }
}

/// The refusal that says what an error of this crate says.
impl From<Error> for FailInfo {
    fn from(error: Error) -> Self {
        match error {
            Error::Algorithm(_) => FailInfo::BadAlg,
            Error::WeakKey(_) => FailInfo::BadRequest,
            _ => FailInfo::BadMessageCheck,
        }
    }
}
