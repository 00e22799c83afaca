//! `host cookie`: what a person does with cookies. It changes the files of one
//! node, tells the node if it runs, and says in plain words what holds then.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use cluster::{Cookie, NameError, NodeName};
use rand::TryRng as _;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::Second;
use super::files::{self, CookieFileError};
use super::keeper::{STRONG, some_of};
use super::rotate::{self, At, Files, StepError};
use super::state::{self, State};
use crate::cli::{CookieCommand, RotateStep, WhichNode};
use crate::data_dir::{DataDir, DataDirError};

/// How long a node may take to read its cookies again; it takes 0.3 s.
const TAKEN: Duration = Duration::from_secs(20);

/// How long the last step waits for members that were not heard yet: a beacon
/// of each comes within a second or two.
const HEARD: Duration = Duration::from_secs(5);

/// How often it is looked whether the node has answered.
const LOOK: Duration = Duration::from_millis(50);

/// Why nothing was done, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The files of the node.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The new cookie.
    #[error(transparent)]
    Cookie(#[from] CookieFileError),
    /// `--name`.
    #[error("--name: {0}")]
    Name(#[from] NameError),
    /// The data folder.
    #[error(transparent)]
    Data(#[from] DataDirError),
    /// The file is there already.
    #[error("{} is there already and was left alone; give another name: host cookie generate FILE", .0.display())]
    Exists(PathBuf),
    /// The file cannot be made.
    #[error("cannot make {}: {cause}", path.display())]
    Make {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        cause: io::Error,
    },
    /// Standard output.
    #[error("cannot print: {0}")]
    Print(io::Error),
    /// No randomness.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
    /// No node.
    #[error(
        "no node runs here with a data folder in {}; say which one is meant with --data-dir or --name",
        .0.display()
    )]
    NoNode(PathBuf),
    /// Several nodes.
    #[error("several nodes run here: {0}; say which one is meant with --name")]
    ManyNodes(String),
    /// A folder that no node of this version has used.
    #[error(
        "{} says nothing about the cookies of a node: none has run with this data folder; \
         start the node first, or name its folder with --data-dir",
        .0.display()
    )]
    NoState(PathBuf),
    /// The cookie has no file.
    #[error(
        "{node} was given its cookie by {from}, which changes by a restart only; \
         restart it with --cookie-file and --also-cookie-file: docs/operations.md says how"
    )]
    NoFile {
        /// The node.
        node: String,
        /// What gave it.
        from: String,
    },
    /// The second cookie was given.
    #[error(
        "{0} was started with --also-cookie-file or HOST_ALSO_COOKIE, so its cookies change by restarts only: \
         docs/operations.md says how"
    )]
    Given(String),
    /// The node cannot be signalled.
    #[error(
        "cannot signal {node} (process {pid}): {cause}; run this as the user of the node or as root"
    )]
    Signal {
        /// The node.
        node: String,
        /// Its process.
        pid: u32,
        /// What the system said.
        cause: io::Error,
    },
    /// The node refused.
    #[error("{node} goes on with the cookies it had: {problem}")]
    Refused {
        /// The node.
        node: String,
        /// What it says.
        problem: String,
    },
    /// The node says nothing.
    #[error(
        "the files are changed, but {0} has not taken them up within {within} s; look at its log, \
         then give the same command again",
        within = TAKEN.as_secs()
    )]
    NoAnswer(String),
    /// Members would be dropped.
    #[error(
        "{count} members do not send with the new cookie yet: {members}; take step 2 there first \
         (host cookie rotate switch), or drop them: host cookie rotate finish --force"
    )]
    Waiting {
        /// How many.
        count: usize,
        /// Some of them.
        members: String,
    },
    /// Nobody knows whether members would be dropped.
    #[error(
        "{0} does not run, so nobody knows whether members still send with the old cookie; \
         start it, or give --force"
    )]
    Unknown(String),
}

