//! One run of one node, as datagrams and gossip name it, and what it says of itself.

use std::net::{Ipv4Addr, SocketAddrV4};

use serde::{Deserialize, Serialize};

use crate::http_url::Scheme;
use crate::{Boot, HttpUrl, HttpUrlError, KeyIds, NodeId, NodeName, Serving};

/// One run of one node: its identity, and its addresses. It is always sent whole, so a node that
/// hears of a member can link to it and talk to it at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Sent", into = "Sent")]
pub(crate) struct Run {
    pub(crate) name: NodeName,
    /// The UDP and TCP port of membership.
    pub(crate) port: u16,
    pub(crate) url: HttpUrl,
    pub(crate) boot: Boot,
    /// A random number of the process. It stays when the boot number is raised. So it shows
    /// whether a node came back or was started anew.
    pub(crate) process: u64,
}

/// The form that is sent. It is short, since most of what idle nodes send is runs.
#[derive(Serialize, Deserialize)]
struct Sent {
    name: NodeName,
    port: u16,
    url: SentUrl,
    boot: Boot,
    #[serde(with = "postcard::fixint::le")]
    process: u64,
}

#[derive(Serialize, Deserialize)]
enum SentUrl {
    /// `http://`, the IP of the name, and this port.
    Http(u16),
    /// `https://`, the IP of the name, and this port.
    Https(u16),
    /// Any other URL.
    Other(HttpUrl),
}

impl From<Run> for Sent {
    fn from(run: Run) -> Self {
        let url = match run.url.on_ip(run.ip()) {
            Some((Scheme::Http, port)) => SentUrl::Http(port),
            Some((Scheme::Https, port)) => SentUrl::Https(port),
            None => SentUrl::Other(run.url),
        };
        let (name, port, boot, process) = (run.name, run.port, run.boot, run.process);
        Self {
            name,
            port,
            url,
            boot,
            process,
        }
    }
}

impl TryFrom<Sent> for Run {
    type Error = HttpUrlError;

    fn try_from(sent: Sent) -> Result<Self, HttpUrlError> {
        let ip = sent.name.ip();
        let url = match sent.url {
            SentUrl::Http(port) => HttpUrl::new(Scheme::Http, ip, port)?,
            SentUrl::Https(port) => HttpUrl::new(Scheme::Https, ip, port)?,
            SentUrl::Other(url) => url,
        };
        let (name, port, boot, process) = (sent.name, sent.port, sent.boot, sent.process);
        Ok(Self {
            name,
            port,
            url,
            boot,
            process,
        })
    }
}

impl Run {
    pub(crate) fn ip(&self) -> Ipv4Addr {
        self.name.ip()
    }

    pub(crate) fn id(&self) -> NodeId {
        self.name.id()
    }

    pub(crate) fn address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.ip(), self.port)
    }
}

/// The addresses follow from the identity, so they are not compared.
impl PartialEq for Run {
    fn eq(&self, other: &Self) -> bool {
        (self.id(), self.boot, self.process) == (other.id(), other.boot, other.process)
    }
}

impl Eq for Run {}

/// What a run says of itself and may change while it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Advertised {
    /// Counts its changes: an equal or lower revision is no news.
    pub(crate) revision: u32,
    pub(crate) serving: Option<Serving>,
    pub(crate) keys: KeyIds,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::SWIM_OVERHEAD;
    use crate::{DATAGRAM_MAX, HTTP_URL_MAX, NAME_MAX};

    fn run(name: &str, url: &str) -> Run {
        Run {
            name: format!("{name}@10.10.10.2").parse().expect("a name"),
            port: 8383,
            url: url.parse().expect("a URL"),
            boot: Boot::from_number(u64::MAX),
            process: u64::MAX,
        }
    }

    #[test]
    fn what_is_sent_reads_back_and_a_url_on_the_own_ip_is_short() {
        let sent = |url: &str| {
            let bytes = postcard::to_allocvec(&run("example", url)).expect("written");
            let read: Run = postcard::from_bytes(&bytes).expect("it reads");
            assert_eq!(read.url.to_string(), url);
            bytes.len()
        };
        let own = sent("http://10.10.10.2:8080");
        assert_eq!(sent("https://10.10.10.2:8443"), own);
        assert!(sent("http://10.10.10.3:8080") > own);
        sent("https://node-2.example:443");
        let (name, port) = (run("example", "http://10.10.10.2:80").name, 8383u16);
        let no_port = (name, port, SentUrl::Http(0), Boot::from_number(1), [0u8; 8]);
        let no_port = postcard::to_allocvec(&no_port).expect("written");
        assert!(postcard::from_bytes::<Run>(&no_port).is_err());
    }

    #[test]
    fn a_datagram_of_swim_has_room_for_the_longest_runs() {
        let name = "n".repeat(63);
        let host = format!("{name}.{}.a", "m".repeat(HTTP_URL_MAX - 63 - 17));
        let longest = run(&"n".repeat(NAME_MAX), &format!("https://{host}:65535"));
        assert_eq!(longest.url.to_string().len(), HTTP_URL_MAX);
        let one = postcard::to_allocvec(&longest).expect("written").len();
        // An IPv6 address is 12 bytes longer. A datagram has four runs: the sender, the
        // receiver, the subject of the question, and an update. The numbers beside them have
        // less than 32 bytes.
        assert!(4 * (one + 12) + 32 < DATAGRAM_MAX - SWIM_OVERHEAD);
    }
}
