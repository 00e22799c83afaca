//! Keeps the keys of a running node up to date with its cookie files. The node reads the files again on
//! SIGHUP. If anything is wrong with them, it keeps the cookies that it has.

use std::sync::Arc;

use cluster::{Cookie, KeyId, Keys, KeysError, Member, View};
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::files::cookie::{CookieFileError, Cookies, Origins};
use mesh::membership::Keyring;

/// A cookie with fewer bits is weak: whoever has recorded traffic can guess it.
const STRONG: f64 = 80.0;

/// How many members a warning names.
const NAMED: usize = 5;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum CookieWatcherError {
    /// A cookie cannot be read.
    #[error(transparent)]
    Cookie(#[from] CookieFileError),
    /// No keys can be derived from it.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

/// The cookies of a running node.
#[derive(Debug)]
pub(super) struct CookieWatcher {
    origins: Arc<Origins>,
    cookies: Arc<Cookies>,
    sends: KeyId,
}

impl CookieWatcher {
    /// Reads the cookies and derives the keys. Each key takes 150 ms of processor time and 64 MiB of
    /// memory.
    ///
    /// # Errors
    /// [`CookieWatcherError`].
    pub(super) fn start(origins: Origins) -> Result<(Self, Keys), CookieWatcherError> {
        let cookies = origins.read()?;
        let keys = derive(&cookies)?;
        if cookies.second.is_some() {
            log(&keys);
        }
        let watcher = Self {
            origins: Arc::new(origins),
            cookies: Arc::new(cookies),
            sends: keys.key_id(),
        };
        Ok((watcher, keys))
    }

    /// Reads the cookies again at every signal, until the node ends. Warns of members that do not accept
    /// the cookie that this node sends with.
    pub(super) async fn run(
        mut self,
        ring: Keyring,
        mut views: watch::Receiver<Arc<View>>,
        mut hangups: Signal,
    ) {
        let mut before = Vec::new();
        loop {
            tokio::select! {
                Some(()) = hangups.recv() => self.read_again(&ring).await,
                Ok(()) = views.changed() => {}
                else => return,
            }
            let refusing = refusing(&views.borrow_and_update(), self.sends);
            if refusing != before && !refusing.is_empty() {
                tracing::warn!(
                    count = refusing.len(),
                    members = some_of(&refusing),
                    cookie = %self.sends,
                    "members do not accept the cookie that this node sends with, and so do not hear it"
                );
            }
            before = refusing;
        }
    }

    async fn read_again(&mut self, ring: &Keyring) {
        let (origins, before) = (self.origins.clone(), self.cookies.clone());
        let work = spawn_blocking(move || read_again(&origins, &before));
        match work.await {
            Ok(Ok(Some((cookies, keys)))) => {
                self.cookies = Arc::new(cookies);
                self.sends = keys.key_id();
                ring.change(keys.clone());
                log(&keys);
            }
            Ok(Ok(None)) => tracing::info!("read the cookies again: nothing has changed"),
            Ok(Err(error)) => tracing::error!(%error, "{KEPT}"),
            Err(error) => tracing::error!(%error, "{KEPT}"),
        }
    }
}

/// The members that do not accept this cookie, as far as is known.
fn refusing(view: &View, sends: KeyId) -> Vec<String> {
    let refuses = |member: &&Member| member.keys.is_some_and(|keys| !keys.accept(sends));
    let members = view.members.iter().filter(refuses);
    members.map(|member| member.name.to_string()).collect()
}

/// A few of these names, the first ones.
fn some_of(names: &[String]) -> String {
    let mut shown = names[..names.len().min(NAMED)].join(", ");
    if names.len() > NAMED {
        shown += &format!(" and {} more", names.len() - NAMED);
    }
    shown
}

/// The log line of a node that cannot read its cookies again.
const KEPT: &str = "the node goes on with the cookies it has, since they cannot be read again";

/// Reads the cookies again; none if they are the same as before.
fn read_again(
    origins: &Origins,
    before: &Cookies,
) -> Result<Option<(Cookies, Keys)>, CookieWatcherError> {
    let cookies = origins.read()?;
    if cookies.equal(before) {
        return Ok(None);
    }
    let keys = derive(&cookies)?;
    Ok(Some((cookies, keys)))
}

/// Logs which cookies hold from now on.
fn log(keys: &Keys) {
    let ids = keys.ids();
    let sends = ids.sends;
    match ids.accepts {
        Some(also) => tracing::info!(%sends, %also, "a second cookie is accepted besides"),
        None => tracing::info!(%sends, "no other cookie is accepted from now on"),
    }
}

fn derive(cookies: &Cookies) -> Result<Keys, KeysError> {
    warn_if_weak(&cookies.main);
    let keys = Keys::derive(&cookies.main)?;
    let Some(second) = &cookies.second else {
        return Ok(keys);
    };
    warn_if_weak(second);
    Ok(keys.accepting(&Keys::derive(second)?))
}

fn warn_if_weak(cookie: &Cookie) {
    let bits = cookie.strength_bits();
    if bits < STRONG {
        tracing::warn!(
            "the cookie is weak: about {bits:.0} bits. Who can record this network's traffic can guess it, \
             and then run code on every node. On a network that is not yours alone, make a strong one with \
             `host cookie new`, and give it to all nodes with --cookie-file"
        );
    }
}
