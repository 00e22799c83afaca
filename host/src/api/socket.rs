//! The socket in the data folder. Over it, processes of this machine reach
//! their node. Only the node's user and root can connect.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::ApiService;
use super::service::Asker;

/// The name of the socket in the data folder, and its name before it listens.
const FILE: &str = "host.sock";
const NEW: &str = ".host.sock.new";

/// The longest path of a socket on Linux: `sun_path` has 108 bytes, and the
/// last is a zero.
const PATH_MAX: usize = 107;

/// How many connections may be open at a time, and how many may wait to be
/// accepted.
const CONNECTIONS_MAX: usize = 64;
const BACKLOG: i32 = 64;

/// How long a caller may take to send the head of a request.
const HEAD: Duration = Duration::from_secs(10);

/// How long to wait if the system cannot accept a connection.
const BREATHER: Duration = Duration::from_millis(100);

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {}: {cause}; give this user the right to, or name another folder with --data-dir",
    path.display()
)]
pub struct SocketError {
    /// Where it was to be.
    pub path: PathBuf,
    /// What the system says.
    pub cause: io::Error,
}

/// A socket that listens. Dropping it removes its file.
#[derive(Debug)]
pub struct ToolSocket {
    listener: UnixListener,
    path: PathBuf,
}

/// The path of the socket of a node with this data folder.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

impl ToolSocket {
    /// Listens in this folder. A socket that an earlier process left there is
    /// replaced. This process must have locked the folder.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn listen(data_dir: &Path) -> Result<ToolSocket, SocketError> {
        let path = path(data_dir);
        match listen(data_dir) {
            Ok(listener) => Ok(ToolSocket { listener, path }),
            Err(cause) => Err(SocketError { path, cause }),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Serves until it is dropped.
    pub async fn serve(self, service: ApiService) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections on {}", self.path.display());
                    sleep(BREATHER).await;
                    continue;
                }
            };
            let service = service.clone();
            tokio::spawn(async move {
                let answer = service_fn(|request| async {
                    Ok::<_, std::convert::Infallible>(service.answer(Asker::Socket, request).await)
                });
                let mut http = http1::Builder::new();
                http.timer(TokioTimer::new()).header_read_timeout(HEAD);
                // If the connection ended with an error, the caller sees it.
                let _ = http.serve_connection(TokioIo::new(stream), answer).await;
                drop(place);
            });
        }
    }
}

impl Drop for ToolSocket {
    fn drop(&mut self) {
        // If the file cannot be removed, the next process replaces it.
        let _ = fs::remove_file(&self.path);
    }
}

fn listen(data_dir: &Path) -> io::Result<UnixListener> {
    let new = data_dir.join(NEW);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    with_short(&new, |path| socket.bind(&SockAddr::unix(path)?))?;
    // Nobody can connect before the socket listens, and it gets its name only
    // after this.
    fs::set_permissions(&new, Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    fs::rename(&new, path(data_dir))?;
    UnixListener::from_std(std::os::unix::net::UnixListener::from(socket))
}

/// Connects to the node with this data folder.
///
/// # Errors
/// The error of the system, also if connecting takes longer than `patience`.
pub async fn connect(data_dir: &Path, patience: Duration) -> io::Result<UnixStream> {
    let connected = async { UnixStream::from_std(connect_at_once(data_dir)?.into()) };
    timeout(patience, connected)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn connect_at_once(data_dir: &Path) -> io::Result<Socket> {
    with_short(&path(data_dir), |path| {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // If too many callers wait there already, this fails instead of waiting.
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)?;
        Ok(socket)
    })
}

/// Whether this process listens on the socket in this folder. If it has no time to say so, or
/// this user may not ask, it is believed.
pub fn is_of(data_dir: &Path, pid: u32) -> bool {
    match connect_at_once(data_dir) {
        Ok(socket) => {
            let peer = rustix::net::sockopt::socket_peercred(&socket);
            peer.is_ok_and(|peer| u32::try_from(peer.pid.as_raw_nonzero().get()) == Ok(pid))
        }
        Err(error) => matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::PermissionDenied
        ),
    }
}

/// Does something with the path of a socket. If the path is too long for the
/// system, it is replaced by one through the folder, which this process opens.
fn with_short<T>(path: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() <= PATH_MAX {
        return act(path);
    }
    let (Some(folder), Some(file)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let folder = fs::File::open(folder)?;
    act(&PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(file))
}
