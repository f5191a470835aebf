//! The fuzz targets of `/fuzz`, run under proptest: their seeds with bytes changed, cut and repeated.
//! Decoding may fail; it may not panic, hang, or answer something that is not so.

use std::path::Path;

use muster_pki::{
    CertificateTemplate, CsrTemplate, Digest, KeyKind, KeyPair, Name, Usage,
    cms::Cipher,
    scep::{
        MessageType,
        client::{Request, self_signed},
    },
};
use proptest::prelude::*;

#[path = "../../../fuzz/src/pki.rs"]
mod targets;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut seeds: Vec<Vec<u8>> = paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(!seeds.is_empty());
    if target == "scep" {
        seeds.push(message());
    }
    seeds
}

/// A whole pkiMessage.
fn message() -> Vec<u8> {
    let fill = |bytes: &mut [u8]| bytes.fill(7);
    let key = KeyPair::generate(KeyKind::Rsa2048).unwrap();
    let template = CertificateTemplate {
        serial: vec![5],
        subject: Name::common("CA"),
        not_before: 0,
        not_after: 1_000_000,
        public_key: key.public().clone(),
        usage: Usage::issuing(),
        alternative_names: vec![],
        crl_url: None,
    };
    let authority = template.self_sign(&key).unwrap();
    let own = self_signed(&Name::common("phone"), &key, 0, &fill).unwrap();
    let csr = CsrTemplate::new(Name::common("phone")).sign(&key).unwrap();
    let request = Request {
        message_type: MessageType::PkcsReq,
        transaction_id: "T",
        nonce: [1; 16],
        csr: &csr,
        key: &key,
        certificate: &own,
        authority: &authority,
        cipher: Cipher::Aes128,
        digest: Digest::Sha256,
    };
    request.encode(&fill).unwrap()
}

#[derive(Clone, Debug)]
enum Change {
    Set(usize, u8),
    Cut(usize, usize),
    Repeat(usize, usize),
    Insert(usize, Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        1 => (any::<usize>(), 1usize..64).prop_map(|(at, count)| Change::Cut(at, count)),
        1 => (any::<usize>(), 1usize..256).prop_map(|(at, count)| Change::Repeat(at, count)),
        1 => (any::<usize>(), proptest::collection::vec(any::<u8>(), 1..8)).prop_map(|(at, new)| Change::Insert(at, new)),
    ]
}

fn apply(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        if bytes.is_empty() {
            break;
        }
        let length = bytes.len();
        match change {
            Change::Set(at, byte) => bytes[at % length] = *byte,
            Change::Cut(at, count) => drop(bytes.drain(at % length..(at % length + count).min(length))),
            Change::Repeat(at, count) => {
                let piece = bytes[at % length..(at % length + count).min(length)].to_vec();
                bytes.splice(at % length..at % length, piece);
            }
            Change::Insert(at, new) => drop(bytes.splice(at % length..at % length, new.iter().copied())),
        }
    }
    bytes
}

fn run(target: &str, function: fn(&[u8])) {
    let seeds = seeds(target);
    seeds.iter().for_each(|seed| function(seed));
    let changes = proptest::collection::vec(change(), 0..5);
    let input = (0..seeds.len(), changes);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(600));
    let result = runner.run(&input, |(seed, changes)| {
        function(&apply(seeds[seed].clone(), &changes));
        Ok(())
    });
    result.unwrap();
}

#[test]
fn e5_changed_cms_is_decoded_or_refused() {
    run("cms", targets::cms);
}

#[test]
fn e5_changed_scep_messages_are_decoded_or_refused() {
    run("scep", targets::scep);
}

#[test]
fn e5_changed_certificates_are_decoded_or_refused() {
    run("certificate", targets::certificate);
}
