//! The command lines of `host status`, `host push` and the like.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use cluster::release::ClusterName;

use crate::api::types::Canaries;

/// Which node of this machine is meant. Without either it is the one that runs, wherever its
/// data folder is; root finds those of all users.
#[derive(Args, Clone, Debug, Default)]
pub struct WhichNode {
    /// The node with this data folder; needed only if several nodes have one name
    #[arg(long, value_name = "FOLDER", conflicts_with = "name")]
    pub data_dir: Option<PathBuf>,

    /// The node of this name; needed if several nodes run on this machine
    #[arg(long, value_name = "NAME@IP")]
    pub name: Option<String>,
}

/// Which node is asked, and how its answer is shown.
#[derive(Args, Clone, Debug, Default)]
pub struct Ask {
    /// A node of this machine.
    #[command(flatten)]
    pub which: WhichNode,

    /// A node of another machine, by its address or DNS name
    ///
    /// It is reached over its cluster port, which needs the cookie, and has to
    /// let this machine in: it is in its subnet, or within its --member-net.
    #[arg(long, value_name = "ADDR[:PORT]", conflicts_with_all = ["name", "data_dir"])]
    pub node: Option<String>,

    /// With --node: the shared secret of the cluster; prefer --cookie-file, or
    /// the environment variable HOST_COOKIE
    #[arg(
        long,
        value_name = "COOKIE",
        conflicts_with = "cookie_file",
        requires = "node"
    )]
    pub cookie: Option<String>,

    /// With --node: a file that holds the cookie
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "cookie",
        requires = "node"
    )]
    pub cookie_file: Option<PathBuf>,

    /// Print JSON, for programs: docs/api.md describes it
    #[arg(long)]
    pub json: bool,
}

/// How a release is made and followed.
#[derive(Args, Clone, Debug)]
pub struct Rollout {
    /// What is to be remembered about it, at most 200 bytes
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub note: String,

    /// Who releases it [default: USER@MACHINE]
    #[arg(long, value_name = "WHO")]
    pub by: Option<String>,

    /// Refuse unless this component is the target; at least 8 digits of its digest
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    pub expect: Option<String>,

    /// Refuse unless the node sees so many members, itself included
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub min_nodes: usize,

    /// How long to follow it while nothing happens
    ///
    /// Nodes that fetch, compile or bake it are at work, which counts as if
    /// something happened.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = timeout)]
    pub timeout: Duration,

    /// The deploy key to sign it with: a file of `host key new`
    #[arg(long, value_name = "FILE")]
    pub sign_with: Option<PathBuf>,
}

/// `host push`.
#[derive(Args, Clone, Debug)]
pub struct Push {
    /// The component, found as by `host --app`
    #[arg(value_name = "COMPONENT")]
    pub component: PathBuf,

    /// Let so many nodes serve it first, and the rest once all of these have
    /// served it without fault: a number, or a part of the members as in 10%
    #[arg(long, value_name = "N|PERCENT", value_parser = canaries)]
    pub canary: Option<Canaries>,

    /// How long a node has to serve it without fault before it votes for it
    /// [default: 30s with --canary, else the time of each node's --revert-on-errors]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub bake: Option<Duration>,

    /// Wait for the verdict: until every member that serves it has voted on it
    ///
    /// So does --bake without --canary.
    #[arg(long)]
    pub wait: bool,

    /// Release it even if it was voted down before
    #[arg(long)]
    pub again: bool,

    /// Serve it even if it cannot take over the streams that are open, which
    /// end then
    #[arg(long)]
    pub drop_streams: bool,

    /// How it is released.
    #[command(flatten)]
    pub rollout: Rollout,

    /// The node.
    #[command(flatten)]
    pub ask: Ask,
}

/// `host rollback`.
#[derive(Args, Clone, Debug)]
pub struct RollbackArgs {
    /// The release to go back to, as `host releases` shows it
    ///
    /// Without it: what was the target before, and was neither voted down nor
    /// rolled back.
    #[arg(value_name = "ID")]
    pub to: Option<String>,

    /// How it is released.
    #[command(flatten)]
    pub rollout: Rollout,

    /// The node.
    #[command(flatten)]
    pub ask: Ask,
}

