//! Code blocks at run time.

use super::run::Runner;
use super::script::CodeBlock;
use super::verdict::Stop;

impl Runner<'_> {
    pub(super) fn code(&mut self, _block: &CodeBlock) -> Result<(), Stop> {
        Err(Stop::skip("code blocks are not supported"))
    }
}
