//! Config on real nodes on this machine's loopback: it is everywhere within a second, a node
//! that was down has it before it serves, and a secret is nowhere to be seen.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lab::{Launch, Process, Programs};

/// A node is up, or all is known everywhere, within this.
const BOUND: Duration = Duration::from_secs(60);

/// How soon a change is to be seen on every node.
const SEEN_WITHIN: Duration = Duration::from_secs(1);

const NODES: [u8; 3] = [2, 3, 4];

const SECRET: &str = "wT9-not-to-be-seen";

struct Cluster {
    programs: Programs,
    dir: tempfile::TempDir,
    port: u16,
}

impl Cluster {
    fn new() -> Result<Self> {
        Ok(Self {
            programs: Programs::of_test(env!("CARGO_BIN_EXE_host"))?,
            dir: tempfile::tempdir()?,
            port: free_port()?,
        })
    }

    fn data(&self, node: u8) -> PathBuf {
        self.dir.path().join(format!("data-{node}"))
    }

    fn launch(&self, node: u8, app: &str) -> Launch {
        Launch::new(self.programs.host())
            .dir(self.dir.path())
            .flag("--name", format!("example@127.0.0.{node}"))
            .flag("--http", format!("127.0.0.{node}:0"))
            .flag("--cluster-port", self.port.to_string())
            .flag("--app", self.programs.component(app))
            .flag("--data-dir", self.data(node))
            .env("HOST_COOKIE", "a cookie of the tests")
    }

    fn start(&self, node: u8) -> Result<Running> {
        self.start_with(node, "fixture-plain")
    }

    fn start_with(&self, node: u8, app: &str) -> Result<Running> {
        Running::of(self.launch(node, app))
    }

