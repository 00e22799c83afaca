//! The first phase of a start: what the node takes of this machine, which is its name, its IP, its
//! folder and its port. Also what later phases take of the machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cluster::{Cookie, CookieError, NameError, NodeName};
use rand::TryRng as _;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};

use super::NodeError;
use super::cookie_watcher::CookieWatcherError;
use crate::api::ToolSocket;
use crate::edge::HttpLimits;
use crate::files::cookie::{CookieFileError, Origin, Origins};
use crate::node::config::NodeConfig;
use mesh::data_dir::{DataDir, DataDirError};
use mesh::net;
use mesh::net::{AddressError, PrivateAddress};

/// The name of a node that has no `--name`.
const NAMELESS: &str = "node";
/// The file in the data folder with the cookie that the host made.
const COOKIE_FILE: &str = "cookie";
/// The folder in the data folder for compiled code.
const CODE_FOLDER: &str = "code";
/// How many connections may wait for the accept loop.
const BACKLOG: u32 = 4096;

/// Why a node does not start, for a reason on this machine.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The threads of the node cannot be started.
    #[error("cannot start the threads of the node: {0}; raise the limit of processes (ulimit -u)")]
    Threads(std::io::Error),
    /// Signals cannot be listened to.
    #[error("cannot listen to signals: {0}")]
    Signals(std::io::Error),
    /// The IP of the name is not on this machine.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// No name could be made for a node without `--name`.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The data folder cannot be used.
    #[error(transparent)]
    Data(#[from] DataDirError),
    /// The stored cookie is wrong.
    #[error(
        "the cookie kept in {path} cannot be used: {cause}; delete the file, or give --cookie-file"
    )]
    Cookie {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: CookieError,
    },
    /// The system gives no random bytes.
    #[error(
        "cannot make a cookie: the system gives no random bytes ({0}); give one with --cookie-file"
    )]
    Random(String),
    /// A cookie cannot be read.
    #[error(transparent)]
    CookieFile(#[from] CookieFileError),
    /// No keys can be derived from a cookie.
    #[error(transparent)]
    Derive(#[from] CookieWatcherError),
    /// The thread that derives keys has died.
    #[error("cannot derive keys from the cookie: is there no memory left?")]
    Keys,
    /// The port of HTTP cannot be taken.
    #[error("cannot listen for HTTP on {address}: {cause}; {hint}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        cause: std::io::Error,
        /// What to do.
        hint: &'static str,
    },
}

/// What a node has of this machine.
pub(super) struct Claimed {
    pub(super) name: NodeName,
    pub(super) data: Arc<DataDir>,
    /// The address where HTTP will listen.
    pub(super) http: SocketAddr,
    /// Bound to that address, and not listening yet.
    pub(super) port: TcpSocket,
    /// The socket for the tools on this machine.
    pub(super) socket: ToolSocket,
}

impl Claimed {
    /// Finds the name of this node, waits until its IP is on this machine, opens its folder, and
    /// takes its port.
    pub(super) async fn take(config: &NodeConfig) -> Result<Claimed, NodeError> {
        let name = match &config.name {
            Some(name) => name.clone(),
            None => nameless()?,
        };
        wait_for_address(&name, config.wait_address).await?;
        let folder = match &config.data_dir {
            Some(folder) => folder.clone(),
            None => DataDir::default_path(&name).map_err(ClaimError::Data)?,
        };
        let data = Arc::new(DataDir::open(&folder).map_err(ClaimError::Data)?);
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            data = %data.path().display(),
            "{name} starts",
        );
        let http = http_address(config, &name);
        Ok(Claimed {
            port: take_port(http)?,
            socket: ToolSocket::listen(data.path())?,
            http,
            name,
            data,
        })
    }
}

async fn wait_for_address(name: &NodeName, wait: Option<Duration>) -> Result<(), ClaimError> {
    match (net::find(name.ip()), wait) {
        (Ok(_), _) => Ok(()),
        (Err(error), None) => Err(error.into()),
        (Err(_), Some(wait)) => {
            tracing::info!(
                "waiting up to {} s for {} to be on this machine",
                wait.as_secs(),
                name.ip()
            );
            net::wait_for(name.ip(), wait).await?;
            Ok(())
        }
    }
}

/// Makes a name for a node without `--name`: from the one private address of this machine, else
/// from 127.0.0.1.
fn nameless() -> Result<NodeName, ClaimError> {
    let (ip, why) = match net::only_private_ipv4()? {
        PrivateAddress::One(ip) => (ip, "the one private address of this machine".to_owned()),
        PrivateAddress::None => (
            Ipv4Addr::LOCALHOST,
            "this machine has no private address".to_owned(),
        ),
        PrivateAddress::Many(many) => {
            let many: Vec<String> = many.iter().map(ToString::to_string).collect();
            (
                Ipv4Addr::LOCALHOST,
                format!(
                    "this machine has several private addresses: {}",
                    many.join(", ")
                ),
            )
        }
    };
    let name = NodeName::new(NAMELESS, ip)?;
    tracing::info!("no --name was given: this node is {name} ({why})");
    Ok(name)
}

/// The folder for compiled code.
pub(super) fn code_folder(data: &DataDir) -> PathBuf {
    data.path().join(CODE_FOLDER)
}

