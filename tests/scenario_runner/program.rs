//! `tidegate scenario` as it is called: summary, status, JUnit, errors in one line.

use std::process::{Command, Output};

const PASSING: &str = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n";
const FAILING: &str = "0 close(3) = 0\n";
const SKIPPED: &str = "0 `reboot`\n";

fn tidegate(arguments: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).arg("scenario").args(arguments).output();
    let output = output.expect("the program starts");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, stdout)
}

/// A directory of this test's own with these files.
fn directory(name: &str, files: &[(&str, &str)]) -> String {
    let directory = format!("{}/{name}", env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(format!("{directory}/inner")).expect("a directory");
    for (file, text) in files {
        std::fs::write(format!("{directory}/{file}"), text).expect("a file");
    }
    directory
}

#[test]
fn the_status_says_whether_anything_failed() {
    let path = directory("status", &[("a.pkt", PASSING), ("inner/b.pkt", SKIPPED), ("c.txt", "no script")]);
    let (output, stdout) = tidegate(&[&path]);
    assert_eq!(
        (output.status.code(), stdout.lines().last()),
        (Some(0), Some("1 passed, 0 failed, 1 skipped"))
    );
    let (output, stdout) = tidegate(&["--no_skip", "--ip_version", "both", &path]);
    assert_eq!(
        (output.status.code(), stdout.lines().last()),
        (Some(1), Some("2 passed, 2 failed, 0 skipped"))
    );
}

#[test]
fn a_failure_names_file_and_line_and_goes_into_the_xml() {
    let path = directory("failure", &[("f.pkt", FAILING)]);
    let xml = format!("{path}/results.xml");
    let (output, stdout) = tidegate(&["--junit", &xml, &path]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout.contains("f.pkt:1: FAIL: close returned -1 EBADF, not 0"), "{stdout}");
    let xml = std::fs::read_to_string(xml).expect("a report");
    assert!(xml.contains("tests=\"1\" failures=\"1\""), "{xml}");
}

#[test]
fn the_matrix_is_printed_with_its_holes() {
    let path = directory("matrix", &[("m.pkt", PASSING)]);
    let (_, stdout) = tidegate(&["--matrix", &path]);
    assert!(stdout.contains("157 cells are empty:") && stdout.contains("  LISTEN: SYN\n"), "{stdout}");
}

#[test]
fn wrong_usage_is_told_in_one_line() {
    let (output, _) = tidegate(&["no/such/file.pkt"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
    assert!(stderr.contains("cannot read no/such/file.pkt"), "{stderr}");
    let path = directory("empty", &[]);
    let (output, _) = tidegate(&[&path]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no *.pkt here"));
}
