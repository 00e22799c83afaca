//! `cargo xtask up`: a cluster of three nodes on the loopback addresses
//! 127.0.0.2-4. One command builds and runs it, without root.
//!
//! Only this process gets Ctrl-C, because each node runs in a process group of
//! its own. So every node is asked to leave exactly once, and a node that is
//! too slow is killed. No node outlives this command.

use crate::command::{cargo, run as run_command, say};
use crate::{guests, setup, workspace};
use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How many nodes.
const NODES: u8 = 3;

/// How long the nodes may take to leave: a little more than the host's own
/// drain limit of 30 s.
const LEAVE: Duration = Duration::from_secs(35);

/// The arguments of `cargo xtask up`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The component to serve, instead of the guest of this workspace.
    #[arg(long, value_name = "FILE")]
    app: Option<PathBuf>,
    /// The HTTP port of each node.
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    port: u16,
    /// The port, UDP and TCP, on which the nodes find each other.
    #[arg(long, value_name = "PORT", default_value_t = 8383)]
    cluster_port: u16,
}

/// All that can happen while the cluster runs.
enum Event {
    Signal,
    Ended { node: usize, status: ExitStatus },
}

/// Builds, starts three nodes, waits for Ctrl-C, and stops the nodes.
pub(crate) fn run(args: &Args) -> Result<()> {
    check_ports(args)?;
    setup::targets()?;
    let app = match &args.app {
        Some(app) => std::env::current_dir()?.join(app),
        None => guests::release()?,
    };
    run_command(&mut cargo(&["build", "--release", "--package", "host"]))?;

    let (events, happened) = channel();
    // From here on, Ctrl-C ends the nodes and not this process.
    watch_signals(events.clone())?;
    let scratch = Scratch::new()?;
    let cookie = generated_cookie()?;
    let mut nodes = Vec::new();
    for number in 0..NODES {
        let ip = Ipv4Addr::new(127, 0, 0, 2 + number);
        match Node::start(ip, args, &app, &cookie, scratch.path(), events.clone()) {
            Ok(node) => nodes.push(node),
            Err(error) => {
                stop(&nodes, &happened);
                return Err(error);
            }
        }
    }
    say("three nodes start; visit any of them, Ctrl-C ends all three:");
    for node in &nodes {
        say(&format!("  http://{}:{}", node.ip, args.port));
    }
    let ended_early = wait(&mut nodes, &happened);
    say("stopping the nodes");
    stop(&nodes, &happened);
    match ended_early {
        true => bail!("no node is left; the lines above say why"),
        false => Ok(()),
    }
}

/// Waits for a signal, and reports each node that ends. Returns true if all
/// have ended.
fn wait(nodes: &mut [Node], happened: &Receiver<Event>) -> bool {
    loop {
        match happened.recv() {
            Ok(Event::Ended { node, status }) => {
                let Some(ended) = nodes.iter_mut().find(|one| one.number() == node) else {
                    continue;
                };
                ended.running = false;
                say(&format!("{} has ended: {status}", ended.label()));
                if nodes.iter().all(|node| !node.running) {
                    return true;
                }
            }
            Ok(Event::Signal) | Err(_) => return false,
        }
    }
}

/// Asks every node to leave, and makes sure that none is left.
fn stop(nodes: &[Node], happened: &Receiver<Event>) {
    let mut left: Vec<&Node> = nodes.iter().filter(|node| node.running).collect();
    for node in &left {
        node.signal(rustix::process::Signal::TERM);
    }
    let deadline = Instant::now() + LEAVE;
    while !left.is_empty() {
        match happened.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Event::Ended { node, .. }) => left.retain(|one| one.number() != node),
            // A second Ctrl-C, or the deadline: the nodes are killed.
            Ok(Event::Signal) | Err(_) => break,
        }
    }
    for node in &left {
        say(&format!(
            "{} did not leave in time and is killed",
            node.label()
        ));
        node.signal(rustix::process::Signal::KILL);
    }
    while !left.is_empty() {
        match happened.recv() {
            Ok(Event::Ended { node, .. }) => left.retain(|one| one.number() != node),
            Ok(Event::Signal) => {}
            Err(_) => break,
        }
    }
}

