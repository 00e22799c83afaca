//! The page in a real browser: it follows the cluster without a reload.

use anyhow::{Context, Result, ensure};
use lab::browser::{Browser, Look};
use lab::targets::{KILLED, LISTED, SLACK};
use lab::{Cluster, Lan, Programs, skip};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The browser shares the cores with three nodes, and may take its time to
/// show what it has been told.
const SHOWN: Duration = Duration::from_secs(10);

#[test]
fn the_page_sees_a_third_node_appear_and_vanish_without_a_reload() -> Result<()> {
    if let Some(why) = skip::browser_obstacle() {
        skip::skip(&why);
        return Ok(());
    }
    let programs = Programs::of_test(env!("CARGO_BIN_EXE_host"))?;
    let Some(lan) = Lan::or_skip(programs, 3) else {
        return Ok(());
    };
    let mut cluster = Cluster::start(&lan, &[2, 3])?;
    let machine = lan.machine(2);
    let browser = Browser::open(machine, lan.scratch())?;
    browser.go_to(&machine.url())?;
    // A reload would lose this.
    browser.value_of("window.sinceTheLoad = true")?;
    ensure!(browser.value_of("document.title")? == "Ace Raxx cluster example");
    ensure!(text(&browser, "h1")? == "Ace Raxx cluster example");
    ensure!(text(&browser, "h2")? == "node: example@10.10.10.2");
    browser.wait_until(&shows(&[2, 3]), SHOWN)?;

    cluster.join(4)?;
    cluster.wait_until_all_list(&[2, 3, 4], LISTED * SLACK)?;
    browser.wait_until(&shows(&[2, 3, 4]), SHOWN)?;
    take_pictures(&browser)?;

    cluster.host(4).kill()?;
    cluster.wait_until_all_list(&[2, 3], KILLED * SLACK)?;
    browser.wait_until(&shows(&[2, 3]), SHOWN)?;
    ensure!(
        browser.value_of("window.sinceTheLoad === true")? == true,
        "the page was reloaded"
    );
    Ok(())
}

/// JavaScript: whether the list links to exactly these nodes, in this order.
fn shows(numbers: &[u8]) -> String {
    let urls: Vec<String> = numbers
        .iter()
        .map(|number| format!("http://10.10.10.{number}:8080/"))
        .collect();
    format!(
        "[...document.querySelectorAll('#node-list a')].map(a => a.href).join(' ') === '{}'",
        urls.join(" ")
    )
}

fn text(browser: &Browser<'_>, element: &str) -> Result<String> {
    let text = browser.value_of(&format!("document.querySelector('{element}').textContent"))?;
    Ok(text.as_str().context("no text")?.to_owned())
}

/// How the page looks, for a person to see: light, dark, on a phone.
fn take_pictures(browser: &Browser<'_>) -> Result<()> {
    let folder = pictures();
    std::fs::create_dir_all(&folder)?;
    for (name, width, height, is_phone, is_dark) in [
        ("light", 1280, 800, false, false),
        ("dark", 1280, 800, false, true),
        ("phone", 390, 844, true, false),
        ("phone-dark", 390, 844, true, true),
    ] {
        browser.look(Look {
            width,
            height,
            is_phone,
            is_dark,
        })?;
        let fits = "document.documentElement.scrollWidth <= window.innerWidth";
        ensure!(
            browser.value_of(fits)? == true,
            "the page is wider than the window ({name})"
        );
        browser.save_screenshot(&folder.join(format!("{name}.png")))?;
    }
    Ok(())
}

/// `page/` in the target folder.
fn pictures() -> PathBuf {
    let host = Path::new(env!("CARGO_BIN_EXE_host"));
    let target = host
        .parent()
        .and_then(Path::parent)
        .unwrap_or(Path::new("target"));
    target.join("page")
}
