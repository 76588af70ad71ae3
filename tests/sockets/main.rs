//! The sockets and the driver as programs use them: two stacks in one process, each with its own driver, joined by a link
//! that the kernel makes readable and writable.

#![allow(clippy::unwrap_used)]

mod cancelled;
mod driver;
mod faults;
mod link;
mod options;
mod others;
mod shards;
mod stream;
mod web;
