//! The macros that make a crate a component, and the conversions between the
//! contract's types and an app's.
//!
//! The exported functions exist only in wasm: a native linker does not accept names
//! such as `ace:raxx/server@0.2.0#handle-head`.

use crate::bindings::simple::exports::ace::raxx::simple_server;
use crate::bindings::streaming::exports::ace::raxx::server;
use crate::mailbox::Message;
use crate::{Headers, Request, Server, SimpleServer, State};

/// Export a [`SimpleServer`] as the app of this component. The argument is an
/// expression that makes the app. It is evaluated at each call.
///
/// ```
/// # use raxx::{Request, Response, SimpleServer, response};
/// struct Home;
///
/// impl SimpleServer for Home {
///     fn handle_request(&self, _request: Request, _config: &[u8]) -> Response {
///         response(200).body("welcome")
///     }
/// }
///
/// raxx::export_simple!(Home);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export_simple {
    ($app:expr) => {
        const _: () = {
            use $crate::bindings::simple::exports::ace::raxx::simple_server as __exports;

            struct __RaxxSimple;

            impl __exports::Guest for __RaxxSimple {
                fn handle_request(
                    request: __exports::Request,
                    config: ::std::vec::Vec<u8>,
                ) -> __exports::Response {
                    $crate::export::handle_request(&$app, request, config)
                }
            }

            #[cfg(target_arch = "wasm32")]
            $crate::bindings::simple::__export_simple!(
                __RaxxSimple with_types_in $crate::bindings::simple
            );
            // In a native build, this line uses the app, so that there is no warning.
            #[cfg(not(target_arch = "wasm32"))]
            const _: fn(__exports::Request, ::std::vec::Vec<u8>) -> __exports::Response =
                <__RaxxSimple as __exports::Guest>::handle_request;
        };
    };
}

/// Export a [`Server`] as the app of this component, and the version and shape of its
/// state with it. The argument is an expression that makes the app. It is evaluated at
/// each callback.
///
/// ```
/// # use raxx::{Request, Server, Step, response};
/// struct Home;
///
/// impl Server for Home {
///     type State = ();
///
///     fn handle_head(&self, _request: Request, _config: &[u8]) -> Step<()> {
///         response(200).body("welcome").into()
///     }
/// }
///
/// raxx::export!(Home);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export {
    ($app:expr) => {
        const _: () = {
            use ::std::{result::Result, string::String, vec::Vec};
            use $crate::bindings::streaming::exports::ace::raxx::server as __exports;
            use $crate::bindings::upgradable::exports::ace::raxx::upgrade as __upgrade;

            struct __RaxxServer;

            impl __exports::Guest for __RaxxServer {
                fn handle_head(request: __exports::Request, config: Vec<u8>) -> __exports::Step {
                    $crate::export::handle_head(&$app, request, config)
                }

                fn handle_data(data: Vec<u8>, state: Vec<u8>) -> __exports::Step {
                    $crate::export::handle_data(&$app, data, state)
                }

                fn handle_tail(
                    trailers: Vec<(String, Vec<u8>)>,
                    state: Vec<u8>,
                ) -> __exports::Step {
                    $crate::export::handle_tail(&$app, trailers, state)
                }

                fn handle_body(
                    body: Vec<u8>,
                    trailers: Vec<(String, Vec<u8>)>,
                    state: Vec<u8>,
                ) -> __exports::Step {
                    $crate::export::handle_body(&$app, body, trailers, state)
                }

                fn handle_info(message: __exports::Message, state: Vec<u8>) -> __exports::Step {
                    $crate::export::handle_info(&$app, message, state)
                }
            }

            impl __upgrade::Guest for __RaxxServer {
                fn state_version() -> u32 {
                    $crate::export::state_version(&$app)
                }

                fn state_shape() -> String {
                    $crate::export::state_shape(&$app)
                }

                fn code_change(from: u32, state: Vec<u8>) -> Result<Vec<u8>, String> {
                    $crate::export::code_change(&$app, from, state)
                }

                fn code_change_down(to: u32, state: Vec<u8>) -> Result<Vec<u8>, String> {
                    $crate::export::code_change_down(&$app, to, state)
                }
            }

            #[cfg(target_arch = "wasm32")]
            $crate::bindings::streaming::__export_streaming!(
                __RaxxServer with_types_in $crate::bindings::streaming
            );
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::upgradable::__export_upgradable!(
                __RaxxServer with_types_in $crate::bindings::upgradable
            );
            // In a native build, these lines use the app, so that there is no warning.
            #[cfg(not(target_arch = "wasm32"))]
            const _: fn(__exports::Request, Vec<u8>) -> __exports::Step =
                <__RaxxServer as __exports::Guest>::handle_head;
            #[cfg(not(target_arch = "wasm32"))]
            const _: fn() -> u32 = <__RaxxServer as __upgrade::Guest>::state_version;
        };
    };
}

