//! Back-quoted commands: text to settings. Nothing is ever executed; what is not recognised makes a script SKIP.
//!
//! The text is split as a shell would (quotes, `;`, `&&`, lines, comments), and output sent to `/dev/null` changes nothing.
//! What a setting does to the stack is in `settings`.

/// What a command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// A kernel setting: its dotted key and its value.
    Sysctl {
        /// For example `net.ipv4.tcp_sack`.
        key: String,
        /// As written, without quotes.
        value: String,
    },
    /// The harness's default settings: the `linux` profile.
    LoadDefaults,
    /// Something that makes no difference here.
    NoOp,
    /// Something else: its words.
    Unknown(String),
}

/// All settings of a command's text, in order.
pub fn settings(text: &str) -> Vec<Setting> {
    match split(text) {
        Some(commands) => commands.iter().flat_map(|words| recognise(words)).collect(),
        None => vec![Setting::Unknown(text.trim().to_owned())],
    }
}

/// Words that end a command without making it depend on anything.
const SEPARATORS: [&str; 3] = [";", "&&", "\n"];

/// Commands in words; `None` for quotes that do not end.
fn split(text: &str) -> Option<Vec<Vec<String>>> {
    let mut commands = vec![Vec::new()];
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() && c != '\n');
        let separator = SEPARATORS.iter().find(|separator| rest.starts_with(**separator));
        if rest.is_empty() {
            commands.retain(|words| !words.is_empty());
            return Some(commands);
        } else if let Some(after) = rest.strip_prefix("\\\n") {
            rest = after;
        } else if rest.starts_with('#') {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else if let Some(separator) = separator {
            rest = &rest[separator.len()..];
            commands.push(Vec::new());
        } else {
            let (word, after) = word(rest)?;
            commands.last_mut()?.push(word);
            rest = after;
        }
    }
}

/// The first word without its quotes, and what follows it.
fn word(text: &str) -> Option<(String, &str)> {
    let mut word = String::new();
    let mut quote = None;
    for (place, c) in text.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => word.push(c),
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c.is_whitespace() || c == ';' || text[place..].starts_with("&&") => {
                return Some((word, &text[place..]));
            }
            None => word.push(c),
        }
    }
    quote.is_none().then_some((word, ""))
}

/// Where output may go: it is not looked at.
const SILENT: [&str; 5] = [">/dev/null", "1>/dev/null", "2>/dev/null", "&>/dev/null", "2>&1"];

fn recognise(words: &[String]) -> Vec<Setting> {
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    loop {
        match words[..] {
            [.., last] if SILENT.contains(&last) => words.truncate(words.len() - 1),
            [.., ">" | "2>" | "&>" | "1>", "/dev/null"] => words.truncate(words.len() - 2),
            _ => break,
        }
    }
    let unknown = || vec![Setting::Unknown(words.join(" "))];
    let Some((&command, arguments)) = words.split_first() else { return unknown() };
    match (file_name(command), arguments) {
        (name, []) if name.ends_with("defaults.sh") => vec![Setting::LoadDefaults],
        ("set_sysctls.py", [_, ..]) => assignments(arguments).unwrap_or_else(unknown),
        ("sysctl", _) => {
            let is_flag = |word: &&&str| {
                word.starts_with('-') && word.len() > 1 && word[1..].chars().all(is_sysctl_flag)
            };
            let flags = arguments.iter().take_while(is_flag).count();
            assignments(&arguments[flags..]).unwrap_or_else(unknown)
        }
        ("echo", [value, ">", path]) if file_name(path) == "hystart_detect" => vec![hystart(value)],
        ("echo", [value, path]) if path.starts_with('>') && file_name(path) == "hystart_detect" => {
            vec![hystart(value)]
        }
        ("ip", ["tcp_metrics", flush, ..]) if flush.starts_with("flush") => vec![Setting::NoOp],
        ("tc", ["qdisc", rest @ ..]) if rest.contains(&"pfifo") || rest.contains(&"fq") => {
            vec![Setting::NoOp]
        }
        ("ethtool", ["-K", .., "off"]) => vec![Setting::NoOp],
        (name, []) if name.starts_with("sysctl_restore_") => vec![Setting::NoOp],
        _ => unknown(),
    }
}

