//! From a file that is written to the first answer of its code, on a node as it
//! is run: a process with a data folder, which releases what it takes up.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lab::{Launch, Process, client};
use tempfile::TempDir;

use super::component::{another, guest};
use super::spread::Spread;
use crate::support::components::read_built;

/// What must come, comes within this.
const BOUND: Duration = Duration::from_secs(60);

/// Apart so far that each change is one of its own.
const PAUSE: Duration = Duration::from_millis(500);

/// Changes the file of a node so often, and prints how long it took.
pub(crate) fn measure(rounds: usize) -> Result<()> {
    println!("\na file of the example guest is written, to a whole node, {rounds} times");
    let mut new = Spread::default();
    for number in 0..rounds {
        // What it serves first is another program.
        let node = Whole::start(&read_built("fixture-simple"))?;
        new.add(node.change(&another(&guest(), number))?);
    }
    new.print("all of it new: written -> answered");
    let node = Whole::start(&another(&guest(), 0))?;
    for (kind, first) in [("its functions known", 1), ("code compiled before", 0)] {
        let mut row = Spread::default();
        for number in first..first + rounds {
            row.add(node.change(&another(&guest(), number))?);
        }
        row.print(&format!("{kind}: written -> answered"));
    }
    Ok(())
}

/// A host process and its folder.
struct Whole {
    folder: TempDir,
    url: String,
    _process: Process,
}

impl Whole {
    fn start(app: &[u8]) -> Result<Whole> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("app.wasm"), app)?;
        let process = Launch::new(Path::new(env!("CARGO_BIN_EXE_host")))
            .dir(folder.path())
            .flag("--name", "example@127.0.0.1")
            .flag("--http", "127.0.0.1:0")
            .flag("--cluster-port", "0")
            .flag("--cookie", "the cookie of this benchmark")
            .flag("--data-dir", folder.path().join("data"))
            .flag("--app", folder.path().join("app.wasm"))
            .spawn()?;
        let ready = process.wait_until_ready(BOUND)?.text;
        let url = ready
            .split_whitespace()
            .find(|it| it.starts_with("http://"));
        let url = url.context("no URL in the line that says it is ready")?;
        process.wait_for_line(&["released the app file"], BOUND)?;
        Ok(Whole {
            folder,
            url: url.to_owned(),
            _process: process,
        })
    }

    /// Writes an app to the file, and waits until it answers.
    fn change(&self, bytes: &[u8]) -> Result<Duration> {
        let digest = cluster::Digest::of(bytes).to_string();
        std::thread::sleep(PAUSE);
        std::fs::write(self.folder.path().join("app.wasm"), bytes)?;
        let written = Instant::now();
        while !client::get(&self.url, BOUND)?.text().contains(&digest) {
            ensure!(written.elapsed() < BOUND, "it does not answer");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(written.elapsed())
    }
}
