//! What an app wants to reach: a protocol, a host and a port. Text of an app flows in; what flows
//! out cannot be read as another host elsewhere.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// The longest name of a server, in bytes (RFC 1035, section 2.3.4, as text).
const SERVER_NAME_MAX: usize = 253;

/// How a server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EgressProtocol {
    /// HTTP over TLS.
    Https,
    /// HTTP without TLS.
    Http,
    /// A TCP connection of the app's own.
    Tcp,
}

/// A server that an app wants to reach. Shown as the narrowest rule that allows it:
/// `https://api.example.com`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    protocol: EgressProtocol,
    host: ServerHost,
    port: u16,
}

/// The host of a destination.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum ServerHost {
    Ip(IpAddr),
    /// A DNS name in lower case, without a dot at its end.
    Name(Arc<str>),
}

/// Why a text of an app names no server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// The host is neither an address nor a DNS name.
    #[error("`{0}` is neither an address nor the name of a server")]
    Host(String),
    /// The port is not a number from 1 to 65535, or there is none.
    #[error("`{0}` has no port from 1 to 65535")]
    Port(String),
}

impl EgressProtocol {
    /// The port that is meant if none is written.
    pub fn port(self) -> Option<u16> {
        match self {
            Self::Https => Some(443),
            Self::Http => Some(80),
            Self::Tcp => None,
        }
    }

    /// The protocol with this name, which is the scheme of its URLs. Schemes are case-insensitive
    /// (RFC 3986, section 3.1).
    pub fn of_scheme(scheme: &str) -> Option<Self> {
        let all = [Self::Https, Self::Http, Self::Tcp];
        all.into_iter()
            .find(|it| it.as_str().eq_ignore_ascii_case(scheme))
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Tcp => "tcp",
        }
    }
}

impl fmt::Display for EgressProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Destination {
    /// The server `authority`, written `host`, `host:port`, or with an IPv6 address in brackets.
    /// Without a port it is the usual one of the protocol.
    ///
    /// # Errors
    /// The host is neither an address nor a DNS name, or there is no usable port.
    pub fn new(protocol: EgressProtocol, authority: &str) -> Result<Self, DestinationError> {
        let (host, port) = split_port(authority);
        let port = match port {
            Some(port) => port_number(port),
            None => protocol.port(),
        };
        let port = port.ok_or_else(|| DestinationError::Port(authority.to_owned()))?;
        let bracketed = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        match bracketed {
            Some(ip) => match ip.parse::<Ipv6Addr>() {
                Ok(ip) => Self::at(protocol, ip, port),
                Err(_) => Err(DestinationError::Host(authority.to_owned())),
            },
            None => Self::of_host(protocol, host, port),
        }
    }

    /// The server at this address.
    ///
    /// # Errors
    /// The port is 0.
    pub fn at(
        protocol: EgressProtocol,
        ip: impl Into<IpAddr>,
        port: u16,
    ) -> Result<Self, DestinationError> {
        let host = ServerHost::Ip(ip.into());
        Self {
            protocol,
            host,
            port,
        }
        .checked()
    }

    /// The server `host`, which is an IPv4 address or a name.
    ///
    /// # Errors
    /// It is neither, or the port is 0.
    pub fn of_host(
        protocol: EgressProtocol,
        host: &str,
        port: u16,
    ) -> Result<Self, DestinationError> {
        if let Ok(ip) = host.parse::<Ipv4Addr>() {
            return Self::at(protocol, ip, port);
        }
        let name = server_name(host).ok_or_else(|| DestinationError::Host(host.to_owned()))?;
        let host = ServerHost::Name(name);
        Self {
            protocol,
            host,
            port,
        }
        .checked()
    }

    fn checked(self) -> Result<Self, DestinationError> {
        match self.port {
            0 => Err(DestinationError::Port(self.to_string())),
            _ => Ok(self),
        }
    }

    /// How it is reached.
    pub fn protocol(&self) -> EgressProtocol {
        self.protocol
    }

    /// The port, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn host(&self) -> &ServerHost {
        &self.host
    }

    /// Its address, if it is one and not a name.
    pub fn ip(&self) -> Option<IpAddr> {
        match self.host {
            ServerHost::Ip(ip) => Some(ip),
            ServerHost::Name(_) => None,
        }
    }

    /// Its DNS name in lower case, if it is not an address.
    pub fn name(&self) -> Option<&str> {
        match &self.host {
            ServerHost::Ip(_) => None,
            ServerHost::Name(name) => Some(name),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            protocol,
            host,
            port,
        } = self;
        match host {
            ServerHost::Ip(IpAddr::V6(ip)) => write!(f, "{protocol}://[{ip}]")?,
            ServerHost::Ip(IpAddr::V4(ip)) => write!(f, "{protocol}://{ip}")?,
            ServerHost::Name(name) => write!(f, "{protocol}://{name}")?,
        }
        match protocol.port() == Some(*port) {
            true => Ok(()),
            false => write!(f, ":{port}"),
        }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The DNS name that a text says, in lower case and without the dot at its end.
pub(super) fn server_name(text: &str) -> Option<Arc<str>> {
    let name = text.to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    is_name(name).then(|| name.into())
}

/// Whether a text in lower case is a DNS name. Its last part is not a number, since resolvers read
/// `127.1`, `0x7f000001` and the like as addresses (WHATWG URL, "ends in a number").
pub(super) fn is_name(name: &str) -> bool {
    let byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    let legal = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(byte);
    let last = name.rsplit('.').next().unwrap_or(name);
    let hexadecimal = |digits: &str| digits.bytes().all(|it| it.is_ascii_hexdigit());
    let number = last.bytes().all(|it| it.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(hexadecimal);
    name.len() <= SERVER_NAME_MAX && name.split('.').all(legal) && !number
}

/// Whether a name means the machine itself (RFC 6761, section 6.3).
pub(super) fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// A port that is written in decimal digits alone.
pub(super) fn port_number(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

/// Cuts `host:port` in two. The colons of an address in brackets are not taken for a port's.
pub(super) fn split_port(text: &str) -> (&str, Option<&str>) {
    let from = text.rfind(']').unwrap_or(0);
    match text[from..].rfind(':') {
        Some(at) => (&text[..from + at], Some(&text[from + at + 1..])),
        None => (text, None),
    }
}
