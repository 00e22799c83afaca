//! A running program, `host` most of all: what it says, the signals it is sent,
//! how it ends.

use anyhow::{Context, Result, bail};
use parking_lot::{Condvar, Mutex};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// What `/proc/PID/stat` counts time in: `USER_HZ`, which is 100 on every
/// architecture that this runs on.
const TICKS_PER_SECOND: u64 = 100;

/// How to start a program.
#[derive(Clone, Debug)]
pub struct Launch {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    dir: Option<OsString>,
    netns: Option<String>,
}

impl Launch {
    /// This program, without arguments.
    pub fn new(program: &Path) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            dir: None,
            netns: None,
        }
    }

    /// In the network namespace of this name.
    #[must_use]
    pub fn in_netns(mut self, name: &str) -> Self {
        self.netns = Some(name.to_owned());
        self
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Give the argument after `flag` this value instead of the one it has;
    /// add both if the flag is not there.
    #[must_use]
    pub fn flag(mut self, flag: &str, value: impl AsRef<OsStr>) -> Self {
        let value = value.as_ref().to_owned();
        match self.args.iter().position(|arg| arg == flag) {
            Some(at) if at + 1 < self.args.len() => self.args[at + 1] = value,
            _ => self.args.extend([flag.into(), value]),
        }
        self
    }

    /// Leave out `flag` and the value after it.
    #[must_use]
    pub fn without(mut self, flag: &str) -> Self {
        if let Some(at) = self.args.iter().position(|arg| arg == flag) {
            self.args.drain(at..(at + 2).min(self.args.len()));
        }
        self
    }

    /// One more environment variable. Of ours it inherits only the PATH.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// By way of another program, with these arguments, which becomes the one
    /// at this path.
    #[must_use]
    pub fn through(mut self, other: &Path, args: &[&str], program: &Path) -> Self {
        self.program = other.into();
        let before = args.iter().map(Into::into).chain([program.into()]);
        self.args.splice(..0, before);
        self
    }

    /// In this folder.
    #[must_use]
    pub fn dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Start it.
    ///
    /// # Errors
    ///
    /// If the program or `ip` cannot be started.
    pub fn spawn(&self) -> Result<Process> {
        let mut command = match &self.netns {
            // `ip netns exec` becomes the program, so its process is the
            // program's.
            Some(netns) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", netns]).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command
            .args(&self.args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        let started = Instant::now();
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let pid = Pid::from_child(&child);
        // Before anyone waits for it, so that the number is still its own.
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).context("cannot open a pidfd")?;
        let shared = Arc::new(Shared::default());
        for (pipe, source) in [
            (
                child
                    .stdout
                    .take()
                    .map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
                Source::Stdout,
            ),
            (
                child
                    .stderr
                    .take()
                    .map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
                Source::Stderr,
            ),
        ] {
            let (pipe, shared) = (pipe.context("no pipe from it")?, Arc::clone(&shared));
            shared.state.lock().open_pipes += 1;
            thread::spawn(move || shared.read_all(pipe, source));
        }
        let reaper = Arc::clone(&shared);
        thread::spawn(move || {
            let status = child.wait().ok();
            reaper.change(|state| state.ended = status.map(|status| (status, Instant::now())));
        });
        Ok(Process {
            pid,
            pidfd,
            shared,
            started,
        })
    }
}

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line that the program printed.
#[derive(Clone, Debug)]
pub struct Line {
    /// When it was read.
    pub at: Instant,
    /// Where it came from.
    pub source: Source,
    /// The line, without its end.
    pub text: String,
}

/// A running program. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    pidfd: OwnedFd,
    shared: Arc<Shared>,
    started: Instant,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<Line>,
    open_pipes: u8,
    /// Whether its pipes are left as they are.
    unread: bool,
    ended: Option<(ExitStatus, Instant)>,
}

/// Nothing that a program prints is read. Dropped, all of it is.
#[derive(Debug)]
pub struct Unread<'a>(&'a Shared);

impl Drop for Unread<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.unread = false);
    }
}

impl Process {
    /// The number of the process.
    pub fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// All that it has printed so far.
    pub fn lines(&self) -> Vec<Line> {
        self.shared.state.lock().lines.clone()
    }

    /// All that it has printed so far, as one text.
    pub fn output(&self) -> String {
        self.shared.state.lock().text()
    }

    /// Wait until it prints a line that has all of these words; lines printed
    /// before count too.
    ///
    /// # Errors
    ///
    /// If it prints none within the bound, or ends without one: with all that
    /// it printed.
    pub fn wait_for_line(&self, words: &[&str], bound: Duration) -> Result<Line> {
        self.wait_for_line_after(self.started, words, bound)
    }

    /// Wait until it prints a line that has all of these words; lines printed
    /// before this instant do not count.
    ///
    /// # Errors
    ///
    /// As [`Process::wait_for_line`].
    pub fn wait_for_line_after(
        &self,
        after: Instant,
        words: &[&str],
        bound: Duration,
    ) -> Result<Line> {
        let found = self.shared.wait(bound, |state| {
            let has_all = |line: &&Line| {
                line.at >= after && words.iter().all(|word| line.text.contains(word))
            };
            match state.lines.iter().find(has_all) {
                Some(line) => Some(Some(line.clone())),
                None if state.ended.is_some() && state.open_pipes == 0 => Some(None),
                None => None,
            }
        });
        match found {
            Some(Some(line)) => Ok(line),
            Some(None) => bail!("it ended without a line with {words:?}:\n{}", self.output()),
            None => bail!(
                "no line with {words:?} within {bound:?}:\n{}",
                self.output()
            ),
        }
    }

