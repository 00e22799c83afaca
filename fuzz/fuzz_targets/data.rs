//! Fuzzes `cluster::fuzz::data`, which says what its input is.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cluster::fuzz::data(input));
