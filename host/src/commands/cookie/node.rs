//! The node of this machine that a command is about, and what it says about
//! itself.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cluster::{Cookie, NodeName};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::CookieError;
use super::members;
use crate::commands::cli::WhichNode;
use crate::commands::client::Client;
use crate::node::cookies::rotate::{At, Files};
use crate::node::cookies::state;
use crate::node::cookies::state::State;
use crate::node::cookies::{Second, some_of};
use mesh::data_dir::{DataDir, DataDirError};

/// How long a node may take to read its cookies again; it takes 0.3 s.
pub(super) const TAKEN: Duration = Duration::from_secs(20);

/// How long the last step waits for members that were not heard yet, and how long a
/// node must run before it is taken to know its members: a beacon of each comes
/// within a second or two.
pub(super) const HEARD: Duration = Duration::from_secs(5);

/// How often it is looked whether the node has answered.
const LOOK: Duration = Duration::from_millis(50);

/// A node of this machine.
pub(super) struct Node {
    data: PathBuf,
    /// Its process, if it runs.
    pid: Option<u32>,
    state: State,
}

impl Node {
    pub(super) fn find(which: &WhichNode) -> Result<Node, CookieError> {
        let data = match (&which.data_dir, &which.name) {
            (Some(folder), _) => folder.clone(),
            (None, Some(name)) => DataDir::default_path(&name.parse::<NodeName>()?)?,
            (None, None) => the_one_that_runs(&DataDir::default_parent()?)?,
        };
        Ok(Node {
            pid: DataDir::used_by(&data)?,
            state: read_state(&data)?,
            data,
        })
    }

    /// The cookie files, if that is where the node has its cookie from.
    pub(super) fn files(&self) -> Result<Files, CookieError> {
        let State { node, from, .. } = &self.state;
        match (&self.state.file, &self.state.second) {
            (_, Some((Second::Given, _))) => Err(CookieError::Given(node.clone())),
            (Some(file), _) => Ok(Files::of(file)),
            (None, _) => Err(CookieError::NoFile {
                node: node.clone(),
                from: from.clone(),
            }),
        }
    }

    pub(super) fn reach(
        &self,
        how: impl FnOnce(Pid) -> rustix::io::Result<()>,
    ) -> Result<(), CookieError> {
        let Some(number) = self.pid else {
            return Ok(());
        };
        let pid = i32::try_from(number).ok().and_then(Pid::from_raw);
        let done = match runs_host(number) {
            true => pid
                .map_or(Err(rustix::io::Errno::SRCH), how)
                .map_err(Into::into),
            false => Err(io::Error::other(
                "here that is another program; does the node run in a container?",
            )),
        };
        done.map_err(|cause| CookieError::Signal {
            node: self.state.node.clone(),
            pid: number,
            cause,
        })
    }

    /// Has the node read its cookies again, and waits until it has.
    pub(super) async fn tell(&mut self) -> Result<(), CookieError> {
        if self.pid.is_none() {
            return Ok(());
        }
        let before = read_state(&self.data)?.reads;
        self.reach(|pid| kill_process(pid, Signal::HUP))?;
        let until = Instant::now() + TAKEN;
        while Instant::now() < until {
            self.state = read_state(&self.data)?;
            if self.state.reads != before {
                return match self.state.problem.clone() {
                    Some(problem) => Err(CookieError::Refused {
                        node: self.state.node.clone(),
                        problem,
                    }),
                    None => Ok(()),
                };
            }
            sleep(LOOK).await;
        }
        Err(CookieError::NoAnswer(self.state.node.clone()))
    }

    /// Waits a little for members that do not send with the new cookie yet.
    pub(super) async fn wait_for_members(&mut self) -> Result<(), CookieError> {
        if self.pid.is_none() {
            return Err(CookieError::Unknown {
                node: self.state.node.clone(),
                what: "members still send with the old cookie",
            });
        }
        let until = Instant::now() + HEARD;
        loop {
            self.state = read_state(&self.data)?;
            let waiting = &self.state.waiting;
            if waiting.is_empty() {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(CookieError::Waiting {
                    count: waiting.len(),
                    members: some_of(waiting),
                });
            }
            sleep(LOOK).await;
        }
    }

    /// Makes sure that no member would be dropped by a cookie that is sent with.
    pub(super) async fn ensure_members_accept(&self, cookie: &Cookie) -> Result<(), CookieError> {
        let Some(refusing) = self.members_that_refuse(cookie).await? else {
            return Err(CookieError::Unknown {
                node: self.state.node.clone(),
                what: "every member accepts the new cookie",
            });
        };
        match refusing.is_empty() {
            true => Ok(()),
            false => Err(CookieError::Refusing {
                count: refusing.len(),
                members: some_of(&refusing),
            }),
        }
    }

