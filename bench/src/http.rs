//! The least that can be called an HTTP/1.1 responder: the same answer to every request, written once for all stacks.
//!
//! Requests have no body, and one that is cut in two by a read is put together by [`Requests`], which keeps four bytes.

use memchr::memmem;

/// The answer to a request on a connection that stays open.
pub const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";
/// The last answer on a connection.
pub const LAST_ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nConnection: close\r\n\r\nHello, World!";

const END: &[u8] = b"\r\n\r\n";
const CLOSE: &[u8] = b"Connection: close";

/// What to do after a read.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// The request is not whole yet.
    Wait,
    /// [`ANSWER`].
    Keep,
    /// [`LAST_ANSWER`], then our FIN.
    Close,
}

/// Finds the ends of requests. The client waits for each answer, so there is at most one in a read.
#[derive(Debug, Default)]
pub struct Requests {
    /// The head so far, if a read ended inside it; without allocation else.
    partial: Vec<u8>,
}

impl Requests {
    /// Takes what was read.
    pub fn take(&mut self, bytes: &[u8]) -> Answer {
        if self.partial.is_empty() && bytes.ends_with(END) {
            return answer(bytes);
        }
        self.partial.extend_from_slice(bytes);
        if !self.partial.ends_with(END) {
            return Answer::Wait;
        }
        answer(&std::mem::take(&mut self.partial))
    }
}

/// How to answer a whole request.
pub fn answer(request: &[u8]) -> Answer {
    if memmem::find(request, CLOSE).is_some() { Answer::Close } else { Answer::Keep }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_answered_when_its_last_byte_is_there() {
        let mut requests = Requests::default();
        assert_eq!(requests.take(b"GET / HTTP/1.1\r\nHost: a\r\n"), Answer::Wait);
        assert_eq!(requests.take(b"\r\n"), Answer::Keep);
        assert_eq!(requests.take(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"), Answer::Close);
    }

    #[test]
    fn the_answers_say_their_length() {
        for text in [ANSWER, LAST_ANSWER] {
            let at = memmem::find(text, END).unwrap() + END.len();
            assert_eq!(text.len() - at, 13);
        }
    }
}
