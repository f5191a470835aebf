//! Arbitrary bytes into the decoders of check-in messages and command results.
#![no_main]

#[path = "../src/apple.rs"]
#[allow(dead_code)]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::check_in(data));
