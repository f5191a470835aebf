//! Decoders of crate `pki`. Each function takes any bytes and must come back, with an error or not.

use muster_pki::{
    Certificate, Csr, Secret,
    asn1::{Limits, to_der},
    cms::{EnvelopedData, SignedData},
    crl::Crl,
    pem, pkcs12,
    public_key::Legacy,
    scep::server::{Message, Options},
};

/// Signed and enveloped data, from BER on.
pub fn cms(data: &[u8]) {
    if let Ok(der) = to_der(data, Limits::default()) {
        assert_eq!(to_der(&der, Limits::default()).as_deref(), Ok(&der[..]), "DER stays as it is");
    }
    if let Ok(signed) = SignedData::decode(data, Limits::default()) {
        let _ = signed.verify(None, Legacy { sha1: true });
        let _ = signed.verify(Some(b"detached"), Legacy::default());
    }
    let _ = EnvelopedData::decode(data, Limits::default());
}

/// pkiMessages, and what stands inside their envelopes.
pub fn scep(data: &[u8]) {
    if let Ok(message) = Message::decode(data, Limits::default(), Options::default()) {
        assert!(message.header().transaction_id.len() <= 255);
        let _ = message.signer();
    }
    if let Ok(csr) = Csr::decode(data) {
        let _ = (csr.verify(Legacy::default()), csr.public_key().check_policy(), csr.subject().to_string());
    }
}

/// Certificates, lists and their text form.
pub fn certificate(data: &[u8]) {
    if let Ok(certificate) = Certificate::decode(data) {
        assert_eq!(certificate.der(), data);
        let _ = (certificate.verify_signature(certificate.public_key(), Legacy::default()), format!("{certificate:?}"));
        let _ = Crl::decode(data, certificate.public_key());
    }
    let _ = pkcs12::decode(data, &Secret::new(String::new()));
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = pem::decode_all(text);
    }
}
