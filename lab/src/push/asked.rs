//! What those see of a push who ask the nodes for pages all the while: what was
//! answered, what was lost, and when the first page of another release came.

use super::Fleet;
use crate::client::{begin, connect, runtime};
use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// An answer that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// After a request was lost.
const PAUSE: Duration = Duration::from_millis(10);
/// So many reasons are kept.
const REASONS: usize = 4;

/// What one client of one node saw.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The machine of the node.
    pub number: u8,
    /// How many pages came.
    pub answered: u64,
    /// How many requests have got none.
    pub lost: u64,
    /// Why, of the first few.
    pub reasons: Vec<String>,
    /// The longest that a page took.
    pub slowest: Duration,
    /// When a page came that another release made than the page before, and the
    /// digest of that release; the first page too.
    pub changes: Vec<(Instant, String)>,
}

impl Fleet<'_> {
    /// Let so many clients ask each node for its page while `during` runs, each
    /// over one connection, with this pause after each page.
    ///
    /// # Errors
    ///
    /// Those of `during`; that a client has seen no page.
    pub fn asked<T>(
        &self,
        clients: usize,
        pause: Duration,
        during: impl FnOnce() -> Result<T>,
    ) -> Result<(T, Vec<Asked>)> {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let mut asking = Vec::new();
            for number in self.numbers() {
                for _ in 0..clients {
                    let (machine, over) = (self.lan().machine(*number), &over);
                    asking.push(scope.spawn(move || {
                        let ask = || ask(*number, &machine.url(), pause, over);
                        machine.netns().run(ask)
                    }));
                }
            }
            let done = {
                // They are waited for even if this panics, so they have to end.
                let _over = SetWhenDropped(&over);
                during()
            };
            let mut all = Vec::new();
            for each in asking {
                let asked = each.join();
                all.push(asked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            }
            let done = done?;
            for asked in &all {
                ensure!(asked.answered > 0, "no page came: {asked:?}");
            }
            Ok((done, all))
        })
    }
}

/// When the last client saw the first page of this release.
///
/// # Errors
///
/// If one has seen none.
pub fn first_answers(all: &[Asked], digest: &str) -> Result<Instant> {
    let first = |asked: &Asked| {
        let change = asked.changes.iter().find(|(_, it)| it == digest);
        let node = asked.number;
        change
            .map(|(at, _)| *at)
            .with_context(|| format!("node {node} gave no page of release {digest}"))
    };
    let all = all.iter().map(first).collect::<Result<Vec<_>>>()?;
    all.into_iter().max().context("nobody asked")
}

/// Sets a flag when it is dropped.
struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn ask(number: u8, url: &str, pause: Duration, over: &AtomicBool) -> Result<Asked> {
    runtime()?.block_on(async {
        let uri: Uri = url.parse().context("not a URL")?;
        let mut asked = Asked {
            number,
            ..Asked::default()
        };
        let mut connection = None;
        while !over.load(Ordering::Relaxed) {
            let began = Instant::now();
            let page = timeout(PATIENCE, page(&mut connection, &uri)).await;
            match page.unwrap_or_else(|_| bail!("not within {PATIENCE:?}")) {
                Ok(page) => {
                    asked.came(&page, began)?;
                    sleep(pause).await;
                }
                Err(error) => {
                    connection = None;
                    asked.lost += 1;
                    if asked.reasons.len() < REASONS {
                        asked.reasons.push(format!("node {number}: {error:#}"));
                    }
                    sleep(PAUSE).await;
                }
            }
        }
        Ok(asked)
    })
}

/// One page, over this connection or a new one.
async fn page(connection: &mut Option<SendRequest<Full<Bytes>>>, uri: &Uri) -> Result<String> {
    let mut sender = match connection.take() {
        Some(sender) => sender,
        None => connect(uri).await?,
    };
    let (head, body) = begin(&mut sender, uri).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    ensure!(head.status.is_success(), "{}", head.status);
    *connection = Some(sender);
    Ok(String::from_utf8_lossy(&body).into_owned())
}

impl Asked {
    fn came(&mut self, page: &str, began: Instant) -> Result<()> {
        let now = Instant::now();
        self.answered += 1;
        self.slowest = self.slowest.max(now - began);
        let digest = digest_in(page).with_context(|| format!("no release in {page}"))?;
        if self.changes.last().is_none_or(|(_, last)| last != digest) {
            self.changes.push((now, digest.to_owned()));
        }
        Ok(())
    }
}

/// The digest of the release that has made a page of the guest: the first
/// `title` after `id="release"`.
pub(crate) fn digest_in(page: &str) -> Option<&str> {
    let (_, release) = page.split_once("id=\"release\"")?;
    let (_, digest) = release.split_once("title=\"")?;
    digest.split_once('"').map(|(digest, _)| digest)
}

#[cfg(test)]
mod tests {
    use super::digest_in;

    #[test]
    fn a_page_says_which_release_has_made_it() {
        let page = "<p>It was served by release <span id=\"release\" data-id=\"b2\"><code \
                    title=\"00ff\">00</code></span>.</p><code title=\"11\">";
        assert_eq!(digest_in(page), Some("00ff"));
        assert_eq!(digest_in("<p>this node has no app</p>"), None);
    }
}
