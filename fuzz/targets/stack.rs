//! Runs `tidegate_fuzz::stack` and counts what is allocated; what it checks is told there.
#![no_main]

/// Counts what is allocated, so that a run can tell that the stack keeps within its limits.
#[global_allocator]
static ALLOCATED: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, usize::MAX);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidegate_fuzz::stack::run(bytes, || ALLOCATED.allocated()));
