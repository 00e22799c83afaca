//! The routes of the control channel: what callers can ask for, which callers may ask, and how
//! long messages and answers may be. The server and the client use the same table. A node
//! answers 404 to a path that is not in it, and so to an unknown version.
//!
//! ```text
//! POST /v1/hello   name of the caller     -> name of the called node
//! POST /v1/sync    state of the caller    -> state of the called node
//! POST /app/state  nothing                -> state of the called node
//! POST /component/…  of members           -> see `transfer`
//! POST /publish    of members             -> see `publish`
//! POST /data       of members             -> see `data`
//!      /v1/…       of tools               -> the API
//! ```

use std::time::Duration;

use cluster::fetch::{ANSWER_WAIT, CHUNKS_MAX};

use super::{EXCHANGE, MESSAGE_MAX};

/// The longest text of a name, in bytes: 63, `@`, and `255.255.255.255`.
const NAME_MAX: usize = cluster::NAME_MAX + 1 + 15;

/// Which callers may use a route, and which part of the node answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// Every caller that knows the cookie: here callers give their name.
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
    /// The path, or its beginning if this ends with a `/`.
    pub path: &'static str,
    pub(super) audience: Audience,
    /// The longest message of the caller, in bytes.
    pub message_max: usize,
    /// The longest answer that the caller reads, in bytes.
    pub answer_max: usize,
    /// How long the caller waits for the whole answer.
    pub within: Duration,
}

/// Where a caller gives its name. This is the first request of a connection.
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

/// The state of a member.
pub const STATE: Route = Route {
    path: "/app/state",
    audience: Audience::Members,
    message_max: 0,
    answer_max: 8 * 1024,
    within: Duration::from_millis(500),
};

/// A component in chunks. The request decides how long an answer may be.
pub const CHUNKS: Route = Route {
    path: "/component/",
    audience: Audience::Members,
    message_max: CHUNKS_MAX.div_ceil(8),
    answer_max: CHUNKS_MAX * 32,
    within: ANSWER_WAIT,
};

/// Publications of a member's exchanges: a batch of up to 256, with 128 KiB in all, and at most
/// 16 more bytes for each and for the batch.
pub const PUBLISH: Route = Route {
    path: "/publish",
    audience: Audience::Members,
    message_max: 128 * 1024 + 16 * 257 + cluster::APP_NAME_MAX,
    answer_max: 256,
    within: EXCHANGE,
};

/// Writes of key-value data.
pub const DATA: Route = Route {
    path: "/data",
    audience: Audience::Members,
    message_max: cluster::data::TOLD_MAX,
    answer_max: 256,
    within: EXCHANGE,
};

/// The API for tools, which limits by itself what it reads.
const API: Route = Route {
    path: "/v1/",
    audience: Audience::Tools,
    message_max: usize::MAX,
    answer_max: usize::MAX,
    within: Duration::MAX,
};

/// All routes. The first match counts.
const ROUTES: [&Route; 7] = [&HELLO, &SYNC, &STATE, &CHUNKS, &PUBLISH, &DATA, &API];

impl Route {
    /// The route of a path, if there is one.
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