    /// The members that do not accept a cookie; none if the node does not run, so
    /// that nobody knows its members.
    async fn members_that_refuse(
        &self,
        cookie: &Cookie,
    ) -> Result<Option<Vec<String>>, CookieError> {
        let Some(pid) = self.pid else {
            return Ok(None);
        };
        let folder = self.data.clone();
        let node = Client::Socket { folder, pid };
        let refusing = members::that_refuse(&node, self.state.port, cookie).await?;
        Ok(Some(refusing))
    }

    /// What holds now, which members are still to follow, and what comes next.
    pub(super) async fn status(&self) -> Result<String, CookieError> {
        let members = match &self.state.second {
            Some((Second::Next, _)) if self.pid.is_some() => self.members_at_step_1().await,
            _ => String::new(),
        };
        Ok(self.next_step()? + &members)
    }

    /// What holds now, and what comes next, as far as the node knows it by itself.
    pub(super) fn next_step(&self) -> Result<String, CookieError> {
        let State { node, sends, .. } = &self.state;
        if self.pid.is_none() {
            let at = match self.files()?.at()? {
                At::Rest => "one cookie only",
                At::Accepting => "step 1 of 3: the new cookie will be accepted besides",
                At::Switched => {
                    "step 2 of 3: the new cookie will be sent with, the old one accepted besides"
                }
            };
            return Ok(format!(
                "{node} does not run; when it starts, it is at: {at}"
            ));
        }
        Ok(match &self.state.second {
            Some((Second::Next, new)) => format!(
                "{node} is at step 1 of 3: it sends with cookie {sends}, and accepts the new one {new} too\n\
                 next, once every node is at step 1: host cookie rotate switch"
            ),
            Some((Second::Previous, old)) => format!(
                "{node} is at step 2 of 3: it sends with the new cookie {sends}, and accepts the old one {old} too\n\
                 {members}\n\
                 next, once every node is at step 2: host cookie rotate finish\n\
                 (nodes that are off now need the new cookie before they come back)",
                members = self.members_at_step_2()
            ),
            Some((Second::Given, second)) => format!(
                "{node} sends with cookie {sends}, and accepts a second one {second} that it was given at its start"
            ),
            None => format!(
                "{node} sends with cookie {sends} and accepts no other; no change is under way"
            ),
        })
    }

    async fn members_at_step_1(&self) -> String {
        let asked = async {
            let next = self.files()?.next()?;
            self.members_that_refuse(&next).await
        };
        match asked.await {
            Ok(Some(refusing)) if refusing.is_empty() => {
                "\nevery member accepts the new one".to_owned()
            }
            Ok(Some(refusing)) => format!(
                "\n{} not accept the new one yet: {}",
                members_do(refusing.len()),
                some_of(&refusing)
            ),
            Ok(None) => String::new(),
            // That is no reason not to tell the rest.
            Err(error) => format!("\nthe members cannot be asked whether they accept it: {error}"),
        }
    }

    fn members_at_step_2(&self) -> String {
        let waiting = &self.state.waiting;
        match waiting.len() {
            0 => "every member sends with the new one".to_owned(),
            1 => format!(
                "1 member was not heard to send with the new one yet: {}",
                some_of(waiting)
            ),
            count => format!(
                "{count} members were not heard to send with the new one yet: {}",
                some_of(waiting)
            ),
        }
    }
}

/// "1 member does", "2 members do".
pub(super) fn members_do(count: usize) -> String {
    match count {
        1 => "1 member does".to_owned(),
        count => format!("{count} members do"),
    }
}

fn read_state(data: &Path) -> Result<State, CookieError> {
    let path = data.join(state::FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => State::parse(&text).ok_or(CookieError::NoState(path)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Err(CookieError::NoState(path)),
        Err(error) => Err(DataDirError::Read { path, error }.into()),
    }
}

/// The data folder of the only node that runs on this machine.
fn the_one_that_runs(parent: &Path) -> Result<PathBuf, CookieError> {
    let mut running = DataDir::used_in(parent)?;
    running.retain(|folder| folder.join(state::FILE).exists());
    let names = running.iter().filter_map(|folder| folder.file_name());
    let names: Vec<_> = names.map(|name| name.to_string_lossy()).collect();
    match &running[..] {
        [] => Err(CookieError::NoNode(parent.to_owned())),
        [one] => Ok(one.clone()),
        _ => Err(CookieError::ManyNodes(names.join(", "))),
    }
}

/// Whether the process of this number runs this program, as far as can be seen:
/// most others would be ended by the signal.
fn runs_host(pid: u32) -> bool {
    let name = |exe: std::path::PathBuf| {
        let name = exe.file_name()?.to_string_lossy().into_owned();
        // So Linux marks a program whose file was replaced since it started.
        Some(name.trim_end_matches(" (deleted)").to_owned())
    };
    let theirs = std::fs::read_link(format!("/proc/{pid}/exe")).map(name);
    match (theirs, std::env::current_exe().map(name)) {
        (Ok(theirs), Ok(mine)) => theirs == mine,
        // The signal itself will say what is not permitted.
        _ => true,
    }
}
