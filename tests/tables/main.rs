//! The tables of `docs/conformance.md` and `docs/hardening.md` against the tests they name, so that neither can drift.
//!
//! A test carries the numbers it shows (`MUST-7`, `SHLD-3`, hostile row `T1`) in its doc comment, a scenario in its head, a namespace case
//! in the comment above it. The *shown by* column is made of these: `TIDEGATE_WRITE_TABLES=1 cargo test --test tables` writes it anew.
//! Status and notes are written by hand.

mod evidence;
mod table;

use std::collections::BTreeSet;

use evidence::Evidence;
use table::{Row, Table};

/// Rows of RFC 9293: 69 MUST and 31 SHOULD.
fn conformance_rows() -> Vec<String> {
    numbered("MUST-", 69).chain(numbered("SHLD-", 31)).collect()
}

/// Families of attacks and faults: parsing and IP, blind attackers, malicious peers.
fn hardening_rows() -> Vec<String> {
    numbered("P", 15).chain(numbered("T", 12)).chain(numbered("M", 14)).collect()
}

fn numbered(prefix: &str, last: u32) -> impl Iterator<Item = String> {
    (1..=last).map(move |number| format!("{prefix}{number}"))
}

/// What is wrong with a table, a line each.
fn violations(table: &Table, wanted: &[String], evidence: &[Evidence]) -> Vec<String> {
    let mut found = Vec::new();
    let ids: Vec<&String> = table.rows.iter().map(|row| &row.id).collect();
    if ids != wanted.iter().collect::<Vec<_>>() {
        let missing: Vec<_> = wanted.iter().filter(|id| !ids.contains(id)).collect();
        found.push(format!("rows are missing, doubled or out of order; missing: {missing:?}"));
    }
    table.rows.iter().for_each(|row| found.extend(row_violation(row, evidence)));
    found
}

fn row_violation(row: &Row, evidence: &[Evidence]) -> Option<String> {
    let carried = evidence::names_for(&row.id, evidence);
    let fault = match row.status.as_str() {
        "met" if carried.is_empty() => "is met, but no test carries its number".into(),
        "met" | "in part" | "not met" | "does not apply" => {
            if row.status != "met" && row.note.is_empty() {
                "gives no reason".into()
            } else if row.shown_by != carried {
                format!("names other tests than those that carry it: {}", difference(&row.shown_by, &carried))
            } else {
                return None;
            }
        }
        other => format!("has no status '{other}'; there are: met, in part, not met, does not apply"),
    };
    Some(format!("{} {fault}", row.id))
}

fn difference(named: &[String], carried: &[String]) -> String {
    let (named, carried): (BTreeSet<_>, BTreeSet<_>) = (named.iter().collect(), carried.iter().collect());
    let minus = |a: &BTreeSet<_>, b: &BTreeSet<_>| a.difference(b).copied().cloned().collect::<Vec<String>>();
    format!("gone {:?}, new {:?}", minus(&named, &carried), minus(&carried, &named))
}

fn check(path: &str, wanted: &[String]) {
    let evidence = evidence::collect();
    let mut table = Table::read(path);
    if std::env::var_os("TIDEGATE_WRITE_TABLES").is_some() {
        table.rows.iter_mut().for_each(|row| row.shown_by = evidence::names_for(&row.id, &evidence));
        table.write(path);
    }
    let found = violations(&table, wanted, &evidence);
    let hint = "write the column anew with: TIDEGATE_WRITE_TABLES=1 cargo test --test tables";
    assert!(found.is_empty(), "{path}:\n{}\n{hint}", found.join("\n"));
    let count = |status: &str| table.rows.iter().filter(|row| row.status == status).count();
    for status in ["met", "in part", "not met", "does not apply"] {
        println!("{path}: {} {status}", count(status));
    }
}

/// RFC 9293: each numbered requirement has a row, each row that is met a test that carries its number.
#[test]
fn the_conformance_table_names_a_test_for_every_requirement() {
    check("docs/conformance.md", &conformance_rows());
}

/// Each family of attacks has a row with the tests that carry it.
#[test]
fn the_hardening_table_names_a_test_for_every_family() {
    check("docs/hardening.md", &hardening_rows());
}

/// Each rule of this check fails on the table that breaks it.
#[test]
fn a_table_that_drifted_is_found() {
    let evidence =
        [Evidence { name: "tests/a.rs::b".into(), ids: BTreeSet::from(["T1".into(), "T2".into()]) }];
    let wanted: Vec<String> = ["T1", "T2"].map(String::from).into();
    let found = |rows: &str| {
        let text =
            format!("# Head\n\n| id | what | status | shown by | note |\n|---|---|---|---|---|\n{rows}");
        violations(&Table::parse(&text), &wanted, &evidence).join("\n")
    };
    let second = "| T2 | y | met | `tests/a.rs::b` | |\n";
    assert_eq!(found(&format!("| T1 | x | met | `tests/a.rs::b` | |\n{second}")), "");
    for (row, fault) in [
        ("", "missing: [\"T1\"]"),
        ("| T1 | x | met | `tests/a.rs::gone` | |\n", "names other tests"),
        ("| T1 | x | not met | `tests/a.rs::b` | |\n", "gives no reason"),
        ("| T1 | x | fine | `tests/a.rs::b` | |\n", "no status 'fine'"),
    ] {
        let said = found(&format!("{row}{second}"));
        assert!(said.contains(fault), "{said:?} does not contain {fault:?}");
    }
    let untested = Table::parse("| T1 | x | met | | |\n");
    assert!(violations(&untested, &wanted[..1], &[])[0].contains("no test carries"));
}
