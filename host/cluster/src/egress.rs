//! Which other servers an app may reach: rules as people write them, and pure functions of them.
//!
//! A rule flows in as text, like `https://api.example.com`. A [`Destination`] is what an app wants
//! to reach. [`allows`] decides by its name, before anything is looked up; [`may_connect`] decides
//! by each address that the name turned out to have, and nothing is connected to without it.

mod address;
mod destination;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use address::{address_kind, canonical};
pub use destination::{Destination, DestinationError, EgressProtocol};

use crate::Cidr;
use address::{NO_SERVER, special};
use destination::{ServerHost, is_localhost, is_name, port_number, split_port};

/// The longest rule, in bytes as it is shown.
pub const EGRESS_RULE_MAX: usize = 280;

/// One rule that says which servers an app may reach: a protocol, one port, and a name, all names
/// below a domain, all names, or a range of addresses. It is shown in one way only, however it was
/// written. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EgressRule {
    protocol: EgressProtocol,
    host: Pattern,
    port: u16,
}

/// Which hosts a rule allows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Pattern {
    /// This name alone.
    Name(Arc<str>),
    /// All names that end with a dot and this one, at any depth, and not this one itself.
    Below(Arc<str>),
    /// All names.
    AnyName,
    /// The addresses of this range, in canonical form.
    Range(Cidr),
}

/// Why a text is not a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressRuleError {
    /// There is no protocol, and the text does not begin with `*.`.
    #[error(
        "`{0}` does not say how the server is reached; \
         write https://{0}, http://{0} or tcp://{0}"
    )]
    NoProtocol(String),
    /// The protocol is none of those that rules know.
    #[error("`{0}` begins with an unknown protocol; rules begin with https://, http:// or tcp://")]
    Protocol(String),
    /// A TCP rule has no port.
    #[error("`{0}` needs a port; write it like tcp://10.0.0.5:5432")]
    NoPort(String),
    /// The port is not a number from 1 to 65535.
    #[error("the port of `{0}` is not a number from 1 to 65535")]
    Port(String),
    /// It has a path, a query, a user or the like.
    #[error("`{0}` has more than a server in it; leave out path, query and user")]
    MoreThanServer(String),
    /// The host is neither a name, nor `*.` and a name, nor `*`, nor an address or a range.
    #[error(
        "the host of `{0}` is not a name, an address or a range; write it like https://api.example.com, \
         'https://*.example.com', 'https://*', http://10.0.0.5:8080, tcp://10.0.0.0/24:5432 or \
         http://[fd00::2]:8080, names with other letters in their xn-- form"
    )]
    Host(String),
    /// No server can have such an address.
    #[error("`{0}` can allow nothing: no server has {1}")]
    NoServer(String, &'static str),
}

impl EgressRule {
    /// How the servers are reached.
    pub fn protocol(&self) -> EgressProtocol {
        self.protocol
    }

    /// Whether the rule allows this destination, by what the app calls it. A destination that is
    /// an address is allowed only by a range.
    pub fn allows(&self, to: &Destination) -> bool {
        self.protocol == to.protocol()
            && self.port == to.port()
            && match (&self.host, to.host()) {
                (Pattern::Name(name), ServerHost::Name(it)) => name == it,
                (Pattern::Below(domain), ServerHost::Name(it)) => is_below(it, domain),
                (Pattern::AnyName, ServerHost::Name(_)) => true,
                (Pattern::Range(_), ServerHost::Ip(ip)) => self.opens(to, *ip, false),
                _ => false,
            }
    }

    /// Whether the rule names this address itself. A special block, and the address of a node
    /// (`is_own`), count only if the range is not larger than it: so `0.0.0.0/0` opens no
    /// private address.
    fn opens(&self, to: &Destination, ip: IpAddr, is_own: bool) -> bool {
        if self.protocol != to.protocol() || self.port != to.port() {
            return false;
        }
        let ip = canonical(ip);
        match (&self.host, to.host()) {
            (Pattern::Range(range), _) => {
                let block = special(ip).map(|it| it.block);
                range.contains(ip)
                    && block.is_none_or(|block| range.is_within(&block))
                    && (!is_own || block.is_some() || *range == Cidr::single(ip))
            }
            // Whoever allows `localhost` means this machine.
            (Pattern::Name(rule), ServerHost::Name(name)) => {
                rule == name && is_localhost(name) && ip.is_loopback()
            }
            _ => false,
        }
    }

    fn checked(self, text: &str) -> Result<Self, EgressRuleError> {
        if let Pattern::Range(range) = &self.host
            && let Some(block) = NO_SERVER.iter().find(|it| range.is_within(&it.block))
        {
            return Err(EgressRuleError::NoServer(text.to_owned(), block.kind));
        }
        Ok(self)
    }
}

/// Whether one of the rules allows this destination, by what the app calls it.
pub fn allows(rules: &[EgressRule], to: &Destination) -> bool {
    rules.iter().any(|rule| rule.allows(to))
}

/// Whether a connection to `ip` may be made for `to`: the destination is allowed, and the address
/// is a public one that is not a node's own (`is_own`), or a rule for this protocol and port names
/// the address itself. An address that stands for another one is judged as that one.
pub fn may_connect(rules: &[EgressRule], to: &Destination, ip: IpAddr, is_own: bool) -> bool {
    let literal = match to.host() {
        ServerHost::Ip(literal) => canonical(*literal) == canonical(ip),
        ServerHost::Name(_) => true,
    };
    let never = NO_SERVER.iter().any(|it| it.block.contains(canonical(ip)));
    let public = special(ip).is_none() && !is_own;
    literal
        && !never
        && allows(rules, to)
        && (public || rules.iter().any(|rule| rule.opens(to, ip, is_own)))
}

