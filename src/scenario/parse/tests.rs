//! The grammar production by production, and every error with its line.

use super::*;
use crate::base::time::Duration;
use crate::scenario::script::*;

fn script(source: &str) -> Script {
    parse(source, &Definitions::new()).unwrap_or_else(|error| panic!("{source}: {error}"))
}

/// The only event of a script that begins with time 0.
fn action(source: &str) -> Action {
    let mut events = script(&format!("0 {source}")).events;
    assert_eq!(events.len(), 1, "{source}");
    events.remove(0).action
}

fn tcp(source: &str) -> TcpSpec {
    match action(source) {
        Action::Packet(PacketSpec { body: Body::Tcp(tcp), .. }) => tcp,
        other => panic!("{source}: {other:?}"),
    }
}

fn icmp(source: &str) -> IcmpSpec {
    match action(source) {
        Action::Packet(PacketSpec { body: Body::Icmp(icmp), .. }) => icmp,
        other => panic!("{source}: {other:?}"),
    }
}

fn call(source: &str) -> Call {
    match action(source) {
        Action::Call(call) => call,
        other => panic!("{source}: {other:?}"),
    }
}

fn fails(source: &str, line: u32, reason: &str) {
    assert_eq!(parse(source, &Definitions::new()), Err(ParseError::new(line, reason)), "{source}");
}

/// As `fails`, for a packet at time 0 on line 1 with another event behind it.
fn packet_fails(packet: &str, reason: &str) {
    fails(&format!("0 {packet}\n+1 > . 1:1(0) ack 1"), 1, reason);
}

fn name(text: &str) -> Value {
    Value::Name(text.to_owned())
}

const SECOND: Duration = Duration::from_secs(1);

/// A first bare command sets up, a last one cleans up; the ones with a time are events.
#[test]
fn bare_commands_stand_first_and_last() {
    let command = |line, text: &str| Command { line, text: text.to_owned() };
    let found = script("--mtu=1400 --verbose\n`up`\n0 `event`\n+0 `other`\n`down`\n// end");
    let option = |name: &str, value: Option<&str>| ScriptOption {
        line: 1,
        name: name.to_owned(),
        value: value.map(str::to_owned),
    };
    assert_eq!(found.options, [option("mtu", Some("1400")), option("verbose", None)]);
    assert_eq!(found.setup, Some(command(2, "up")));
    let actions: Vec<Action> = found.events.into_iter().map(|event| event.action).collect();
    assert_eq!(actions, [Action::Command(command(3, "event")), Action::Command(command(4, "other"))]);
    assert_eq!(found.cleanup, Some(command(5, "down")));
    assert_eq!(script("0 `event`").setup, None);

    fails("`a`\n`b`\n0 `c`", 2, "expected an event, found a command");
    fails("", 1, "expected an event, found the end of the script");
    let reason = "expected the end: a command without a time is the last thing of a script, found 1";
    fails("0 `a`\n`b`\n1 `c`", 3, reason);
    fails("0 `a`\n--mtu=5", 2, "expected a time, found --mtu");
}

#[test]
fn times_are_absolute_relative_or_ranges() {
    let times = |source: &str| script(source).events.iter().map(|event| event.when).collect::<Vec<_>>();
    let (absolute, relative) = (Clock::Absolute, Clock::Relative);
    let millis = Duration::from_millis;
    assert_eq!(
        times("0 `a`\n+.25 `b` +1.5~+2 > . 1:1(0) ack 1\n3~3.000001 > . 1:1(0) ack 1\n* > . 1:1(0) ack 1"),
        [
            When::At(absolute(Duration::ZERO), None),
            When::At(relative(millis(250)), None),
            When::At(relative(millis(1500)), Some(relative(2 * SECOND))),
            When::At(absolute(3 * SECOND), Some(absolute(Duration::from_micros(3_000_001)))),
            When::Any,
        ]
    );
    assert_eq!(script("\n\n+0\n`a`").events[0].line, 3);
}

