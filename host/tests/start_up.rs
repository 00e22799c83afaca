//! What the host does with a command line that cannot work: it ends with one
//! clear sentence that names the cause and the remedy, and leaves nothing
//! running.

use anyhow::{Context, Result, ensure};
use lab::{Launch, Programs};
use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// It has to give up within this.
const BOUND: Duration = Duration::from_secs(20);

struct Start {
    programs: Programs,
    dir: tempfile::TempDir,
}

impl Start {
    fn new() -> Result<Self> {
        let programs = Programs::of_test(env!("CARGO_BIN_EXE_host"))?;
        Ok(Self {
            programs,
            dir: tempfile::tempdir()?,
        })
    }

    /// A command line on this machine's loopback that would work.
    fn command(&self) -> Launch {
        Launch::new(self.programs.host())
            .dir(self.dir.path())
            .flag("--name", "example@127.0.0.1")
            .flag("--http", "127.0.0.1:0")
            .flag("--cluster-port", "0")
            .flag("--app", self.programs.app())
            .flag("--data-dir", self.dir.path().join("data"))
            .env("HOST_COOKIE", "a cookie of the tests")
    }

    fn file(&self, name: &str, content: &[u8]) -> Result<PathBuf> {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content)?;
        Ok(path)
    }
}

/// The host ends in time and not well, and its last line on stderr is one
/// sentence with all of these words.
fn refuses(command: &Launch, words: &[&str]) -> Result<()> {
    let host = command.spawn()?;
    let (status, _) = host.wait_for_end(BOUND)?;
    let output = host.output();
    ensure!(
        status.code() == Some(1),
        "it ended with {status}:\n{output}"
    );
    let lines = host.lines();
    let errors: Vec<_> = lines
        .iter()
        .filter(|line| line.text.starts_with("error: "))
        .collect();
    ensure!(
        errors.len() == 1,
        "not one line that begins with `error: `:\n{output}"
    );
    let last = lines.last().context("it said nothing")?;
    ensure!(
        last.source == lab::process::Source::Stderr,
        "not on stderr:\n{output}"
    );
    for word in words {
        ensure!(
            last.text.contains(word),
            "`{word}` is not in its last line:\n{output}"
        );
    }
    ensure!(!output.contains("panicked"), "{output}");
    Ok(())
}

/// A component or module of `fixtures/` that is written as text.
fn fixture(name: &str) -> Result<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures")
        .join(name);
    wat::parse_file(&path).with_context(|| format!("cannot assemble {}", path.display()))
}

#[test]
fn a_name_without_an_ip_is_refused() -> Result<()> {
    let start = Start::new()?;
    refuses(
        &start.command().flag("--name", "example"),
        &["example", "IP"],
    )?;
    refuses(&start.command().flag("--name", "example@"), &["example@"])?;
    refuses(&start.command().flag("--name", "@127.0.0.1"), &["--name"])?;
    refuses(
        &start.command().flag("--name", "example@127.0.0.256"),
        &["127.0.0.256"],
    )
}

#[test]
fn an_ip_that_is_not_on_this_machine_is_refused_with_those_that_are() -> Result<()> {
    let start = Start::new()?;
    // 192.0.2.0/24 is for documentation, and on no machine.
    let elsewhere = start
        .command()
        .flag("--name", "example@192.0.2.7")
        .without("--http");
    refuses(&elsewhere, &["192.0.2.7", "127.0.0.1", "--wait-address"])
}

#[test]
fn an_address_that_does_not_come_is_waited_for_only_as_long_as_said() -> Result<()> {
    let start = Start::new()?;
    let elsewhere = start
        .command()
        .flag("--name", "example@192.0.2.7")
        .without("--http")
        .flag("--wait-address", "1s");
    refuses(&elsewhere, &["192.0.2.7"])
}

#[test]
fn a_taken_http_port_is_refused() -> Result<()> {
    let start = Start::new()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    refuses(
        &start.command().flag("--http", &address),
        &[&address, "--http"],
    )
}

#[test]
fn a_taken_cluster_port_is_refused() -> Result<()> {
    let start = Start::new()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port().to_string();
    refuses(
        &start.command().flag("--cluster-port", &port),
        &[&port, "--cluster-port"],
    )
}

