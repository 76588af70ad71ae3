//! A table in Markdown with the columns id, what is asked, status, shown by, note; the text around it is kept.

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) struct Row {
    pub(crate) id: String,
    what: String,
    pub(crate) status: String,
    pub(crate) shown_by: Vec<String>,
    pub(crate) note: String,
}

pub(crate) struct Table {
    /// Every line; those of rows are written anew.
    lines: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

impl Table {
    pub(crate) fn read(path: &str) -> Table {
        Table::parse(&fs::read_to_string(at(path)).unwrap_or_else(|error| panic!("{path}: {error}")))
    }

    pub(crate) fn parse(text: &str) -> Table {
        let lines: Vec<String> = text.lines().map(String::from).collect();
        Table { rows: lines.iter().filter_map(|line| Row::parse(line)).collect(), lines }
    }

    pub(crate) fn write(&self, path: &str) {
        let mut rows = self.rows.iter();
        let line = |line: &String| match Row::parse(line) {
            Some(_) => rows.next().map(Row::to_line).unwrap_or_default(),
            None => line.clone(),
        };
        let text: Vec<String> = self.lines.iter().map(line).collect();
        fs::write(at(path), text.join("\n") + "\n").unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

impl Row {
    /// A line of five columns whose first ends in a number.
    fn parse(line: &str) -> Option<Row> {
        let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let &[id, what, status, shown_by, note] = cells.as_slice() else { return None };
        id.ends_with(|c: char| c.is_ascii_digit()).then(|| Row {
            id: id.into(),
            what: what.into(),
            status: status.into(),
            shown_by: shown_by
                .split(", ")
                .filter(|name| !name.is_empty())
                .map(|name| name.trim_matches('`').into())
                .collect(),
            note: note.into(),
        })
    }

    fn to_line(&self) -> String {
        let names: Vec<String> = self.shown_by.iter().map(|name| format!("`{name}`")).collect();
        format!("| {} | {} | {} | {} | {} |", self.id, self.what, self.status, names.join(", "), self.note)
    }
}

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
