//! The device's side: make a request, read the answer.

use super::{FailInfo, Header, MessageType};
use crate::{
    Certificate, CertificateTemplate, Csr, Digest, Error, Fill, KeyPair, Name, PublicKey, Result, Usage,
    asn1::Limits,
    certificate::random_serial,
    cms::{Cipher, Ciphers, EnvelopedData, SignRequest, SignedData, decode_certificates, encrypt},
    oid,
    public_key::Legacy,
};

/// The transactionID that RFC 8894 section 3.2.1.1 recommends: a hash of the key that is asked for.
pub fn transaction_id(key: &PublicKey) -> String {
    key.fingerprint().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The throw-away certificate with which a new key signs its first request.
pub fn self_signed(subject: &Name, key: &KeyPair, now: i64, random: Fill<'_>) -> Result<Certificate> {
    const DAY: i64 = 86_400_000;
    let template = CertificateTemplate {
        serial: random_serial(random),
        subject: subject.clone(),
        not_before: now - DAY,
        not_after: now + 7 * DAY,
        public_key: key.public().clone(),
        usage: Usage { extended: Vec::new(), ..Usage::client() },
        alternative_names: Vec::new(),
        crl_url: None,
    };
    template.self_sign(key)
}

/// A request to send, and what is needed to read its answer.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// PKCSReq or RenewalReq.
    pub message_type: MessageType,
    /// transactionID
    pub transaction_id: &'a str,
    /// senderNonce
    pub nonce: [u8; 16],
    /// What is asked for.
    pub csr: &'a Csr,
    /// Key of `certificate`.
    pub key: &'a KeyPair,
    /// Signs the request and receives the answer: [`self_signed`], or the one that is renewed.
    pub certificate: &'a Certificate,
    /// The authority, from GetCACert.
    pub authority: &'a Certificate,
    /// Content encryption.
    pub cipher: Cipher,
    /// Digest of the signature.
    pub digest: Digest,
}

/// What the authority answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The certificate for the key of the request.
    Issued(Box<Certificate>),
    /// Refused.
    Refused(FailInfo),
    /// To be asked again later.
    Pending,
}

impl Request<'_> {
    /// The pkiMessage.
    pub fn encode(&self, random: Fill<'_>) -> Result<Vec<u8>> {
        let envelope = encrypt(self.csr.der(), self.authority, self.cipher, random)?;
        let header = Header {
            message_type: self.message_type,
            transaction_id: self.transaction_id.to_owned(),
            sender_nonce: self.nonce.to_vec(),
        };
        let sign = SignRequest { digest: self.digest, ..SignRequest::new(self.key, self.certificate) };
        sign.sign(&envelope, true, &header.write())
    }

    /// Reads the CertRep that belongs to this request.
    pub fn read(&self, bytes: &[u8], random: Fill<'_>) -> Result<Reply> {
        let data = SignedData::decode(bytes, Limits::default())?;
        let verified = data.verify(data.content().is_none().then_some(b""), Legacy::default())?;
        if verified.signer != *self.authority {
            return Err(Error::Untrusted("answer of another authority"));
        }
        let header = Header::read(&verified.attributes)?;
        if header.message_type != MessageType::CertRep
            || header.transaction_id != self.transaction_id
            || verified.attributes.octets(oid::SCEP_RECIPIENT_NONCE) != Some(&self.nonce)
        {
            return Err(Error::Malformed("answer to another request"));
        }
        match verified.attributes.text(oid::SCEP_PKI_STATUS).as_deref() {
            Some("0") => {}
            Some("2") => {
                let info = verified.attributes.text(oid::SCEP_FAIL_INFO).and_then(|text| text.parse().ok());
                return Ok(Reply::Refused(FailInfo::from_number(info.ok_or(Error::Malformed("failInfo"))?)?));
            }
            Some("3") => return Ok(Reply::Pending),
            _ => return Err(Error::Malformed("pkiStatus")),
        }
        let envelope = EnvelopedData::decode(data.content().unwrap_or_default(), Limits::default())?;
        let plain = envelope.decrypt(self.certificate, self.key, Ciphers { des: true }, random)?;
        let certificates = decode_certificates(plain.expose(), Limits::default())?;
        let mine = certificates.into_iter().find(|issued| issued.public_key() == self.csr.public_key());
        mine.map(|issued| Reply::Issued(Box::new(issued))).ok_or(Error::Malformed("answer without the certificate"))
    }
}
