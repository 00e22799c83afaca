//! Headless Chromium on one of the machines, driven through WebDriver
//! (<https://www.w3.org/TR/webdriver2/>).

use crate::client::{connect, runtime};
use crate::lan::Machine;
use crate::process::{Launch, Process};
use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;

/// Chromium may take so long to start, or to do what it is told.
const BOUND: Duration = Duration::from_secs(60);

/// A window of headless Chromium. Dropped, the browser ends.
#[derive(Debug)]
pub struct Browser<'lan> {
    machine: &'lan Machine,
    /// `http://127.0.0.1:PORT/session/ID`.
    session: String,
    _driver: Process,
}

/// How the page is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Width of the window, in CSS pixels.
    pub width: u32,
    /// Height of the window, in CSS pixels.
    pub height: u32,
    /// Whether it is a phone.
    pub is_phone: bool,
    /// Whether the person prefers dark.
    pub is_dark: bool,
}

impl<'lan> Browser<'lan> {
    /// Start it on this machine. What it writes goes below `home`.
    ///
    /// # Errors
    ///
    /// If chromedriver or Chromium do not start.
    pub fn open(machine: &'lan Machine, home: &Path) -> Result<Self> {
        let driver = Launch::new(Path::new("chromedriver"))
            .in_netns(machine.netns().name())
            .arg("--port=0")
            .env("HOME", home)
            .env("TMPDIR", home)
            .spawn()?;
        let line = driver.wait_for_line(&["started successfully on port"], BOUND)?;
        let port = line.text.trim_end_matches('.').rsplit(' ').next();
        let port: u16 = port
            .unwrap_or_default()
            .parse()
            .with_context(|| line.text.clone())?;
        let driver_url = format!("http://127.0.0.1:{port}/session");
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": [
            "--headless=new",
            // Its sandbox does not work for root; it sees our own page only.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
        ]}}}});
        let answer = machine
            .netns()
            .run(|| call(Method::POST, &driver_url, &wanted))?;
        let id = answer["sessionId"].as_str().context("no session")?;
        let session = format!("{driver_url}/{id}");
        let browser = Self {
            machine,
            session,
            _driver: driver,
        };
        let milliseconds = BOUND.as_millis() as u64;
        browser.post(
            "timeouts",
            &json!({ "script": milliseconds, "pageLoad": milliseconds }),
        )?;
        Ok(browser)
    }

    /// Go to the page and wait until it is loaded.
    ///
    /// # Errors
    ///
    /// If it cannot be loaded.
    pub fn go_to(&self, url: &str) -> Result<()> {
        self.post("url", &json!({ "url": url })).map(drop)
    }

    /// The value of a JavaScript expression in the page.
    ///
    /// # Errors
    ///
    /// If it throws.
    pub fn value_of(&self, expression: &str) -> Result<Value> {
        let script = format!("return ({expression});");
        self.post("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Wait until a JavaScript expression is true, which is looked at whenever
    /// the page changes.
    ///
    /// # Errors
    ///
    /// If it is not within the bound: with the text of the page.
    pub fn wait_until(&self, expression: &str, bound: Duration) -> Result<()> {
        let script = "
            const [bound, done] = arguments;
            const holds = () => (EXPRESSION);
            if (holds()) return done(true);
            const observer = new MutationObserver(() => finish(holds(), true));
            const timer = setTimeout(() => finish(true, holds()), bound);
            function finish(now, answer) {
                if (!now) return;
                observer.disconnect();
                clearTimeout(timer);
                done(answer);
            }
            observer.observe(document, {
                subtree: true, childList: true, characterData: true, attributes: true,
            });"
        .replace("EXPRESSION", expression);
        let args = json!({ "script": script, "args": [bound.as_millis() as u64] });
        if self.post("execute/async", &args)? == json!(true) {
            return Ok(());
        }
        bail!(
            "not within {bound:?}: {expression}\n{}",
            self.value_of("document.body.innerText")?
        )
    }

    /// Look at the page in another way.
    ///
    /// # Errors
    ///
    /// If Chromium refuses.
    pub fn look(&self, look: Look) -> Result<()> {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({
                "width": look.width,
                "height": look.height,
                "deviceScaleFactor": if look.is_phone { 2 } else { 1 },
                "mobile": look.is_phone,
            }),
        )?;
        let scheme = if look.is_dark { "dark" } else { "light" };
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({ "features": [feature] }),
        )
    }

    /// Save a picture of the window as PNG.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn save_screenshot(&self, file: &Path) -> Result<()> {
        let url = format!("{}/screenshot", self.session);
        let picture = self
            .machine
            .netns()
            .run(|| call(Method::GET, &url, &Value::Null))?;
        let picture = BASE64_STANDARD.decode(picture.as_str().context("no picture")?)?;
        std::fs::write(file, picture).with_context(|| format!("cannot write {}", file.display()))
    }

    fn devtools(&self, command: &str, params: Value) -> Result<()> {
        self.post(
            "goog/cdp/execute",
            &json!({ "cmd": command, "params": params }),
        )
        .map(drop)
    }

    fn post(&self, command: &str, body: &Value) -> Result<Value> {
        let url = format!("{}/{command}", self.session);
        self.machine.netns().run(|| call(Method::POST, &url, body))
    }
}

impl Drop for Browser<'_> {
    fn drop(&mut self) {
        // Chromium ends with its session; chromedriver is killed after it.
        let ended = self
            .machine
            .netns()
            .run(|| call(Method::DELETE, &self.session, &Value::Null));
        if let Err(error) = ended {
            eprintln!("lab: {error:#}");
        }
    }
}

/// One WebDriver command, and the value of its answer.
fn call(method: Method, url: &str, body: &Value) -> Result<Value> {
    let uri: Uri = url.parse().context("not a URL")?;
    let authority = uri.authority().context("a URL without a host")?.as_str();
    let body = if body.is_null() {
        Bytes::new()
    } else {
        body.to_string().into()
    };
    let request = Request::builder()
        .method(&method)
        .uri(uri.path())
        .header("host", authority)
        .header("content-type", "application/json; charset=utf-8")
        .body(Full::new(body))?;
    let exchange = async {
        let mut sender = connect(&uri).await?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        anyhow::Ok((head.status, body.collect().await?.to_bytes()))
    };
    let answered = runtime()?.block_on(async { timeout(BOUND * 2, exchange).await });
    let (status, answer) = answered.with_context(|| format!("no answer to {method} {url}"))??;
    let mut answer: Value = serde_json::from_slice(&answer).context("not JSON")?;
    let value = answer["value"].take();
    ensure!(status.is_success(), "{method} {url}: {}", value["message"]);
    Ok(value)
}
