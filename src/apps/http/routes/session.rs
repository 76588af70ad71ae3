//! `/session`: a count that the server keeps, found again by a random cookie.
//!
//! The id has 128 random bits and is never taken from the client (no fixation). The table is bounded, and what is unused
//! for long is forgotten.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use tokio::time::Instant;

use super::page::{Form, Page};
use super::{App, cookies, errors, uncached};
use crate::driver::clock;

pub(super) const COOKIE: &str = "tide_session";

type Id = [u8; 16];

/// The sessions by their id.
pub(super) struct Sessions {
    table: BTreeMap<Id, Session>,
    max: usize,
    age: Duration,
}

struct Session {
    visits: u64,
    used: Instant,
}

pub(super) async fn session(state: App, request: Request) -> Response {
    let mut fresh = [0; 16];
    if getrandom::fill(&mut fresh).is_err() {
        return errors::status(StatusCode::INTERNAL_SERVER_ERROR);
    }
    // A poisoned lock means that a handler panicked; the table itself is whole at every step.
    let mut sessions = state.sessions.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (id, visits) = sessions.visit(cookie(request.headers()), fresh, clock::timer_now());
    let age = sessions.age.as_secs();
    drop(sessions);
    let page = Page::new("Session")
        .text(format!("Visits in this session: {visits}"))
        .text("The server keeps the count; your client keeps only a random name for it.");
    let mut response = uncached(page.render(Form::of(request.headers())));
    let id = hex(id);
    cookies::set(&mut response, &format!("{COOKIE}={id}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax"));
    response
}

impl Sessions {
    pub(super) fn new(max: usize, age: Duration) -> Self {
        Self { table: BTreeMap::new(), max: max.max(1), age }
    }

    /// Counts a visit at `now` in the session `known`, or in a new one named `fresh`.
    fn visit(&mut self, known: Option<Id>, fresh: Id, now: Instant) -> (Id, u64) {
        if let Some(id) = known
            && let Some(session) = self.table.get_mut(&id)
            && now.duration_since(session.used) < self.age
        {
            session.visits += 1;
            session.used = now;
            return (id, session.visits);
        }
        if self.table.len() >= self.max {
            self.make_room(now);
        }
        self.table.insert(fresh, Session { visits: 1, used: now });
        (fresh, 1)
    }

    /// Forgets what is too old; if nothing is, the session unused longest.
    fn make_room(&mut self, now: Instant) {
        let age = self.age;
        self.table.retain(|_, session| now.duration_since(session.used) < age);
        if self.table.len() >= self.max
            && let Some(oldest) = self.table.iter().min_by_key(|(_, session)| session.used).map(|(id, _)| *id)
        {
            self.table.remove(&oldest);
        }
    }
}

/// The session the client names, if that could be one of ours.
fn cookie(headers: &HeaderMap) -> Option<Id> {
    let cookies = cookies::received(headers);
    let (_, value) = cookies.iter().find(|(name, _)| name == COOKIE)?;
    (value.len() == 32 && value.bytes().all(|b| b.is_ascii_hexdigit())).then_some(())?;
    u128::from_str_radix(value, 16).ok().map(u128::to_be_bytes)
}

fn hex(id: Id) -> String {
    format!("{:032x}", u128::from_be_bytes(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn id(n: u8) -> Id {
        [n; 16]
    }

    /// A client cannot choose its id: one we did not give is answered with a new one.
    #[test]
    fn an_unknown_id_is_not_adopted() {
        let mut sessions = Sessions::new(10, HOUR);
        assert_eq!(sessions.visit(Some(id(9)), id(1), clock::timer_now()), (id(1), 1));
        assert_eq!(sessions.visit(Some(id(1)), id(2), clock::timer_now()), (id(1), 2));
        assert!(!sessions.table.contains_key(&id(9)));
    }

    /// A session unused for its age is gone, and a used one lives on.
    #[test]
    fn a_session_expires_after_its_age_without_use() {
        let mut sessions = Sessions::new(10, HOUR);
        let start = clock::timer_now();
        sessions.visit(None, id(1), start);
        assert_eq!(sessions.visit(Some(id(1)), id(2), start + HOUR / 2).1, 2);
        assert_eq!(sessions.visit(Some(id(1)), id(2), start + HOUR * 5 / 4).1, 3);
        assert_eq!(sessions.visit(Some(id(1)), id(2), start + HOUR * 3), (id(2), 1));
    }

    /// Clients that keep no cookie cannot fill the memory; the session unused longest goes first.
    #[test]
    fn the_table_is_bounded() {
        let mut sessions = Sessions::new(3, HOUR);
        let start = clock::timer_now();
        for n in 1..=3 {
            sessions.visit(None, id(n), start + Duration::from_secs(n.into()));
        }
        sessions.visit(Some(id(1)), id(99), start + Duration::from_secs(10));
        sessions.visit(None, id(4), start + Duration::from_secs(11));
        assert_eq!(sessions.table.keys().copied().collect::<Vec<_>>(), [id(1), id(3), id(4)]);
    }

    /// Only what looks like our own id is looked up.
    #[test]
    fn the_cookie_is_read_strictly() {
        let read = |value: &str| {
            let line = format!("other=1; {COOKIE}={value}").parse().unwrap();
            cookie(&HeaderMap::from_iter([(axum::http::header::COOKIE, line)]))
        };
        assert_eq!(read(&hex(id(7))), Some(id(7)));
        assert_eq!(read(&hex([0; 16])), Some([0; 16]));
        assert_eq!(read("+0000000000000000000000000000001"), None);
        assert_eq!(read(""), None);
    }
}
