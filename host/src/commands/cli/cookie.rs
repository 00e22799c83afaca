//! The command line of `host cookie`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What to do with cookies.
#[derive(Clone, Debug, Subcommand)]
pub enum CookieCommand {
    /// Makes a strong cookie, in a file that only its owner can read
    New(NewCookie),
}

/// What becomes of a new cookie.
#[derive(Args, Clone, Debug)]
pub struct NewCookie {
    /// The file to make; a file that is there already is left alone
    #[arg(value_name = "FILE", default_value = "new.cookie")]
    pub file: PathBuf,

    /// Print the cookie on standard output, and make no file
    #[arg(long, conflicts_with = "file")]
    pub print: bool,
}

/// What `host cookie --help` says besides.
pub(super) const AFTER: &str = "\
A cluster changes its cookie while it runs, in three steps. A node reads its
cookie files again when it is sent SIGHUP, and `host nodes` shows which cookie
each node sends with and which it accepts. FILE is the node's cookie file:

  1  cp -p FILE FILE.new && cat new.cookie > FILE.new && mv FILE.new FILE.also
                                       on every node: accept the new cookie too
  2  cp -p FILE FILE.old && mv FILE.also FILE && mv FILE.old FILE.also
                                       on every node: send with the new one
  3  rm FILE.also                      on every node: accept the old one no more

Send SIGHUP after each, and take a step on every node before the next one.
docs/operations.md says more.";