    /// A command that asks a node: what it printed.
    fn ask(&self, node: u8, words: &[&str]) -> Result<String> {
        let output = Command::new(self.programs.host())
            .args(words)
            .arg("--data-dir")
            .arg(self.data(node))
            .output()?;
        ensure!(output.status.success(), "{words:?}: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Waits until a node sees so many members.
    fn until_members(&self, node: u8, count: usize) -> Result<()> {
        let until = Instant::now() + BOUND;
        loop {
            let nodes = self.ask(node, &["nodes", "--json"])?;
            if nodes.matches("\"boot\"").count() == count {
                return Ok(());
            }
            ensure!(Instant::now() < until, "{nodes}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A node that runs, and where it serves.
struct Running {
    host: Process,
    url: String,
}

impl Running {
    fn of(launch: Launch) -> Result<Self> {
        let host = launch.spawn()?;
        let ready = host.wait_for_line(&["is ready at"], BOUND)?;
        let (_, url) = ready.text.split_once("is ready at ").context("its URL")?;
        let url = url.split_whitespace().next().context("its URL")?.to_owned();
        Ok(Self { host, url })
    }

    /// What the app of the node finds in its environment.
    fn sees(&self, name: &str) -> Result<String> {
        let url = format!("{}/env/{name}", self.url);
        let text = lab::client::get(&url, BOUND)?.text();
        let (_, value) = text.split_once(' ').context("the count of calls")?;
        Ok(value.to_owned())
    }
}

fn free_port() -> Result<u16> {
    loop {
        let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let free = |node: &u8| TcpListener::bind((Ipv4Addr::new(127, 0, 0, *node), port)).is_ok();
        if NODES.iter().all(free) {
            return Ok(port);
        }
    }
}

#[test]
fn config_is_seen_on_every_node_within_a_second_and_a_node_that_was_down_has_it_before_it_serves()
-> Result<()> {
    let cluster = Cluster::new()?;
    let mut nodes = Vec::new();
    for node in NODES {
        nodes.push(cluster.start(node)?);
    }
    for node in NODES {
        cluster.until_members(node, NODES.len())?;
    }
    for (round, setter) in (0..5).zip(NODES.into_iter().cycle()) {
        let value = format!("value {round}");
        cluster.ask(setter, &["config", "set", &format!("GREETING={value}")])?;
        let set = Instant::now();
        for node in &nodes {
            while node.sees("GREETING")? != value {
                ensure!(set.elapsed() < SEEN_WITHIN, "{} in round {round}", node.url);
            }
        }
        println!(
            "round {round}: seen everywhere {:?} after the command",
            set.elapsed()
        );
    }
    // One is killed and keeps its disk, and another one has never been there.
    nodes.truncate(1);
    cluster.ask(2, &["config", "set", "GREETING=while it was down", "NEW=1"])?;
    std::fs::remove_dir_all(cluster.data(3))?;
    for node in [4, 3] {
        let node = cluster.start(node)?;
        assert_eq!(node.sees("GREETING")?, "while it was down");
        assert_eq!(node.sees("NEW")?, "1");
        nodes.push(node);
    }
    Ok(())
}

#[test]
fn a_secret_is_in_a_file_of_its_owner_and_nowhere_else() -> Result<()> {
    let cluster = Cluster::new()?;
    let nodes = [cluster.start(2)?, cluster.start(3)?];
    cluster.until_members(2, 2)?;
    let file = cluster.dir.path().join("token");
    std::fs::write(&file, SECRET)?;
    let file = file.display().to_string();
    let told = cluster.ask(
        2,
        &["config", "set", "--secret", "TOKEN", "--from-file", &file],
    )?;
    let set = Instant::now();
    while nodes[1].sees("TOKEN")? != SECRET {
        ensure!(set.elapsed() < SEEN_WITHIN, "it is not on the other node");
    }
    let shown = [
        told,
        cluster.ask(3, &["config", "ls"])?,
        cluster.ask(3, &["config", "ls", "--json"])?,
        cluster.ask(3, &["config", "ls", "--history"])?,
        cluster.ask(3, &["status", "--json"])?,
        cluster.ask(3, &["logs", "--json"])?,
        nodes[0].host.output(),
        nodes[1].host.output(),
    ];
    for text in shown {
        ensure!(!text.contains(SECRET), "{text}");
    }
    ensure!(
        nodes[1].host.output().contains("TOKEN"),
        "its name is in the log"
    );
    for node in [2, 3] {
        let mut found = 0;
        for entry in walk(cluster.data(node))? {
            let bytes = std::fs::read(&entry).unwrap_or_default();
            if bytes
                .windows(SECRET.len())
                .any(|it| it == SECRET.as_bytes())
            {
                let mode = std::fs::metadata(&entry)?.permissions().mode() & 0o777;
                ensure!(mode == 0o600, "{} has mode {mode:o}", entry.display());
                found += 1;
            }
        }
        ensure!(found == 1, "in {found} files of node {node}");
    }
    Ok(())
}

/// A server that answers each request with 200. It goes on until the test program ends.
fn another_server() -> Result<u16> {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = server.local_addr()?.port();
    std::thread::spawn(move || {
        for mut stream in server.incoming().flatten() {
            // The requests are short. A client that has gone is no concern of this server.
            let _ = stream.read(&mut [0; 1024]);
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            let _ = stream.write_all(head.as_bytes());
        }
    });
    Ok(port)
}

#[test]
fn a_rule_opens_another_server_to_the_app_on_every_node_and_closes_it_when_it_is_removed()
-> Result<()> {
    let cluster = Cluster::new()?;
    let app = "fixture-handler";
    let nodes = [cluster.start_with(2, app)?, cluster.start_with(3, app)?];
    cluster.until_members(2, 2)?;
    let server = format!("localhost:{}", another_server()?);
    let asks = |node: &Running| -> Result<String> {
        Ok(lab::client::get(&format!("{}/fetch/{server}", node.url), BOUND)?.text())
    };
    let said = asks(&nodes[1])?;
    ensure!(said.contains("HttpRequestDenied"), "{said}");
    let rule = format!("http://{server}");
    nodes[1]
        .host
        .wait_for_line(&["denied", &format!("`host egress add {rule}`")], BOUND)?;
    for (verb, hears) in [("add", "answered 200"), ("rm", "HttpRequestDenied")] {
        cluster.ask(2, &["egress", verb, &rule])?;
        let set = Instant::now();
        for node in &nodes {
            loop {
                let said = asks(node)?;
                if said.contains(hears) {
                    break;
                }
                ensure!(set.elapsed() < SEEN_WITHIN, "{verb}: {said}");
            }
        }
    }
    Ok(())
}

fn walk(folder: PathBuf) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => files.extend(walk(path)?),
            false => files.push(path),
        }
    }
    Ok(files)
}

#[test]
fn config_of_one_node_counts_before_that_of_the_cluster() -> Result<()> {
    let cluster = Cluster::new()?;
    let own = cluster.dir.path().join("own");
    std::fs::write(&own, "# of this node\nGREETING=own\n")?;
    let node = Running::of(cluster.launch(2, "fixture-plain").flag("--app-config", own))?;
    cluster.ask(2, &["config", "set", "GREETING=of all", "OTHER=1"])?;
    assert_eq!(node.sees("GREETING")?, "own");
    assert_eq!(node.sees("OTHER")?, "1");
    Ok(())
}
