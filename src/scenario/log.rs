//! What went in and out so far: the last packets for a diagnosis, all of them for `--verbose`.

use std::collections::VecDeque;

use super::describe;
use super::host::seconds;
use super::numbers::Numbers;
use super::script::PacketSpec;
use super::view::View;
use crate::base::time::Instant;

/// Packets a diagnosis shows.
const LAST: usize = 10;

/// The log of one run.
#[derive(Debug)]
pub(super) struct Log {
    last: VecDeque<String>,
    all: Option<Vec<String>>,
}

impl Log {
    /// A log that keeps everything, or only the last packets.
    pub(super) fn new(verbose: bool) -> Self {
        Log { last: VecDeque::new(), all: verbose.then(Vec::new) }
    }

    /// A packet into the stack, as written.
    pub(super) fn inbound(&mut self, at: Instant, spec: &PacketSpec) {
        self.packet(format!("{} {spec}", seconds(at)));
    }

    /// A packet out of it, with the script's numbers.
    pub(super) fn outbound(&mut self, at: Instant, view: &View<'_>, numbers: Option<&Numbers>) {
        let own = Numbers::default();
        let line = match describe::packet(view, numbers.unwrap_or(&own)) {
            Some(spec) => format!("{} {spec}", seconds(at)),
            None => format!("{} > {} bytes of protocol {}", seconds(at), view.len(), view.protocol()),
        };
        let other = if numbers.is_none() { "  // of another connection" } else { "" };
        self.packet(line + other);
    }

    fn packet(&mut self, line: String) {
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.note(&line);
        self.last.push_back(line);
    }

    /// Something else that happened, for `--verbose`.
    pub(super) fn note(&mut self, line: &str) {
        if let Some(all) = &mut self.all {
            all.push(line.to_owned());
        }
    }

    /// The last packets, as a part of a diagnosis.
    pub(super) fn last_packets(&self) -> Vec<String> {
        if self.last.is_empty() {
            return vec!["no packet came or went".to_owned()];
        }
        let lines = self.last.iter().map(|line| format!("  {line}"));
        std::iter::once("last packets:".to_owned()).chain(lines).collect()
    }

    pub(super) fn into_lines(self) -> Vec<String> {
        self.all.unwrap_or_default()
    }
}
