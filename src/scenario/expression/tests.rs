//! Statements, operators and their order, and what blocks must not do.

use proptest::prelude::*;

use super::*;

fn block(text: &str) -> CodeBlock {
    CodeBlock { line: 1, text: text.to_owned() }
}

fn given() -> Variables {
    [("tcpi_rto", 200_000), ("tcpi_snd_cwnd", 10)].map(|(name, value)| (name.to_owned(), value)).into()
}

fn outcome(text: &str) -> Outcome {
    run(&block(text), &given(), &mut Variables::new())
}

fn holds(text: &str) {
    assert_eq!(outcome(text), Outcome::Held, "{text}");
}

fn value(expression: &str) -> i64 {
    let mut variables = Variables::new();
    let held = run(&block(&format!("x = {expression}")), &given(), &mut variables);
    assert_eq!(held, Outcome::Held, "{expression}");
    variables["x"]
}

fn is_error(text: &str, line: u32, reason: &str) {
    assert_eq!(outcome(text), Outcome::Error(ParseError::new(line, reason)), "{text}");
}

#[test]
fn operators_bind_as_in_python() {
    for (expression, expected) in [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 2 - 3", 5),
        ("7 // 2 * 2", 6),
        ("-7 // 2", -4),
        ("7 // -2", -4),
        ("-7 % 3", 2),
        ("7 % -3", -2),
        ("-6 % 3", 0),
        ("1 | 6 & 3", 3),
        ("4 & 2 + 4", 4),
        ("1 | 2 == 3", 1),
        ("0x1F", 31),
        ("- - 5", 5),
        ("+-5", -5),
        ("not 5", 0),
        ("not 1 == 2", 1),
        ("not not 7", 1),
        ("0 or 5", 5),
        ("3 and 5", 5),
        ("0 and 5 // 0", 0),
        ("4 or 5 // 0", 4),
        ("1 or 0 and 0", 1),
        ("1 <= 2 <= 2 < 3", 1),
        ("1 < 3 < 2", 0),
        ("3 > 2 == 1", 0),
        ("2 != 2", 0),
        ("5 >= 5", 1),
        ("TCP_CLOSING + TCP_CA_Loss", 15),
        ("tcpi_rto // 1000", 200),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
}

#[test]
fn statements_stand_on_lines_or_behind_semicolons() {
    holds("\n a = 5; a += 2 # a comment; assert 0\n\n;assert a == 7\n");
    holds("assert 1 + \\\n 1 == 2, 'no'\r\nassert (1 +\n 1) == 2");
    holds("print(\"a %d\" % tcpi_rto, [1.5])\nprint()");
    holds("assert tcpi_rto == 200000, \"rto %d; # %s\" % (tcpi_rto, str(1.5)) ; assert 1, a / b");
    holds("");
}

/// Variables live from block to block; the snapshot is new in each.
#[test]
fn variables_persist() {
    let mut variables = Variables::new();
    assert_eq!(run(&block("cwnd = tcpi_snd_cwnd"), &given(), &mut variables), Outcome::Held);
    let later = Variables::from([("tcpi_snd_cwnd".to_owned(), 20)]);
    assert_eq!(run(&block("assert tcpi_snd_cwnd == 2 * cwnd"), &later, &mut variables), Outcome::Held);
}

/// A failure names its line in the script, its text and what the names in it were worth.
#[test]
fn a_false_assertion_tells_why() {
    let code = CodeBlock { line: 10, text: "\nx = 3\nassert x + x ==\\\n  tcpi_snd_cwnd, 'no'".to_owned() };
    assert_eq!(
        run(&code, &given(), &mut Variables::new()),
        Outcome::Failed {
            line: 12,
            expression: "x + x == tcpi_snd_cwnd".to_owned(),
            values: vec![("x".to_owned(), 3), ("tcpi_snd_cwnd".to_owned(), 10)],
        }
    );
}

#[test]
fn an_unknown_name_is_told() {
    let unknown = |line, name: &str| Outcome::Unknown { line, name: name.to_owned() };
    assert_eq!(outcome("a = 1\nassert tcpi_nonsense == 1"), unknown(2, "tcpi_nonsense"));
    assert_eq!(outcome("a += 1"), unknown(1, "a"));
    assert_eq!(outcome("assert True"), unknown(1, "True"));
    assert_eq!(outcome("assert 1 or b"), unknown(1, "b"));
    assert_eq!(outcome("a = 1\nprint(a, c)"), unknown(2, "c"));
    holds("assert 1 or a\na = 1");
}

#[test]
fn what_the_language_lacks_is_an_error() {
    is_error("\na = 0.5", 2, "unexpected 0");
    is_error("a = 010", 1, "unexpected 010");
    is_error("a = 1e3", 1, "unexpected 1e3");
    is_error("a = 99999999999999999999", 1, "unexpected 99999999999999999999");
    is_error("a = 1 / 2", 1, "unexpected /");
    is_error("a = 2 ** 3", 1, "unexpected *");
    is_error("a = 1 << 3", 1, "unexpected <");
    is_error("a = 'x'", 1, "unexpected 'x'");
    is_error("a = b = 1", 1, "unexpected =");
    is_error("a = f(1)", 1, "unexpected (");
    is_error("a = 1 if 1 else 2", 1, "unexpected if");
    is_error("if 1: a = 2", 1, "unexpected if");
    is_error("assert (1, 'always true')", 1, "unexpected ,");
    is_error("assert", 1, "the code block ends too early");
    is_error("assert 1,\na = 1", 1, "a statement ends too early");
    is_error("a =\nb = 1", 1, "a statement ends too early");
    is_error("print tcpi_rto", 1, "unexpected tcpi_rto");
    is_error("print(1", 1, "the code block ends too early");
    is_error("assert 1, (2", 1, "the code block ends too early");
    is_error("assert 1, 2)", 1, "unexpected )");
    is_error("a == 1", 1, "a begins neither an assignment nor an assertion");
    is_error("a -= 1", 1, "a begins neither an assignment nor an assertion");
    is_error("tcpi_rto = 1", 1, "tcpi_rto cannot be assigned to");
    is_error("TCP_CLOSE = 1", 1, "TCP_CLOSE cannot be assigned to");
    is_error("a = \"x", 1, "string does not end on its line");
    is_error("a = 1 \\ + 2", 1, "a backslash ends no line here");
    is_error("a = [1]", 1, "unexpected [");
    is_error("ä = 1", 1, "unexpected ä");
}

#[test]
fn arithmetic_that_leaves_its_range_is_an_error() {
    is_error("a = 5\nb = a // 0", 2, "division by zero");
    is_error("b = 5 % 0", 1, "division by zero");
    let range = "a number leaves the range of 64 bits";
    let least = "a = -9223372036854775807 - 1\n";
    for overflow in ["b = a - 1", "b = -a", "b = a // -1", "b = a % -1", "b = a * 2", "a += a"] {
        is_error(&format!("{least}{overflow}"), 2, range);
    }
}

/// Neither depth nor length can overflow the stack.
#[test]
fn size_is_bounded() {
    is_error(&format!("a = {}", "(".repeat(100_000)), 1, "nested too deeply");
    is_error(&format!("a = {}1", "-".repeat(100_000)), 1, "nested too deeply");
    is_error(&format!("a = {}1", "not ".repeat(100_000)), 1, "nested too deeply");
    is_error(&format!("a = 1{}", " + 1".repeat(100_000)), 1, "the expression is too long");
    assert_eq!(value(&format!("1{}", " + 1".repeat(900))), 901);
    assert_eq!(value(&format!("{}5{}", "(".repeat(60), ")".repeat(60))), 5);
}

proptest! {
    /// No text makes it panic.
    #[test]
    fn any_text_is_run_or_refused(pieces in proptest::collection::vec(0..PIECES.len(), 0..30), raw in any::<String>()) {
        let text: Vec<&str> = pieces.iter().map(|&piece| PIECES[piece]).collect();
        outcome(&text.join(" "));
        outcome(&raw);
    }
}

const PIECES: [&str; 27] = [
    "a",
    "=",
    "+=",
    "assert",
    "print",
    "(",
    ")",
    ",",
    "1",
    "-",
    "//",
    "%",
    "0",
    "9223372036854775807",
    "*",
    "and",
    "or",
    "not",
    "<",
    "==",
    "|",
    "&",
    "\n",
    ";",
    "\\\n",
    "'x'",
    "tcpi_rto",
];
