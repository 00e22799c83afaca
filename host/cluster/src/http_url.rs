//! The URL under which a node serves apps, as it tells the others: text flows in, a checked URL
//! flows out.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest URL of a node, in bytes as it is shown.
pub const HTTP_URL_MAX: usize = 128;

/// The URL under which a node serves apps: `http` or `https`, a host, and a port. It has no path.
/// Shown like `http://10.10.10.2:8080`, always with its port. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HttpUrl {
    scheme: Scheme,
    host: Host,
    port: u16,
}

/// How a URL is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Scheme {
    Http,
    Https,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Host {
    Ip(IpAddr),
    /// A DNS name in lower case.
    Name(Arc<str>),
}

/// The form that is sent.
#[derive(Serialize, Deserialize)]
enum Sent<'a> {
    Ip(IpAddr),
    Name(#[serde(borrow)] &'a str),
}

/// Why a text is not the URL of a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not the URL of a node; \
     write it like http://10.10.10.2:8080 or https://name.example:443, at most 128 characters"
)]
pub struct HttpUrlError(String);

impl HttpUrl {
    /// The URL of a server at this address without TLS.
    pub fn plain(address: impl Into<SocketAddr>) -> Self {
        let address = address.into();
        Self {
            scheme: Scheme::Http,
            host: Host::Ip(address.ip().to_canonical()),
            port: address.port(),
        }
    }

    /// The URL of a server at this address.
    ///
    /// # Errors
    /// The port is 0.
    pub(crate) fn new(
        scheme: Scheme,
        ip: impl Into<IpAddr>,
        port: u16,
    ) -> Result<Self, HttpUrlError> {
        let host = Host::Ip(ip.into().to_canonical());
        Self { scheme, host, port }.checked()
    }

    /// Its scheme and port, if its host is this address.
    pub(crate) fn on_ip(&self, ip: impl Into<IpAddr>) -> Option<(Scheme, u16)> {
        let here = self.host == Host::Ip(ip.into().to_canonical());
        here.then_some((self.scheme, self.port))
    }

    fn checked(self) -> Result<Self, HttpUrlError> {
        let legal = |label: &str| {
            let byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            (1..=63).contains(&label.len()) && label.bytes().all(byte)
        };
        let host = match &self.host {
            Host::Ip(_) => true,
            // Elsewhere, a name of digits and dots alone would be read as an address.
            Host::Name(name) => {
                name.split('.').all(legal) && name.bytes().any(|b| b.is_ascii_lowercase())
            }
        };
        let shown = self.to_string();
        if host && self.port != 0 && shown.len() <= HTTP_URL_MAX {
            Ok(self)
        } else {
            Err(HttpUrlError(shown))
        }
    }
}

impl FromStr for HttpUrl {
    type Err = HttpUrlError;

    fn from_str(text: &str) -> Result<Self, HttpUrlError> {
        let wrong = || HttpUrlError(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(wrong()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let bracketed = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let host = match bracketed {
            Some(ip) => Host::Ip(ip.parse::<Ipv6Addr>().map_err(|_| wrong())?.into()),
            None => match host.parse() {
                Ok(ip) => Host::Ip(IpAddr::V4(ip)),
                Err(_) => Host::Name(host.to_ascii_lowercase().into()),
            },
        };
        let port = port.parse().map_err(|_| wrong())?;
        let url = Self { scheme, host, port };
        url.checked().map_err(|_| wrong())
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.scheme {
            Scheme::Http => "http://",
            Scheme::Https => "https://",
        })?;
        match &self.host {
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for HttpUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let host = match &self.host {
            Host::Ip(ip) => Sent::Ip(*ip),
            Host::Name(name) => Sent::Name(name),
        };
        (self.scheme, host, self.port).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for HttpUrl {
    /// A URL from the network is checked like one that a person typed.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (scheme, host, port) = <(Scheme, Sent<'_>, u16)>::deserialize(deserializer)?;
        let host = match host {
            Sent::Ip(ip) => Host::Ip(ip.to_canonical()),
            Sent::Name(name) => Host::Name(name.into()),
        };
        let url = Self { scheme, host, port };
        url.checked().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV4;

    use super::*;

    const URLS: [&str; 4] = [
        "http://10.10.10.2:8080",
        "https://10.10.10.2:443",
        "http://[fd00::2]:8080",
        "https://node-2.example:443",
    ];

    #[test]
    fn a_url_reads_back_what_it_shows_and_what_is_sent() {
        for text in URLS {
            let url: HttpUrl = text.parse().expect(text);
            assert_eq!(url.to_string(), text);
            let sent = postcard::to_allocvec(&url).expect("written");
            assert!(sent.len() <= text.len() + 3, "{text}: {}", sent.len());
            assert_eq!(postcard::from_bytes(&sent), Ok(url));
        }
        let address: SocketAddrV4 = "10.10.10.2:8080".parse().expect("an address");
        assert_eq!(HttpUrl::plain(address).to_string(), URLS[0]);
        assert_eq!("HTTP://x".parse::<HttpUrl>().ok(), None);
        let slash = "https://Node-2.example:443/".parse::<HttpUrl>();
        assert_eq!(slash.expect("a URL").to_string(), URLS[3]);
    }

    #[test]
    fn what_is_no_url_of_a_node_is_refused() {
        let long = format!("http://{}.example:80", "a.".repeat(60));
        for text in [
            "",
            "10.10.10.2:8080",
            "ftp://10.10.10.2:21",
            "http://10.10.10.2",
            "http://10.10.10.2:0",
            "http://10.10.10.2:99999",
            "http://10.10.10:80",
            "http://10.10.10.2:80/path",
            "http://user@name:80",
            "http://na me:80",
            "http://a..b:80",
            "http://[10.10.10.2]:80",
            "http://fd00::2:80",
            "http://:80",
            &long,
        ] {
            assert!(text.parse::<HttpUrl>().is_err(), "{text}");
        }
        let forged = (Scheme::Http, Sent::Name("a\nb"), 80u16);
        let forged = postcard::to_allocvec(&forged).expect("written");
        assert!(postcard::from_bytes::<HttpUrl>(&forged).is_err());
    }
}
