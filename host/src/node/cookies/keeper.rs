//! Keeps the keys of a running node in step with its cookie files: they are
//! read again on SIGHUP, and what is wrong with them then changes nothing.

use std::sync::Arc;
use std::time::Duration;

use cluster::{Keys, KeysError, NodeName};
use tokio::signal::unix::Signal;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use super::state::{self, State};
use super::{CookieFileError, Cookies, Origins, Second};
use mesh::data_dir::DataDir;
use mesh::membership::Keyring;

/// Below so many bits a cookie can be guessed by who has recorded traffic.
pub(crate) const STRONG: f64 = 80.0;

/// How often it is told that members still send with the old cookie.
const REMIND: Duration = Duration::from_secs(60);

/// How many members such a line names.
const NAMED: usize = 5;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// A cookie cannot be read.
    #[error(transparent)]
    Cookie(#[from] CookieFileError),
    /// No keys can be derived from it.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

/// The cookies of a node that runs.
#[derive(Debug)]
pub struct Keeper {
    origins: Arc<Origins>,
    cookies: Arc<Cookies>,
    data: Arc<DataDir>,
    state: State,
}

impl Keeper {
    /// Reads the cookies and derives the keys, which takes 150 ms of processor
    /// time for each, and 64 MiB of memory.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub fn start(
        origins: Origins,
        name: &NodeName,
        cluster_port: u16,
        data: Arc<DataDir>,
    ) -> Result<(Self, Keys), KeeperError> {
        let cookies = origins.read()?;
        warn_if_weak(&cookies);
        let keys = derive(&cookies)?;
        let mut keeper = Self {
            state: State {
                node: name.to_string(),
                port: cluster_port,
                file: origins.main.path().map(ToOwned::to_owned),
                from: origins.main.shown(),
                reads: 1,
                ..State::default()
            },
            origins: Arc::new(origins),
            cookies: Arc::new(cookies),
            data,
        };
        keeper.take_note(&keys);
        if keeper.state.second.is_some() {
            keeper.say();
        }
        write(&keeper.data, &keeper.state);
        Ok((keeper, keys))
    }

    /// Reads the cookies again at every signal, until the node ends.
    pub async fn run(mut self, mut ring: Keyring, mut hangups: Signal) {
        let mut unconfirmed = ring.unconfirmed();
        let mut remind = Instant::now() + REMIND;
        loop {
            tokio::select! {
                signal = hangups.recv() => match signal {
                    Some(()) => {
                        self.read_again(&mut ring).await;
                        remind = Instant::now() + REMIND;
                    }
                    None => return,
                },
                changed = unconfirmed.changed() => match changed {
                    Ok(()) => {
                        let now = unconfirmed.borrow_and_update().clone();
                        let names = now.members.iter().map(ToString::to_string);
                        self.progress(names.collect());
                    }
                    Err(_) => return,
                },
                () = sleep_until(remind) => {
                    remind = Instant::now() + REMIND;
                    self.remind();
                    continue;
                }
            }
            self.write_state().await;
        }
    }

    async fn read_again(&mut self, ring: &mut Keyring) {
        self.state.reads += 1;
        self.state.problem = None;
        let (origins, before) = (self.origins.clone(), self.cookies.clone());
        let work = spawn_blocking(move || {
            let cookies = origins.read()?;
            if cookies.equal(&before) {
                return Ok(None);
            }
            warn_if_weak(&cookies);
            let keys = derive(&cookies)?;
            Ok::<_, KeeperError>(Some((cookies, keys)))
        });
        match work.await {
            Ok(Ok(Some((cookies, keys)))) => {
                self.cookies = Arc::new(cookies);
                self.take_note(&keys);
                ring.change(keys).await;
                let waiting = ring.unconfirmed().borrow().members.clone();
                self.state.waiting = waiting.iter().map(ToString::to_string).collect();
                self.say();
            }
            Ok(Ok(None)) => {
                let hint = match self.state.file {
                    Some(_) => "",
                    None => "; a cookie that was given as it is changes by a restart only",
                };
                tracing::info!(
                    from = self.state.from,
                    "read the cookies again: nothing has changed{hint}"
                );
            }
            Ok(Err(error)) => self.problem(&error.to_string()),
            Err(_) => self.problem("cannot derive keys from the cookie: is there no memory left?"),
        }
    }

    fn problem(&mut self, problem: &str) {
        tracing::error!(
            "the cookies are left as they were, since they cannot be read again: {problem}"
        );
        self.state.problem = Some(problem.to_owned());
    }

    fn take_note(&mut self, keys: &Keys) {
        self.state.sends = id(keys);
        let second = self.cookies.second.as_ref().map(|(what, _)| *what);
        self.state.second = second.zip(keys.other().as_ref().map(id));
        self.state.waiting.clear();
    }

    /// Says which cookies hold from now on.
    fn say(&self) {
        let sends = &self.state.sends;
        match &self.state.second {
            Some((Second::Next, accepts)) => tracing::info!(
                sends,
                accepts,
                "cookie change, step 1 of 3: the next cookie is accepted besides"
            ),
            Some((Second::Previous, accepts)) => tracing::info!(
                sends,
                accepts,
                "cookie change, step 2 of 3: the new cookie is sent with, the old one still accepted"
            ),
            Some((Second::Given, accepts)) => {
                tracing::info!(sends, accepts, "a second cookie is accepted besides");
            }
            None => tracing::info!(sends, "one cookie only is accepted from now on"),
        }
    }

    /// Takes note of which members still send with the second cookie.
    fn progress(&mut self, waiting: Vec<String>) {
        let before = std::mem::replace(&mut self.state.waiting, waiting);
        if before.is_empty() || !self.state.waiting.is_empty() {
            return;
        }
        let sends = &self.state.sends;
        match self.state.second {
            Some((Second::Previous, _)) => tracing::info!(
                sends,
                "every member sends with the new cookie; when all nodes say so: host cookie rotate finish"
            ),
            Some((Second::Given, _)) => {
                tracing::info!(sends, "every member sends with the first cookie");
            }
            Some((Second::Next, _)) | None => {}
        }
    }

    /// Before the second step the others are what they should be.
    fn remind(&self) {
        let waiting = &self.state.waiting;
        let second = self.state.second.as_ref().map(|(second, _)| *second);
        if waiting.is_empty() || matches!(second, None | Some(Second::Next)) {
            return;
        }
        tracing::info!(
            count = waiting.len(),
            members = some_of(waiting),
            "members still send with the second cookie"
        );
    }

    async fn write_state(&self) {
        let (data, state) = (self.data.clone(), self.state.clone());
        // It only fails as a whole if the runtime ends.
        let _ = spawn_blocking(move || write(&data, &state)).await;
    }
}

