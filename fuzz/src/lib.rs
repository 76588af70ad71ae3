//! What the fuzz targets try out, as plain functions of the fuzzer's bytes; `targets/` only calls them. A broken invariant is a panic.
//!
//! `scripts/fuzz` runs the targets, README.md here says how to read what they find.

pub mod headers;
pub mod reassembly;
pub mod scenario;
pub mod stack;
