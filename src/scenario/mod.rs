//! Scenarios: timed scripts in the packetdrill language, run against the sans-IO core under a virtual clock. No device, no root, no
//! sleeping; the same verdict every time.
//!
//! Text becomes a value in [`preprocess`], [`lexer`] and [`parse`]; [`script`] is that value. Back-quoted commands become settings
//! in [`commands`] and [`settings`], code blocks are run by [`expression`]; [`options`] and [`profile`] say how to begin.

pub mod commands;
pub mod error;
pub mod expression;
pub mod lexer;
pub mod options;
pub mod parse;
pub mod preprocess;
mod print;
pub mod profile;
pub mod script;
pub mod settings;