/// Where the cookies come from: what was given, or else the file in the data folder. If there is
/// none, it is made.
pub(super) fn origins(
    main: Option<Origin>,
    second: Option<Origin>,
    data: &DataDir,
) -> Result<Origins, ClaimError> {
    let main = match main {
        Some(main) => main,
        None => {
            kept_cookie(data)?;
            Origin::file("the data folder", data.path().join(COOKIE_FILE))?
        }
    };
    Ok(Origins { main, second })
}

fn kept_cookie(data: &DataDir) -> Result<Cookie, ClaimError> {
    let path = data.path().join(COOKIE_FILE);
    if let Some(bytes) = data.read(COOKIE_FILE)? {
        tracing::info!(
            "no cookie was given: using the one kept in {}",
            path.display()
        );
        return Cookie::parse(&bytes).map_err(|cause| ClaimError::Cookie { path, cause });
    }
    let mut random = [0; 20];
    rand::rngs::SysRng
        .try_fill_bytes(&mut random)
        .map_err(|error| ClaimError::Random(error.to_string()))?;
    let cookie = Cookie::generate(random);
    data.write(COOKIE_FILE, cookie.reveal())?;
    tracing::info!(
        "no cookie was given: made a strong one in {}; other nodes join with --cookie-file and a copy of it",
        path.display()
    );
    Ok(cookie)
}

/// The address where HTTP listens.
pub(super) fn http_address(config: &NodeConfig, name: &NodeName) -> SocketAddr {
    config
        .http
        .unwrap_or(SocketAddr::new(IpAddr::V4(name.ip()), config.http_port))
}

/// The address that other nodes link to. It is the HTTP address, or the IP of the node's name if
/// HTTP listens on all addresses or on one that is not IPv4.
pub(super) fn link_address(bound: SocketAddr, name: &NodeName) -> SocketAddrV4 {
    match bound.ip() {
        IpAddr::V4(ip) if !ip.is_unspecified() => SocketAddrV4::new(ip, bound.port()),
        _ => SocketAddrV4::new(name.ip(), bound.port()),
    }
}

/// Warns if other machines cannot follow the link to this node.
pub(super) fn warn_of_link(link: SocketAddrV4, name: &NodeName) {
    if link.ip().is_loopback() && !name.ip().is_loopback() {
        tracing::warn!(
            "HTTP listens on {link} only: other nodes list this one, but nobody there can reach it; \
             change --http"
        );
    }
}

/// Raises the limit of open files as far as this process may, and returns for how many connections
/// of clients there is room.
pub(super) fn connections() -> u32 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    /// How many files are not connections of clients: connections of the cluster, in both
    /// directions, and logs.
    const OTHER_FILES: u64 = 2048;
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let most = HttpLimits::default().connections;
    match files {
        Some(files) => u32::try_from(files.saturating_sub(OTHER_FILES).max(files / 2))
            .unwrap_or(most)
            .clamp(1, most),
        None => most,
    }
}

/// Takes the port of HTTP, without listening yet. So a taken port is noticed before the work of a
/// start begins, and nobody connects before the app can answer.
pub(super) fn take_port(address: SocketAddr) -> Result<TcpSocket, ClaimError> {
    let take = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // A restart need not wait for the rest of old connections.
        socket.set_reuseaddr(true)?;
        if let IpAddr::V4(ip) = address.ip()
            && net::find(ip).is_ok()
        {
            // This allows binding to an address of an interface that is down. It works as soon as
            // the link is up.
            SockRef::from(&socket).set_freebind_v4(true)?;
        }
        socket.bind(address)?;
        Ok(socket)
    };
    take().map_err(|cause| refused(address, cause))
}

/// Begins to listen.
pub(super) fn listen(socket: TcpSocket, address: SocketAddr) -> Result<TcpListener, ClaimError> {
    socket
        .listen(BACKLOG)
        .map_err(|cause| refused(address, cause))
}

fn refused(address: SocketAddr, cause: std::io::Error) -> ClaimError {
    let hint = match cause.kind() {
        std::io::ErrorKind::AddrInUse => {
            "another program has this port; stop it, or take another one with --http ADDR:PORT"
        }
        std::io::ErrorKind::AddrNotAvailable => "the address is not on this machine; change --http",
        std::io::ErrorKind::PermissionDenied => {
            "ports below 1024 need root; take a higher one with --http"
        }
        _ => "change --http",
    };
    ClaimError::Listen {
        address,
        cause,
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_listens_everywhere_is_linked_by_the_ip_of_its_name() {
        let name: NodeName = "example@10.10.10.2".parse().unwrap();
        let link = |bound: &str| link_address(bound.parse().unwrap(), &name).to_string();
        assert_eq!(link("0.0.0.0:80"), "10.10.10.2:80");
        assert_eq!(link("[::]:80"), "10.10.10.2:80");
        assert_eq!(link("10.10.10.9:81"), "10.10.10.9:81");
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_refused_with_the_remedy() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let error = take_port(taken.local_addr().unwrap())
            .unwrap_err()
            .to_string();
        assert!(error.contains("another program has this port"), "{error}");
        assert!(error.contains("--http"), "{error}");
    }

    #[test]
    fn an_address_of_another_machine_is_refused_with_the_remedy() {
        // TEST-NET-3 (RFC 5737): no machine has it.
        let error = take_port("203.0.113.7:0".parse().unwrap()).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("not on this machine"), "{error}");
        assert!(error.contains("--http"), "{error}");
    }

    #[test]
    fn a_cookie_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let made = kept_cookie(&data).unwrap();
        assert!(made.strength_bits() > 80.0);
        assert_eq!(kept_cookie(&data).unwrap().reveal(), made.reveal());
    }
}
