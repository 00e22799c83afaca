//! The two kinds of app, as traits.

use crate::mailbox::Message;
use crate::{Headers, Request, Response, State, Step, continue_with};

/// An app that answers each request with one response. Export it with
/// [`export_simple!`](crate::export_simple).
///
/// ```
/// use raxx::{GET, Request, Response, SimpleServer, request, response};
///
/// struct Home;
///
/// impl SimpleServer for Home {
///     fn handle_request(&self, request: Request, _config: &[u8]) -> Response {
///         match (request.method(), request.path()) {
///             (GET, []) => response(200).body("welcome"),
///             _ => response(404).body("not found"),
///         }
///     }
/// }
///
/// assert_eq!(Home.handle_request(request(GET, "/"), b"").status(), 200);
/// ```
pub trait SimpleServer {
    /// Answer a request. Its body is none or whole, at most 8 MiB by default.
    /// The body of the response is none or whole. `config` is what the
    /// operator gave the app, empty by default.
    fn handle_request(&self, request: Request, config: &[u8]) -> Response;
}

/// An app whose exchanges stream and get messages. Export it with
/// [`export!`](crate::export).
///
/// The callbacks of one exchange never overlap. Between two of them there is
/// only the state: handles, globals and fields of `self` that change do not
/// survive.
///
/// ```
/// use raxx::mailbox::Message;
/// use raxx::{Continue, Request, Server, Step, continue_with, request, sse};
///
/// /// Streams one tick a second.
/// struct Clock;
///
/// impl Server for Clock {
///     type State = u64;
///
///     fn handle_head(&self, _request: Request, _config: &[u8]) -> Step<u64> {
///         continue_with(0).head(sse::head()).send_after(1000, 0).into()
///     }
///
///     fn handle_info(&self, message: Message, ticks: u64) -> Step<u64> {
///         match message {
///             Message::Timer(_) => continue_with(ticks + 1)
///                 .data(sse::message("tick"))
///                 .send_after(1000, 0)
///                 .into(),
///             Message::Closing(_) => continue_with(ticks).tail().into(),
///             _ => continue_with(ticks).into(),
///         }
///     }
/// }
///
/// let Step::Continue(next) = Clock.handle_info(Message::Timer(0), 1) else { panic!() };
/// assert_eq!(next.state, 2);
/// ```
pub trait Server {
    /// What is kept from one callback to the next. The host keeps its bytes.
    type State: State;

    /// Called first, and once. The body of the request is none or streamed.
    /// `config` is what the operator gave the app, empty by default.
    fn handle_head(&self, request: Request, config: &[u8]) -> Step<Self::State>;

    /// A piece of the body of the request has come, at least one byte. Where
    /// it ends means nothing. By default it is passed over.
    fn handle_data(&self, data: Vec<u8>, state: Self::State) -> Step<Self::State> {
        drop(data);
        continue_with(state).into()
    }

    /// The body of the request has ended. Called once, and only if there was
    /// one. By default nothing happens.
    fn handle_tail(&self, trailers: Headers, state: Self::State) -> Step<Self::State> {
        drop(trailers);
        continue_with(state).into()
    }

    /// A message has come; also before the request has ended, and after. By
    /// default it is passed over.
    ///
    /// An app that streams ends its stream on `Message::Closing`, or is cut at
    /// the drain deadline.
    fn handle_info(&self, message: Message, state: Self::State) -> Step<Self::State> {
        drop(message);
        continue_with(state).into()
    }
}

/// How the state of an app outlives its code. Export it with
/// [`export_upgrade!`](crate::export_upgrade), beside the app itself.
///
/// The host tags each state with the version of the code that wrote it. An
/// app without this has version 0.
pub trait Upgrade {
    /// The version of the state that this code writes.
    const STATE_VERSION: u32;

    /// Take over a state of an older version.
    ///
    /// # Errors
    ///
    /// A reason refuses it: the stream ends cleanly and is counted.
    fn code_change(&self, from_version: u32, state: Vec<u8>) -> Result<Vec<u8>, String>;

    /// Turn a state of this version into one that older code wrote, before
    /// that code takes over again. Refused by default.
    ///
    /// # Errors
    ///
    /// A reason refuses it, as above.
    fn code_change_down(&self, to_version: u32, state: Vec<u8>) -> Result<Vec<u8>, String> {
        drop(state);
        Err(format!(
            "version {} of the state cannot go back to version {to_version}",
            Self::STATE_VERSION
        ))
    }
}
