//! The example web app: a page that shows the cluster, live.
//!
//! A request comes in through [`App`], which finds what answers it: [`page`]
//! renders the cluster as it is, [`updates`] streams it as it changes.

mod date;
pub mod page;
pub mod updates;

use raxx::mailbox::Message;
use raxx::{Method, Request, Response, Server, Step, cluster, response};

/// The methods of every path, for `allow`.
const ALLOWED: &str = "GET, HEAD";

/// The app.
pub struct App;

impl Server for App {
    /// What the last `nodes` event of a stream said.
    type State = updates::Sent;

    fn handle_head(&self, request: Request, _config: &[u8]) -> Step<updates::Sent> {
        let get = match request.path() {
            [] | ["updates"] if !is_read(request.method()) => return not_allowed().into(),
            [] => page::render(&cluster::self_(), &cluster::nodes()).into(),
            ["updates"] => updates::open(&cluster::self_()),
            _ => not_found().into(),
        };
        match request.method() {
            Method::Head => get.head_only(),
            _ => get,
        }
    }

    fn handle_info(&self, message: Message, sent: updates::Sent) -> Step<updates::Sent> {
        updates::tell(message, sent)
    }
}

fn is_read(method: &Method) -> bool {
    matches!(method, Method::Get | Method::Head)
}

fn not_allowed() -> Response {
    text(405, "method not allowed").header("allow", ALLOWED)
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
