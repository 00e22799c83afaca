//! Nodes that a test starts, and what they answer.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use lab::{Launch, Process, Programs, client};

use crate::support::components::read_built;

/// What must come, comes within this. Reached only by a test that fails.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// How long between two looks at what nothing tells of.
const LOOK: Duration = Duration::from_millis(2);

/// The three releases of the counter: `/` answers with their name.
pub(crate) fn counter(version: u8) -> Vec<u8> {
    read_built(&format!("fixture-counter-v{version}"))
}

/// A folder and a cluster port.
pub(crate) struct Place {
    programs: Programs,
    dir: tempfile::TempDir,
    port: u16,
}

/// A node that runs.
pub(crate) struct Node {
    pub(crate) process: Process,
    pub(crate) url: String,
}

impl Place {
    pub(crate) fn new() -> Result<Place> {
        Ok(Place {
            programs: Programs::of_test(env!("CARGO_BIN_EXE_host"))?,
            dir: tempfile::tempdir()?,
            port: free_port()?,
        })
    }

    /// The app file of a node.
    pub(crate) fn file(&self, node: u8) -> PathBuf {
        self.dir.path().join(format!("app-{node}.wasm"))
    }

    /// The data folder of a node.
    pub(crate) fn data(&self, node: u8) -> PathBuf {
        self.dir.path().join(format!("data-{node}"))
    }

    /// Replaces a node's app file by a rename, as most builds do.
    pub(crate) fn write(&self, node: u8, app: &[u8]) -> Result<()> {
        let new = self.file(node).with_extension("new");
        std::fs::write(&new, app)?;
        std::fs::rename(&new, self.file(node))?;
        Ok(())
    }

    /// How a node is started that has no app file.
    pub(crate) fn launch(&self, node: u8) -> Launch {
        Launch::new(self.programs.host())
            .dir(self.dir.path())
            .flag("--name", format!("example@127.0.0.{node}"))
            .flag("--http", format!("127.0.0.{node}:0"))
            .flag("--cluster-port", self.port.to_string())
            .flag("--cookie", "the cookie of these tests")
            .flag("--data-dir", self.data(node))
    }

    /// How a node is started that has one.
    pub(crate) fn with_file(&self, node: u8) -> Launch {
        self.launch(node).flag("--app", self.file(node))
    }

    /// Starts a node with its app file.
    pub(crate) fn start(&self, node: u8) -> Result<Node> {
        Node::start(&self.with_file(node))
    }

    /// The host program, for its commands.
    pub(crate) fn host(&self) -> &Path {
        self.programs.host()
    }
}

impl Node {
    pub(crate) fn start(launch: &Launch) -> Result<Node> {
        let process = launch.spawn()?;
        let ready = process.wait_until_ready(BOUND)?;
        let url = ready
            .text
            .split_whitespace()
            .find(|it| it.starts_with("http://"));
        let url = url.context("no URL in the line that says it is ready")?;
        Ok(Node {
            url: url.to_owned(),
            process,
        })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// What it answers to `GET /` now.
    pub(crate) fn serves(&self) -> Result<String> {
        Ok(client::get(&self.url("/"), BOUND)?.text())
    }

    /// Waits until it answers with this.
    pub(crate) fn comes_to_serve(&self, text: &str) -> Result<Duration> {
        let began = Instant::now();
        loop {
            let serves = self.serves()?;
            if serves == text {
                return Ok(began.elapsed());
            }
            if began.elapsed() > BOUND {
                bail!(
                    "it serves {serves:?}, not {text:?}:\n{}",
                    self.process.output()
                );
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits for a line of its log with all of these words.
    pub(crate) fn says(&self, words: &[&str]) -> Result<()> {
        self.process.wait_for_line(words, BOUND).map(drop)
    }

    /// `kill -9`, and waits for the end.
    pub(crate) fn kill(self) -> Result<()> {
        self.process.kill()?;
        self.process.wait_for_end(BOUND).map(drop)
    }
}

/// A port that is free for both protocols on the addresses of the nodes.
fn free_port() -> Result<u16> {
    for _ in 0..100 {
        let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
        let ip = |node| Ipv4Addr::new(127, 0, 0, node);
        let free = (2..=6).all(|node| {
            TcpListener::bind((ip(node), port)).is_ok() && UdpSocket::bind((ip(node), port)).is_ok()
        });
        if free {
            return Ok(port);
        }
    }
    bail!("no port is free on five addresses")
}
