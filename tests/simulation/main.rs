//! TCP between two stacks under the simulator: many random seeds, and the cases that deserve a name.

mod pair;
mod seeds;
mod show;
