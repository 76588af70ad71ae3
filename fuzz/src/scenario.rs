//! The scenario parser on arbitrary text: a script or an error with a line, never a panic; and a script that is printed reads back the
//! same.

use tidegate::scenario::parse::parse;
use tidegate::scenario::preprocess::Definitions;

/// Parses, prints, parses.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let definitions = Definitions::default();
    match parse(text, &definitions) {
        Ok(script) => {
            let printed = script.to_string();
            let again =
                parse(&printed, &definitions).unwrap_or_else(|error| panic!("{error:?} in\n{printed}"));
            assert_eq!(again.to_string(), printed);
        }
        Err(error) => assert!(error.line as usize <= text.lines().count() + 1, "{error:?}"),
    }
}
