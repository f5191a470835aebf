//! Arbitrary bytes into the decoders of property lists.
#![no_main]

#[path = "../src/apple.rs"]
#[allow(dead_code)]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::plist(data));
