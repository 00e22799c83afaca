//! The commands that ask a node something: `host status`, `nodes`, `releases`,
//! `logs`, `push`, `rollback`; and `host key` and `host cookie`, which ask nobody.
//!
//! ```text
//! cli -> client (finds the node, speaks the API) -> show (tables) | follow (a rollout)
//! ```

pub mod cli;
mod client;
mod cookie;
mod error;
mod follow;
mod key;
mod logs;
mod progress;
mod push;
mod remote;
mod show;
mod tables;

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::types as api;
use cli::{Ask, Tool};
use client::ApiClient;
pub use error::CommandError;

/// How a command ended, as its exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

impl Exit {
    const OK: Exit = Exit(0);
    const REFUSED: Exit = Exit(2);
    const FAILED: Exit = Exit(3);
    const SUPERSEDED: Exit = Exit(4);
    const TIMEOUT: Exit = Exit(5);
    /// As of a program that SIGINT has ended.
    const INTERRUPTED: Exit = Exit(130);
}

/// Does it.
///
/// # Errors
/// [`CommandError`]; the exit status is 1 then, or what
/// [`CommandError::exit`] says.
pub fn run(tool: Tool) -> Result<Exit, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CommandError::Runtime)?;
    let ended = runtime.block_on(async {
        match tool {
            Tool::Status(ask) => show::<api::Status>(&ask, "/v1/status", tables::status).await,
            Tool::Nodes(ask) => show::<api::Nodes>(&ask, "/v1/nodes", tables::nodes).await,
            Tool::Releases(releases) => {
                let table = |all: &api::Releases| tables::releases(all, releases.lines);
                show(&releases.ask, "/v1/releases", table).await
            }
            Tool::Logs(asked) => logs::run(asked).await,
            Tool::Push(asked) => push::push(asked).await,
            Tool::Rollback(asked) => push::rollback(asked).await,
            Tool::Key { command } => key::run(command),
            Tool::Cookie { command } => {
                cookie::run(command)?;
                Ok(Exit::OK)
            }
        }
    });
    // A lookup or an upload that nobody waits for any more.
    runtime.shutdown_background();
    ended
}

/// Makes a file that was not there and that only its owner can read, of these
/// parts. Half a file is not left.
fn make_secret(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    // The umask does not count.
    file.set_permissions(Permissions::from_mode(0o600))?;
    let mut write = || {
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()
    };
    write().inspect_err(|_| {
        // If this fails too, it says that it is there already the next time.
        let _ = std::fs::remove_file(path);
    })
}

/// Asks for one thing and shows it.
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
    text.map(|text| text + "\n")
        .map_err(|error| CommandError::Print(error.into()))
}

/// Prints on standard output: with colours on a terminal, unless `NO_COLOR`.
fn print(text: &str) -> Result<(), CommandError> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Who reads has read enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(CommandError::Print),
    }
}
