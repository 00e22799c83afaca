//! The example web app: a page that shows the cluster, live, and one on which
//! people on all of its nodes talk.
//!
//! A request comes in through [`App`], which finds what answers it: [`page`]
//! renders the cluster as it is, [`updates`] streams it as it changes, [`talk`]
//! passes on what people say.

mod date;
pub mod page;
mod state;
pub mod talk;
mod template;
pub mod updates;

use raxx::mailbox::Message;
use raxx::{Headers, Method, Request, Response, Server, Step, cluster, continue_with, response};

pub use state::State;

/// The methods of paths that are only read, for `allow`.
const READ: &str = "GET, HEAD";

/// The app.
pub struct App;

impl Server for App {
    type State = State;

    fn handle_head(&self, request: Request, _config: &[u8]) -> Step<State> {
        let get = match (request.method(), request.path()) {
            (Method::Post, ["talk"]) => return talk::begin(&request),
            (method, ["talk"]) if !is_read(method) => return not_allowed("GET, HEAD, POST").into(),
            (method, [] | ["updates"] | ["talk", "lines"]) if !is_read(method) => {
                return not_allowed(READ).into();
            }
            (_, []) => page::render(&cluster::self_(), &cluster::nodes()).into(),
            (_, ["updates"]) => updates::open(&cluster::self_()).map_state(State::Updates),
            (_, ["talk"]) => talk::page(&cluster::self_()).into(),
            (_, ["talk", "lines"]) => talk::open(&cluster::self_(), request.query()),
            _ => not_found().into(),
        };
        match request.method() {
            Method::Head => get.head_only(),
            _ => get,
        }
    }

    fn handle_body(&self, body: Vec<u8>, _trailers: Headers, _state: State) -> Step<State> {
        talk::say(&body)
    }

    fn handle_info(&self, message: Message, state: State) -> Step<State> {
        match state {
            State::Updates(sent) => updates::tell(message, sent).map_state(State::Updates),
            State::Talk(person) => talk::tell(message, person),
            State::Form => continue_with(State::Form).into(),
        }
    }
}

fn is_read(method: &Method) -> bool {
    matches!(method, Method::Get | Method::Head)
}

fn not_allowed(allowed: &str) -> Response {
    text(405, "method not allowed").header("allow", allowed)
}

fn not_found() -> Response {
    text(404, "not found")
}

fn text(status: u16, body: &str) -> Response {
    response(status)
        .header("content-type", "text/plain; charset=utf-8")
        .body(body)
}

raxx::export!(App);

#[cfg(test)]
mod tests;
