//! Stands between a command and its node, and holds on to what the command
//! sends once a part of it is through: so an upload is in its middle for sure,
//! for as long as a test wants.
//!
//! ```text
//! command <- Relay <- node      all of it
//! command -> Relay -> node      LEAST bytes and hardly more, then Held
//! ```

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use anyhow::{Context, Result};

use crate::place::BOUND;

/// After so many bytes of one connection nothing more goes to the node: more
/// than any request has that uploads nothing.
const LEAST: usize = 300_000;
/// The most bytes at a time.
const PIECE: usize = 64 * 1024;

/// Takes connections for a node.
pub(crate) struct Relay {
    held: Receiver<Held>,
}

/// A command that cannot get on.
pub(crate) struct Held {
    /// It is held until this is dropped.
    go: Sender<()>,
    /// Ends when the node has closed its side.
    over: Receiver<()>,
}

/// The socket of a node, at which a relay stands until this is dropped.
pub(crate) struct AtSocket {
    pub(crate) relay: Relay,
    socket: PathBuf,
    moved: PathBuf,
}

/// One end of a connection.
trait End: Read + Write + Send + Sized + 'static {
    fn again(&self) -> io::Result<Self>;
    fn close_writing(&self) -> io::Result<()>;
}

impl End for UnixStream {
    fn again(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn close_writing(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl End for TcpStream {
    fn again(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn close_writing(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl AtSocket {
    /// Stands at the socket of the node with this data folder.
    pub(crate) fn new(data: &Path) -> Result<AtSocket> {
        let (socket, moved) = (data.join("host.sock"), data.join("node.sock"));
        std::fs::rename(&socket, &moved)?;
        let listener = UnixListener::bind(&socket)?;
        let node = moved.clone();
        let relay = Relay::new(
            move || Ok(listener.accept()?.0),
            move || UnixStream::connect(&node),
        );
        Ok(AtSocket {
            relay,
            socket,
            moved,
        })
    }
}

impl Drop for AtSocket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::rename(&self.moved, &self.socket) {
            eprintln!("the socket of the node is not back: {error}");
        }
    }
}

impl Relay {
    /// Takes connections for the node at this address, and says at which one.
    pub(crate) fn over_tcp(node: SocketAddr) -> Result<(Relay, SocketAddr)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let at = listener.local_addr()?;
        let relay = Relay::new(
            move || Ok(listener.accept()?.0),
            move || TcpStream::connect(node),
        );
        Ok((relay, at))
    }

    /// It goes on until the test program ends.
    fn new<E: End>(
        accept: impl Fn() -> io::Result<E> + Send + 'static,
        connect: impl Fn() -> io::Result<E> + Send + 'static,
    ) -> Relay {
        let (tell, held) = mpsc::channel();
        thread::spawn(move || {
            while let Ok(command) = accept() {
                // Without a node its side is closed, and it says so.
                if let Ok(node) = connect() {
                    let _ = pass(command, node, tell.clone());
                }
            }
        });
        Relay { held }
    }

    /// Waits until a command is held.
    pub(crate) fn holds(&self) -> Result<Held> {
        let held = self.held.recv_timeout(BOUND);
        held.context("no command has sent so much")
    }
}

impl Held {
    /// Closes the connection to the node, and waits until the node has done so too.
    pub(crate) fn cut(self) -> Result<()> {
        drop(self.go);
        match self.over.recv_timeout(BOUND) {
            Err(mpsc::RecvTimeoutError::Disconnected) => Ok(()),
            _ => anyhow::bail!("the node has not closed its side"),
        }
    }
}

/// Passes bytes in both directions.
fn pass<E: End>(mut command: E, mut node: E, tell: Sender<Held>) -> io::Result<()> {
    let (mut to_command, mut from_node) = (command.again()?, node.again()?);
    let (ended, over) = mpsc::channel::<()>();
    thread::spawn(move || {
        // Whoever has gone does not take the rest.
        let _ = io::copy(&mut from_node, &mut to_command);
        let _ = io::copy(&mut from_node, &mut io::sink());
        let _ = to_command.close_writing();
        drop(ended);
    });
    thread::spawn(move || {
        let mut piece = vec![0; PIECE];
        let mut gone = 0;
        while gone < LEAST {
            match command.read(&mut piece) {
                Ok(count @ 1..) if node.write_all(&piece[..count]).is_ok() => gone += count,
                _ => break,
            }
        }
        if gone >= LEAST {
            let (go, wait) = mpsc::channel();
            // One that nobody waits for is not held.
            if tell.send(Held { go, over }).is_ok() {
                let _ = wait.recv();
            }
        }
        let _ = node.close_writing();
    });
    Ok(())
}
