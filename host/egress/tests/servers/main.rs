//! The client against real servers on loopback. Names are looked up in a table of the test.

mod addresses;
mod limits;
mod pool;
mod server;
mod tls;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use cluster::EgressRule;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use parking_lot::Mutex;
use tokio::sync::watch;

use egress::{
    EgressClient, EgressConfig, EgressError, NameLookup, RequestBody, Resolver, ResponseBody,
    SendLimits, TlsRoots, WholeLimits, WholeResponse,
};
use server::Server;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Another address of this machine, which no rule of these tests opens.
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(60);

/// Answers each lookup with the next of these; the last one stays.
#[derive(Default)]
struct Table {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Resolver for Table {
    fn lookup(&self, _: &str) -> NameLookup {
        self.asked.fetch_add(1, SeqCst);
        let mut answers = self.answers.lock();
        let answer = match answers.len() {
            0 => Err(io::Error::new(io::ErrorKind::NotFound, "no such name")),
            1 => Ok(answers[0].clone()),
            _ => Ok(answers.pop_front().unwrap_or_default()),
        };
        Box::pin(async { answer })
    }
}

/// A client, its rules and its names.
struct Setup {
    client: EgressClient,
    rules: watch::Sender<Arc<[EgressRule]>>,
    names: Arc<Table>,
}

fn rules(texts: &[String]) -> Arc<[EgressRule]> {
    let rules = texts.iter().map(|it| it.parse().expect("a rule"));
    rules.collect()
}

impl Setup {
    fn new(texts: &[String], answers: &[&[IpAddr]]) -> Setup {
        Setup::with(texts, answers, |_| {})
    }

    fn with(
        texts: &[String],
        answers: &[&[IpAddr]],
        more: impl FnOnce(&mut EgressConfig),
    ) -> Setup {
        let (sender, receiver) = watch::channel(rules(texts));
        let names = Arc::new(Table::default());
        *names.answers.lock() = answers.iter().map(|it| it.to_vec()).collect();
        let mut config = EgressConfig::new(
            Arc::new(move || receiver.borrow().clone()),
            Arc::new(|_| false),
        );
        config.resolver = names.clone();
        config.roots = TlsRoots::These(rustls::RootCertStore::empty());
        config.connect_time = LONG;
        more(&mut config);
        Setup {
            client: EgressClient::new(config),
            rules: sender,
            names,
        }
    }

    /// Rules that allow `api.test` with this port, and open 127.0.0.1.
    fn open(server: &Server) -> Setup {
        let port = server.port();
        let texts = [
            format!("http://api.test:{port}"),
            format!("http://127.0.0.1:{port}"),
        ];
        Setup::new(&texts, &[&[LOOPBACK]])
    }

    async fn get(&self, url: &str) -> Result<Response<ResponseBody>, EgressError> {
        self.client.send(get(url), long()).await
    }

    async fn fetch(&self, url: &str, timeout: Duration) -> Result<WholeResponse, EgressError> {
        let request = Request::get(url).body(Bytes::new()).expect("a request");
        let max_body = 1 << 20;
        self.client
            .fetch(request, WholeLimits { timeout, max_body })
            .await
    }
}

fn get(url: &str) -> Request<RequestBody> {
    let body = Empty::new().map_err(|never| match never {});
    Request::get(url)
        .body(body.boxed_unsync())
        .expect("a request")
}

fn long() -> SendLimits {
    SendLimits {
        connect: LONG,
        ..SendLimits::default()
    }
}

async fn text(response: Response<ResponseBody>) -> String {
    let whole = response.into_body().collect().await.expect("a body");
    String::from_utf8(whole.to_bytes().to_vec()).expect("text")
}
