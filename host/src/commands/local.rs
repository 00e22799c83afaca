//! Finds the nodes of this machine by their sockets, wherever their data folders are: those of
//! this user, and for root all.

use std::path::PathBuf;
use std::time::Duration;

use cluster::NodeName;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::CommandError;
use super::cli::WhichNode;
use super::client::ApiClient;
use crate::api;
use crate::api::types::Status;
use mesh::data_dir::{DataDir, DataDirError};

/// How long each of several nodes has to say which one it is.
const SAYS_WHO: Duration = Duration::from_secs(2);

/// The most nodes of one machine that are asked.
const NODES_MAX: usize = 256;

/// A node that runs on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalNode {
    /// Its data folder, as the node has it.
    pub folder: PathBuf,
    /// A path by which this process gets there.
    pub reachable: PathBuf,
    /// Its process number (PID).
    pub pid: u32,
    /// Its user, if that is known.
    pub user: Option<String>,
}

/// A node of this machine, and what it says of itself.
#[derive(Debug)]
pub struct AskedNode {
    /// The node.
    pub node: LocalNode,
    /// What it says, or why it says nothing.
    pub says: Result<Status, String>,
}

impl AskedNode {
    /// The name of the node. If it has not answered, the name of its folder, which is the same
    /// unless it was given another one.
    pub fn name(&self) -> String {
        match &self.says {
            Ok(status) => status.node.clone(),
            Err(_) => {
                let folder = self.node.folder.file_name();
                folder.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
            }
        }
    }
}

/// Finds the one that is meant.
pub(super) async fn find(which: &WhichNode) -> Result<LocalNode, CommandError> {
    if let Some(folder) = &which.data_dir {
        return in_folder(folder.clone())?.ok_or_else(|| CommandError::NotRunning(folder.clone()));
    }
    let Some(name) = &which.name else {
        let mut all = all()?;
        return match (all.pop(), all.is_empty()) {
            (None, _) => Err(CommandError::NoNode),
            (Some(one), true) => Ok(one),
            (Some(last), false) => {
                all.push(last);
                Err(CommandError::ManyNodes(ask(all).await))
            }
        };
    };
    let name: NodeName = name.parse()?;
    // The usual place may be closed to this user, and the node run elsewhere.
    let usual = DataDir::default_path(&name).map_err(CommandError::from);
    if let Ok(Some(node)) = usual.and_then(in_folder) {
        return Ok(node);
    }
    let mut asked = ask(all()?).await;
    let is_it = |asked: &AskedNode| asked.name() == name.to_string();
    match asked.iter().filter(|it| is_it(it)).count() {
        0 => Err(CommandError::NotNamed {
            name,
            instead: asked,
        }),
        1 => asked
            .into_iter()
            .find(is_it)
            .map(|it| it.node)
            .ok_or(CommandError::NoNode),
        _ => {
            asked.retain(is_it);
            Err(CommandError::ManyNodes(asked))
        }
    }
}

/// The node with this data folder.
fn in_folder(folder: PathBuf) -> Result<Option<LocalNode>, CommandError> {
    let pid = DataDir::used_by(&folder)?;
    Ok(pid.map(|pid| LocalNode {
        reachable: folder.clone(),
        folder,
        pid,
        user: None,
    }))
}

/// All nodes of this machine that this user may ask, in the order of their folders.
fn all() -> Result<Vec<LocalNode>, CommandError> {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    // Without /proc there are still those in the usual place.
    let used = DataDir::all_in_use().unwrap_or_default().into_iter();
    // Other programs lock files of that name, too, and a folder may be a copy of a node's.
    let mut all: Vec<LocalNode> = used
        .filter(|used| api::is_of(&used.reachable, used.pid))
        .map(|used| LocalNode {
            user: Some(user_of(used.uid, &users)),
            folder: used.path,
            reachable: used.reachable,
            pid: used.pid,
        })
        .collect();
    let usual = match DataDir::default_parent().and_then(|it| DataDir::used_in(&it)) {
        Ok(usual) => usual,
        Err(DataDirError::NoHome) => Vec::new(),
        Err(error) if all.is_empty() => return Err(error.into()),
        Err(_) => Vec::new(),
    };
    for folder in usual {
        let same = |node: &LocalNode| match (node.reachable.canonicalize(), folder.canonicalize()) {
            (Ok(a), Ok(b)) => a == b,
            _ => false,
        };
        if !all.iter().any(same) {
            all.extend(in_folder(folder)?);
        }
    }
    all.sort_by(|a, b| a.folder.cmp(&b.folder));
    all.truncate(NODES_MAX);
    Ok(all)
}

/// The name of the user with this number, from a file in the manner of passwd(5); else the number.
fn user_of(uid: u32, users: &str) -> String {
    let name = users.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| uid.to_string())
}

/// Asks all of these at the same time who they are.
async fn ask(nodes: Vec<LocalNode>) -> Vec<AskedNode> {
    let mut asking = JoinSet::new();
    for (place, node) in nodes.into_iter().enumerate() {
        asking.spawn(async move {
            let client = ApiClient::of_local(&node, false);
            let says = match timeout(SAYS_WHO, client.get::<Status>("/v1/status")).await {
                Ok(said) => said.map_err(|error| error.to_string()),
                Err(_) => Err("it does not answer".to_owned()),
            };
            (place, AskedNode { node, says })
        });
    }
    let mut asked = asking.join_all().await;
    asked.sort_by_key(|(place, _)| *place);
    asked.into_iter().map(|(_, asked)| asked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_told_by_name_or_else_by_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\nhost:x:998:998::/:/bin/false\n";
        assert_eq!(user_of(998, users), "host");
        assert_eq!(user_of(0, users), "root");
        assert_eq!(user_of(7, users), "7");
    }
}
