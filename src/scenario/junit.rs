//! Reports as JUnit XML, for continuous integration. No durations: a virtual clock's say nothing about the machine.

use std::fmt::Write;

use super::suite::{Report, Totals};
use super::verdict::Verdict;

/// The reports as one test suite.
pub fn render(reports: &[Report]) -> String {
    let mut totals = Totals::default();
    reports.iter().for_each(|report| totals.add(&report.verdict));
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string cannot fail.
    let _ = writeln!(
        xml,
        "<testsuites>\n<testsuite name=\"scenarios\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\">",
        reports.len(),
        totals.failed,
        totals.skipped
    );
    for report in reports {
        let _ = write!(xml, "<testcase classname=\"scenario\" name=\"{}\"", escaped(&report.file));
        let _ = match &report.verdict {
            Verdict::Pass => writeln!(xml, "/>"),
            Verdict::Fail(found) => writeln!(
                xml,
                "><failure message=\"{}\">{}</failure></testcase>",
                escaped(&format!("line {}: {}", found.line, found.reason)),
                escaped(&report.to_string())
            ),
            Verdict::Skip(found) => writeln!(
                xml,
                "><skipped message=\"{}\"/></testcase>",
                escaped(&format!("line {}: {}", found.line, found.reason))
            ),
        };
    }
    xml.push_str("</testsuite>\n</testsuites>\n");
    xml
}

/// Text that may stand in an attribute or an element; what XML cannot say at all becomes a question mark.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::suite::run_source;

    #[test]
    fn each_verdict_has_its_element_and_text_is_escaped() {
        let reports = [
            run_source("a<b>.pkt", "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n", &[]),
            run_source("c.pkt", "0 close(3) = 0\n", &[]),
            run_source("d.pkt", "0 chown(\"<&\") = 0\n", &[]),
        ];
        let xml = render(&reports);
        assert!(xml.contains("tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\""), "{xml}");
        assert!(xml.contains("<testcase classname=\"scenario\" name=\"a&lt;b&gt;.pkt\"/>"), "{xml}");
        assert!(
            xml.contains("<failure message=\"line 1: close returned -1 EBADF, not 0\">c.pkt:1: FAIL"),
            "{xml}"
        );
        assert!(xml.contains("<skipped message=\"line 1: the call chown is not supported\"/>"), "{xml}");
    }
}
