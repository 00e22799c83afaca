//! `/talk`: what is said on one node appears on the pages of all, and who is on
//! which node. Nothing is kept: what the app knows it gets by publications.
//!
//! | request | answer |
//! |---|---|
//! | `GET /talk` | the page |
//! | `POST /talk`, a form with `name` and `line` | says the line, and leads back to the page |
//! | `GET /talk/lines?name=…&id=…` | server-sent events: `self` and `nodes` as of `/updates`, `said`, `lagged` |
//!
//! Who opens a stream publishes on [`NEW`], and every stream says on [`TALK`]
//! who reads it: then, and every 15 s. So a page knows all people after one
//! round, and forgets those who are not heard of any more.

use raxx::cluster::Node;
use raxx::html::push_escaped;
use raxx::mailbox::{ClosingReason, Message, Publication};
use raxx::{Request, RequestBody, Response, Step, complete, continue_with, json, response, sse};

use crate::page::{STYLE, html};
use crate::template::{count, cut};
use crate::{State, text, updates};

const TEMPLATE: &str = include_str!("talk/talk.html");
const TALK_STYLE: &str = include_str!("talk/talk.css");
const SCRIPT: &str = include_str!("talk/talk.js");
const PIECES: [(&str, &str); count(TEMPLATE) + 1] = cut(TEMPLATE);

/// The hashes are of [`STYLE`], [`TALK_STYLE`] and [`SCRIPT`]; a test holds
/// them to it.
const POLICY: &str = "default-src 'none'; \
    style-src 'sha256-YAfxHdnlPzMuEWp/B3+9lRhZMZVJ8OHErmCJN3ReR5Q=' 'sha256-dzo0VblO1lPx9gT9i/goiKgHJAzxqOtd1f5Jzm+nAqg='; \
    script-src 'sha256-XwDxqxjWipQYy64xVoAmqJIII2RRqjZphb93MLhAPZI='; \
    connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What is said, and who is there.
const TALK: &str = "talk";
/// Somebody has come, and does not know who is there.
const NEW: &str = "talk-new";

/// How often a stream says who reads it, and that it is alive.
const HEARTBEAT_MS: u64 = 15_000;
/// The one timer of a stream.
const HEARTBEAT: u64 = 0;
/// How long a browser waits before it connects again.
const RETRY_MS: u64 = 1000;

/// The longest name and line, in characters; the largest form, in bytes.
const NAME_MAX: usize = 40;
const LINE_MAX: usize = 500;
const FORM_MAX: u64 = 8 * 1024;

/// Who reads a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Tells two of the same name apart: drawn by the page, letters and digits.
    pub id: String,
    /// What they want to be called.
    pub name: String,
}

/// The page as `node` serves it.
pub fn page(node: &Node) -> Response {
    let room = 1024 + TEMPLATE.len() + STYLE.len() + TALK_STYLE.len() + SCRIPT.len();
    let mut out = String::with_capacity(room);
    for (before, name) in &PIECES {
        out.push_str(before);
        match *name {
            "style" => out.push_str(STYLE),
            "talk-style" => out.push_str(TALK_STYLE),
            "script" => out.push_str(SCRIPT),
            "self" => push_escaped(&mut out, &node.name),
            _ => {}
        }
    }
    html(out, POLICY)
}

/// Opens a stream.
pub fn open(node: &Node, query: Option<&str>) -> Step<State> {
    let query = query.unwrap_or_default().as_bytes();
    let id = field(query, "id").unwrap_or_default();
    let id = id.chars().filter(char::is_ascii_alphanumeric).take(20);
    let person = Person {
        id: id.collect(),
        name: named(query),
    };
    let hello = sse::retry(RETRY_MS).kind("self").data(&node.name);
    continue_with(State::Talk(person))
        .head(sse::head())
        .data(hello)
        .subscribe_nodes()
        .subscribe(TALK)
        .subscribe(NEW)
        .publish(NEW, "")
        .send_after(HEARTBEAT_MS, HEARTBEAT)
        .into()
}