#[test]
fn impossible_times_are_errors() {
    let time_only = "`*` and time ranges stand only before `>` packets";
    fails("\n1 `a`", 2, "the first event must be at time 0");
    fails("* > . 1:1(0) ack 1", 1, "the first event must be at time 0");
    fails("0 `a`\n2 `b`\n+1 `c`\n1.9 `d`", 4, "times run backwards");
    fails("0 `a`\n* `b`", 2, time_only);
    fails("0 `a`\n1~2 < . 1:1(0) ack 1 win 5", 2, time_only);
    fails("0 `a`\n1~2 close(3) = 0", 2, time_only);
    fails("0 `a`\n1~+2 > . 1:1(0) ack 1", 2, "both ends of a time range must be relative, or both absolute");
    fails("0 `a`\n2~1 > . 1:1(0) ack 1", 2, "a time range ends before it starts");
    fails("0 `a`\n-1 `b`", 2, "-1 is out of range: a time is 0 to 1000000000 seconds");
    fails(
        "0 `a`\n99999999999999999999 `b`",
        2,
        "99999999999999999999 is out of range: a time is 0 to 1000000000 seconds",
    );
    fails("0", 1, "expected a packet, call, command or code block, found the end of the script");
    fails("0 `a`\nclose(3) = 0", 2, "expected a time, found close");
}

#[test]
fn blocking_calls_end_by_the_same_clock() {
    assert_eq!(call("...0.2 accept(3, ..., ...) = 4").end, Some(Clock::Absolute(Duration::from_millis(200))));
    let found = script("0 `a`\n+1...2 f() = 0");
    assert!(
        matches!(&found.events[1].action, Action::Call(call) if call.end == Some(Clock::Relative(2 * SECOND)))
    );
    fails("0 `a`\n2...1 f() = 0", 2, "a blocking call ends before it starts");
    fails("0 `a`\n*...1 f() = 0", 2, "a blocking call needs one time to start at");
    fails("0...0.2 > . 1:1(0) ack 1", 1, "expected a call, found `>`");
}

#[test]
fn segments_are_flags_range_and_what_follows() {
    let full = tcp("< 5 > 80 SFRPUEWA. 4294967295:9(10) ack 7 win 65535 urg 3 <nop,nop,nop,eol>");
    let expected = TcpSpec {
        ports: Some(Ports { src: 5, dst: 80 }),
        flags: FlagSpec { bits: 0xff, ae: true, ace: None },
        range: SeqRange { first: u32::MAX, len: 10 },
        ack: Some(7),
        window: Some(65_535),
        urgent: Some(3),
        options: OptionsSpec::List(vec![
            TcpOptionSpec::Nop,
            TcpOptionSpec::Nop,
            TcpOptionSpec::Nop,
            TcpOptionSpec::Eol,
        ]),
    };
    assert_eq!(full, expected);
    let least = tcp("> - -1:-1(0)");
    let expected = TcpSpec {
        ports: None,
        flags: FlagSpec::default(),
        range: SeqRange { first: u32::MAX, len: 0 },
        ack: None,
        window: None,
        urgent: None,
        options: OptionsSpec::List(Vec::new()),
    };
    assert_eq!(least, expected);
    assert_eq!(tcp("> R 1:1(0) ack 9").ack, Some(9), "written without the flag it is compared all the same");
    assert_eq!(tcp("> . 1:1(0) ack 1 <...>").options, OptionsSpec::Any);
    assert_eq!(tcp("> .\n1:1(0)\nack 1").range, SeqRange { first: 1, len: 0 }, "events span lines");
}

