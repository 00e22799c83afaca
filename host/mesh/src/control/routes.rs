//! The routes of the control channel: what can be asked for, who may ask, and
//! how long messages and answers may be. The server and the client use the same
//! table. A node answers 404 to a path that is not in it, and so to a version
//! that it does not speak.
//!
//! ```text
//! POST /v1/hello   name of the caller     -> name of the called
//! POST /v1/sync    state of the caller    -> state of the called
//! POST /app/state  nothing                -> what the called does
//! POST /component/…  of members           -> see `transfer`
//! POST /publish    of members             -> see `publish`
//!      /v1/…       of tools               -> the API
//! ```

use std::time::Duration;

use cluster::fetch::{ANSWER_WAIT, CHUNKS_MAX};

use super::{EXCHANGE, MESSAGE_MAX};

/// The longest text of a name, in bytes: 63, `@`, and `255.255.255.255`.
const NAME_MAX: usize = cluster::NAME_MAX + 1 + 15;

/// Who may ask for a route, and who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// Whoever knows the cookie: it is how they say who they are.
    Hello,
    /// Members; membership answers.
    Sync,
    /// Members; the [`Service`](super::Service) answers.
    Members,
    /// Tools; the [`Service`](super::Service) answers.
    Tools,
}

/// One kind of request.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The path, or what it begins with if this ends with a `/`.
    pub path: &'static str,
    pub(super) audience: Audience,
    /// The longest message of the caller, in bytes.
    pub message_max: usize,
    /// The longest answer that the caller reads, in bytes.
    pub answer_max: usize,
    /// How long the caller waits for all of the answer.
    pub within: Duration,
}

/// Where a caller says who it is. The first request of a connection.
pub(super) const HELLO: Route = Route {
    path: "/v1/hello",
    audience: Audience::Hello,
    message_max: NAME_MAX,
    answer_max: NAME_MAX,
    within: EXCHANGE,
};

/// Push-pull of membership's state.
pub(super) const SYNC: Route = Route {
    path: "/v1/sync",
    audience: Audience::Sync,
    message_max: MESSAGE_MAX,
    answer_max: MESSAGE_MAX,
    within: EXCHANGE,
};

/// What a member does.
pub const STATE: Route = Route {
    path: "/app/state",
    audience: Audience::Members,
    message_max: 0,
    answer_max: 8 * 1024,
    within: Duration::from_millis(500),
};

/// A component in chunks. How long an answer may be depends on what is asked for.
pub const CHUNKS: Route = Route {
    path: "/component/",
    audience: Audience::Members,
    message_max: CHUNKS_MAX.div_ceil(8),
    answer_max: CHUNKS_MAX * 32,
    within: ANSWER_WAIT,
};

/// What exchanges of a member have published: a batch of up to 256, of 128 KiB in
/// all, with at most 16 bytes besides for each and for the batch.
pub const PUBLISH: Route = Route {
    path: "/publish",
    audience: Audience::Members,
    message_max: 128 * 1024 + 16 * 257,
    answer_max: 256,
    within: EXCHANGE,
};

/// The API for tools, which limits what it reads itself.
const API: Route = Route {
    path: "/v1/",
    audience: Audience::Tools,
    message_max: usize::MAX,
    answer_max: usize::MAX,
    within: Duration::MAX,
};

/// All routes. The first that fits counts.
const ROUTES: [&Route; 6] = [&HELLO, &SYNC, &STATE, &CHUNKS, &PUBLISH, &API];

impl Route {
    /// The route of a path; none if there is nothing.
    pub(super) fn of(path: &str) -> Option<&'static Route> {
        ROUTES
            .into_iter()
            .find(|route| match route.path.ends_with('/') {
                true => path.starts_with(route.path),
                false => path == route.path,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_route_and_unknown_versions_have_none() {
        let audience = |path: &str| Route::of(path).map(|route| route.audience);
        assert_eq!(audience("/v1/hello"), Some(Audience::Hello));
        assert_eq!(audience("/v1/sync"), Some(Audience::Sync));
        assert_eq!(audience("/v1/status"), Some(Audience::Tools));
        assert_eq!(audience("/component/x/chunk"), Some(Audience::Members));
        assert_eq!(audience("/publish"), Some(Audience::Members));
        for nothing in ["/", "/v2/hello", "/publish/x", "/app/x", ""] {
            assert_eq!(audience(nothing), None, "{nothing}");
        }
        assert_eq!(
            Route::of("/app/state").map(|route| route.message_max),
            Some(0)
        );
    }
}
