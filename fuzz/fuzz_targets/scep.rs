//! Arbitrary bytes into the decoders of SCEP messages.
#![no_main]

#[path = "../src/pki.rs"]
#[allow(dead_code)]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::scep(data));
