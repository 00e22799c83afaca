//! What a command says of a node that it cannot reach: by its socket, by the
//! socket's absence, or because this user may not.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use host::api::ToolSocket;
use mesh::data_dir::DataDir;

use super::{Ended, command, ended};

/// The user `nobody`, which has no rights anywhere.
const NOBODY: u32 = 65_534;

/// `host status` about the node with this data folder.
async fn status(folder: &Path) -> Ended {
    let mut status = command(&["status"]);
    status.arg("--data-dir").arg(folder);
    ended(status).await
}

/// Asserts that it failed with a sentence that has all of these.
#[track_caller]
fn says(status: &Ended, parts: &[&str]) {
    assert_eq!(status.exit, Some(1), "{status:?}");
    assert!(status.err.starts_with("error: "), "{status:?}");
    for part in parts {
        assert!(status.err.contains(part), "{part} in {status:?}");
    }
}

#[tokio::test]
async fn without_a_socket_the_node_is_starting_or_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let _node = DataDir::open(folder.path()).unwrap();
    let pid = format!("process {}", std::process::id());
    says(
        &status(folder.path()).await,
        &[
            &pid,
            "has no ",
            "host.sock",
            "starting, or stopping",
            "try again",
        ],
    );
}

#[tokio::test]
async fn a_socket_on_which_nobody_listens_is_told_apart_from_no_node() {
    let folder = tempfile::tempdir().unwrap();
    let node = DataDir::open(folder.path()).unwrap();
    // A process that is killed closes its socket and leaves the file.
    drop(UnixListener::bind(folder.path().join("host.sock")).unwrap());
    let pid = format!("process {}", std::process::id());
    says(
        &status(folder.path()).await,
        &["nobody listens on ", "host.sock", &pid, "restart it"],
    );
    drop(node);
    says(
        &status(folder.path()).await,
        &["no node runs with the data folder", "start it"],
    );
}

/// The program where everybody can run it, in a folder of its own.
pub(crate) struct ForAll {
    folder: tempfile::TempDir,
    pub(crate) program: PathBuf,
}

impl ForAll {
    pub(crate) fn new() -> ForAll {
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("mine");
        let program = folder.path().join("host");
        let built = env!("CARGO_BIN_EXE_host");
        if fs::hard_link(built, &program).is_err() {
            fs::copy(built, &program).expect("copied");
        }
        ForAll { folder, program }
    }

    /// A new folder in it.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        fs::create_dir(&folder).expect("made");
        folder
    }

    /// What `nobody` is told about the node with this data folder.
    async fn status(&self, folder: &Path) -> Ended {
        let mut status = Command::new(&self.program);
        status
            .arg("status")
            .arg("--data-dir")
            .arg(folder)
            .current_dir("/")
            .uid(NOBODY)
            .gid(NOBODY)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        ended(status).await
    }
}

#[tokio::test]
async fn another_user_is_told_whose_node_it_is_and_not_that_there_is_none() {
    if !rustix::process::geteuid().is_root() {
        return lab::skip::skip("only root can run a command as another user");
    }
    let place = ForAll::new();
    let folder = place.folder.path().join("data");
    let _node = DataDir::open(&folder).unwrap();
    let _socket = ToolSocket::listen(&folder).unwrap();
    let for_the_user = ["for the user of the node only", "as that user or as root"];
    // A node's own folder: nobody else may look into it.
    let closed = place.status(&folder).await;
    says(&closed, &for_the_user);
    // One that was there before, and is open to all: the socket is not.
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(folder.join("lock"), Permissions::from_mode(0o644)).unwrap();
    let open = place.status(&folder).await;
    says(&open, &for_the_user);
    says(&open, &["cannot open ", "host.sock"]);
}
