//! Who is asked, and how each of them is started.

use std::fmt;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::cases::Case;
use super::pinned::Processors;
use super::usage::{self, Memory};
use crate::client;
use crate::process::{Launch, Process};

/// A component in Python is compiled on one processor, which may take minutes.
const START: Duration = Duration::from_secs(300);
/// How large the page is if this host is not asked for it, in bytes.
const PAGE: usize = 6500;

/// A server, and how it runs its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Contender {
    /// A bare hyper server, without WebAssembly.
    Hyper,
    /// nginx, without WebAssembly.
    Nginx,
    /// `wasmtime serve`.
    Wasmtime,
    /// This host with an app on the SDK, a fresh instance for each callback.
    Raxx,
    /// The same, with instances that are used again.
    RaxxReused,
    /// This host with a `wasi:http` component, a fresh instance for each request.
    Wasi,
    /// The same, with instances that are used again.
    WasiReused,
}

/// Where programs and components are.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The program `host`.
    pub host: PathBuf,
    /// The bare server: `host/examples/bare.rs`.
    pub bare: PathBuf,
    /// The program `wasmtime`, if it could be had.
    pub wasmtime: Option<PathBuf>,
    /// The example app.
    pub app: PathBuf,
    /// The folder of the components `fixture_bench_*.wasm`.
    pub fixtures: PathBuf,
    /// The folder of `javascript.wasm` and `python.wasm`.
    pub makers: PathBuf,
}

impl Contender {
    /// All of them, in the order of the table.
    pub const ALL: [Contender; 7] = [
        Contender::Hyper,
        Contender::Nginx,
        Contender::Wasmtime,
        Contender::Raxx,
        Contender::RaxxReused,
        Contender::Wasi,
        Contender::WasiReused,
    ];

    /// Whether it can answer this.
    pub(super) fn takes_part(self, case: Case) -> bool {
        match self {
            Contender::Hyper => !matches!(case, Case::Javascript | Case::Python | Case::Crowd),
            // Without a program behind it, it does not look at what it is sent.
            Contender::Nginx => matches!(case, Case::Hello | Case::Page | Case::Out),
            Contender::Raxx | Contender::RaxxReused => {
                !matches!(case, Case::Javascript | Case::Python | Case::Crowd)
            }
            Contender::Wasmtime | Contender::Wasi | Contender::WasiReused => case != Case::Page,
        }
    }

    fn is_reused(self) -> bool {
        matches!(self, Contender::RaxxReused | Contender::WasiReused)
    }

    fn is_host(self) -> bool {
        matches!(
            self,
            Contender::Raxx | Contender::RaxxReused | Contender::Wasi | Contender::WasiReused
        )
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Contender::Hyper => "bare hyper",
            Contender::Nginx => "nginx",
            Contender::Wasmtime => "wasmtime serve",
            Contender::Raxx => "ace:raxx, fresh",
            Contender::RaxxReused => "ace:raxx, reused",
            Contender::Wasi => "wasi:http, fresh",
            Contender::WasiReused => "wasi:http, reused",
        })
    }
}

impl Tools {
    /// Those of these servers that can be started here. Says why others cannot.
    pub(super) fn check(&self, servers: &[Contender]) -> Result<Vec<Contender>> {
        for file in [&self.host, &self.bare, &self.app] {
            ensure!(
                file.is_file(),
                "{} is not built; `cargo xtask bench http` builds it",
                file.display()
            );
        }
        let mut there = Vec::new();
        for server in servers {
            let missing = match server {
                Contender::Nginx if nginx().is_none() => {
                    Some("the program is missing (Debian: apt-get install nginx-light)")
                }
                Contender::Wasmtime if self.wasmtime.is_none() => Some("the program is missing"),
                _ => None,
            };
            match missing {
                Some(why) => println!("left out: {server}: {why}"),
                None => there.push(*server),
            }
        }
        Ok(there)
    }

    /// The component that a server runs for a case.
    fn component(&self, case: Case, server: Contender) -> PathBuf {
        let on_sdk = matches!(server, Contender::Raxx | Contender::RaxxReused);
        match (case, on_sdk) {
            (Case::Page, _) => self.app.clone(),
            (Case::Javascript | Case::Crowd, _) => self.makers.join("javascript.wasm"),
            (Case::Python, _) => self.makers.join("python.wasm"),
            (Case::Events, true) => self.fixtures.join("fixture_bench_events.wasm"),
            (_, true) => self.fixtures.join("fixture_bench_raxx.wasm"),
            (_, false) => self.fixtures.join("fixture_bench_wasi.wasm"),
        }
    }
}

/// Debian puts it where only root looks for programs.
fn nginx() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|dir| dir.join("nginx"))
        .find(|program| program.is_file())
}

/// Where servers are started.
pub(super) struct Site<'a> {
    tools: &'a Tools,
    folder: &'a Path,
    processors: Processors,
}

