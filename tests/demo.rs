//! `tidegate demo` as its user sees it: a ladder on stdout, the same for the same seed.

#![allow(clippy::unwrap_used)]

use std::process::Command;

fn demo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tidegate")).arg("demo").args(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The words of the line that contains `state flags` in this order, for a look without columns.
fn has(ladder: &str, words: &[&str]) -> bool {
    ladder.lines().any(|line| {
        let mut rest = line;
        words.iter().all(|word| rest.find(word).inspect(|at| rest = &rest[at + word.len()..]).is_some())
    })
}

/// RFC 9293, figures 6 and 12: the handshake and the four-way close can be read off, with the states of both ends.
#[test]
fn handshake_data_and_close_can_be_read_off() {
    let ladder = demo(&[]);
    for rung in [
        ["SYN-SENT", "SYN", "-->", "SYN-RECEIVED"],
        ["ESTABLISHED", "<-- SYN ACK", "---", "SYN-RECEIVED"],
        ["ESTABLISHED", "--- ACK", "-->", "ESTABLISHED"],
        ["ESTABLISHED", "<-- PSH ACK", "---", "ESTABLISHED"],
        ["FIN-WAIT-1", "--- FIN ACK", "-->", "CLOSE-WAIT"],
        ["FIN-WAIT-2", "<-- ACK", "---", "CLOSE-WAIT"],
        ["TIME-WAIT", "<-- FIN ACK", "---", "LAST-ACK"],
        ["TIME-WAIT", "--- ACK", "-->", "CLOSED"],
    ] {
        assert!(has(&ladder, &rung), "{rung:?} in\n{ladder}");
    }
    assert!(ladder.contains("200 OK") && ladder.contains("0 lost, 0 sent again"), "{ladder}");
}

/// The example of the documents loses a segment and sends it again.
#[test]
fn the_same_seed_draws_the_same_ladder_with_its_retransmission() {
    let args = ["--loss", "10%", "--delay", "20ms", "--seed", "7"];
    let ladder = demo(&args);
    assert!(ladder.contains("lost on the way") && ladder.contains("retransmission"), "{ladder}");
    assert_eq!(demo(&args), ladder);
    assert_ne!(demo(&["--loss", "10%", "--delay", "20ms", "--seed", "8"]), ladder);
}

/// Whatever happens to packets has its name, and nothing is wider than a terminal.
#[test]
fn faults_are_named_within_80_columns() {
    let faults = ["--loss", "20%", "--dup", "20%", "--reorder", "20%", "--corrupt", "10%", "--rate", "1M"];
    let ladders: String =
        ["1", "2", "3"].map(|seed| demo(&[&faults[..], &["--seed", seed]].concat())).concat();
    for name in ["lost on the way", "a second copy", "held back", "damaged on the way", "retransmission"] {
        assert!(ladders.contains(name), "{name} in\n{ladders}");
    }
    for line in ladders.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn a_share_beyond_all_is_refused() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_tidegate")).args(["demo", "--loss", "101%"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

/// On a terminal (which `script` of bsdutils pretends to be) there is colour, and the log's start does not fail.
#[test]
fn a_terminal_gets_colour() {
    let command = format!("{} demo --loss 10% --seed 7", env!("CARGO_BIN_EXE_tidegate"));
    let mut script = Command::new("script");
    let output = script.args(["-qec", &command, "/dev/null"]).env_remove("NO_COLOR").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("\x1b[33mretransmission"), "{text}");
    assert!(!demo(&["--loss", "10%"]).contains('\x1b'));
}
