//! The cookies of a node: where they come from, how they are read again while
//! it runs, and the steps in which a person changes them (`host cookie`).
//!
//! A cookie file has at most two neighbours while a cluster changes its cookie:
//!
//! | file | what it holds |
//! |---|---|
//! | `FILE` | the cookie that is sent with |
//! | `FILE.next` | the new one, accepted already (step 1) |
//! | `FILE.previous` | the old one, accepted still (step 2) |
//!
//! So the files alone say at which step a node is, whether it runs or not, and
//! each step changes them by renames, of which every prefix is a state that
//! works. In: flags, files, SIGHUP. Out: [`cluster::Keys`], log lines, and
//! [`state::State`] in the data folder for the commands to read.

pub(crate) mod files;
mod keeper;
pub(crate) mod rotate;
pub(crate) mod state;

pub use files::{CookieFileError, Cookies, Origin, Origins, Second};
pub use keeper::{Keeper, KeeperError};
pub(crate) use keeper::{STRONG, some_of};
