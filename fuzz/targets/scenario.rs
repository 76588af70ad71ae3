//! Runs `tidegate_fuzz::scenario`; what it checks is told there.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidegate_fuzz::scenario::run(bytes));
