//! Scenarios: timed scripts in the packetdrill language, run against the sans-IO core under a virtual clock. No device, no root, no
//! sleeping; the same verdict every time.
//!
//! Text becomes a value in [`preprocess`], [`lexer`] and [`parse`]; [`script`] is that value. Back-quoted commands become settings
//! in [`commands`] and [`settings`], code blocks are run by [`expression`]; [`options`] and [`profile`] say how to begin.
//!
//! [`run`] walks through a script with a `host` (the stack and its clock): packets go in by `inject` and `icmp`, calls are made in
//! `calls`, packets that come out are waited for in `expect` and compared in `matching`. `record` and `numbers` know the
//! connection under test, [`matrix`] what the scripts have shown, [`suite`] how many files make one result.

mod calls;
mod clock;
pub mod commands;
mod describe;
mod encode;
mod ending;
pub mod error;
mod expect;
pub mod expression;
mod host;
mod icmp;
mod inject;
mod join;
pub mod junit;
pub mod lexer;
mod log;
mod matching;
pub mod matrix;
mod numbers;
pub mod options;
pub mod parse;
pub mod preprocess;
mod print;
pub mod profile;
mod record;
pub mod run;
pub mod script;
pub mod settings;
pub mod suite;
mod variables;
pub mod verdict;
mod view;
