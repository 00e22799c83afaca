//! The talk page in real browsers on two nodes: what is typed on one appears on
//! both, and each sees who is on which node.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use lab::browser::{Browser, Look};
use lab::targets::{KILLED, SLACK};
use lab::{Cluster, Lan, Programs, skip};

/// The browsers share the cores with two nodes, and may take their time.
const SHOWN: Duration = Duration::from_secs(20);

#[test]
fn a_line_typed_on_one_node_appears_on_both_and_each_sees_who_is_where() -> Result<()> {
    if let Some(why) = skip::browser_obstacle() {
        skip::skip(&why);
        return Ok(());
    }
    let programs = Programs::of_test(env!("CARGO_BIN_EXE_host"))?;
    let Some(lan) = Lan::or_skip(programs, 2) else {
        return Ok(());
    };
    let cluster = Cluster::start(&lan, &[2, 3])?;
    let near = Browser::open(lan.machine(2), lan.scratch())?;
    let far = Browser::open(lan.machine(3), lan.scratch())?;
    for (browser, number) in [(&near, 2), (&far, 3)] {
        browser.go_to(&format!("{}/talk", lan.machine(number).url()))?;
        let node = format!("node: example@10.10.10.{number}");
        browser.wait_until(&is("#self", &node), SHOWN)?;
    }
    call_oneself(&near, "Ada")?;
    call_oneself(&far, "Bob")?;
    for browser in [&near, &far] {
        browser.wait_until(&shows("#people", "example@10.10.10.2 Ada"), SHOWN)?;
        browser.wait_until(&shows("#people", "example@10.10.10.3 Bob"), SHOWN)?;
    }
    say(&near, "is <b>anybody</b> there?")?;
    let asked = "Ada on example@10.10.10.2 is <b>anybody</b> there?";
    for browser in [&near, &far] {
        browser.wait_until(&shows("#lines", asked), SHOWN)?;
    }
    say(&far, "I am")?;
    for browser in [&near, &far] {
        browser.wait_until(&shows("#lines", "Bob on example@10.10.10.3 I am"), SHOWN)?;
        let lines = browser.value_of("document.querySelectorAll('#lines li').length")?;
        ensure!(lines == 2, "each line once, and not {lines} of them");
        let kept = browser.value_of("document.querySelector('[name=line]').value")?;
        ensure!(kept == "", "what was said is still in its field: {kept}");
    }
    take_pictures(&near)?;

    // Who is on a node that is gone is nowhere.
    cluster.host(3).kill()?;
    let alone = "document.querySelectorAll('#people li').length === 1";
    near.wait_until(alone, KILLED * SLACK + SHOWN)?;
    Ok(())
}

/// Enters a name, as a person would.
fn call_oneself(browser: &Browser<'_>, name: &str) -> Result<()> {
    let enter = format!(
        "(() => {{ const field = document.querySelector('[name=name]'); field.value = '{name}'; \
         field.dispatchEvent(new Event('change', {{ bubbles: true }})); }})()"
    );
    browser.value_of(&enter).map(drop)
}

/// Types a line and sends the form.
fn say(browser: &Browser<'_>, line: &str) -> Result<()> {
    let send = format!(
        "(() => {{ document.querySelector('[name=line]').value = '{line}'; \
         document.querySelector('form').requestSubmit(); }})()"
    );
    browser.value_of(&send).map(drop)
}

/// JavaScript: whether the text of an element is this.
fn is(element: &str, text: &str) -> String {
    format!("document.querySelector('{element}').textContent === '{text}'")
}

/// JavaScript: whether an entry of a list has this text.
fn shows(list: &str, text: &str) -> String {
    format!("[...document.querySelectorAll('{list} li')].some(li => li.textContent === '{text}')")
}

/// How the page looks, for a person to see: on a desk and on a phone.
fn take_pictures(browser: &Browser<'_>) -> Result<()> {
    let folder = pictures();
    std::fs::create_dir_all(&folder)?;
    for (name, width, height, is_phone, is_dark) in [
        ("talk-light", 1280, 800, false, false),
        ("talk-phone-dark", 390, 844, true, true),
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
    let target = host.ancestors().nth(2).unwrap_or(Path::new("target"));
    target.join("page")
}