/// How keys are shown to people.
fn id(keys: &Keys) -> String {
    keys.key_id().to_string()
}

/// The first few of these names.
pub(crate) fn some_of(names: &[String]) -> String {
    let mut shown = names[..names.len().min(NAMED)].join(", ");
    if names.len() > NAMED {
        shown += &format!(" and {} more", names.len() - NAMED);
    }
    shown
}

fn write(data: &DataDir, state: &State) {
    if let Err(error) = data.write(state::FILE, state.to_string().as_bytes()) {
        tracing::warn!(%error, "`host cookie` cannot see how this node is");
    }
}

fn derive(cookies: &Cookies) -> Result<Keys, KeysError> {
    let keys = Keys::derive(&cookies.main)?;
    Ok(match &cookies.second {
        Some((_, second)) => keys.accepting(&Keys::derive(second)?),
        None => keys,
    })
}

fn warn_if_weak(cookies: &Cookies) {
    let second = cookies.second.iter().map(|(_, cookie)| cookie);
    for bits in std::iter::once(&cookies.main)
        .chain(second)
        .map(cluster::Cookie::strength_bits)
        .filter(|bits| *bits < STRONG)
    {
        tracing::warn!(
            "the cookie is weak: about {bits:.0} bits. Who can record this network's traffic can guess it, \
             and then run code on every node. On a network that is not yours alone, make a strong one with \
             `host cookie generate`, and give it to all nodes with --cookie-file"
        );
    }
}
