//! One network namespace: made, entered, removed.

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::{self, JoinHandle};

/// All names begin so; then comes the id of the process that made them.
const PREFIX: &str = "ace-lab-";

/// Where `ip netns` keeps them.
const DIR: &str = "/run/netns";

/// A network namespace of our own, removed on drop.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Make one. `label` tells it from the others of this process.
    ///
    /// # Errors
    ///
    /// If `ip netns` fails, e.g. without root.
    pub fn new(label: &str) -> Result<Self> {
        let name = format!("{PREFIX}{}-{label}", std::process::id());
        ip(&["netns", "add", &name])?;
        let netns = Self { name };
        netns.ip(&["link", "set", "lo", "up"])?;
        Ok(netns)
    }

    /// Its name, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Run `ip` on it.
    ///
    /// # Errors
    ///
    /// If `ip` fails: with what it said.
    pub fn ip(&self, args: &[&str]) -> Result<()> {
        let mut all = vec!["-n", &self.name];
        all.extend(args);
        ip(&all)
    }

    /// Run many commands of `ip` on it, one after the other in one process, so
    /// that together they take hardly longer than one.
    ///
    /// # Errors
    ///
    /// If one fails: with what it said. Those after it are not run.
    pub fn ip_all(&self, commands: &[String]) -> Result<()> {
        let args = ["-n", &self.name, "-batch", "-"];
        let mut child = Command::new("ip")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start `ip`")?;
        let written = match child.stdin.take() {
            Some(mut stdin) => stdin.write_all(commands.join("\n").as_bytes()),
            None => Ok(()),
        };
        ended(&args, &child.wait_with_output()?)?;
        written.context("`ip` does not read its commands")
    }

    /// Move the calling thread into it, for good.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn enter(&self) -> Result<()> {
        let path = Path::new(DIR).join(&self.name);
        let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        setns(file.as_fd(), CloneFlags::CLONE_NEWNET)
            .with_context(|| format!("cannot enter {}", self.name))
    }

    /// Run `work` in it, on a thread that is gone afterwards.
    ///
    /// # Errors
    ///
    /// Those of `work`, or that the namespace cannot be entered.
    ///
    /// # Panics
    ///
    /// If `work` does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                self.enter()?;
                work()
            });
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Whether this process has threads of this name, and all of them are in it. A
    /// socket belongs where the thread is that opens it.
    ///
    /// # Errors
    ///
    /// If the kernel does not say.
    pub fn has_threads(&self, name: &str) -> Result<bool> {
        let path = Path::new(DIR).join(&self.name);
        let this = path
            .metadata()
            .with_context(|| path.display().to_string())?;
        let mut inside = Vec::new();
        for task in std::fs::read_dir("/proc/self/task")? {
            let task = task?.path();
            let said = std::fs::read_to_string(task.join("comm"));
            // One that has ended meanwhile is none.
            if let (Ok(said), Ok(in_it)) = (said, task.join("ns/net").metadata())
                && said.trim_end() == name
            {
                inside.push(in_it.ino() == this.ino());
            }
        }
        Ok(!inside.is_empty() && inside.iter().all(|is_in_it| *is_in_it))
    }

    /// Run `work` in it on a thread of its own.
    ///
    /// # Errors
    ///
    /// If the namespace cannot be entered.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<T>> {
        self.run(|| {
            // A new thread starts in the namespace of the one that makes it.
            Ok(thread::spawn(work))
        })
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.name) {
            eprintln!("lab: {error:#}");
        }
    }
}

/// Remove what processes that are gone have left behind: their namespaces, and
/// whatever still runs in those.
///
/// # Errors
///
/// If `ip` fails.
pub fn remove_stale() -> Result<()> {
    let Ok(entries) = Path::new(DIR).read_dir() else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let maker = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        let Some(maker) = maker.and_then(|pid| pid.parse::<u32>().ok()) else {
            continue;
        };
        if !PathBuf::from(format!("/proc/{maker}")).exists() {
            remove(&name)?;
        }
    }
    Ok(())
}

/// Remove the namespace, and end what still runs in it: a namespace lives on,
/// unseen, as long as a process does.
fn remove(name: &str) -> Result<()> {
    for pid in output(&["netns", "pids", name])?.lines() {
        let pid = pid
            .trim()
            .parse()
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        // The laboratory's own threads are in there as well, and end by
        // themselves.
        if let Some(pid) = pid.filter(|pid| *pid != rustix::process::getpid()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    ip(&["netns", "delete", name])
}

/// Run `ip`.
fn ip(args: &[&str]) -> Result<()> {
    output(args).map(drop)
}

fn output(args: &[&str]) -> Result<String> {
    let output = Command::new("ip")
        .args(args)
        .output()
        .context("cannot start `ip`")?;
    ended(args, &output)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn ended(args: &[&str], output: &Output) -> Result<()> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "`ip {}` failed: {}",
        args.join(" "),
        said.trim()
    );
    Ok(())
}
