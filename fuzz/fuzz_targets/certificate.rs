//! Arbitrary bytes into the decoders of certificates, requests, CRLs and PKCS #12.
#![no_main]

#[path = "../src/pki.rs"]
#[allow(dead_code)]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::certificate(data));
