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
use raxx::{
    Continue, Headers, Method, Request, Response, Server, Step, cluster, continue_with, response,
};

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
            (_, ["updates"]) => of_updates(updates::open(&cluster::self_())),
            (_, ["talk"]) => talk::page(&cluster::self_()).into(),
            (_, ["talk", "lines"]) => talk::open(&cluster::self_(), request.query()),
            _ => not_found().into(),
        };
        match request.method() {
            Method::Head => get.head_only(),
            _ => get,
        }
    }

    fn handle_data(&self, data: Vec<u8>, state: State) -> Step<State> {
        match state {
            State::Form(form) => talk::take(form, &data),
            other => continue_with(other).into(),
        }
    }

    fn handle_tail(&self, _trailers: Headers, state: State) -> Step<State> {
        match state {
            State::Form(form) => talk::say(&form),
            other => continue_with(other).into(),
        }
    }

    fn handle_info(&self, message: Message, state: State) -> Step<State> {
        match state {
            State::Updates(sent) => of_updates(updates::tell(message, sent)),
            State::Talk(person) => talk::tell(message, person),
            State::Form(form) => continue_with(State::Form(form)).into(),
        }
    }
}

/// A step of a stream of `/updates` as one of the app.
fn of_updates(step: Step<updates::Sent>) -> Step<State> {
    match step {
        Step::Done(response) => Step::Done(response),
        Step::Continue(next) => Step::Continue(Continue {
            parts: next.parts,
            effects: next.effects,
            state: State::Updates(next.state),
        }),
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