/// Does it.
///
/// # Errors
/// [`CommandError`].
pub fn run(command: CookieCommand) -> Result<(), CommandError> {
    match command {
        CookieCommand::Generate { print: true, .. } => print(&generate()?),
        CookieCommand::Generate { file, .. } => {
            make(&file, &generate()?)?;
            say(&format!(
                "made a strong cookie in {file}, which only its owner can read\n\
                 for a new cluster: start every node with --cookie-file and a copy of it\n\
                 for a cluster that runs: copy it to every node, and there take step 1:\n    \
                 host cookie rotate accept {file}",
                file = file.display()
            ))
        }
        CookieCommand::Status(which) => Node::find(&which)?.status(),
        CookieCommand::Rotate { step } => take(step),
    }
}

fn generate() -> Result<Cookie, CommandError> {
    let mut random = [0; 20];
    rand::rngs::SysRng
        .try_fill_bytes(&mut random)
        .map_err(|error| CommandError::Random(error.to_string()))?;
    Ok(Cookie::generate(random))
}

fn print(cookie: &Cookie) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    out.write_all(cookie.reveal())
        .and_then(|()| out.write_all(b"\n"))
        .map_err(CommandError::Print)
}

fn say(text: &str) -> Result<(), CommandError> {
    writeln!(io::stdout().lock(), "{text}").map_err(CommandError::Print)
}

fn make(path: &Path, cookie: &Cookie) -> Result<(), CommandError> {
    let write = || {
        let mut file = rotate::create(path)?;
        file.write_all(cookie.reveal())?;
        file.write_all(b"\n")?;
        file.sync_all()
    };
    write().map_err(|cause| match cause.kind() {
        io::ErrorKind::AlreadyExists => CommandError::Exists(path.to_owned()),
        _ => CommandError::Make {
            path: path.to_owned(),
            cause,
        },
    })
}

/// Takes one step on the node that is meant.
fn take(step: RotateStep) -> Result<(), CommandError> {
    let (which, new) = match &step {
        RotateStep::Accept { file, node } => (node, Some(files::read("FILE", file)?)),
        RotateStep::Switch(node) | RotateStep::Back(node) => (node, None),
        RotateStep::Finish { node, .. } => (node, None),
    };
    if let Some(bits) = new.as_ref().map(Cookie::strength_bits)
        && bits < STRONG
    {
        eprintln!(
            "warning: the new cookie is weak: about {bits:.0} bits; `host cookie generate` makes a strong one"
        );
    }
    let mut node = Node::find(which)?;
    let files = node.files()?;
    // Before anything is changed it is seen whether the node can be told.
    node.reach(test_kill_process)?;
    match (&step, &new) {
        (RotateStep::Accept { file, .. }, Some(new)) => files.accept(new, file)?,
        (RotateStep::Switch(_), _) => files.switch()?,
        (RotateStep::Finish { force, .. }, _) => {
            if !force && files.at()? == At::Switched {
                // The step before may have been taken without its knowledge.
                node.tell()?;
                node.wait_for_members()?;
            }
            files.finish()?;
        }
        (RotateStep::Back(_), _) => files.back()?,
        (RotateStep::Accept { .. }, None) => {}
    }
    node.tell()?;
    node.status()
}

/// A node of this machine.
struct Node {
    data: PathBuf,
    /// Its process, if it runs.
    pid: Option<u32>,
    state: State,
}

