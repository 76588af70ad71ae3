//! The services over the kernel's own sockets: what a stack is compared with over veth.
//!
//! One thread and one epoll descriptor for all, level-triggered. A connection that sends does so in blocks; everything is
//! one system call where one is enough.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{Backlog, listen};
use tidegate_bench::http::{ANSWER, Answer, LAST_ANSWER, Requests};
use tidegate_bench::{CHARGEN, DISCARD, ECHO, HTTP, PATTERN, ready, use_cubic};

const BLOCK: usize = 256 * 1024;
/// As tidegate's listeners; the system's bound is 4096.
const BACKLOG: i32 = 4096;

enum Service {
    Echo,
    Discard,
    Chargen,
    Http(Requests),
}

struct Connection {
    stream: TcpStream,
    service: Service,
}

fn main() -> anyhow::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::empty())?;
    let mut listeners = HashMap::new();
    for port in [ECHO, DISCARD, CHARGEN, HTTP] {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
        listen(&listener, Backlog::new(BACKLOG)?)?;
        listener.set_nonblocking(true)?;
        // Connections inherit it.
        use_cubic(&listener);
        let fd = listener.as_raw_fd() as u64;
        epoll.add(listener.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, fd))?;
        listeners.insert(fd, (listener, port));
    }
    ready()?;
    serve(&epoll, &listeners)
}

fn serve(epoll: &Epoll, listeners: &HashMap<u64, (TcpListener, u16)>) -> anyhow::Result<()> {
    // By descriptor, since they are small numbers.
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events = [EpollEvent::empty(); 256];
    let mut block = vec![0; BLOCK];
    loop {
        let count = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..count] {
            let fd = event.data() as usize;
            if let Some((listener, port)) = listeners.get(&event.data()) {
                accept(epoll, listener, *port, &mut connections);
            } else if let Some(connection) = connections.get_mut(fd).and_then(Option::as_mut)
                && !advance(connection, &mut block).unwrap_or(false)
            {
                connections[fd] = None;
            }
        }
    }
}

fn accept(epoll: &Epoll, listener: &TcpListener, port: u16, connections: &mut Vec<Option<Connection>>) {
    while let Ok((stream, _)) = listener.accept() {
        if stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).is_err() {
            continue;
        }
        let (service, interest) = match port {
            ECHO => (Service::Echo, EpollFlags::EPOLLIN),
            DISCARD => (Service::Discard, EpollFlags::EPOLLIN),
            CHARGEN => (Service::Chargen, EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT),
            _ => (Service::Http(Requests::default()), EpollFlags::EPOLLIN),
        };
        let fd = stream.as_raw_fd() as usize;
        if epoll.add(stream.as_fd(), EpollEvent::new(interest, fd as u64)).is_ok() {
            connections.resize_with(connections.len().max(fd + 1), || None);
            connections[fd] = Some(Connection { stream, service });
        }
    }
}

/// False when the connection is at its end.
fn advance(connection: &mut Connection, block: &mut [u8]) -> Result<bool> {
    let Connection { stream, service } = connection;
    if let Service::Chargen = service {
        return match stream.write(&PATTERN) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            // Nothing comes from the client but its end.
            Err(_) => would_block(stream.read(block)).map(|count| count != Some(0)),
            Ok(_) => Ok(true),
        };
    }
    let Some(count) = would_block(stream.read(block))? else { return Ok(true) };
    if count == 0 {
        return Ok(false);
    }
    match service {
        Service::Discard | Service::Chargen => Ok(true),
        // An echo that does not fit is cut: the load sends one byte at a time.
        Service::Echo => stream.write(&block[..count]).map(|_| true),
        Service::Http(requests) => match requests.take(&block[..count]) {
            Answer::Wait => Ok(true),
            Answer::Keep => stream.write(ANSWER).map(|_| true),
            Answer::Close => {
                // What follows is close(), which sends our FIN.
                stream.write_all(LAST_ANSWER)?;
                Ok(false)
            }
        },
    }
}

fn would_block(result: Result<usize>) -> Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
