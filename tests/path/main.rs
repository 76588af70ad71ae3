//! Loss recovery and congestion control over simulated paths: what arrives, what is sent again, and how the window moves.
//!
//! Figures stand in committed files (`docs/goodput.md`, `docs/congestion.md`, `tests/path/snapshots`), and a test fails when the code
//! gives others; `scripts/figures` writes all of them anew. Times are virtual and every draw comes from a seed, so they are the same on
//! every machine. What the simulator cannot show (real queues, real clocks) is measured by `scripts/bench-path`.

#![allow(clippy::unwrap_used)]

mod common;
mod cwnd;
mod fairness;
mod goodput;
mod grid;
mod plot;
mod seeds;
#[path = "../simulation/show.rs"]
mod show;
mod topologies;