impl<'a> Site<'a> {
    pub(super) fn new(
        tools: &'a Tools,
        folder: &'a Path,
        processors: Processors,
    ) -> Result<Site<'a>> {
        // nginx has a folder of its own for each of these.
        fs::create_dir_all(folder.join("nginx")).context("cannot make a folder for nginx")?;
        Ok(Site {
            tools,
            folder,
            processors,
        })
    }

    /// The folder for all that is written.
    pub(super) fn folder(&self) -> &Path {
        self.folder
    }

    /// Starts these servers for a case. They stand still until it is their turn.
    pub(super) fn start(&self, case: Case, servers: &[Contender]) -> Result<Vec<Running>> {
        let mut page = vec![b'x'; PAGE];
        let mut running: Vec<(usize, Running)> = Vec::new();
        // This host comes first, since its page is what the others answer with.
        let (ours, others): (Vec<_>, Vec<_>) =
            servers.iter().enumerate().partition(|(_, it)| it.is_host());
        for (at, server) in ours.into_iter().chain(others) {
            let started = self
                .start_one(case, *server, &page)
                .with_context(|| format!("{server}, {case}"))?;
            if case == Case::Page && server.is_host() {
                page = client::get(&started.url, START)?.body.to_vec();
            }
            started.process.freeze()?;
            running.push((at, started));
        }
        running.sort_by_key(|(at, _)| *at);
        Ok(running.into_iter().map(|(_, running)| running).collect())
    }

    fn start_one(&self, case: Case, server: Contender, page: &[u8]) -> Result<Running> {
        let component = self.tools.component(case, server);
        let runs_component = !matches!(server, Contender::Hyper | Contender::Nginx);
        ensure!(
            !runs_component || component.is_file(),
            "{} is not built; `cargo xtask bench http` builds it, and says what that needs",
            component.display()
        );
        let port = free_port()?;
        let address = format!("127.0.0.1:{port}");
        let launch = match server {
            Contender::Hyper => self
                .pinned(&self.tools.bare)
                .arg(&address)
                .arg(page.len().to_string()),
            Contender::Nginx => {
                let program = nginx().context("nginx is missing")?;
                let config = self.write_nginx(port, page)?;
                let log = self.folder.join("nginx/log");
                self.pinned(&program)
                    .arg("-c")
                    .arg(config)
                    .arg("-e")
                    .arg(log)
            }
            Contender::Wasmtime => {
                let program = self.tools.wasmtime.as_deref();
                self.pinned(program.context("wasmtime is missing")?)
                    .args(["serve", "-S", "cli", "--addr", &address])
                    .arg(component)
            }
            Contender::Raxx | Contender::RaxxReused | Contender::Wasi | Contender::WasiReused => {
                let launch = self.host(&address, port, &component)?;
                match server.is_reused() {
                    true => launch.args(["--instances", "reuse"]),
                    false => launch,
                }
            }
        };
        let running = Running {
            server,
            process: launch.spawn()?,
            url: format!("http://{address}{}", case.path()),
        };
        // Nothing but its answers tells of all of them when they are ready.
        running.wait_until_ready(&format!("http://{address}/"))?;
        Ok(running)
    }

    fn host(&self, address: &str, port: u16, component: &Path) -> Result<Launch> {
        let data = self.folder.join(format!("data-{port}"));
        fs::create_dir_all(&data).context("cannot make a data folder")?;
        Ok(self
            .pinned(&self.tools.host)
            .flag("--name", "bench@127.0.0.1")
            .flag("--http", address)
            .flag("--cluster-port", "0")
            .flag("--cookie", "the cookie of this benchmark")
            .flag("--data-dir", data)
            .flag("--app", component))
    }

    /// A program on the processor of the servers.
    fn pinned(&self, program: &Path) -> Launch {
        let processor = self.processors.server.to_string();
        Launch::new(program).through(Path::new("taskset"), &["-c", &processor], program)
    }

    /// One process, no log of accesses, and connections that last.
    fn write_nginx(&self, port: u16, page: &[u8]) -> Result<PathBuf> {
        let folder = self.folder.join("nginx");
        let write = |name: &str, bytes: &[u8]| {
            let file = folder.join(name);
            fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
            Ok::<PathBuf, anyhow::Error>(file)
        };
        write("page", page)?;
        write("64k", &[b'x'; 64 * 1024])?;
        let here = folder.display();
        let config = format!(
            "daemon off; master_process off; pid {here}/pid; error_log {here}/log;\n\
             events {{ worker_connections 2048; }}\n\
             http {{\n\
             access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;\n\
             default_type text/plain;\n\
             client_body_temp_path {here}/body; proxy_temp_path {here}/proxy;\n\
             fastcgi_temp_path {here}/fastcgi; uwsgi_temp_path {here}/uwsgi;\n\
             scgi_temp_path {here}/scgi;\n\
             server {{\n\
             listen 127.0.0.1:{port};\n\
             location = /hello {{ return 200 \"Hello, world!\"; }}\n\
             location = /64k {{ alias {here}/64k; }}\n\
             location = / {{ root {here}; try_files /page =404; }}\n\
             }} }}\n"
        );
        write(&format!("{port}.conf"), config.as_bytes())
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no port is free")?;
    Ok(listener.local_addr()?.port())
}

/// A server that runs. It stands still except in its turn.
#[derive(Debug)]
pub(super) struct Running {
    server: Contender,
    process: Process,
    url: String,
}

impl Running {
    /// What the case asks of it.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Lets it run while this is done.
    pub(super) fn in_turn<T>(&self, what: impl FnOnce() -> Result<T>) -> Result<T> {
        self.process.thaw()?;
        let done = what().with_context(|| self.to_string());
        self.process.freeze()?;
        done
    }

    /// The processor time that it has taken so far.
    pub(super) fn usage(&self) -> Result<Duration> {
        usage::processor_time(self.process.id())
    }

    /// The memory that it has now.
    pub(super) fn memory(&self) -> Result<Memory> {
        usage::memory(self.process.id())
    }

    fn wait_until_ready(&self, root: &str) -> Result<()> {
        let deadline = Instant::now() + START;
        // Any answer will do but that of a host that has no app yet.
        while client::get(root, START).map_or(true, |answer| answer.status == 503) {
            if !self.process.is_running() {
                bail!("it has ended:\n{}", self.process.output());
            }
            if Instant::now() > deadline {
                bail!(
                    "it does not answer within {START:?}:\n{}",
                    self.process.output()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl fmt::Display for Running {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.server.fmt(formatter)
    }
}
