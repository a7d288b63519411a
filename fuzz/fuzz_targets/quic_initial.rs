#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fourward_fuzz::quic_initial::check(bytes));
