//! Scenarios: timed scripts in the packetdrill language, run against the sans-IO core under a virtual clock. No device, no root, no
//! sleeping; the same verdict every time.
//!
//! [`script`] is a script as a value.

pub mod script;
