//! What can go wrong with a command, and what to do about it.

use std::io;
use std::path::PathBuf;

use cluster::release::ReleaseError;
use cluster::{NameError, NodeName};

use super::Exit;
use super::local::AskedNode;
use crate::api::types::{API, Problem};
use crate::files::IntakeError;
use mesh::control::tool::ToolError;
use mesh::data_dir::DataDirError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// `host cookie` failed.
    #[error(transparent)]
    Cookie(#[from] super::cookie::NewCookieError),
    /// The event loop could not start.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    /// `--name` is wrong.
    #[error("--name: {0}")]
    Name(#[from] NameError),
    /// The data folder cannot be found or used.
    #[error(transparent)]
    Data(DataDirError),
    /// No node runs here.
    #[error(
        "no node of yours runs here; start one (host --app FILE), run this as the user of the node or as root, or \
         ask the node of another machine with --node"
    )]
    NoNode,
    /// Several nodes run here, and none was named.
    #[error("several nodes run here; say which one is meant with --name or --data-dir:{}", list(.0))]
    ManyNodes(Vec<AskedNode>),
    /// No node has this name.
    #[error(
        "no node {name} runs here, as far as this user may see{}",
        others(instead)
    )]
    NotNamed {
        /// The name.
        name: NodeName,
        /// Those that run.
        instead: Vec<AskedNode>,
    },
    /// The node that was named does not run.
    #[error("no node runs with the data folder {}; start it, or name another one", .0.display())]
    NotRunning(PathBuf),
    /// The socket of the node is not there.
    #[error(
        "the node runs (process {pid}) but has no {}: it is just starting, or stopping; try again in a moment, \
         and if that does not help, restart it",
        path.display()
    )]
    NoSocket {
        /// Where the socket should be.
        path: PathBuf,
        /// The process of the node (PID).
        pid: u32,
    },
    /// This user may not open the socket, or may not read the data folder.
    #[error(
        "cannot open {}: it is for the user of the node only; run this as that user or as root",
        .0.display()
    )]
    NotPermitted(PathBuf),
    /// The socket is there, but nobody listens on it.
    #[error(
        "nobody listens on {} although the node runs (process {pid}): it is stopping, or another program has \
         replaced the file; try again in a moment, and if that does not help, restart it",
        path.display()
    )]
    NotListening {
        /// The socket.
        path: PathBuf,
        /// The process of the node (PID).
        pid: u32,
    },
    /// The socket does not answer.
    #[error(
        "cannot reach the node at {}: {cause}; is it overloaded? its log says more",
        path.display()
    )]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The error of the system.
        cause: io::Error,
    },
    /// `--node` was given without a cookie.
    #[error("--node needs the cookie of the cluster: --cookie-file FILE, or HOST_COOKIE")]
    NoCookie,
    /// The cookie cannot be used.
    #[error(transparent)]
    CookieFile(#[from] crate::files::cookie::CookieFileError),
    /// No keys can be derived from the cookie.
    #[error("cannot derive keys from the cookie: is there no memory left?")]
    Keys,
    /// The address of `--node` cannot be found.
    #[error("--node: `{0}` is not to be found: {1}; give IP, IP:PORT, NAME or NAME:PORT")]
    Address(String, String),
    /// The node of another machine cannot be reached.
    #[error(
        "cannot reach the node at {0}; does it run there, has it this cookie, and does it let \
         this machine in (--member-net)?"
    )]
    Remote(#[from] ToolError),
    /// The node did not answer.
    #[error("the node did not answer within {0} s; its log says more")]
    NoAnswer(u64),
    /// The connection to the node ended.
    #[error("the connection to the node ended: {0}; has it stopped, or is the network cut?")]
    Broken(String),
    /// The node said something that this program does not understand.
    #[error(
        "the answer of the node is not to be understood ({0}); use the `host` program that the node runs"
    )]
    Answer(String),
    /// The node has another version of the API.
    #[error(
        "the node speaks version {0} of the API and this program version {API}; \
         use the `host` program that the node runs"
    )]
    Version(u32),
    /// The node refused the request.
    #[error("{}", .0.reason)]
    Refused(Box<Problem>),
    /// The app file cannot be read.
    #[error(transparent)]
    Intake(#[from] IntakeError),
    /// A file cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        cause: io::Error,
    },
    /// A file is no deploy key.
    #[error(
        "{} is no deploy key; `host key new` makes one, and --sign-with takes the file that it makes",
        .0.display()
    )]
    NoKey(PathBuf),
    /// The file is there already.
    #[error("{} is there already and was left alone; give another name: host key new FILE", .0.display())]
    Exists(PathBuf),
    /// The file cannot be made.
    #[error("cannot make {}: {cause}", path.display())]
    Make {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        cause: io::Error,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
    /// The node drafted another release than was wanted, so it was not signed.
    #[error("the node made another release than it was asked for ({0}); it was not signed")]
    Draft(&'static str),
    /// Nodes with this deploy key would refuse the signed release.
    #[error("the release is not taken by nodes that have this key: {0}")]
    NotSigned(cluster::release::Unaccepted),
    /// A record cannot be signed.
    #[error("the release cannot be signed: {0}")]
    Sign(ReleaseError),
    /// Standard output cannot be written.
    #[error("cannot print: {0}")]
    Print(io::Error),
    /// A setting cannot be.
    #[error(transparent)]
    Setting(#[from] cluster::SettingError),
    /// What is to be set has no `=`.
    #[error(
        "`{0}` is no KEY=VALUE; write it so, or `--secret {0}` to give the value by standard input"
    )]
    NoEntry(String),
    /// A secret was typed on the command line.
    #[error(
        "the value of a secret does not belong on the command line, where others see it; \
         change it, and give the new one by standard input or --from-file"
    )]
    SecretTyped,
    /// Standard input has one value.
    #[error(
        "--secret takes one name, since standard input or the file is its value; set one after the other"
    )]
    ManySecrets,
    /// The value of a secret is no text.
    #[error("{} is no UTF-8 text, and settings are texts; encode it, for instance by base64", .0.display())]
    NoText(PathBuf),
    /// A line of an import is no key with a value.
    #[error(
        "line {number} of {} is no key with its value, as `host kv export` prints them: {error}; {done} keys were set \
         before, and the import can be run again",
        path.display()
    )]
    NoKeyLine {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        number: usize,
        /// How many keys were set before.
        done: usize,
        /// What is wrong with it.
        error: String,
    },
    /// The clocks are too far apart to sign anything.
    #[error(
        "the clock of the node is more than ten minutes from that of this machine, so nothing was \
         signed; set the clocks"
    )]
    Apart,
}

