#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fourward_fuzz::host_line::check(bytes));
