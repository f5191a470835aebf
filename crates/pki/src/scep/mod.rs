//! SCEP messages (RFC 8894): [`server`] reads requests and makes answers, [`client`] the reverse.
//!
//! What does not live here: who gets a certificate (crate `service`) and HTTP (crate `web`).

pub mod client;
pub mod server;

use crate::{Error, Result, asn1, cms::Attributes, oid};

/// Longest transactionID that is taken.
const TRANSACTION: usize = 255;
/// Longest nonce that is taken; RFC 8894 section 3.2.1.5 gives 16 octets.
const NONCE: usize = 64;

/// messageType (RFC 8894 section 3.2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// 3
    CertRep,
    /// 17
    RenewalReq,
    /// 19
    PkcsReq,
    /// 20, CertPoll in the RFC
    GetCertInitial,
    /// Any other number
    Other(u8),
}

impl MessageType {
    /// Number on the wire.
    pub fn number(self) -> u8 {
        match self {
            MessageType::CertRep => 3,
            MessageType::RenewalReq => 17,
            MessageType::PkcsReq => 19,
            MessageType::GetCertInitial => 20,
            MessageType::Other(number) => number,
        }
    }

    fn from_number(number: u8) -> Self {
        match number {
            3 => MessageType::CertRep,
            17 => MessageType::RenewalReq,
            19 => MessageType::PkcsReq,
            20 => MessageType::GetCertInitial,
            other => MessageType::Other(other),
        }
    }
}

/// failInfo (RFC 8894 section 3.2.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailInfo {
    /// 0: unrecognised or unsupported algorithm
    BadAlg,
    /// 1: integrity check failed
    BadMessageCheck,
    /// 2: transaction not permitted or supported
    BadRequest,
    /// 3: signingTime too far from the system's
    BadTime,
    /// 4: no certificate by the given criteria
    BadCertId,
}

impl FailInfo {
    /// Number on the wire.
    pub fn number(self) -> u8 {
        self as u8
    }

    fn from_number(number: u8) -> Result<Self> {
        let all =
            [FailInfo::BadAlg, FailInfo::BadMessageCheck, FailInfo::BadRequest, FailInfo::BadTime, FailInfo::BadCertId];
        all.into_iter().find(|info| info.number() == number).ok_or(Error::Malformed("failInfo"))
    }
}

/// Attributes that every message carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// messageType
    pub message_type: MessageType,
    /// transactionID
    pub transaction_id: String,
    /// senderNonce; some old clients send none.
    pub sender_nonce: Vec<u8>,
}

impl Header {
    fn read(attributes: &Attributes) -> Result<Self> {
        let number = attributes.text(oid::SCEP_MESSAGE_TYPE).ok_or(Error::Malformed("messageType"))?;
        let number = number.parse().map_err(|_| Error::Malformed("messageType"))?;
        let transaction_id = attributes.text(oid::SCEP_TRANSACTION_ID).ok_or(Error::Malformed("transactionID"))?;
        let sender_nonce = attributes.octets(oid::SCEP_SENDER_NONCE).unwrap_or_default().to_vec();
        if transaction_id.is_empty() || transaction_id.len() > TRANSACTION || sender_nonce.len() > NONCE {
            return Err(Error::Malformed("transactionID"));
        }
        Ok(Header { message_type: MessageType::from_number(number), transaction_id, sender_nonce })
    }

    fn write(&self) -> Vec<(oid::Oid, Vec<u8>)> {
        let transaction = &self.transaction_id;
        let printable = transaction.bytes().all(|b| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&b));
        let transaction = if printable { asn1::printable_string(transaction) } else { asn1::utf8_string(transaction) };
        vec![
            (oid::SCEP_MESSAGE_TYPE, asn1::printable_string(&self.message_type.number().to_string())),
            (oid::SCEP_TRANSACTION_ID, transaction),
            (oid::SCEP_SENDER_NONCE, asn1::octet_string(&self.sender_nonce)),
        ]
    }
}

#[cfg(test)]
mod tests;
