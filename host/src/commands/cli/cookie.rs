//! The command line of `host cookie`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

const STEPS: &str = "\
To change the cookie of a cluster while it runs:

        host cookie generate new.cookie         once; copy the file to every node
  1     host cookie rotate accept new.cookie    on every node, in any order
  2     host cookie rotate switch               on every node, once all are at step 1
  3     host cookie rotate finish               on every node, once all are at step 2

Take a step on every node before the next one. No node is dropped on the way,
and none needs a restart; one that is restarted goes on at its step. A step
that was taken already can be taken again. `host cookie rotate back` takes back
the last step, and `host cookie status` says at which step a node is.

Cookies are shown by a key id such as 5f, which is no secret.";

/// What to do with cookies.
#[derive(Clone, Debug, Subcommand)]
pub enum CookieCommand {
    /// Makes a strong cookie, in a file that only its owner can read
    Generate {
        /// The file to make; one that is there is left alone
        #[arg(value_name = "FILE", default_value = "new.cookie")]
        file: PathBuf,

        /// Print the cookie on standard output, and make no file
        #[arg(long, conflicts_with = "file")]
        print: bool,
    },
    /// Changes the cookie of the node on this machine, one step at a time
    #[command(after_help = STEPS)]
    Rotate {
        /// The step to take
        #[command(subcommand)]
        step: RotateStep,
    },
    /// Says at which step the node on this machine is
    Status(WhichNode),
}

/// The steps of a change.
#[derive(Clone, Debug, Subcommand)]
pub enum RotateStep {
    /// Step 1: accept the new cookie besides the one in use
    Accept {
        /// The file that holds the new cookie
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The node.
        #[command(flatten)]
        node: WhichNode,
    },
    /// Step 2: send with the new cookie, and still accept the old one
    Switch {
        /// The node.
        #[command(flatten)]
        node: WhichNode,
        /// Although members do not accept the new cookie: they are dropped
        #[arg(long)]
        force: bool,
    },
    /// Step 3: accept the old cookie no more
    Finish {
        /// The node.
        #[command(flatten)]
        node: WhichNode,
        /// Although members still send with the old cookie: they are dropped
        #[arg(long)]
        force: bool,
    },
    /// Take the last step back
    Back(WhichNode),
}

/// Which node of this machine is meant. Without either it is the one that runs.
#[derive(Args, Clone, Debug, Default)]
pub struct WhichNode {
    /// The node of this name; without it, the one that runs on this machine
    #[arg(long, value_name = "NAME@IP")]
    pub name: Option<String>,

    /// The node with this data folder, if it was given --data-dir
    #[arg(long, value_name = "FOLDER", conflicts_with = "name")]
    pub data_dir: Option<PathBuf>,
}

/// What `host cookie --help` says besides.
pub(super) const AFTER: &str = STEPS;