    /// Wait until it says that it is ready to serve.
    ///
    /// # Errors
    ///
    /// As [`Process::wait_for_line`].
    pub fn wait_until_ready(&self, bound: Duration) -> Result<Line> {
        self.wait_for_line(&["ready", "http://"], bound)
    }

    /// Wait until it has ended and all it printed is read.
    ///
    /// # Errors
    ///
    /// If it still runs after the bound: with all that it printed.
    pub fn wait_for_end(&self, bound: Duration) -> Result<(ExitStatus, Instant)> {
        let ended = self
            .shared
            .wait(bound, |state| state.ended.filter(|_| state.open_pipes == 0));
        ended.with_context(|| format!("it still runs after {bound:?}:\n{}", self.output()))
    }

    /// Read nothing that it prints, as a pipe that everybody has forgotten.
    pub fn leave_unread(&self) -> Unread<'_> {
        self.shared.change(|state| state.unread = true);
        Unread(&self.shared)
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        self.shared.state.lock().ended.is_none()
    }

    /// `kill -9`: it gets no chance to say anything. Returns when it was sent.
    ///
    /// # Errors
    ///
    /// If it has ended already.
    pub fn kill(&self) -> Result<Instant> {
        self.signal(Signal::KILL)
    }

    /// Ask it to stop. Returns when it was asked.
    ///
    /// # Errors
    ///
    /// If it has ended already.
    pub fn terminate(&self) -> Result<Instant> {
        self.signal(Signal::TERM)
    }

    /// Stop it in its tracks, as a machine that hangs. Returns when.
    ///
    /// # Errors
    ///
    /// If it has ended already.
    pub fn freeze(&self) -> Result<Instant> {
        self.signal(Signal::STOP)
    }

    /// Let it go on. Returns when.
    ///
    /// # Errors
    ///
    /// If it has ended already.
    pub fn thaw(&self) -> Result<Instant> {
        self.signal(Signal::CONT)
    }

    /// The memory it has resident, in bytes.
    ///
    /// # Errors
    ///
    /// If it has ended already.
    pub fn resident_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.pid.as_raw_nonzero());
        let mut status = String::new();
        File::open(&path)
            .and_then(|mut file| file.read_to_string(&mut status))
            .with_context(|| format!("cannot read {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next());
        let kilobytes: u64 = kilobytes.context("no VmRSS")?.parse().context("VmRSS")?;
        Ok(kilobytes * 1024)
    }

    /// The processor time that it has taken so far, in user mode and in the
    /// kernel.
    ///
    /// # Errors
    ///
    /// If it has ended already.
    pub fn processor_time(&self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.pid.as_raw_nonzero());
        let mut stat = String::new();
        File::open(&path)
            .and_then(|mut file| file.read_to_string(&mut stat))
            .with_context(|| format!("cannot read {path}"))?;
        ticks(&stat)
            .map(|ticks| Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
            .with_context(|| format!("cannot read {path}: {stat}"))
    }

    /// How many files and sockets it has open.
    ///
    /// # Errors
    ///
    /// If it has ended already.
    pub fn open_files(&self) -> Result<usize> {
        let path = format!("/proc/{}/fd", self.pid.as_raw_nonzero());
        let files = Path::new(&path)
            .read_dir()
            .with_context(|| format!("cannot list {path}"))?;
        Ok(files.count())
    }

    fn signal(&self, signal: Signal) -> Result<Instant> {
        let at = Instant::now();
        pidfd_send_signal(self.pidfd.as_fd(), signal)
            .with_context(|| format!("cannot signal it:\n{}", self.output()))?;
        Ok(at)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.kill().is_ok() {
            // Its ports and its files are free once it is gone.
            let _ = self.wait_for_end(Duration::from_secs(5));
        }
    }
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
    }

    /// Wait until `look` finds what it looks for.
    fn wait<T>(&self, bound: Duration, mut look: impl FnMut(&State) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + bound;
        let mut state = self.state.lock();
        loop {
            if let Some(found) = look(&state) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            self.changed.wait_for(&mut state, left);
        }
    }

    fn read_all(&self, pipe: Box<dyn Read + Send>, source: Source) {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let text = String::from_utf8_lossy(&line).into_owned();
            self.change(|state| {
                state.lines.push(Line {
                    at: Instant::now(),
                    source,
                    text,
                })
            });
            let mut state = self.state.lock();
            while state.unread {
                self.changed.wait(&mut state);
            }
        }
        self.change(|state| state.open_pipes -= 1);
    }
}

impl State {
    fn text(&self) -> String {
        self.lines
            .iter()
            .map(|line| format!("  {}\n", line.text))
            .collect()
    }
}

/// `utime` and `stime` of `/proc/PID/stat`, fields 14 and 15 (proc(5)). The
/// second field is the program's name in brackets, which may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let (user, kernel): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + kernel)
}

#[cfg(test)]
mod tests {
    use super::ticks;

    #[test]
    fn processor_time_is_read_past_any_name() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 120 34 0 0 20";
        assert_eq!(ticks(stat), Some(154));
        assert_eq!(ticks("7 (a) S 1 2"), None);
    }
}
