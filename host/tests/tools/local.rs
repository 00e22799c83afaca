//! Which node of this machine a command asks. The machine may have others than those of these
//! tests, unless a test makes a namespace of processes for its own.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use lab::{Launch, Process, Programs};
use mesh::data_dir::DataDir;

use super::reach::ForAll;
use super::{Bench, Ended, PATIENCE, command, ended};

/// The user `nobody`.
const NOBODY: u32 = 65_534;

#[tokio::test]
async fn where_several_nodes_run_they_are_listed_with_what_names_each() {
    let (one, two) = (Bench::new(), Bench::new());
    let pid = std::process::id().to_string();
    let folders = [one.path(), two.path()].map(|path| path.display().to_string());
    let status = ended(command(&["status"])).await;
    assert_eq!(status.exit, Some(0), "{status:?}");
    for folder in &folders {
        let line = status.out.lines().find(|line| line.ends_with(folder));
        let line = line.unwrap_or_else(|| panic!("no {folder} in {status:?}"));
        assert!(
            line.contains(super::fake::ME) && line.contains(&pid),
            "{line}"
        );
    }
    assert!(status.out.ends_with("--name or --data-dir\n"), "{status:?}");
    // What changes something, or is read by a program, asks which one is meant.
    for words in [&["nodes"][..], &["status", "--json"], &["rollback"]] {
        let many = ended(command(words)).await;
        assert_eq!((many.exit, &*many.out), (Some(1), ""), "{many:?}");
        let says =
            "error: several nodes run here; say which one is meant with --name or --data-dir:";
        assert!(many.err.starts_with(says), "{many:?}");
        for folder in &folders {
            let named = format!("{}  --data-dir {folder}", super::fake::ME);
            assert!(many.err.contains(&named), "{named} in {many:?}");
        }
    }
}

#[tokio::test]
async fn a_folder_in_the_usual_place_is_found_by_its_name() {
    let parent = tempfile::tempdir().unwrap();
    let status = |words: &[&str]| {
        let mut command = command(words);
        command.env("STATE_DIRECTORY", parent.path());
        ended(command)
    };
    let one = DataDir::open(&parent.path().join("a@127.0.0.1")).unwrap();
    let _two = DataDir::open(&parent.path().join("b@127.0.0.2")).unwrap();
    let many = status(&["nodes"]).await;
    for name in ["a@127.0.0.1  --data-dir ", "b@127.0.0.2  --data-dir "] {
        assert!(many.err.contains(name), "{many:?}");
    }
    let starting = status(&["nodes", "--name", "a@127.0.0.1"]).await;
    assert!(starting.err.contains("has no "), "{starting:?}");
    drop(one);
    let named = status(&["status", "--name", "a@127.0.0.1"]).await;
    let says = "error: no node a@127.0.0.1 runs here";
    assert!(named.err.starts_with(says), "{named:?}");
    assert!(named.err.contains("b@127.0.0.2  --data-dir "), "{named:?}");
}