impl Node {
    fn find(which: &WhichNode) -> Result<Node, CommandError> {
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
    fn files(&self) -> Result<Files, CommandError> {
        let State { node, from, .. } = &self.state;
        match (&self.state.file, &self.state.second) {
            (_, Some((Second::Given, _))) => Err(CommandError::Given(node.clone())),
            (Some(file), _) => Ok(Files::of(file)),
            (None, _) => Err(CommandError::NoFile {
                node: node.clone(),
                from: from.clone(),
            }),
        }
    }

    fn reach(&self, how: impl FnOnce(Pid) -> rustix::io::Result<()>) -> Result<(), CommandError> {
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
        done.map_err(|cause| CommandError::Signal {
            node: self.state.node.clone(),
            pid: number,
            cause,
        })
    }

    /// Has the node read its cookies again, and waits until it has.
    fn tell(&mut self) -> Result<(), CommandError> {
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
                    Some(problem) => Err(CommandError::Refused {
                        node: self.state.node.clone(),
                        problem,
                    }),
                    None => Ok(()),
                };
            }
            sleep(LOOK);
        }
        Err(CommandError::NoAnswer(self.state.node.clone()))
    }

    /// Waits a little for members that do not send with the new cookie yet.
    fn wait_for_members(&mut self) -> Result<(), CommandError> {
        if self.pid.is_none() {
            return Err(CommandError::Unknown(self.state.node.clone()));
        }
        let until = Instant::now() + HEARD;
        loop {
            self.state = read_state(&self.data)?;
            let waiting = &self.state.waiting;
            if waiting.is_empty() {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(CommandError::Waiting {
                    count: waiting.len(),
                    members: some_of(waiting),
                });
            }
            sleep(LOOK);
        }
    }

    /// Says what holds now, and what comes next.
    fn status(&self) -> Result<(), CommandError> {
        let State { node, sends, .. } = &self.state;
        if self.pid.is_none() {
            let at = match self.files()?.at()? {
                At::Rest => "one cookie only",
                At::Accepting => "step 1 of 3: the new cookie will be accepted besides",
                At::Switched => {
                    "step 2 of 3: the new cookie will be sent with, the old one accepted besides"
                }
            };
            return say(&format!(
                "{node} does not run; when it starts, it is at: {at}"
            ));
        }
        let waiting = &self.state.waiting;
        say(&match &self.state.second {
            Some((Second::Next, new)) => format!(
                "{node} is at step 1 of 3: it sends with cookie {sends}, and accepts the new one {new} too\n\
                 next, once every node is at step 1: host cookie rotate switch\n\
                 (a node that was left out would be dropped by that)"
            ),
            Some((Second::Previous, old)) => {
                let members = match waiting.is_empty() {
                    true => "every member sends with the new one".to_owned(),
                    false => format!(
                        "{} members were not heard to send with the new one yet: {}",
                        waiting.len(),
                        some_of(waiting)
                    ),
                };
                format!(
                    "{node} is at step 2 of 3: it sends with the new cookie {sends}, and accepts the old one {old} too\n\
                     {members}\n\
                     next, once every node is at step 2: host cookie rotate finish\n\
                     (nodes that are off now need the new cookie before they come back)"
                )
            }
            Some((Second::Given, second)) => format!(
                "{node} sends with cookie {sends}, and accepts a second one {second} that it was given at its start"
            ),
            None => format!(
                "{node} sends with cookie {sends} and accepts no other; no change is under way"
            ),
        })
    }
}

fn read_state(data: &Path) -> Result<State, CommandError> {
    let path = data.join(state::FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => State::parse(&text).ok_or(CommandError::NoState(path)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Err(CommandError::NoState(path)),
        Err(error) => Err(DataDirError::Read { path, error }.into()),
    }
}

/// The data folder of the only node that runs on this machine.
fn the_one_that_runs(parent: &Path) -> Result<PathBuf, CommandError> {
    let mut running = DataDir::used_in(parent)?;
    running.retain(|folder| folder.join(state::FILE).exists());
    let names = running.iter().filter_map(|folder| folder.file_name());
    let names: Vec<_> = names.map(|name| name.to_string_lossy()).collect();
    match &running[..] {
        [] => Err(CommandError::NoNode(parent.to_owned())),
        [one] => Ok(one.clone()),
        _ => Err(CommandError::ManyNodes(names.join(", "))),
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
