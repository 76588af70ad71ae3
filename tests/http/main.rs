//! The HTTP application as its clients see it, byte by byte, over `tokio::net` and over pipes in memory.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;
mod connections;
mod files;
mod hostile;
mod routes;