/// What may be reached over TCP under this name, which has no port yet.
///
/// # Errors
/// The text is no name.
pub fn tcp_destinations(
    rules: &[EgressRule],
    name: &str,
) -> Result<Vec<Destination>, DestinationError> {
    let tcp = EgressProtocol::Tcp;
    // The text is checked even if there is no rule.
    Destination::of_host(tcp, name, 1)?;
    let ways = rules.iter().filter(|rule| rule.protocol == tcp);
    let ways = ways.filter_map(|rule| Destination::of_host(tcp, name, rule.port).ok());
    let mut ways: Vec<Destination> = ways.filter(|to| allows(rules, to)).collect();
    ways.sort();
    ways.dedup();
    Ok(ways)
}

fn is_below(name: &str, domain: &str) -> bool {
    let rest = name
        .strip_suffix(domain)
        .and_then(|it| it.strip_suffix('.'));
    rest.is_some_and(|it| !it.is_empty())
}

impl From<&Destination> for EgressRule {
    /// The narrowest rule that allows this destination.
    fn from(to: &Destination) -> Self {
        let host = match to.host() {
            ServerHost::Name(name) => Pattern::Name(name.clone()),
            ServerHost::Ip(ip) => Pattern::Range(Cidr::single(canonical(*ip))),
        };
        Self {
            protocol: to.protocol(),
            host,
            port: to.port(),
        }
    }
}

impl FromStr for EgressRule {
    type Err = EgressRuleError;

    /// Reads `https://api.example.com`, `http://host:8080`, `tcp://10.0.0.5:5432`, with an IPv6
    /// address in brackets, a range in the place of the host, or `*.` before a name. Without a
    /// port, `https` means 443 and `http` means 80. `*.example.com` alone means `https`.
    fn from_str(text: &str) -> Result<Self, EgressRuleError> {
        let own = || text.to_owned();
        let (protocol, rest) = match text.split_once("://") {
            Some((protocol, rest)) => {
                let protocol = EgressProtocol::of_scheme(protocol);
                (
                    protocol.ok_or_else(|| EgressRuleError::Protocol(own()))?,
                    rest,
                )
            }
            None if text.starts_with("*.") => (EgressProtocol::Https, text),
            None => return Err(EgressRuleError::NoProtocol(own())),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['@', '?', '#']) {
            return Err(EgressRuleError::MoreThanServer(own()));
        }
        let (host, port) = split_port(rest);
        let port = match port {
            Some(port) => port_number(port).ok_or_else(|| match port.split_once('/') {
                Some((it, _)) if port_number(it).is_some() => {
                    EgressRuleError::MoreThanServer(own())
                }
                _ => EgressRuleError::Port(own()),
            })?,
            None => protocol
                .port()
                .ok_or_else(|| EgressRuleError::NoPort(own()))?,
        };
        let host = pattern(host).ok_or_else(|| match host.split_once('/') {
            Some((it, _)) if pattern(it).is_some_and(|it| !matches!(it, Pattern::Range(_))) => {
                EgressRuleError::MoreThanServer(own())
            }
            _ => EgressRuleError::Host(own()),
        })?;
        Self {
            protocol,
            host,
            port,
        }
        .checked(text)
    }
}

fn pattern(text: &str) -> Option<Pattern> {
    let bracketed = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    if let Some(range) = bracketed {
        return range.contains(':').then(|| range_of(range)).flatten();
    }
    if text == "*" {
        return Some(Pattern::AnyName);
    }
    if !text.contains(':')
        && let Some(range) = range_of(text)
    {
        return Some(range);
    }
    let below = text.strip_prefix("*.");
    let name = below.unwrap_or(text).to_ascii_lowercase();
    let name: Arc<str> = name.strip_suffix('.').unwrap_or(&name).into();
    match below {
        _ if !is_name(&name) => None,
        Some(_) => Some(Pattern::Below(name)),
        None => Some(Pattern::Name(name)),
    }
}

fn range_of(text: &str) -> Option<Pattern> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(prefix) if prefix.bytes().all(|it| it.is_ascii_digit()) => prefix.parse().ok()?,
        Some(_) => return None,
        None => width,
    };
    // A range inside of the addresses that stand for IPv4 ones is a range of IPv4 addresses.
    let alias = canonical(address);
    let range = match (address.is_ipv6() && alias.is_ipv4(), prefix) {
        (true, 96..=128) => Cidr::new(alias, prefix - 96),
        _ => Cidr::new(address, prefix),
    };
    range.ok().map(Pattern::Range)
}

impl fmt::Display for EgressRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.protocol)?;
        match &self.host {
            Pattern::Name(name) => f.write_str(name)?,
            Pattern::Below(domain) => write!(f, "*.{domain}")?,
            Pattern::AnyName => f.write_str("*")?,
            Pattern::Range(range) => {
                let shown = match range.is_single() {
                    true => range.address().to_string(),
                    false => range.to_string(),
                };
                match range.address() {
                    IpAddr::V4(_) => f.write_str(&shown)?,
                    IpAddr::V6(_) => write!(f, "[{shown}]")?,
                }
            }
        }
        match self.protocol.port() == Some(self.port) {
            true => Ok(()),
            false => write!(f, ":{}", self.port),
        }
    }
}

impl fmt::Debug for EgressRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for EgressRule {
    /// As it is shown.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EgressRule {
    /// A rule from the network is checked like one that a person typed.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
