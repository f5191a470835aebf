//! Both sides against each other.

use super::{
    client::{self, Reply, Request},
    server::{Message, Options},
    *,
};
use crate::{
    Certificate, CertificateTemplate, Csr, CsrTemplate, Digest, KeyKind, KeyPair, Name, Secret, Usage,
    asn1::Limits,
    certificate::Issuer,
    cms::{Cipher, Ciphers},
};

fn counting() -> impl Fn(&mut [u8]) {
    let next = std::cell::Cell::new(1u8);
    move |bytes: &mut [u8]| {
        for byte in bytes {
            next.set(next.get().wrapping_mul(5).wrapping_add(3));
            *byte = next.get();
        }
    }
}

fn template(name: &str, key: &KeyPair, usage: Usage) -> CertificateTemplate {
    CertificateTemplate {
        serial: vec![1],
        subject: Name::common(name),
        not_before: 0,
        not_after: 1_000_000,
        public_key: key.public().clone(),
        usage,
        alternative_names: vec![],
        crl_url: None,
    }
}

struct Parties {
    ca_key: KeyPair,
    ca: Certificate,
    key: KeyPair,
    own: Certificate,
    csr: Csr,
}

fn parties() -> Parties {
    let [ca_key, key] = [(); 2].map(|()| KeyPair::generate(KeyKind::Rsa2048).unwrap());
    let ca = template("CA", &ca_key, Usage::issuing()).self_sign(&ca_key).unwrap();
    let own = client::self_signed(&Name::common("phone"), &key, 0, &counting()).unwrap();
    let challenge = Some(Secret::new("one-time".to_owned()));
    let csr = CsrTemplate { challenge, ..CsrTemplate::new(Name::common("phone")) }.sign(&key).unwrap();
    Parties { ca_key, ca, key, own, csr }
}

impl Parties {
    fn request(&self, cipher: Cipher) -> Request<'_> {
        Request {
            message_type: MessageType::PkcsReq,
            transaction_id: "transaction 1",
            nonce: [5; 16],
            csr: &self.csr,
            key: &self.key,
            certificate: &self.own,
            authority: &self.ca,
            cipher,
            digest: Digest::Sha256,
        }
    }
}

#[test]
fn a_request_is_read_and_its_answer_understood() {
    let parties = parties();
    let random = counting();
    let authority = Issuer::new(&parties.ca, &parties.ca_key);
    let issued = template("phone", &parties.key, Usage::client()).sign(authority).unwrap();
    for cipher in [Cipher::Aes128, Cipher::Aes256] {
        let request = parties.request(cipher);
        let bytes = request.encode(&random).unwrap();
        let message = Message::decode(&bytes, Limits::default(), Options::default()).unwrap();
        assert_eq!(message.header().message_type, MessageType::PkcsReq);
        assert!(message.is_for(&parties.ca) && !message.is_for(&parties.own));
        assert_eq!(message.signer().unwrap(), &parties.own);
        let csr = message.open(authority, &random).unwrap();
        assert_eq!(csr.challenge().unwrap().expose(), "one-time");

        let answer = message.success(&issued, authority, &random).unwrap();
        assert_eq!(request.read(&answer, &random).unwrap(), Reply::Issued(Box::new(issued.clone())));
        let answer = message.failure(FailInfo::BadRequest, authority, &random).unwrap();
        assert_eq!(request.read(&answer, &random).unwrap(), Reply::Refused(FailInfo::BadRequest));
        let other = Request { nonce: [6; 16], ..request };
        assert!(other.read(&answer, &random).is_err(), "another request's nonce");
    }
}

#[test]
fn old_algorithms_need_the_flag() {
    let parties = parties();
    let random = counting();
    let authority = Issuer::new(&parties.ca, &parties.ca_key);
    let bytes = parties.request(Cipher::DesEde3).encode(&random).unwrap();
    let strict = Message::decode(&bytes, Limits::default(), Options::default()).unwrap();
    assert_eq!(strict.open(authority, &random).map(|_| ()).map_err(FailInfo::from), Err(FailInfo::BadAlg));
    let options = Options { ciphers: Ciphers { des: true }, ..Options::default() };
    let lenient = Message::decode(&bytes, Limits::default(), options).unwrap();
    lenient.open(authority, &random).unwrap();
}

#[test]
fn what_is_altered_is_refused_and_never_opened() {
    let parties = parties();
    let random = counting();
    let authority = Issuer::new(&parties.ca, &parties.ca_key);
    let bytes = parties.request(Cipher::Aes128).encode(&random).unwrap();
    for at in (0..bytes.len()).step_by(7) {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        let Ok(message) = Message::decode(&altered, Limits::default(), Options::default()) else { continue };
        let Ok(csr) = message.open(authority, &random) else { continue };
        // Bytes that no signature covers (digest algorithm lists, versions) may change; the request may not.
        assert_eq!(csr, parties.csr, "byte {at}");
        assert_eq!(message.header().transaction_id, "transaction 1");
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(Message::decode(&bytes, Limits::default(), Options::default()).is_err());
        }
    }
}
