//! Servers outside of the cluster that apps of the tests may reach. All tests of a program share
//! one client, so each adds rules for the ports of its own servers.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};

use cluster::EgressRule;
use egress::{EgressClient, EgressConfig, NameLookup, Resolver, SystemResolver};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

static RULES: LazyLock<watch::Sender<Arc<[EgressRule]>>> =
    LazyLock::new(|| watch::Sender::new(Arc::from([])));

/// The client of all nodes in this process.
pub(crate) fn client() -> EgressClient {
    let mut config = EgressConfig::new(Arc::new(|| RULES.borrow().clone()), Arc::new(|_| false));
    config.resolver = Arc::new(Names(SystemResolver::default()));
    EgressClient::new(config)
}

/// `loopback.test` is 127.0.0.1, and no other name that ends with `.test` is known.
struct Names(SystemResolver);

impl Resolver for Names {
    fn lookup(&self, name: &str) -> NameLookup {
        let found = match name {
            "loopback.test" => Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]),
            name if name.ends_with(".test") => Err(io::Error::other("no such name")),
            name => return self.0.lookup(name),
        };
        Box::pin(async { found })
    }
}

/// Rules that stand until this is dropped.
pub(crate) struct Allowed(Vec<EgressRule>);

/// From now on apps may do this too.
pub(crate) fn allow(rules: &[String]) -> Allowed {
    let rules: Vec<EgressRule> = rules.iter().map(|it| it.parse().expect("a rule")).collect();
    RULES.send_modify(|all| *all = all.iter().chain(&rules).cloned().collect());
    Allowed(rules)
}

impl Drop for Allowed {
    fn drop(&mut self) {
        let gone = |rule: &EgressRule| self.0.contains(rule);
        RULES.send_modify(|all| *all = all.iter().filter(|it| !gone(it)).cloned().collect());
    }
}

/// A server on this machine. It ends when it is dropped.
pub(crate) struct Outside {
    pub(crate) port: u16,
    /// How many connections have come, and how many of them have ended.
    pub(crate) connections: watch::Receiver<(usize, usize)>,
    /// Lets the answers to `/held` go.
    pub(crate) go: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Outside {
    /// A server that answers with its path and the field `x-asked`. `/held` waits until it may go,
    /// `/late` waits for ever, and `/large` has two MiB.
    pub(crate) async fn start() -> Outside {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let (counted, connections) = watch::channel((0, 0));
        let go = watch::Sender::new(false);
        let may_go = go.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.send_modify(|(come, _)| *come += 1);
                let (counted, may_go) = (counted.clone(), may_go.subscribe());
                tokio::spawn(async move {
                    // However it ends, it has ended.
                    let _ = serve(stream, may_go).await;
                    counted.send_modify(|(_, ended)| *ended += 1);
                });
            }
        });
        Outside {
            port,
            connections,
            go,
            task,
        }
    }

    /// Rules that allow it under the name `localhost`.
    pub(crate) fn allow(&self) -> Allowed {
        allow(&[format!("http://localhost:{}", self.port)])
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, mut may_go: watch::Receiver<bool>) -> io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        if path == "/late" || path == "/held" {
            let goes = path == "/held";
            tokio::select! {
                // A client that goes away meanwhile ends it.
                read = stream.read_u8() => return read.map(drop),
                _ = may_go.wait_for(|it| *it && goes) => {}
            }
        }
        let asked = head.lines().find_map(|it| it.strip_prefix("x-asked: "));
        let body = match path.as_str() {
            "/large" => "x".repeat(2 << 20),
            path => format!("{path} {}", asked.unwrap_or("by nobody")),
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await?;
    }
}
