//! The two programs that make load, and what they say: `wrk` for as many requests as a server can
//! answer, `h2load` for so many a second.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::cases::Case;
use super::servers::Running;

/// The load of one case.
pub(super) struct Load {
    connections: u32,
    /// The file that is sent, its type, and the script that has wrk send it.
    body: Option<Sent>,
    log: PathBuf,
}

struct Sent {
    file: PathBuf,
    kind: &'static str,
    script: PathBuf,
}

/// What wrk counted.
#[derive(Debug, PartialEq)]
pub(super) struct Full {
    pub(super) requests: u64,
    pub(super) per_second: f64,
    /// In microseconds.
    pub(super) p99_us: f64,
}

/// How long each answer took at a fixed rate, in microseconds, in order; and how long it all took.
#[derive(Debug)]
pub(super) struct Times {
    sorted: Vec<u64>,
    lasting: Duration,
}

impl Load {
    pub(super) fn new(case: Case, folder: &Path) -> Result<Load> {
        let write = |name: &str, bytes: &[u8]| {
            let file = folder.join(format!("{}.{name}", case.name()));
            fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
            Ok::<PathBuf, anyhow::Error>(file)
        };
        let body = match case.body() {
            None => None,
            Some((bytes, kind)) => {
                let file = write("body", &bytes)?;
                let script = format!(
                    "local file = io.open(\"{}\", \"rb\")\n\
                     wrk.method = \"POST\"\n\
                     wrk.body = file:read(\"*a\")\n\
                     wrk.headers[\"content-type\"] = \"{kind}\"\n",
                    file.display()
                );
                let script = write("lua", script.as_bytes())?;
                Some(Sent { file, kind, script })
            }
        };
        Ok(Load {
            connections: case.connections(),
            body,
            log: folder.join("times"),
        })
    }

    /// As many requests as the server can answer in this time.
    pub(super) fn all(&self, server: &Running, time: Duration) -> Result<Full> {
        let mut wrk = Command::new("wrk");
        wrk.args(["--threads", "1", "--latency", "--timeout", "30s"])
            .args(["--connections", &self.connections.to_string()])
            .args(["--duration", &format!("{}s", time.as_secs().max(1))]);
        if let Some(sent) = &self.body {
            wrk.arg("--script").arg(&sent.script);
        }
        let said = run(wrk.arg(server.url()), "wrk", "wrk")?;
        full(&said).with_context(|| format!("wrk said:\n{said}"))
    }

    /// So many requests a second for this time.
    pub(super) fn at_rate(
        &self,
        server: &Running,
        per_second: f64,
        time: Duration,
    ) -> Result<Times> {
        let per_client = per_second / f64::from(self.connections);
        // The file may be there from before, and h2load adds to it.
        let _ = fs::remove_file(&self.log);
        let mut h2load = Command::new("h2load");
        h2load
            .args(["--h1", "--threads", "1"])
            .args(["--clients", &self.connections.to_string()])
            .args(["--rps", &format!("{per_client:.3}")])
            .args(["--duration", &time.as_secs().max(1).to_string()])
            .arg("--log-file")
            .arg(&self.log);
        if let Some(sent) = &self.body {
            h2load.arg("--data").arg(&sent.file);
            h2load.args(["--header", &format!("content-type: {}", sent.kind)]);
        }
        let said = run(h2load.arg(server.url()), "h2load", "nghttp2-client")?;
        let log = fs::read_to_string(&self.log).context("h2load wrote no times")?;
        times(&log).with_context(|| format!("h2load said:\n{said}"))
    }
}

fn run(command: &mut Command, name: &str, package: &str) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start `{name}` (Debian: apt-get install {package})"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "`{name}` failed ({}): {said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(said)
}

/// What wrk says at its end.
fn full(said: &str) -> Result<Full> {
    ensure!(
        !said.contains("Non-2xx"),
        "some answers were none of success"
    );
    let line = |start: &str| {
        let line = said.lines().map(str::trim).find(|it| it.starts_with(start));
        line.and_then(|line| line.strip_prefix(start))
            .map(str::trim)
    };
    let requests = said
        .lines()
        .find(|line| line.contains(" requests in "))
        .and_then(|line| line.split_whitespace().next()?.parse().ok());
    Ok(Full {
        requests: requests.context("it counted no requests")?,
        per_second: line("Requests/sec:")
            .and_then(|rate| rate.parse().ok())
            .context("it has no rate")?,
        p99_us: line("99%").and_then(micros).context("it has no times")?,
    })
}

/// A time of wrk, such as `1.50ms`.
fn micros(text: &str) -> Option<f64> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
    Some(match unit {
        "us" => number,
        "ms" => number * 1e3,
        "s" => number * 1e6,
        "m" => number * 60e6,
        _ => return None,
    })
}

/// The log of h2load: start in microseconds, status, and how many microseconds it took.
fn times(log: &str) -> Result<Times> {
    let mut sorted = Vec::new();
    let (mut first, mut last) = (u64::MAX, 0);
    for line in log.lines() {
        let mut fields = line.split('\t');
        let mut next = || fields.next().and_then(|field| field.parse::<i64>().ok());
        let (Some(start), Some(status), Some(took)) = (next(), next(), next()) else {
            continue;
        };
        ensure!(
            (200..300).contains(&status),
            "an answer has status {status}"
        );
        let (start, took) = (start.unsigned_abs(), took.unsigned_abs());
        (first, last) = (first.min(start), last.max(start + took));
        sorted.push(took);
    }
    ensure!(!sorted.is_empty(), "no request was answered");
    sorted.sort_unstable();
    Ok(Times {
        sorted,
        lasting: Duration::from_micros(last - first),
    })
}

impl Times {
    /// So many of a hundred took at most this, in microseconds.
    pub(super) fn percentile(&self, percent: usize) -> f64 {
        let at = (self.sorted.len() * percent / 100).min(self.sorted.len() - 1);
        self.sorted[at] as f64
    }

    /// How many were answered a second.
    pub(super) fn per_second(&self) -> f64 {
        self.sorted.len() as f64 / self.lasting.as_secs_f64().max(1e-6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Running 2s test @ http://127.0.0.1:1/\n  Latency Distribution\n     \
        50%  150.00us\n     99%    1.50ms\n  123456 requests in 2.00s, 20.00MB read\n\
        Requests/sec:  61728.00\nTransfer/sec:     10.00MB\n";

    #[test]
    fn what_wrk_says_is_read_and_refused_answers_are_no_figures() {
        let read = full(SAID).expect("figures");
        let (requests, per_second, p99_us) = (123_456, 61_728.0, 1500.0);
        assert_eq!(
            read,
            Full {
                requests,
                per_second,
                p99_us
            }
        );
        assert!(full(&format!("{SAID}  Non-2xx or 3xx responses: 3\n")).is_err());
        assert!(full("").is_err());
    }

    #[test]
    fn times_are_read_from_the_log_of_h2load() {
        let log: String = (0..100)
            .map(|at| format!("{}\t200\t{}\n", 1000 + at * 10_000, 100 - at))
            .collect();
        let read = times(&log).expect("times");
        assert_eq!((read.percentile(50), read.percentile(99)), (51.0, 100.0));
        assert!((read.per_second() - 101.0).abs() < 0.1);
        assert!(times("1000\t-1\t5\n").is_err());
        assert!(times("").is_err());
    }
}