/// `host releases`.
#[derive(Args, Clone, Debug)]
pub struct ReleasesArgs {
    /// Show so many of the newest
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub lines: usize,

    /// The node.
    #[command(flatten)]
    pub ask: Ask,
}

/// `host logs`.
#[derive(Args, Clone, Debug)]
pub struct Logs {
    /// Go on with the lines that come
    #[arg(short, long)]
    pub follow: bool,

    /// Begin with so many of the newest lines; a node keeps up to 1000
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    pub lines: usize,

    /// Only lines that are as grave as this
    ///
    /// A node keeps what HOST_LOG lets it log.
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = LogLevel::Trace)]
    pub level: LogLevel,

    /// The node.
    #[command(flatten)]
    pub ask: Ask,
}

/// How grave a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Something does not work
    Error,
    /// Something is odd, and what is graver
    Warn,
    /// What happens, and what is graver
    Info,
    /// More of it
    Debug,
    /// All of it
    Trace,
}

/// What to do with deploy keys.
#[derive(Clone, Debug, Subcommand)]
pub enum KeyCommand {
    /// Makes a deploy key, in a file that only its owner can read, and prints
    /// its public half
    New {
        /// The file to make; one that is there is left alone
        #[arg(value_name = "FILE", default_value = "deploy.key")]
        file: PathBuf,
        /// The name of the cluster that it is for; what it signs is worth nothing in another
        #[arg(long, value_name = "NAME")]
        cluster: ClusterName,
    },
    /// Prints the public half of a deploy key: what nodes are given with
    /// --deploy-key
    Public {
        /// The file of the key
        #[arg(value_name = "FILE", default_value = "deploy.key")]
        file: PathBuf,
    },
}

/// What `host push --help` says besides.
pub(super) const AFTER_PUSH: &str = "\
The component is uploaded to the node of this machine, which tells the cluster of the
release; every node fetches it, checks it, and serves it. What goes on can be
seen on any node: host status, host nodes, host releases.

A release bakes: each node that serves it checks for a while (a minute, unless --bake
or the node's --revert-on-errors says otherwise) that it does not fail where the
release before did not, and then votes. A release that is voted down is left, and
all go back to the one before. Without --wait the command ends when all serve the
release, and says how long it still bakes.

Exit status:
  0  every member serves it; with --wait: and none has voted against it
  1  the node could not be asked
  2  refused; nothing was released
  3  it was left: voted down or rolled back; or some members could not take it, and are named
  4  another release is ahead of it
  5  nothing happened for the time of --timeout; it goes on by itself";

/// What `host key --help` says besides.
pub(super) const AFTER_KEY: &str = "\
Where nodes have a deploy key, only releases that it has signed are taken:

  host key new --cluster berlin           once; keep the file where you push from
  host … --deploy-key PUBLIC              on every node
  host push guest.wasm --sign-with deploy.key

Such nodes do not release their app files when these change, since nothing signs
them.";

fn timeout(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time.is_zero() => Err("give a time such as 30s".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}

fn digest(text: &str) -> Result<String, String> {
    let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hex && (8..=64).contains(&text.len()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("give the first 8 to 64 hex digits of a digest, as `host status` shows it".to_owned())
    }
}

fn canaries(text: &str) -> Result<Canaries, String> {
    let (number, percent) = match text.strip_suffix('%') {
        Some(number) => (number, true),
        None => (text, false),
    };
    match (number.parse(), percent) {
        (Ok(count @ 1..), false) => Ok(Canaries::Count(count)),
        (Ok(percent @ 1..=100), true) => Ok(Canaries::Percent(percent)),
        _ => Err("give a number of nodes such as 2, or a part of them such as 10%".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canaries_are_a_number_or_a_part() {
        assert_eq!(canaries("2"), Ok(Canaries::Count(2)));
        assert_eq!(canaries("10%"), Ok(Canaries::Percent(10)));
        for bad in ["0", "0%", "101%", "x", "-1", "%", "1.5"] {
            assert!(canaries(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_digest_may_be_cut_but_not_too_short() {
        assert_eq!(digest("0FBCCA52").as_deref(), Ok("0fbcca52"));
        assert!(digest("0fbcca5").is_err());
        assert!(digest("0fbcca5x").is_err());
    }
}
