//! The `tidegate` program: the stack behind a TUN device, as a server and as a client.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
