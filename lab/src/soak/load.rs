//! Clients that ask each node all the time, on its own machine: what happens to
//! cables is no trouble of theirs.

use super::excuse::Loss;
use crate::client::{connect, runtime};
use crate::lan::Lan;
use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// Clients of each node.
const CLIENTS: usize = 2;
/// An answer that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(15);
/// After each answer.
const PAUSE: Duration = Duration::from_millis(5);
/// One request of so many has no body in its answer.
const HEAD: u64 = 8;

/// Clients that ask.
pub(super) struct Load<'scope> {
    over: Arc<AtomicBool>,
    clients: Vec<ScopedJoinHandle<'scope, Result<Asked>>>,
}

/// What one client saw.
#[derive(Default)]
struct Asked {
    answered: u64,
    losses: Vec<Loss>,
}

impl<'scope> Load<'scope> {
    /// Let clients ask these nodes.
    pub(super) fn begin<'env>(
        scope: &'scope Scope<'scope, 'env>,
        lan: &'env Lan,
        nodes: &[u8],
    ) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let clients = nodes.iter().flat_map(|node| [*node; CLIENTS]).map(|node| {
            let (machine, over) = (lan.machine(node), Arc::clone(&over));
            let url = format!("{}/", machine.url());
            scope.spawn(move || machine.netns().run(|| ask(node, &url, &over)))
        });
        Self {
            clients: clients.collect(),
            over,
        }
    }

    /// Let them end. Returns how many requests were answered, and which were lost.
    ///
    /// # Errors
    ///
    /// If a client could not ask at all.
    pub(super) fn end(mut self) -> Result<(u64, Vec<Loss>)> {
        self.over.store(true, Ordering::Relaxed);
        let mut all = Asked::default();
        for client in self.clients.drain(..) {
            let asked = client.join();
            let asked = asked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            all.answered += asked.answered;
            all.losses.extend(asked.losses);
        }
        Ok((all.answered, all.losses))
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        // The scope waits for them.
        self.over.store(true, Ordering::Relaxed);
    }
}

fn ask(node: u8, url: &str, over: &AtomicBool) -> Result<Asked> {
    runtime()?.block_on(async {
        let uri: Uri = url.parse().context("not a URL")?;
        let mut asked = Asked::default();
        let mut connection = None;
        while !over.load(Ordering::Relaxed) {
            let method = match asked.answered % HEAD {
                0 => Method::HEAD,
                _ => Method::GET,
            };
            let began = Instant::now();
            let answer = timeout(PATIENCE, answer(&mut connection, method, &uri)).await;
            match answer.unwrap_or_else(|_| bail!("not within {PATIENCE:?}")) {
                Ok(()) => asked.answered += 1,
                Err(error) => {
                    connection = None;
                    asked.losses.push(Loss {
                        node,
                        began,
                        ended: Instant::now(),
                        why: format!("{error:#}"),
                    });
                }
            }
            sleep(PAUSE).await;
        }
        Ok(asked)
    })
}

/// One answer, over this connection or a new one: all of it, and none that says
/// that the node or its app has failed.
async fn answer(
    connection: &mut Option<SendRequest<Full<Bytes>>>,
    method: Method,
    uri: &Uri,
) -> Result<()> {
    let mut sender = match connection.take() {
        Some(sender) => sender,
        None => connect(uri).await?,
    };
    let authority = uri.authority().context("a URL without a host")?.as_str();
    let request = Request::builder()
        .method(method)
        .uri(uri.path())
        .header("host", authority)
        .body(Full::default())?;
    sender.ready().await?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    let text = body.collect().await?.to_bytes();
    ensure!(
        !head.status.is_server_error(),
        "{}: {}",
        head.status,
        String::from_utf8_lossy(&text)
    );
    *connection = Some(sender);
    Ok(())
}