/// RFC 9768 §3.2: three flags of an established connection are a number.
#[test]
fn the_three_ecn_flags_may_be_a_number() {
    let flags = |source: &str| tcp(&format!("> {source} 1:1(0) ack 1")).flags;
    assert_eq!(flags(".5"), FlagSpec { bits: 0x10, ae: false, ace: Some(5) });
    assert_eq!(flags("P.0"), FlagSpec { bits: 0x18, ae: false, ace: Some(0) });
    packet_fails("> .8 1:1(0) ack 1", "expected `.` and a number up to 7 behind the flags, found .8");
    packet_fails("> .12 1:1(0) ack 1", "expected `.` and a number up to 7 behind the flags, found .12");
    packet_fails("> E.5 1:1(0) ack 1", "the number behind `.` is made of the flags A, W and E itself");
    packet_fails("> A.5 1:1(0) ack 1", "the number behind `.` is made of the flags A, W and E itself");
}

#[test]
fn segments_that_contradict_themselves_are_errors() {
    packet_fails("> SX. 0:0(0) ack 1", "expected flags of a TCP segment, found SX");
    packet_fails("> SS 0:0(0)", "flag S stands there twice");
    packet_fails("> 1:1(0)", "expected flags of a TCP segment, found 1");
    packet_fails("> . 1:3(1) ack 1", "1 plus 1 bytes does not end at 3");
    packet_fails("> . 4294967295:1(1) ack 1", "4294967295 plus 1 bytes does not end at 1");
    let range = "4294967296 is out of range: a sequence number is -2147483648 to 4294967295";
    packet_fails("> . 4294967296:0(0) ack 1", range);
    packet_fails("> . 1:1(-1) ack 1", "-1 is out of range: a length is 0 to 4294967295");
    packet_fails("> . 1:1(0)", "`ack` is missing, though the ACK flag is set");
    packet_fails("< R 1:1(0)", "`win` is missing, which a `<` segment must have");
    packet_fails("< . 1:1(0) ack 1 win 65536", "65536 is out of range: win is 0 to 65535");
    packet_fails("< . 1:1(0) ack 1 win 5 urg -1", "-1 is out of range: urg is 0 to 65535");
    packet_fails("< . 0:70000(70000) ack 1 win 5", "the segment is longer than an IP packet can be");
    packet_fails("< 70000 > 80 S 0:0(0) win 5", "70000 is out of range: a port is 0 to 65535");
    packet_fails("> . 1:1 ack 1", "expected `(`, found ack");
    packet_fails("> . 1.5:1(0) ack 1", "expected a sequence number, found 1.5");
    fails("0 > . 1:1(0) win 5 ack 1", 1, "`ack` is missing, though the ACK flag is set");
}

#[test]
fn options_in_their_order() {
    use TcpOptionSpec::*;
    let options = |source: &str| match tcp(&format!("> S 0:0(0) <{source}>")).options {
        OptionsSpec::List(options) => options,
        OptionsSpec::Any => panic!(),
    };
    let stamps = Timestamps { val: 100, ecr: u32::MAX };
    assert_eq!(
        options("mss 1460,sackOK,TS val 100 ecr 4294967295,nop,wscale 8"),
        [Mss(1460), SackPermitted, stamps, Nop, WindowScale(8)]
    );
    assert_eq!(options("nop,nop,sack 1:2 -1:4"), [Nop, Nop, Sack(vec![(1, 2), (u32::MAX, 4)])]);
    assert_eq!(options("FO,nop,nop"), [FastOpen(vec![]), Nop, Nop]);
    assert_eq!(options("FO 0aB1"), [FastOpen(vec![0x0a, 0xb1])]);
    assert_eq!(options("FO 12345678,nop,nop"), [FastOpen(vec![0x12, 0x34, 0x56, 0x78]), Nop, Nop]);
    assert_eq!(options("FOEXP"), [FastOpenExperimental(vec![])]);
    let digest: Vec<u8> = (0..16).collect();
    assert_eq!(options("md5 000102030405060708090a0b0c0d0e0f,nop,eol"), [Md5(digest.clone()), Nop, Eol]);
    assert_eq!(
        options("nop,nop,md5 00010203040506070809101112131415").len(),
        3,
        "digits alone are no number"
    );
}

