//! What every layer stands on: time, randomness, hashing, buffers, ranges, deadlines and counters. No packet is known here.

pub mod buffer;
pub mod counters;
pub mod hash;
pub mod paged;
pub mod pool;
pub mod ranges;
pub mod rng;
pub mod share;
pub mod socket;
pub mod table;
pub mod time;
pub mod timers;
