//! Fuzzes `cluster::fuzz::stored_settings`, which says what its input is.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cluster::fuzz::stored_settings(input));