/// One running node.
struct Node {
    ip: Ipv4Addr,
    pid: rustix::process::Pid,
    running: bool,
}

impl Node {
    fn start(
        ip: Ipv4Addr,
        args: &Args,
        app: &Path,
        cookie: &str,
        scratch: &Path,
        events: Sender<Event>,
    ) -> Result<Self> {
        let mut child = Command::new(workspace::host())
            .arg("--name")
            .arg(format!("example@{ip}"))
            .arg("--app")
            .arg(app)
            .arg("--http")
            .arg(format!("{ip}:{}", args.port))
            .arg("--cluster-port")
            .arg(args.cluster_port.to_string())
            .arg("--data-dir")
            .arg(scratch.join(ip.to_string()))
            // The cookie is not an argument, because every user of the machine
            // could read that.
            .env("HOST_COOKIE", cookie)
            .env_remove("PORT")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("cannot start target/release/host")?;
        let label = format!("example@{ip}");
        prefix_lines(child.stdout.take(), &label);
        prefix_lines(child.stderr.take(), &label);
        let pid = rustix::process::Pid::from_child(&child);
        let number = usize::from(ip.octets()[3]);
        thread::spawn(move || reap(child, number, &events));
        Ok(Self {
            ip,
            pid,
            running: true,
        })
    }

    fn number(&self) -> usize {
        usize::from(self.ip.octets()[3])
    }

    fn label(&self) -> String {
        format!("example@{}", self.ip)
    }

    fn signal(&self, signal: rustix::process::Signal) {
        // The node may have ended just now; an event tells that.
        let _ = rustix::process::kill_process(self.pid, signal);
    }
}

fn reap(mut child: Child, node: usize, events: &Sender<Event>) {
    match child.wait() {
        Ok(status) => drop(events.send(Event::Ended { node, status })),
        Err(error) => say(&format!("cannot wait for a node: {error}")),
    }
}

/// Copies the lines as they come, each with the name of its node in front.
fn prefix_lines(pipe: Option<impl Read + Send + 'static>, label: &str) {
    let Some(pipe) = pipe else { return };
    let label = label.to_owned();
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            println!("{label} | {}", String::from_utf8_lossy(&line));
        }
    });
}

fn watch_signals(events: Sender<Event>) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot watch signals")?;
    thread::spawn(move || {
        for _ in &mut signals {
            if events.send(Event::Signal).is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// Says which port is taken, before the build takes minutes.
fn check_ports(args: &Args) -> Result<()> {
    for number in 0..NODES {
        let ip = Ipv4Addr::new(127, 0, 0, 2 + number);
        let http = SocketAddrV4::new(ip, args.port);
        let cluster = SocketAddrV4::new(ip, args.cluster_port);
        let tried = [
            ("TCP", http, "--port", TcpListener::bind(http).map(drop)),
            (
                "TCP",
                cluster,
                "--cluster-port",
                TcpListener::bind(cluster).map(drop),
            ),
            (
                "UDP",
                cluster,
                "--cluster-port",
                UdpSocket::bind(cluster).map(drop),
            ),
        ];
        for (protocol, address, flag, bound) in tried {
            match bound {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
                    "{protocol} {address} is taken: another program, or another `cargo xtask up`, \
                     listens there; end it or choose another port with {flag}"
                ),
                Err(error) => return Err(error).context(format!("cannot listen on {address}")),
            }
        }
    }
    Ok(())
}

/// A cookie for this run only: 128 bits from the kernel, as hex.
fn generated_cookie() -> Result<String> {
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut urandom| urandom.read_exact(&mut bytes))
        .context("cannot read random bytes from /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The folder with the data of the nodes. It is removed when this is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("cargo-xtask-up-{}", std::process::id()));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            say(&format!("cannot remove {}: {error}", self.0.display()));
        }
    }
}
