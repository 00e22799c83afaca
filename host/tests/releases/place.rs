//! Nodes that a test starts, and what they answer.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use lab::{Launch, Process, Programs, client};

use crate::support::components::read_built;

/// What must come, comes within this. Reached only by a test that fails.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// The cookie of all nodes.
pub(crate) const COOKIE: &str = "the cookie of these tests";

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

    /// The folder in which nodes are started.
    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
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
            .flag("--cookie", COOKIE)
            .flag("--data-dir", self.data(node))
            .env("HOST_LOG", "info,mesh::transfer=debug,mesh::control=debug")
    }

    /// How a node is started that has one.
    pub(crate) fn with_file(&self, node: u8) -> Launch {
        self.launch(node).flag("--app", self.file(node))
    }

    /// Starts a node with its app file.
    pub(crate) fn start(&self, node: u8) -> Result<Node> {
        Node::start(&self.with_file(node))
    }

    /// The cluster port of all nodes.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `host COMMAND …` about the node with this data folder.
    pub(crate) fn command(&self, node: u8, command: &[&str]) -> Command {
        let mut host = Command::new(self.programs.host());
        host.args(command)
            .arg("--data-dir")
            .arg(self.data(node))
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        host
    }

    /// `host COMMAND …` about no node of this machine.
    pub(crate) fn bare_command(&self, command: &[&str]) -> Command {
        let mut host = Command::new(self.programs.host());
        host.args(command).stdin(Stdio::null());
        host
    }

    /// The same, run to its end.
    pub(crate) fn bare(&self, command: &[&str]) -> Result<Said> {
        end(&mut self.bare_command(command), command)
    }

    /// The same as [`Place::command`], run to its end.
    pub(crate) fn run(&self, node: u8, command: &[&str]) -> Result<Said> {
        end(&mut self.command(node, command), command)
    }

    /// An app on the disk that is no node's file.
    pub(crate) fn app(&self, name: &str, content: &[u8]) -> Result<String> {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content)?;
        path.into_os_string()
            .into_string()
            .map_err(|path| anyhow::anyhow!("{} is no text", path.display()))
    }

    /// A deploy key: the file of its secret half, and its public half.
    pub(crate) fn deploy_key(&self) -> Result<(String, String)> {
        let file = self.dir.path().join("deploy.key").display().to_string();
        let said = self.bare(&["key", "new", "--cluster", "test", &file])?;
        let public = said
            .text
            .split_whitespace()
            .find(|word| word.starts_with("test:"));
        let public = public.context("no public key of the cluster `test` in what it says")?;
        Ok((file, public.to_owned()))
    }

    /// Three nodes with the first release of the counter, all in one cluster.
    pub(crate) fn three(&self) -> Result<[Node; 3]> {
        self.write_all(&counter(1))?;
        self.together()
    }

    /// Gives each of three nodes this app file.
    pub(crate) fn write_all(&self, app: &[u8]) -> Result<()> {
        (2..=4).try_for_each(|node| self.write(node, app))
    }

    /// Three nodes with the app files that were written, all in one cluster.
    pub(crate) fn together(&self) -> Result<[Node; 3]> {
        self.together_as(&self.with_file(2))
    }

    /// The same, the first of them with this command.
    pub(crate) fn together_as(&self, first: &Launch) -> Result<[Node; 3]> {
        let nodes = [Node::start(first)?, self.start(3)?, self.start(4)?];
        for (node, others) in nodes.iter().zip([[3, 4], [2, 4], [2, 3]]) {
            node.says(&["new target"])?;
            for other in others {
                node.says(&["member up", &format!("example@127.0.0.{other}")])?;
            }
        }
        Ok(nodes)
    }
}

fn end(host: &mut Command, command: &[&str]) -> Result<Said> {
    let output = host.output()?;
    let text = [output.stdout, output.stderr].concat();
    let said = Said {
        code: output.status.code(),
        text: String::from_utf8(text)?,
    };
    println!("$ host {}\n{}", command.join(" "), said.text);
    Ok(said)
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
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
