//! The command line: what can be asked for, how errors are told, and what every command needs.

mod attach;
mod demo;
mod get;
mod ladder;
mod link;
mod ping;
mod scenario;
mod serve;
mod signals;
mod threads;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tidegate::scenario::script::ScriptOption;
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::EnvFilter;

/// A TCP/IP stack in a process, behind a TUN device.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve echo, discard, chargen and HTTP behind a TUN device.
    Serve(serve::Args),
    /// Show a page being fetched between two stacks in this process, segment by segment. Needs no privilege.
    Demo(demo::Args),
    /// Send echo requests to a host through a stack of this program's own.
    Ping(ping::Args),
    /// Fetch a URL over a stack of this program's own.
    Get(get::Args),
    /// Join two TUN devices by a wire that delays, limits, loses, reorders and damages packets.
    Link(link::Args),
    /// Run scripts in the packetdrill language against the stack, under a virtual clock.
    Scenario(scenario::Args),
}

/// The status for a command line that is wrong, as clap has it.
const WRONG_USAGE: u8 = 2;

/// Runs what the command line asks for. Errors are one line on stderr and status 1; wrong usage is mostly clap's, with status 2.
pub(crate) fn main() -> ExitCode {
    let (cli, options) = match arguments() {
        Ok(parsed) => parsed,
        Err(error) => {
            fail(&error);
            return ExitCode::from(WRONG_USAGE);
        }
    };
    // A log line between the ladder's rungs would only disturb.
    start_log(if matches!(cli.command, Command::Demo(_)) { "warn" } else { "info" });
    let result = match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Ping(args) => ping::run(args),
        Command::Get(args) => get::run(args),
        Command::Link(args) => link::run(args),
        Command::Scenario(args) => scenario::run(args, &options),
    };
    result.unwrap_or_else(|error| fail(&format!("{error:#}")))
}

/// The command line: clap's part, and the options of `scenario` that scripts share.
fn arguments() -> Result<(Cli, Vec<ScriptOption>), String> {
    let arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let (arguments, options) = scenario::take_options(arguments)?;
    Ok((Cli::parse_from(arguments), options))
}

fn fail(error: &str) -> ExitCode {
    eprintln!("tidegate: {}", one_line(error));
    ExitCode::FAILURE
}

/// A runtime on this thread: driver and applications take turns on one core, without locks that anybody waits for.
fn runtime() -> anyhow::Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// Runs `command` to its end, then drops whatever it left behind; nothing is waited for.
fn block_on(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = runtime()?;
    let result = runtime.block_on(command);
    runtime.shutdown_background();
    result
}

/// The log goes to stderr; `RUST_LOG` chooses what is in it.
fn start_log(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let stderr = std::io::stderr;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        // Colour is a feature of the crate that is not compiled in; asked for, it panics.
        .with_ansi(false)
        .with_target(false)
        .init();
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// Seconds with an optional unit: `2`, `0.5`, `2s`, `300ms`, `1m`.
fn duration(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &text[number.len()..] {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "us" => 0.000_001,
        "m" => 60.0,
        unit => return Err(format!("no such unit: {unit}; use us, ms, s or m")),
    };
    let seconds = number.parse::<f64>().map_err(|error| error.to_string())? * unit;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_have_units() {
        for (text, millis) in
            [("2", 2000), ("2s", 2000), ("0.5", 500), ("300ms", 300), ("2000us", 2), ("1m", 60_000), ("0", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1", "2h", "1e99", "nan", "zwei"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn errors_are_one_line() {
        assert_eq!(one_line("no device:\n  try another"), "no device: try another");
    }
}
