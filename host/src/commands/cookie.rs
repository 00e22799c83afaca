//! `host cookie`: what a person does with cookies. It changes the files of one
//! node, tells the node if it runs, and says in plain words what holds then.
//!
//! ```text
//! cli -> take -> cookies::rotate (the files) | node (the node that runs) | members (all others)
//! ```

mod error;
mod members;
mod node;

use std::io::{self, Write as _};
use std::path::Path;

use cluster::Cookie;
use rand::TryRng as _;
use rustix::process::test_kill_process;

use super::make_secret;
use crate::commands::cli::{CookieCommand, RotateStep};
use crate::node::cookies::STRONG;
use crate::node::cookies::files;
use crate::node::cookies::rotate::At;
pub(super) use error::CookieError;
use node::Node;

/// Does it.
pub(super) async fn run(command: CookieCommand) -> Result<(), CookieError> {
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
        CookieCommand::Status(which) => say(&Node::find(&which)?.status().await?),
        CookieCommand::Rotate { step } => take(step).await,
    }
}

fn generate() -> Result<Cookie, CookieError> {
    let mut random = [0; 20];
    rand::rngs::SysRng
        .try_fill_bytes(&mut random)
        .map_err(|error| CookieError::Random(error.to_string()))?;
    Ok(Cookie::generate(random))
}

fn print(cookie: &Cookie) -> Result<(), CookieError> {
    let mut out = io::stdout().lock();
    out.write_all(cookie.reveal())
        .and_then(|()| out.write_all(b"\n"))
        .map_err(CookieError::Print)
}

fn say(text: &str) -> Result<(), CookieError> {
    writeln!(io::stdout().lock(), "{text}").map_err(CookieError::Print)
}

fn make(path: &Path, cookie: &Cookie) -> Result<(), CookieError> {
    let made = make_secret(path, &[cookie.reveal(), b"\n"]);
    made.map_err(|cause| match cause.kind() {
        io::ErrorKind::AlreadyExists => CookieError::Exists(path.to_owned()),
        _ => CookieError::Make {
            path: path.to_owned(),
            cause,
        },
    })
}

/// Takes one step on the node that is meant.
async fn take(step: RotateStep) -> Result<(), CookieError> {
    let (which, new) = match &step {
        RotateStep::Accept { file, node } => (node, Some(files::read("FILE", file)?)),
        RotateStep::Switch { node, .. } | RotateStep::Finish { node, .. } => (node, None),
        RotateStep::Back(node) => (node, None),
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
        (RotateStep::Switch { force, .. }, _) => {
            if !force && files.at()? == At::Accepting {
                node.ensure_members_accept(&files.next()?).await?;
            }
            files.switch()?;
        }
        (RotateStep::Finish { force, .. }, _) => {
            if !force && files.at()? == At::Switched {
                // The step before may have been taken without its knowledge.
                node.tell().await?;
                node.wait_for_members().await?;
            }
            files.finish()?;
        }
        (RotateStep::Back(_), _) => files.back()?,
        (RotateStep::Accept { .. }, None) => {}
    }
    node.tell().await?;
    say(&node.next_step()?)
}