fn is_sysctl_flag(letter: char) -> bool {
    matches!(letter, 'q' | 'w' | 'e')
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn hystart(value: &str) -> Setting {
    Setting::Sysctl { key: "hystart_detect".to_owned(), value: value.to_owned() }
}

/// `KEY=VAL …`, the key dotted or a path below `/proc/sys`; at least one.
fn assignments(words: &[&str]) -> Option<Vec<Setting>> {
    let assignment = |word: &&str| {
        let (key, value) = word.split_once('=')?;
        let key = key.strip_prefix("/proc/sys/").unwrap_or(key).replace('/', ".");
        let sound = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        (sound && !value.is_empty()).then_some(Setting::Sysctl { key, value })
    };
    let settings: Option<Vec<Setting>> = words.iter().map(assignment).collect();
    settings.filter(|settings| !settings.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sysctl(key: &str, value: &str) -> Setting {
        Setting::Sysctl { key: format!("net.ipv4.{key}"), value: value.to_owned() }
    }

    fn unknown(text: &str) {
        let found = settings(text);
        assert!(found.iter().any(|setting| matches!(setting, Setting::Unknown(_))), "{text}: {found:?}");
    }

    #[test]
    fn settings_come_as_key_and_value() {
        assert_eq!(settings("sysctl -q net.ipv4.tcp_sack=0"), [sysctl("tcp_sack", "0")]);
        assert_eq!(settings("/sbin/sysctl -qw -e net/ipv4/tcp_sack=0"), [sysctl("tcp_sack", "0")]);
        assert_eq!(
            settings(
                "../common/set_sysctls.py /proc/sys/net/ipv4/tcp_rmem=\"4096  1 2\" net.ipv4.tcp_ecn='1'"
            ),
            [sysctl("tcp_rmem", "4096 1 2"), sysctl("tcp_ecn", "1")]
        );
        assert_eq!(settings("echo 2 > /sys/module/tcp_cubic/parameters/hystart_detect"), [hystart("2")]);
        assert_eq!(settings("echo 2 >/sys/module/tcp_cubic/parameters/hystart_detect"), [hystart("2")]);
        assert_eq!(settings("./defaults.sh"), [Setting::LoadDefaults]);
        assert_eq!(settings("defaults.sh"), [Setting::LoadDefaults]);
        assert_eq!(settings("./my-defaults.sh"), [Setting::LoadDefaults]);
    }

    #[test]
    fn some_commands_make_no_difference() {
        for text in [
            "ip tcp_metrics flush all > /dev/null 2>&1",
            "/tmp/sysctl_restore_${PPID}.sh",
            "tc qdisc replace dev tun0 root fq",
            "tc qdisc add dev tun0 root handle 1: pfifo 2>/dev/null",
            "tc qdisc add dev tun0 root pfifo limit 50",
            "tc qdisc add dev tun0 root fq maxrate 5mbit",
            "ethtool -K tun0 gso off tso off",
        ] {
            assert_eq!(settings(text), [Setting::NoOp], "{text}");
        }
        assert_eq!(settings(" # only a comment\n"), []);
    }

    #[test]
    fn several_commands_stand_in_one_text() {
        let text = "../defaults.sh\nsysctl -q net.ipv4.tcp_sack=0;sysctl net.ipv4.tcp_ecn=0 && \\\n ip tcp_metrics flush # x\n";
        let expected =
            [Setting::LoadDefaults, sysctl("tcp_sack", "0"), sysctl("tcp_ecn", "0"), Setting::NoOp];
        assert_eq!(settings(text), expected);
    }

    #[test]
    fn anything_else_is_unknown() {
        for text in [
            "true",
            "ls -l",
            "sh ../defaults.sh",
            "../defaults.sh fast",
            "sysctl net.ipv4.tcp_sack",
            "sysctl -a",
            "sysctl -p x=1",
            "sysctl -w net.ipv4.tcp_sack = 0",
            "sysctl -w net.ipv4.tcp_sack=",
            "sysctl -w net.ipv4.tcp_sack=0 > log",
            "set_sysctls.py",
            "echo 2 > /tmp/x",
            "tc qdisc add dev tun0 root netem loss 1",
            "tc qdisc add dev tun0 root pfifo_fast",
            "ethtool -K tun0 gso on",
            "sysctl net.ipv4.tcp_sack=0 || true",
            "sysctl net.ipv4.tcp_sack=0 | cat",
            "sysctl net.ipv4.tcp_sack=\"0",
            "ip route flush",
            "sysctl net.ipv4.tcp_sack=0; reboot",
            "'",
            "$(x)=1",
        ] {
            unknown(text);
        }
    }
}