#[tokio::test]
async fn who_locks_a_folder_like_that_of_a_node_is_none_unless_it_listens_there() {
    let folder = tempfile::tempdir().unwrap();
    let listed = || async {
        // This names all that run, and asks none of them.
        let status = ended(command(&["status", "--name", "nobody@127.0.0.9"])).await;
        status.err.contains(&folder.path().display().to_string())
    };
    let _locked = DataDir::open(folder.path()).unwrap();
    // As it is left by a node that was killed.
    let socket = folder.path().join("host.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(!listed().await);
    std::fs::remove_file(&socket).unwrap();
    let _listens = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert!(listed().await);
}

/// A node of another user, in a folder that no command knows.
fn start(name: &str, folder: &Path, program: &Path, user: Option<u32>) -> Process {
    let launch = Launch::new(program)
        .dir(Path::new("/"))
        .flag("--name", name)
        .flag("--http", "127.0.0.1:0")
        .flag("--cluster-port", "0")
        .flag("--data-dir", folder)
        .env("HOST_COOKIE", "a cookie of the tests");
    let launch = match user.map(|user| user.to_string()) {
        Some(user) => {
            let user = ["--reuid", &user, "--regid", &user, "--clear-groups"];
            launch.through(Path::new("setpriv"), &user, program)
        }
        None => launch,
    };
    let node = launch.spawn().expect("it starts");
    node.wait_until_ready(PATIENCE).expect("it is ready");
    node
}

#[tokio::test]
async fn root_finds_the_node_of_a_user_and_the_user_not_that_of_root() {
    if !rustix::process::geteuid().is_root() {
        return lab::skip::skip("only root can run a node as another user");
    }
    let place = ForAll::new();
    let (its, own) = (place.folder("its"), place.folder("own"));
    std::os::unix::fs::chown(&its, Some(NOBODY), Some(NOBODY)).unwrap();
    let of_nobody = start("of-nobody@127.0.0.1", &its, &place.program, Some(NOBODY));
    let _of_root = start("of-root@127.0.0.1", &own, &place.program, None);
    let by_name = |name: &'static str, user: Option<u32>| {
        let mut status = Command::new(&place.program);
        status.args(["status", "--name", name]).current_dir("/");
        if let Some(user) = user {
            status.uid(user).gid(user);
        }
        status.stdin(Stdio::null());
        status.stdout(Stdio::piped()).stderr(Stdio::piped());
        ended(status)
    };
    let found = by_name("of-nobody@127.0.0.1", None).await;
    assert!(
        found.out.starts_with("of-nobody@127.0.0.1 serves"),
        "{found:?}"
    );
    let own = by_name("of-nobody@127.0.0.1", Some(NOBODY)).await;
    assert!(own.out.starts_with("of-nobody@127.0.0.1 serves"), "{own:?}");
    let other = by_name("of-root@127.0.0.1", Some(NOBODY)).await;
    assert_eq!(other.exit, Some(1), "{other:?}");
    let says = "no node of-root@127.0.0.1 runs here, as far as this user may see";
    assert!(other.err.contains(says), "{other:?}");
    let all = ended(command(&["status"])).await;
    let line = all.out.lines().find(|line| line.starts_with("of-nobody@"));
    let line = line.unwrap_or_else(|| panic!("not in {all:?}"));
    let pid = of_nobody.id().to_string();
    assert!(line.contains("nobody") && line.contains(&pid), "{line}");
    // One that was killed is not found any more, and nothing of it is in the way.
    of_nobody.kill().unwrap();
    of_nobody.wait_for_end(PATIENCE).unwrap();
    let gone = by_name("of-nobody@127.0.0.1", None).await;
    assert_eq!(gone.exit, Some(1), "{gone:?}");
}

/// Runs these lines of a shell where no other process is seen; `$host` is the program.
async fn alone(folder: &Path, lines: &str) -> Ended {
    let programs = Programs::of_test(env!("CARGO_BIN_EXE_host")).expect("built");
    let mut shell = Command::new("unshare");
    shell
        .args([
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
            "-ec",
            lines,
        ])
        .env("host", programs.host())
        .env("HOME", folder)
        .env("STATE_DIRECTORY", folder.join("state"))
        .env_remove("HOST_COOKIE")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    ended(shell).await
}

#[tokio::test]
async fn the_only_node_of_a_machine_is_found_wherever_its_folder_is() {
    if !rustix::process::geteuid().is_root() {
        return lab::skip::skip("only root can make a namespace of processes");
    }
    let folder = tempfile::tempdir().unwrap();
    let none = alone(folder.path(), r#""$host" status"#).await;
    assert_eq!(none.exit, Some(1), "{none:?}");
    assert!(
        none.err.starts_with("error: no node of yours runs here"),
        "{none:?}"
    );
    let lines = r#"
        "$host" --name only@127.0.0.1 --http 127.0.0.1:0 --cluster-port 0 --cookie test \
            --data-dir "any where" 2> log &
        until "$host" status --data-dir "any where" > /dev/null 2>&1; do sleep 0.05; done
        cd /
        "$host" status
        kill $!
        wait $!
    "#;
    let one = alone(folder.path(), lines).await;
    assert_eq!(one.exit, Some(0), "{one:?}");
    assert!(
        one.out
            .starts_with("only@127.0.0.1 serves http://127.0.0.1:"),
        "{one:?}"
    );
}
