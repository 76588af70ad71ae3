//! TCP between two stacks under the simulator: many random seeds, and the cases that deserve a name.

#![allow(clippy::unwrap_used)]

mod cases;
mod faults;
mod long;
mod mtu;
mod pair;
mod rate;
mod seeds;
mod show;
mod smoltcp;
mod tasks;
