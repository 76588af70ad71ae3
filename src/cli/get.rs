//! `tidegate get URL`: an HTTP/1.1 client whose connection goes out through the stack.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tidegate::net::{Net, TcpStream};
use tokio::io::{AsyncWriteExt, Stdout};

use super::attach::{self, Attached, Role};
use super::signals::Signals;

/// How long the connection may take to close once everything was received.
const CLOSING: Duration = Duration::from_secs(1);

/// Options of `get`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to fetch: http://HOST[:PORT]/PATH; the host may be a name that the system's resolver answers
    #[arg(value_parser = url)]
    url: Uri,
    /// File to write to instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How long to try to connect
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = super::duration)]
    connect_timeout: Duration,
    #[command(flatten)]
    device: attach::Args,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    super::block_on(get(args))
}

async fn get(args: Args) -> anyhow::Result<ExitCode> {
    let target = Target::of(&args.url)?;
    let mut signals = Signals::catch()?;
    let Attached { net, driver, wire: _wire, .. } = args.device.open(Role::Client)?;
    let result = tokio::select! {
        result = fetch(&net, &target, args.output.as_deref(), args.connect_timeout) => result,
        () = signals.next() => bail!("interrupted"),
    };
    driver.shutdown(CLOSING).await.context("the device failed")?;
    result.map(|()| ExitCode::SUCCESS)
}

fn url(text: &str) -> Result<Uri, String> {
    text.parse().map_err(|error| format!("{error}; write it as http://HOST/PATH"))
}

/// Where a URL leads.
#[derive(Debug)]
struct Target {
    host: String,
    port: u16,
    /// What the request line and the Host field say.
    path: String,
    authority: String,
}

impl Target {
    fn of(url: &Uri) -> anyhow::Result<Target> {
        ensure!(url.scheme_str() == Some("http"), "{url} is no http:// URL, and others are not supported");
        let authority = url.authority().context("the URL names no host")?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        ensure!(!host.is_empty(), "the URL names no host");
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        // User and password, if any, are not for the Host field (RFC 9110 §7.2).
        let authority = authority.as_str().rsplit('@').next().unwrap_or_default();
        let port = url.port_u16().unwrap_or(80);
        Ok(Target { host: host.to_owned(), port, path: path.to_owned(), authority: authority.to_owned() })
    }
}

async fn fetch(
    net: &Net,
    target: &Target,
    output: Option<&Path>,
    connect_timeout: Duration,
) -> anyhow::Result<()> {
    let Target { host, port, path, authority } = target;
    let connecting = TcpStream::connect(net, (host.as_str(), *port));
    let connected = tokio::time::timeout(connect_timeout, connecting).await;
    let Ok(stream) = connected else { bail!("no answer from {authority} within {connect_timeout:?}") };
    let stream = stream.with_context(|| format!("cannot connect to {authority}"))?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path)
        .header(HOST, authority)
        .header(USER_AGENT, concat!("tidegate/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await.context("no answer")?;
    let status = response.status();
    save(response, output).await?;
    drop(sender);
    // Whatever ends the connection now, the answer is complete.
    let _ = connection.await;
    ensure!(status.is_success(), "{authority} answered {status}");
    Ok(())
}

/// Writes the body out as it comes.
async fn save(mut response: Response<hyper::body::Incoming>, output: Option<&Path>) -> anyhow::Result<()> {
    let mut output = match output {
        Some(path) => {
            let file = File::create(path);
            Output::File(file.with_context(|| format!("cannot write {}", path.display()))?)
        }
        None => Output::Stdout(tokio::io::stdout()),
    };
    while let Some(frame) = response.frame().await {
        if let Ok(data) = frame.context("the answer is cut short")?.into_data() {
            output.write(&data).await.context("cannot write the answer")?;
        }
    }
    output.flush().await.context("cannot write the answer")
}

/// A pipe may be slow and must not hold the stack up; a file is not.
enum Output {
    Stdout(Stdout),
    File(File),
}

impl Output {
    async fn write(&mut self, data: &[u8]) -> std::io::Result<()> {
        match self {
            Output::Stdout(stdout) => stdout.write_all(data).await,
            Output::File(file) => file.write_all(data),
        }
    }

    async fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Output::Stdout(stdout) => stdout.flush().await,
            Output::File(file) => file.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> anyhow::Result<Target> {
        Target::of(&url.parse()?)
    }

    #[test]
    fn a_url_says_whom_to_ask_for_what() {
        let plain = target("http://10.77.0.2").unwrap();
        assert_eq!((plain.host.as_str(), plain.port, plain.path.as_str()), ("10.77.0.2", 80, "/"));
        let full = target("http://me:secret@[fd77::2]:8000/a/b?c=d").unwrap();
        assert_eq!((full.host.as_str(), full.port, full.path.as_str()), ("fd77::2", 8000, "/a/b?c=d"));
        assert_eq!(full.authority, "[fd77::2]:8000");
    }

    #[test]
    fn other_schemes_are_refused() {
        for url in ["https://10.77.0.2/", "10.77.0.2", "/hello", "ftp://x/"] {
            assert!(target(url).is_err(), "{url}");
        }
    }
}