#[test]
fn options_that_fill_no_header_are_errors() {
    packet_fails("> S 0:0(0) <sackOK>", "the options take 2 bytes: not a multiple of 4 up to 40");
    packet_fails(
        "> . 1:1(0) ack 1 <nop,nop,sack 1:2 1:2 1:2 1:2 1:2>",
        "the options take 44 bytes: not a multiple of 4 up to 40",
    );
    packet_fails("> S 0:0(0) <>", "expected a TCP option, found `>`");
    packet_fails("> S 0:0(0) <mss>", "expected mss, found `>`");
    packet_fails("> S 0:0(0) <mss 65536>", "65536 is out of range: mss is 0 to 65535");
    packet_fails("> S 0:0(0) <wscale 256,nop>", "256 is out of range: wscale is 0 to 255");
    packet_fails("> S 0:0(0) <bogus 1>", "expected a TCP option, found bogus");
    packet_fails("> S 0:0(0) <TS ecr 1>", "expected `val`, found ecr");
    packet_fails("> S 0:0(0) <TS val 1, nop>", "expected `ecr`, found `,`");
    packet_fails("> S 0:0(0) <sack>", "expected the left edge of a SACK block, found `>`");
    packet_fails("> S 0:0(0) <sack 5>", "expected `:`, found `>`");
    packet_fails("> S 0:0(0) <FO abc>", "expected pairs of hexadecimal digits, found abc");
    packet_fails("> S 0:0(0) <FO xy>", "expected pairs of hexadecimal digits, found xy");
    packet_fails("> S 0:0(0) <md5 0102>", "md5 takes 32 hexadecimal digits");
    packet_fails("> S 0:0(0) <mss 5 nop>", "expected `,` or `>`, found nop");
    packet_fails("< S 0:0(0) win 5 <...>", "`<...>` stands only in `>` packets");
}

#[test]
fn notes_speak_of_the_ip_header() {
    let notes = |source: &str| match action(&format!("> {source} . 1:1(0) ack 1")) {
        Action::Packet(packet) => packet.notes,
        other => panic!("{other:?}"),
    };
    let none = IpNotes::default();
    assert_eq!(notes("[ect0]"), IpNotes { ecn: Some(EcnNote::Ect0), ..none });
    assert_eq!(notes("(ect1)"), IpNotes { ecn: Some(EcnNote::Ect1), ..none });
    assert_eq!(notes("[ect01]").ecn, Some(EcnNote::Ect01));
    assert_eq!(notes("[noecn]").ecn, Some(EcnNote::NotEct));
    assert_eq!(
        notes("[ce, ttl 64, flowlabel 0xfffff]"),
        IpNotes { ecn: Some(EcnNote::Ce), tos: None, ttl: Some(64), flow_label: Some(0xfffff) }
    );
    assert_eq!(notes("[tos 0x10]").tos, Some(16));

    packet_fails("> [] . 1:1(0) ack 1", "expected a sequence number, found `]`");
    packet_fails("> (1:1(0)) icmp unreachable", "expected a note about the IP header, found 1");
    packet_fails("> [ect0 ttl 5] . 1:1(0) ack 1", "expected `,` or `]`, found ttl");
    packet_fails("> [ttl 256] . 1:1(0) ack 1", "256 is out of range: ttl is 0 to 255");
    packet_fails("> [tos 16] . 1:1(0) ack 1", "expected tos in hexadecimal, found 16");
    packet_fails("> [tos 0x100] . 1:1(0) ack 1", "0x100 is out of range: tos is at most 0xff");
    packet_fails("> [ect0, ce] . 1:1(0) ack 1", "a second note in the place of ce");
    packet_fails("> [ect0, tos 0x2] . 1:1(0) ack 1", "tos holds the ECN field already");
    packet_fails(
        "< [ect01] . 1:1(0) ack 1 win 5",
        "ect01 stands for two values, only a `>` packet may have either",
    );
}

