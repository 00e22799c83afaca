//! The commands that ask a node: `host status`, `nodes`, `releases`, `logs`, `push`,
//! `rollback`, `config`, `egress`, `kv`. Also `host key` and `host cookie`, which ask no node.
//!
//! ```text
//! cli -> local (finds the node) | remote -> client (speaks the API)
//!     -> show (tables) | follow (a rollout)
//! ```

pub mod cli;
mod client;
mod cookie;
mod error;
mod follow;
mod key;
mod kv;
mod local;
mod logs;
mod progress;
mod push;
mod remote;
mod settings;
mod show;
mod tables;

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::types as api;
use crate::terminal;
use cli::{Ask, Tool};
use client::ApiClient;
pub use error::CommandError;
pub use local::{AskedNode, LocalNode};

/// The result of a command, as its exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

impl Exit {
    const OK: Exit = Exit(0);
    const REFUSED: Exit = Exit(2);
    const FAILED: Exit = Exit(3);
    const SUPERSEDED: Exit = Exit(4);
    const TIMEOUT: Exit = Exit(5);
    /// The status of a program that SIGINT has ended.
    const INTERRUPTED: Exit = Exit(130);
}

/// Runs the command.
///
/// # Errors
/// [`CommandError`]. The exit status is the one of [`CommandError::exit`], or 1.
pub fn run(tool: Tool) -> Result<Exit, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CommandError::Runtime)?;
    let ended = runtime.block_on(async {
        match tool {
            Tool::Status(ask) => match show(&ask, "/v1/status", tables::status).await {
                Err(CommandError::ManyNodes(nodes)) if !ask.json => {
                    print(&tables::local(&nodes))?;
                    Ok(Exit::OK)
                }
                other => other,
            },
            Tool::Nodes(ask) => show::<api::Nodes>(&ask, "/v1/nodes", tables::nodes).await,
            Tool::Releases(releases) => {
                let table = |all: &api::ReleaseList| tables::releases(all, releases.lines);
                show(&releases.ask, &api::of_app("releases"), table).await
            }
            Tool::Logs(asked) => logs::run(asked).await,
            Tool::Push(asked) => push::push(asked).await,
            Tool::Rollback(asked) => push::rollback(asked).await,
            Tool::Config { command } => settings::config(command).await,
            Tool::Egress { command } => settings::egress(command).await,
            Tool::Kv { command } => kv::run(command).await,
            Tool::Key { command } => key::run(command),
            Tool::Cookie { command } => {
                cookie::run(command)?;
                Ok(Exit::OK)
            }
        }
    });
    // A lookup or an upload may still run, but nobody waits for it any more.
    runtime.shutdown_background();
    match ended {
        // The reader has read enough, as `head` does.
        Err(error) if error.is_broken_pipe() => Ok(Exit::OK),
        other => other,
    }
}

/// Tells people something, on standard error.
pub fn tell(text: &str) {
    // If nobody reads it, nothing is lost.
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Makes a new file that only its owner can read, from these parts. If that fails, no
/// partial file is left.
fn make_secret(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    // The umask must not change the permissions.
    file.set_permissions(Permissions::from_mode(0o600))?;
    let mut write = || {
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()
    };
    write().inspect_err(|_| {
        // If this fails too, the next attempt says that the file is there already.
        let _ = std::fs::remove_file(path);
    })
}

/// Asks for one thing, and shows the answer.
async fn show<T: DeserializeOwned + Serialize>(
    ask: &Ask,
    path: &str,
    table: impl FnOnce(&T) -> String,
) -> Result<Exit, CommandError> {
    let client = ApiClient::find(ask).await?;
    let value: T = client.get(path).await?;
    if ask.json {
        print(&json(&value)?)?;
    } else {
        print(&table(&value))?;
    }
    Ok(Exit::OK)
}

fn json(value: &impl Serialize) -> Result<String, CommandError> {
    let text = serde_json::to_string(value);
    text.map(|text| terminal::json(text) + "\n")
        .map_err(|error| CommandError::Print(error.into()))
}

/// Prints on standard output, in colours on a terminal unless `NO_COLOR` is set.
fn print(text: &str) -> Result<(), CommandError> {
    let mut out = anstream::stdout().lock();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    printed.map_err(CommandError::Print)
}
