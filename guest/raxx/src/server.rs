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
    /// Answer a request. Its body is none or whole, and at most 8 MiB by default. The
    /// body of the response is none or whole. `config` is what is set for the app;
    /// [`crate::config`] reads it.
    fn handle_request(&self, request: Request, config: &[u8]) -> Response;
}

/// An app whose exchanges stream and get messages. Export it with
/// [`export!`](crate::export).
///
/// The callbacks of one exchange never overlap. Only the state lives from one callback
/// to the next: changes to globals, handles and fields of `self` are lost.
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
    /// What the exchange keeps between callbacks. The host stores it as bytes.
    type State: State;

    /// The first callback of an exchange; it comes once. The body of the request is none
    /// or streamed. `config` is what is set for the app; [`crate::config`] reads it.
    fn handle_head(&self, request: Request, config: &[u8]) -> Step<Self::State>;

    /// A piece of the body of the request has come, at least one byte. Where one piece
    /// ends and the next begins means nothing. By default the piece is ignored.
    fn handle_data(&self, data: Vec<u8>, state: Self::State) -> Step<Self::State> {
        drop(data);
        continue_with(state).into()
    }

    /// The body of the request has ended. This is called once, and only if there was a
    /// body. By default nothing happens.
    fn handle_tail(&self, trailers: Headers, state: Self::State) -> Step<Self::State> {
        drop(trailers);
        continue_with(state).into()
    }

    /// The rest of the body of the request and its trailers, after
    /// [`collect`](crate::Continue::collect). This is called once, and instead of
    /// `handle_data` and `handle_tail`. The body may be empty.
    ///
    /// # Panics
    ///
    /// By default: only an app that collects is called, and it says here what follows.
    fn handle_body(
        &self,
        body: Vec<u8>,
        trailers: Headers,
        state: Self::State,
    ) -> Step<Self::State> {
        drop((body, trailers, state));
        panic!(
            "the app returned `collect`, and has no `handle_body`: write it in `impl Server for {}`",
            std::any::type_name::<Self>()
        );
    }

    /// A message has come. It may come before the request has ended, and after. By
    /// default it is ignored.
    ///
    /// An app that streams ends its stream on `Message::Closing`; otherwise the host
    /// cuts the stream at the drain deadline.
    fn handle_info(&self, message: Message, state: Self::State) -> Step<Self::State> {
        drop(message);
        continue_with(state).into()
    }
}