#[test]
fn datagrams_have_a_length() {
    let udp = |ports, len| Body::Udp { ports, len };
    let body = |source: &str| match action(source) {
        Action::Packet(packet) => packet.body,
        other => panic!("{other:?}"),
    };
    assert_eq!(body("< udp (1000)"), udp(None, 1000));
    assert_eq!(body("> [ttl 5] udp 53 > 1024 (0)"), udp(Some(Ports { src: 53, dst: 1024 }), 0));
    packet_fails("< udp (65528)", "65528 is out of range: a datagram's length is 0 to 65527");
    packet_fails("< udp 5", "expected `(`, found 5");
}

#[test]
fn icmp_quotes_before_or_behind() {
    let range = SeqRange { first: 1, len: 1000 };
    let expected = IcmpSpec {
        kind: "unreachable".to_owned(),
        code: Some("frag_needed".to_owned()),
        mtu: Some(1200),
        id: None,
        echoed: Some(Echoed::Tcp(range)),
    };
    assert_eq!(icmp("< [1:1001(1000)] icmp unreachable frag_needed mtu 1200"), expected);
    assert_eq!(icmp("< icmp unreachable frag_needed mtu 1200 [1:1001(1000)]"), expected);
    assert_eq!(icmp("< [ect0] [udp (8)] icmp type_200 code_3").echoed, Some(Echoed::Udp(8)));
    assert_eq!(icmp("< icmp echo_request id 7").id, Some(7));
    assert_eq!(icmp("> icmp unreachable frag_needed").mtu, None, "what is seen is type and code");

    packet_fails("< [1:1(0)] icmp unreachable [1:1(0)]", "what the message quotes stands there twice");
    packet_fails("< icmp packet_too_big", "`mtu` is missing, which a message of this kind must have");
    packet_fails(
        "< icmp unreachable frag_needed",
        "`mtu` is missing, which a message of this kind must have",
    );
    packet_fails("< icmp type_256", "type_256: the number behind type_ is 0 to 255");
    packet_fails("< icmp unreachable code_", "code_: the number behind code_ is 0 to 255");
    packet_fails("< [1:3(1)] icmp unreachable", "1 plus 1 bytes does not end at 3");
    packet_fails("< [1:1(0)] udp (5)", "expected `icmp`, found udp");
    packet_fails("< icmp unreachable id 65536", "65536 is out of range: id is 0 to 65535");
}

#[test]
fn calls_with_all_kinds_of_values() {
    let found =
        call("fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK|0x4|-8, \"a b\", ...) = -1 EINVAL (Can't do I/O, 5)");
    assert_eq!(
        found,
        Call {
            end: None,
            name: "fcntl".to_owned(),
            args: vec![
                Value::Int(3),
                name("F_SETFL"),
                Value::Or(vec![name("O_RDWR"), name("O_NONBLOCK"), Value::Hex(4), Value::Int(-8)]),
                Value::Text("a b".to_owned()),
                Value::Ellipsis,
            ],
            result: Value::Int(-1),
            errno: Some("EINVAL".to_owned()),
            note: Some("Can't do I/O, 5".to_owned()),
        }
    );
    assert_eq!(call("f() = ...").result, Value::Ellipsis);
    assert_eq!(call("f([], [1, [2]]) = 0x8").args, {
        let inner = Value::List(vec![Value::Int(2)]);
        [Value::List(vec![]), Value::List(vec![Value::Int(1), inner])]
    });
}

