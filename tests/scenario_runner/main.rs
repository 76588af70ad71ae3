//! The scenario runner's own tests: for each kind of deviation a script that must fail (or be skipped) on the right line for the
//! right reason, beside a right one that passes, so that the runner cannot pass wrongly.

mod calls;
mod common;
mod connections;
mod packets;
mod program;
mod times;