#[test]
fn a_missing_app_is_refused_with_where_it_was_looked_for() -> Result<()> {
    let start = Start::new()?;
    refuses(
        &start.command().flag("--app", "nowhere.wasm"),
        &["nowhere.wasm", "target/"],
    )?;
    refuses(
        &start.command().flag("--app", "/nowhere/at/all.wasm"),
        &["/nowhere/at/all.wasm"],
    )?;
    refuses(
        &start.command().flag("--app", start.dir.path()),
        &["not a file"],
    )
}

#[test]
fn an_app_that_is_not_wasm_is_refused() -> Result<()> {
    let start = Start::new()?;
    for (name, content) in [
        ("empty.wasm", &b""[..]),
        ("text.wasm", b"hello\n"),
        ("cut.wasm", b"\0asm\x0d\0\x01\0\x07"),
    ] {
        let file = start.file(name, content)?;
        refuses(&start.command().flag("--app", &file), &[name])?;
    }
    Ok(())
}

#[test]
fn a_core_module_is_refused_with_how_to_make_a_component() -> Result<()> {
    let start = Start::new()?;
    let file = start.file("module.wasm", &fixture("core-module.wat")?)?;
    refuses(
        &start.command().flag("--app", &file),
        &["module.wasm", "core module", "component"],
    )
}

#[test]
fn a_component_without_a_handler_is_refused_with_those_there_are() -> Result<()> {
    let start = Start::new()?;
    let file = start.file("idle.wasm", &fixture("no-handler.wat")?)?;
    refuses(
        &start.command().flag("--app", &file),
        &["idle.wasm", "ace:raxx/server", "wasi:http/incoming-handler"],
    )
}

#[test]
fn a_component_that_wants_what_the_host_does_not_give_is_refused_by_name() -> Result<()> {
    let start = Start::new()?;
    let file = start.file("wants-more.wasm", &fixture("wants-more.wat")?)?;
    refuses(
        &start.command().flag("--app", &file),
        &["wants-more.wasm", "test:unknown/thing"],
    )
}

/// The command line as a user who is not root, to whom no file is readable
/// whose mode says so; none if this user cannot become another.
fn as_nobody(start: &Start) -> Result<Option<Launch>> {
    const NOBODY: u32 = 65534;
    // Where the host was built, nobody else may be let in.
    let host = start.dir.path().join("host");
    std::fs::copy(start.programs.host(), &host)?;
    if !rustix::process::geteuid().is_root() {
        return Ok(Some(start.command()));
    }
    let nobody = NOBODY.to_string();
    let user = ["--reuid", &nobody, "--regid", &nobody, "--clear-groups"];
    let possible = std::process::Command::new("setpriv")
        .args(user)
        .arg("true")
        .output();
    if !possible.is_ok_and(|output| output.status.success()) {
        return Ok(None);
    }
    let data = start.dir.path().join("data");
    std::fs::create_dir(&data)?;
    std::os::unix::fs::chown(&data, Some(NOBODY), Some(NOBODY))?;
    std::fs::set_permissions(start.dir.path(), Permissions::from_mode(0o755))?;
    let command = start.command();
    Ok(Some(command.through(Path::new("setpriv"), &user, &host)))
}

#[test]
fn an_app_file_that_may_not_be_read_is_refused_and_one_that_no_longer_may_changes_nothing()
-> Result<()> {
    let start = Start::new()?;
    let Some(command) = as_nobody(&start)? else {
        lab::skip::skip("root cannot become nobody without setpriv");
        return Ok(());
    };
    let component = start.programs.component("fixture-counter-v1");
    let file = start.file("app.wasm", &std::fs::read(component)?)?;
    let may = |mode| std::fs::set_permissions(&file, Permissions::from_mode(mode));
    let command = command.flag("--app", &file);
    may(0)?;
    refuses(
        &command,
        &["cannot read the app file", "app.wasm", "Permission denied"],
    )?;
    may(0o644)?;
    let node = command.spawn()?;
    let ready = node.wait_until_ready(BOUND)?.text;
    may(0)?;
    node.wait_for_line(
        &[
            "cannot read the app file",
            "Permission denied",
            "goes on serving",
        ],
        BOUND,
    )?;
    let url = ready
        .split_whitespace()
        .find(|word| word.starts_with("http://"));
    let answer = lab::client::get(&format!("{}/", url.context("no address")?), BOUND)?;
    ensure!(answer.text() == "v1", "{answer:?}");
    Ok(())
}