/// Tells a stream what a message says.
pub fn tell(message: Message, person: Person) -> Step<State> {
    let here = presence("here", &person);
    let gone = presence("gone", &person);
    let next = continue_with(State::Talk(person));
    match message {
        Message::Nodes(view) => next
            .data(sse::event("nodes").data(&updates::names(&view)))
            .into(),
        Message::Published(publication) if publication.topic == NEW => {
            next.publish(TALK, here).into()
        }
        Message::Published(publication) => next.data(said(&publication)).into(),
        Message::Lagged(many) => next
            .data(sse::event("lagged").data(&many.to_string()))
            .into(),
        Message::Timer(HEARTBEAT) => next
            .data(sse::comment(""))
            .publish(TALK, here)
            .send_after(HEARTBEAT_MS, HEARTBEAT)
            .into(),
        Message::Closing(ClosingReason::ClientGone) => next.publish(TALK, gone).into(),
        // The client is to come back at once.
        Message::Closing(ClosingReason::Shutdown | ClosingReason::CodeChange) => next
            .data(sse::comment("closing, connect again").retry(RETRY_MS))
            .tail()
            .into(),
        _ => next.into(),
    }
}

/// Begins to take a form: the host gathers it.
pub fn begin(request: &Request) -> Step<State> {
    match request.body() {
        RequestBody::None => text(400, "say a line, in a form").into(),
        RequestBody::Whole(_) => say(request.body_bytes()),
        RequestBody::Streamed => continue_with(State::Form).collect(FORM_MAX),
    }
}

/// Says what a form wants to be said.
pub fn say(form: &[u8]) -> Step<State> {
    let line = shortened(&field(form, "line").unwrap_or_default(), LINE_MAX);
    if line.is_empty() {
        return text(400, "there is no line to say").into();
    }
    let mut what = String::from("{\"name\":");
    json::push_string(&mut what, &named(form));
    what.push_str(",\"line\":");
    json::push_string(&mut what, &line);
    what.push('}');
    // Who has no script gets the page again; a script follows and ignores it.
    let back = response(303).header("location", "/talk");
    complete(back).publish(TALK, what).into()
}

/// The event of what was said, and where. The payload is JSON of this app.
fn said(publication: &Publication) -> sse::Event {
    let mut data = String::from("{\"from\":");
    json::push_string(&mut data, &publication.from);
    data.push_str(",\"what\":");
    data.push_str(&String::from_utf8_lossy(&publication.payload));
    data.push('}');
    sse::event("said").data(&data)
}

/// `{"here":"Ada","id":"x1"}`.
fn presence(how: &str, person: &Person) -> String {
    let mut out = String::from("{");
    json::push_string(&mut out, how);
    out.push(':');
    json::push_string(&mut out, &person.name);
    out.push_str(",\"id\":");
    json::push_string(&mut out, &person.id);
    out.push('}');
    out
}

/// The name in a form or query; who gives none is somebody.
fn named(form: &[u8]) -> String {
    let name = shortened(&field(form, "name").unwrap_or_default(), NAME_MAX);
    if name.is_empty() {
        return "somebody".to_owned();
    }
    name
}

/// On one line, and so long at most.
fn shortened(text: &str, most: usize) -> String {
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let text: String = printable.take(most).collect();
    text.trim().to_owned()
}

/// A field of `a=1&b=2`, as forms encode it.
fn field(form: &[u8], name: &str) -> Option<String> {
    form.split(|&byte| byte == b'&').find_map(|pair| {
        let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(&decoded(value)).into_owned())
    })
}

/// Without `+` and `%`; a `%` that begins nothing stands for itself.
fn decoded(mut value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    while let Some((&byte, rest)) = value.split_first() {
        value = rest;
        match (byte, rest) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) if let Some(code) = code(*high, *low) => {
                out.push(code);
                value = after;
            }
            _ => out.push(byte),
        }
    }
    out
}

/// The byte of two hexadecimal digits.
fn code(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests;