/// Behind [`export_simple!`](crate::export_simple).
#[doc(hidden)]
pub fn handle_request(
    app: &impl SimpleServer,
    request: simple_server::Request,
    config: Vec<u8>,
) -> simple_server::Response {
    app.handle_request(Request::from_wire(request), &config)
        .into_wire()
}

/// Behind [`export!`](crate::export).
#[doc(hidden)]
pub fn handle_head(app: &impl Server, request: server::Request, config: Vec<u8>) -> server::Step {
    app.handle_head(Request::from_wire(request), &config)
        .into_wire()
}

/// Behind [`export!`](crate::export).
#[doc(hidden)]
pub fn handle_data(app: &impl Server, data: Vec<u8>, state: Vec<u8>) -> server::Step {
    app.handle_data(data, decode(app, state)).into_wire()
}

/// Behind [`export!`](crate::export).
#[doc(hidden)]
pub fn handle_tail(
    app: &impl Server,
    trailers: Vec<(String, Vec<u8>)>,
    state: Vec<u8>,
) -> server::Step {
    app.handle_tail(Headers::from_wire(trailers), decode(app, state))
        .into_wire()
}

/// Behind [`export!`](crate::export).
#[doc(hidden)]
pub fn handle_body(
    app: &impl Server,
    body: Vec<u8>,
    trailers: Vec<(String, Vec<u8>)>,
    state: Vec<u8>,
) -> server::Step {
    app.handle_body(body, Headers::from_wire(trailers), decode(app, state))
        .into_wire()
}

/// Behind [`export!`](crate::export).
#[doc(hidden)]
pub fn handle_info(app: &impl Server, message: server::Message, state: Vec<u8>) -> server::Step {
    app.handle_info(Message::from_wire(message), decode(app, state))
        .into_wire()
}

/// Behind [`export!`](crate::export).
#[doc(hidden)]
pub fn state_version<A: Server>(_app: &A) -> u32 {
    A::State::VERSION
}

/// Behind [`export!`](crate::export).
#[doc(hidden)]
pub fn state_shape<A: Server>(_app: &A) -> String {
    A::State::shape()
}

/// Behind [`export!`](crate::export).
#[doc(hidden)]
pub fn code_change<A: Server>(_app: &A, from: u32, state: Vec<u8>) -> Result<Vec<u8>, String> {
    A::State::from_older(from, state).map(State::encode)
}

/// Behind [`export!`](crate::export).
#[doc(hidden)]
pub fn code_change_down<A: Server>(_app: &A, to: u32, state: Vec<u8>) -> Result<Vec<u8>, String> {
    let state = A::State::decode(state).map_err(|error| error.to_string())?;
    state.into_older(to)
}

/// If the state cannot be read, the callback traps. The trap ends the exchange, and
/// the log of the node has the reason.
fn decode<A: Server>(_app: &A, state: Vec<u8>) -> A::State {
    match A::State::decode(state) {
        Ok(state) => state,
        Err(error) => panic!("{error}"),
    }
}
