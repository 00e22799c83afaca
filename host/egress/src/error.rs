//! Why a server was not reached, or did not answer as it should.

use std::error::Error as StdError;
use std::net::IpAddr;

use cluster::egress::address_kind;
use cluster::{Destination, EgressRule};

/// Why a server was not reached, or did not answer as it should. Cheap enough to clone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// No rule allows the destination.
    #[error("the cluster does not allow the app to reach {0}; `host egress add {0}` allows it")]
    Denied(Destination),
    /// The name is allowed. But the address that it has is not public, and no rule names it.
    #[error(
        "{to} is at {ip}, {}, and no rule names that address; `host egress add {rule}` allows it",
        kind_of(*ip)
    )]
    Prohibited {
        /// What the app wanted to reach.
        to: Destination,
        /// Where it is.
        ip: IpAddr,
        /// The rule that would open the address.
        rule: Box<EgressRule>,
    },
    /// No rule lets the app look this name up.
    #[error(
        "the cluster does not allow the app to look up {0}; `host egress add tcp://{0}:PORT` allows it"
    )]
    Name(String),
    /// No rule lets the app have a socket.
    #[error(
        "the cluster allows the app no TCP connection; `host egress add tcp://HOST:PORT` allows one"
    )]
    NoTcp,
    /// The method is `CONNECT`, or no method at all.
    #[error("requests with the method {0:?} are not sent")]
    Method(String),
    /// The URL has no server in it that could be reached.
    #[error("no request can be sent to this URL: {0}")]
    Url(String),
    /// So many requests or connections as there may be are in use.
    #[error("{0} of apps are in use already; try again later")]
    Busy(&'static str),
    /// The name has no address.
    #[error("the name in {0} was not found: {1}")]
    NoName(Destination, String),
    /// The lookup of the name took too long.
    #[error("the lookup of the name in {0} took too long")]
    LookupTime(Destination),
    /// No connection came about in time.
    #[error("no connection to {0} came about in time")]
    ConnectTime(Destination),
    /// Nobody listens there.
    #[error("{0} refuses connections")]
    Refused(Destination),
    /// The network leads to no such server.
    #[error("{0} cannot be reached: {1}")]
    Unreachable(Destination, String),
    /// The certificate of the server is not valid.
    #[error("the certificate of {0} is not valid: {1}")]
    Certificate(Destination, String),
    /// TLS failed in another way.
    #[error("TLS with {0} failed: {1}")]
    Tls(Destination, String),
    /// The head of the answer did not come in time.
    #[error("the server was silent for too long")]
    Silent,
    /// The answer was not complete in time.
    #[error("the answer was not complete in time")]
    TotalTime,
    /// The body has more bytes than it may have.
    #[error("the body of the answer has more than {0} bytes")]
    TooLarge(u64),
    /// The connection broke off, or what came was not HTTP.
    #[error("the connection broke off, or what came was not HTTP: {0}")]
    Broken(String),
}

fn kind_of(ip: IpAddr) -> &'static str {
    match address_kind(ip) {
        "a public address" => "an address of this cluster",
        kind => kind,
    }
}

impl EgressError {
    /// Whether a rule would make a difference.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Denied(_) | Self::Prohibited { .. } | Self::Name(_) | Self::NoTcp
        )
    }

    /// What hyper says; or what the connector has told it, if it was that.
    pub(crate) fn of_hyper(error: &(dyn StdError + 'static)) -> Self {
        let mut cause = Some(error);
        let mut last = error;
        while let Some(at) = cause {
            if let Some(ours) = at.downcast_ref::<Self>() {
                return ours.clone();
            }
            last = at;
            cause = at.source();
        }
        let (whole, last) = (error.to_string(), last.to_string());
        match whole == last {
            true => Self::Broken(whole),
            false => Self::Broken(format!("{whole}: {last}")),
        }
    }
}
