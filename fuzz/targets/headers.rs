//! Runs `tidegate_fuzz::headers`; what it checks is told there.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidegate_fuzz::headers::run(bytes));