#[test]
fn structures_have_fields_with_and_without_names() {
    let named = |text: &str, argument, value| Field::Named { name: text.to_owned(), argument, value };
    let found = call("sendmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 1000}], msg_flags=0}, 0) = 1000");
    let piece = vec![Field::Positional(Value::Ellipsis), Field::Positional(Value::Int(1000))];
    assert_eq!(
        found.args[1],
        Value::Struct(vec![
            named("msg_name", Some(Value::Ellipsis), Value::Ellipsis),
            named("msg_iov", Some(Value::Int(1)), Value::List(vec![Value::Struct(piece)])),
            named("msg_flags", None, Value::Int(0)),
        ])
    );
}

#[test]
fn malformed_calls_are_errors() {
    fails("0 f(1,) = 0", 1, "expected a value, found `)`");
    fails("0 f(1 2) = 0", 1, "expected `)`, found 2");
    fails("0 f(1)\n+1 `a`", 2, "expected `=`, found `+`");
    fails("0 f() =", 1, "expected a value, found the end of the script");
    fails("0 f() = 5 EINVAL", 1, "only the result -1 has an error");
    fails("0 f() = -1 Einval", 1, "expected a time, found Einval");
    fails("0 f({}) = 0", 1, "expected a value, found `}`");
    fails("0 f({a(1)}) = 0", 1, "expected `=`, found `}`");
    fails("0 f([1)) = 0", 1, "expected `]`, found `)`");
    fails("0 f(1|[2]) = 0", 1, "`|` joins numbers and names");
    fails("0 f(0.5) = 0", 1, "expected a value, found 0.5");
    fails("0 f(9223372036854775808) = 0", 1, {
        "9223372036854775808 is out of range: a number is -9223372036854775808 to 9223372036854775807"
    });
    fails("0 f(0x10000000000000000) = 0", 1, {
        "0x10000000000000000 is out of range: a number is at most 0xffffffffffffffff"
    });
    fails("0 f() = 0 (words\n0 `a`", 1, "`(` is not closed");
}

/// Depth is bounded, so that no script can overflow the stack.
#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("0 f({}{}) = 0", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(&nested(MAX), &Definitions::new()).is_ok());
    fails(&nested(MAX + 1), 1, "nested too deeply");
    fails(&nested(100_000), 1, "nested too deeply");
    fails(&format!("0 f({}", "{a(".repeat(100_000)), 1, "nested too deeply");
    const MAX: usize = 32;
}

#[test]
fn definitions_replace_names_everywhere() {
    let definition = |text: &str| preprocess::definition(text).unwrap();
    let line: Definitions = ["MSS=1000", "FLAGS=S", "TEXT=\"cubic\"", "MTU=1400"].map(definition).into();
    let source =
        "--define=MSS=5 --define=RUN=`up` --mtu=MTU\nRUN 0 > FLAGS 0:0(0) <mss MSS> +0 f(TEXT, X) = 0";
    let found = parse(source, &line).unwrap();
    assert_eq!(found.setup, Some(Command { line: 2, text: "up".to_owned() }));
    assert_eq!(found.options[2].value.as_deref(), Some("1400"));
    let direct = script("0 > S 0:0(0) <mss 1000> +0 f(\"cubic\", X) = 0");
    let actions = |script: Script| script.events.into_iter().map(|event| event.action).collect::<Vec<_>>();
    assert_eq!(actions(found), actions(direct));
    fails("--verbose\n--define=5-3=1\n0 `a`", 2, "\"5-3\" is no name to define");
    fails("--define\n0 `a`", 1, "\"\" is no name to define");
}

/// What docs/scenarios.md shows first is a script, and so are its examples of events.
#[test]
fn the_manuals_examples_are_scripts() {
    let manual = include_str!("../../../docs/scenarios.md");
    let examples: Vec<&str> = manual.split("```\n").skip(1).step_by(2).collect();
    let first = script(examples[0]);
    assert_eq!(first.events.len(), 17);
    for example in examples.iter().filter(|example| example.starts_with("+0 ")) {
        script(example);
    }
}
