//! `tidegate scenario` as it is called: summary, status, JUnit, errors in one line.

use std::process::{Command, Output, Stdio};

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

/// A directory's scripts about the other IP version are left out; a script that is named runs over the version that is asked for.
#[test]
fn a_directory_is_run_over_the_version_each_script_is_about() {
    let head = |version: &str| format!("--ip_version={version}\n{PASSING}");
    let path = directory(
        "versions",
        &[("four.pkt", &head("ipv4")), ("six.pkt", &head("ipv6")), ("any.pkt", PASSING)],
    );
    let last = |arguments: &[&str]| tidegate(arguments).1.lines().last().map(str::to_owned);
    let passed = |count: u32| Some(format!("{count} passed, 0 failed, 0 skipped"));
    assert_eq!(last(&["--ip-version=ipv6", &path]), passed(2));
    assert_eq!(last(&["--ip-version=both", &path]), passed(4));
    assert_eq!(last(&[&path]), passed(3));
    assert_eq!(last(&["--ip-version=ipv6", &format!("{path}/four.pkt")]), passed(1));
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
    let path = directory("usage", &[("a.pkt", PASSING)]);
    for (wrong, reason) in [
        ("--mtu=abc", "--mtu is a number, not `abc`"),
        ("--profile=foo", "--profile is `default`, `linux` or `plain`"),
        ("--verbose=1", "--verbose takes no value"),
        ("--mtu", "--mtu needs a value"),
    ] {
        let (output, stdout) = tidegate(&[&path, wrong]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
        assert!(stderr.contains(reason) && stdout.is_empty(), "{stderr}{stdout}");
    }
    let path = directory("empty", &[]);
    let (output, _) = tidegate(&[&path]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no *.pkt here"));
}

/// A mistyped name fails as a script of its own; bytes that are no text harm no comment; the others run.
#[test]
fn an_unreadable_file_is_a_failure_beside_others() {
    let path = directory("unreadable", &[("a.pkt", PASSING)]);
    let (comment, code) = (format!("{path}/comment.pkt"), format!("{path}/code.pkt"));
    std::fs::write(&comment, [b"// \xff\n", PASSING.as_bytes()].concat()).expect("a file");
    std::fs::write(&code, b"0 \xff\n").expect("a file");
    let (xml, missing) = (format!("{path}/results.xml"), format!("{path}/missing.pkt"));
    let (output, stdout) = tidegate(&["--junit", &xml, &missing, &code, &comment, &format!("{path}/a.pkt")]);
    let last = stdout.lines().last();
    assert_eq!((output.status.code(), last), (Some(1), Some("2 passed, 2 failed, 0 skipped")), "{stdout}");
    assert!(stdout.contains("missing.pkt:0: FAIL: cannot be read"), "{stdout}");
    assert!(stdout.contains("code.pkt:1: FAIL: parse error"), "{stdout}");
    let xml = std::fs::read_to_string(xml).expect("a report");
    assert!(xml.contains("tests=\"4\" failures=\"2\""), "{xml}");
}

/// `| head -1`: the run goes on unread, and its status is right.
#[test]
fn a_reader_who_goes_away_does_no_harm() {
    let path = directory("pipe", &[("a.pkt", FAILING)]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(["scenario", "--verbose", &path]).stderr(Stdio::piped());
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = command.stdout(writer).output().expect("the program starts");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(1), ""));
}