#[test]
fn an_app_that_fails_its_smoke_request_is_refused() -> Result<()> {
    let start = Start::new()?;
    let app = start.programs.component("fixture-misbehave");
    let command = start.command().flag("--app", app);
    refuses(
        &command.clone().args(["--smoke", "GET", "/bad-status/404"]),
        &[
            "fixture_misbehave.wasm failed its smoke request",
            "GET /bad-status/404 was answered with 404 Not Found",
        ],
    )?;
    refuses(
        &command.args(["--smoke", "GET", "panic"]),
        &["--smoke", "`GET panic`"],
    )
}

#[test]
fn an_app_that_is_larger_than_allowed_is_refused() -> Result<()> {
    let start = Start::new()?;
    let file = start.file("large.wasm", &[0; 70_000])?;
    let command = start.command().flag("--app", &file);
    refuses(
        &command.clone().flag("--max-component", "64KiB"),
        &[
            "large.wasm has 70000 bytes, more than the 65536",
            "--max-component",
        ],
    )?;
    // And with more room it is looked at.
    refuses(
        &command.flag("--max-component", "70KB"),
        &["large.wasm is not"],
    )?;
    refuses(
        &start.command().flag("--max-component", "2GiB"),
        &["--max-component"],
    )
}

#[test]
fn a_cookie_that_cannot_be_is_refused_and_not_shown() -> Result<()> {
    let start = Start::new()?;
    refuses(&start.command().env("HOST_COOKIE", ""), &["HOST_COOKIE"])?;
    let long = "secret".repeat(1000);
    let host = start.command().env("HOST_COOKIE", &long).spawn()?;
    host.wait_for_end(BOUND)?;
    ensure!(!host.output().contains("secretsecret"), "{}", host.output());
    let missing = start.command().flag("--cookie-file", "no-such-file");
    refuses(&missing, &["no-such-file", "--cookie-file"])
}

#[test]
fn a_flag_can_be_a_variable_and_an_old_name_works_with_a_hint() -> Result<()> {
    let start = Start::new()?;
    // The variable alone, then beside the flag, which counts.
    let command = start
        .command()
        .without("--app")
        .env("HOST_APP", "nowhere.wasm");
    refuses(&command, &["nowhere.wasm", "target/"])?;
    refuses(
        &command.flag("--app", "elsewhere.wasm"),
        &["elsewhere.wasm", "target/"],
    )?;
    let command = start.command().env("HOST_MEMORY_LIMIT", "1KiB");
    refuses(&command, &["--memory-limit is 1.0 KiB"])?;
    let host = start.command().env("HOST_DRAIN", "soon").spawn()?;
    let (status, _) = host.wait_for_end(BOUND)?;
    ensure!(status.code() == Some(2), "{}", host.output());
    ensure!(host.output().contains("HOST_DRAIN"), "{}", host.output());
    let old = start.command().flag("--max-app", "1KiB");
    let host = old.spawn()?;
    host.wait_for_end(BOUND)?;
    let output = host.output();
    ensure!(
        output.contains("`--max-app` is now called `--max-component`"),
        "{output}"
    );
    ensure!(output.contains("--max-component is 1.0 KiB"), "{output}");
    Ok(())
}

#[test]
fn without_a_word_the_help_is_shown_and_nothing_is_made_whatever_the_variables_say() -> Result<()> {
    let start = Start::new()?;
    let variables = |launch: Launch| {
        launch
            .dir(start.dir.path())
            .env("HOME", start.dir.path())
            .env("HOST_NAME", "example@127.0.0.1")
            .env("HOST_HTTP", "127.0.0.1:0")
            .env("HOST_CLUSTER_PORT", "0")
            .env("HOST_COOKIE", "a cookie of the tests")
            .env("HOST_APP", start.programs.app())
            .env("HOST_DATA_DIR", start.dir.path().join("data"))
    };
    let help = variables(Launch::new(start.programs.host())).spawn()?;
    let (status, _) = help.wait_for_end(BOUND)?;
    ensure!(status.code() == Some(0), "{}", help.output());
    ensure!(
        help.output().contains("Usage: host --name"),
        "{}",
        help.output()
    );
    let made = std::fs::read_dir(start.dir.path())?.count();
    ensure!(made == 0, "it has made something");
    // What runs a node by the same variables is `host run`.
    let node = variables(Launch::new(start.programs.host()).arg("run")).spawn()?;
    let ready = node.wait_until_ready(BOUND)?;
    ensure!(
        ready.text.contains("example@127.0.0.1 is ready"),
        "{ready:?}"
    );
    ensure!(start.dir.path().join("data/host.sock").exists());
    Ok(())
}
