//! What can go wrong with `host cookie`, and what to do about it.

use std::io;
use std::path::PathBuf;

use cluster::NameError;

use super::node::{TAKEN, members_do};
use crate::commands::CommandError;
use crate::node::cookies::CookieFileError;
use crate::node::cookies::rotate::StepError;
use mesh::data_dir::DataDirError;

/// Why nothing was done, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum CookieError {
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
    /// Members would be dropped by the last step.
    #[error(
        "{} not send with the new cookie yet: {members}; take step 2 there first \
         (host cookie rotate switch), or drop them: host cookie rotate finish --force",
        members_do(*count)
    )]
    Waiting {
        /// How many.
        count: usize,
        /// Some of them.
        members: String,
    },
    /// Members would be dropped by the second step.
    #[error(
        "{} not accept the new cookie yet: {members}; take step 1 there first \
         (host cookie rotate accept FILE), or drop them: host cookie rotate switch --force",
        members_do(*count)
    )]
    Refusing {
        /// How many.
        count: usize,
        /// Some of them.
        members: String,
    },
    /// Nobody knows whether members would be dropped.
    #[error("{node} does not run, so nobody knows whether {what}; start it, or give --force")]
    Unknown {
        /// The node.
        node: String,
        /// What is not known.
        what: &'static str,
    },
    /// The node does not say who the members are.
    #[error(
        "the members cannot be asked whether they accept the new cookie ({0}); try again, or go on all the \
         same: host cookie rotate switch --force"
    )]
    Ask(#[from] Box<CommandError>),
    /// No keys.
    #[error("cannot derive keys from the cookie: is there no memory left?")]
    Keys,
}
