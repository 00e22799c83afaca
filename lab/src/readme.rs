//! The README's line, run to the letter on a machine 10.10.10.2, and the page
//! that it promises.

use crate::browser::Browser;
use crate::cluster::{ANSWER, START};
use crate::lan::Lan;
use crate::process::Launch;
use crate::programs::Programs;
use crate::skip;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::Duration;

/// Run `line` with `bin` first on the PATH, in the folder we are in; look at
/// the page with a plain client, curl and Chromium; stop the node.
///
/// # Errors
///
/// If anything of it is not as the README says.
pub fn walk(bin: &Path, line: &str) -> Result<()> {
    let host = bin.join("host");
    let lan = Lan::new(Programs::new(&host, &host)?, 1)?;
    let machine = lan.machine(2);
    let path = std::env::var("PATH").context("no PATH")?;
    println!("$ {line}");
    // Root's nodes keep their data in /var/lib, which here is not the
    // machine's: whatever `ip netns exec` runs has its own view of mounts.
    let script = format!("mount -t tmpfs tmpfs /var/lib && exec {line}");
    let node = Launch::new(Path::new("bash"))
        .in_netns(machine.netns().name())
        .args(["-c", &script])
        .env("PATH", format!("{}:{path}", bin.display()))
        .spawn()?;
    let ready = node.wait_until_ready(START)?;
    println!("{}", ready.text);
    ensure!(
        ready.text.contains(&machine.url()),
        "the ready line does not name {}",
        machine.url()
    );

    let page = machine.get(&machine.url(), ANSWER)?.text();
    ensure!(page.contains("node: example@10.10.10.2"), "{page}");
    let curl = Launch::new(Path::new("curl"))
        .in_netns(machine.netns().name())
        .args(["--fail", "--silent", "--show-error", &machine.url()])
        .spawn()?;
    let (status, _) = curl.wait_for_end(ANSWER)?;
    ensure!(
        status.success() && curl.output().contains("example@10.10.10.2"),
        "{}",
        curl.output()
    );

    match skip::browser_obstacle() {
        Some(why) => skip::skip(&why),
        None => look(&lan)?,
    }

    node.terminate()?;
    let (status, _) = node.wait_for_end(Duration::from_secs(40))?;
    ensure!(
        status.success(),
        "the node ended with {status}:\n{}",
        node.output()
    );
    println!("the README's lines work");
    Ok(())
}

/// The page as a browser shows it.
fn look(lan: &Lan) -> Result<()> {
    let machine = lan.machine(2);
    let browser = Browser::open(machine, lan.scratch())?;
    browser.go_to(&machine.url())?;
    browser.wait_until(
        "document.title === 'Ace Raxx cluster example' \
         && document.querySelector('h2').textContent === 'node: example@10.10.10.2' \
         && document.querySelectorAll('#node-list a').length === 1",
        ANSWER,
    )
}