/// A line for each node, with what it takes to name it.
fn list(nodes: &[AskedNode]) -> String {
    let line = |asked: &AskedNode| {
        let node = &asked.node;
        let of = node.user.as_ref().map(|user| format!(" of {user}"));
        format!(
            "\n{}  --data-dir {}  process {}{}",
            asked.name(),
            node.folder.display(),
            node.pid,
            of.unwrap_or_default()
        )
    };
    nodes.iter().map(line).collect()
}

/// Those that run instead.
fn others(nodes: &[AskedNode]) -> String {
    match nodes {
        [] => "; start it, or run this as its user or as root".to_owned(),
        _ => format!("; these do:{}", list(nodes)),
    }
}

impl From<DataDirError> for CommandError {
    fn from(error: DataDirError) -> CommandError {
        match error {
            DataDirError::Read { path, error }
                if error.kind() == io::ErrorKind::PermissionDenied =>
            {
                CommandError::NotPermitted(path)
            }
            other => CommandError::Data(other),
        }
    }
}

impl CommandError {
    /// Why the socket at this path cannot be connected to; `pid` is the process
    /// of its node.
    pub(super) fn of_socket(path: PathBuf, pid: u32, cause: io::Error) -> CommandError {
        match cause.kind() {
            io::ErrorKind::NotFound => CommandError::NoSocket { path, pid },
            io::ErrorKind::PermissionDenied => CommandError::NotPermitted(path),
            io::ErrorKind::ConnectionRefused => CommandError::NotListening { path, pid },
            _ => CommandError::Connect { path, cause },
        }
    }

    /// Whether nobody reads standard output any more.
    pub(super) fn is_broken_pipe(&self) -> bool {
        match self {
            CommandError::Print(cause)
            | CommandError::Cookie(super::cookie::NewCookieError::Print(cause)) => {
                cause.kind() == io::ErrorKind::BrokenPipe
            }
            _ => false,
        }
    }

    /// The exit status for this error.
    pub fn exit(&self) -> Exit {
        match self {
            CommandError::Refused(_) => Exit::REFUSED,
            _ => Exit(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_for_which_a_socket_is_not_reached_has_a_sentence_with_what_to_do() {
        for (kind, part, what_to_do) in [
            (io::ErrorKind::NotFound, "has no /d/host.sock", "try again"),
            (
                io::ErrorKind::PermissionDenied,
                "cannot open /d/host.sock",
                "as that user or as root",
            ),
            (
                io::ErrorKind::ConnectionRefused,
                "nobody listens on /d/host.sock",
                "restart it",
            ),
            (
                io::ErrorKind::WouldBlock,
                "cannot reach the node at /d/host.sock",
                "its log says more",
            ),
        ] {
            let error = CommandError::of_socket("/d/host.sock".into(), 7, kind.into());
            let text = error.to_string();
            assert!(text.contains(part) && text.contains(what_to_do), "{text}");
            assert_eq!(error.exit(), Exit(1));
        }
    }

    #[test]
    fn a_data_folder_that_may_not_be_looked_into_is_told_as_what_it_is_and_others_are_not() {
        let read = |kind: io::ErrorKind| DataDirError::Read {
            path: "/d/lock".into(),
            error: kind.into(),
        };
        let denied = CommandError::from(read(io::ErrorKind::PermissionDenied));
        assert!(matches!(denied, CommandError::NotPermitted(_)), "{denied}");
        let other = CommandError::from(read(io::ErrorKind::InvalidData));
        assert!(matches!(other, CommandError::Data(_)), "{other}");
    }
}
