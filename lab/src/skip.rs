//! Whether tests in network namespaces can run here. Where they cannot, they
//! say so loudly and pass; in CI they fail.

use std::io::Write;
use std::path::Path;

/// What stands in the way of network namespaces, if anything does.
pub fn lan_obstacle() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces need root".to_owned());
    }
    if !on_path("ip") {
        return Some("`ip` is missing (Debian: apt-get install iproute2)".to_owned());
    }
    None
}

/// What stands in the way of the browser test, if anything does.
pub fn browser_obstacle() -> Option<String> {
    ["chromium", "chromedriver"]
        .into_iter()
        .find(|name| !on_path(name))
        .map(|name| {
            format!("`{name}` is missing (Debian: apt-get install chromium chromium-driver)")
        })
}

/// What stands in the way of the tests with Redis, if anything does.
pub fn redis_obstacle() -> Option<String> {
    let why = "`redis-server` is missing (Debian: apt-get install redis-server)";
    (!on_path("redis-server")).then(|| why.to_owned())
}

/// Say that the running test is skipped, and why.
///
/// # Panics
///
/// If `CI` is set: there nothing may be skipped.
pub fn skip(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Past the test harness, which would swallow what a passing test prints.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
    let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    assert!(!is_ci, "in CI nothing may be skipped: {why}");
}

/// Whether a program of this name is on the PATH.
pub(crate) fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([
            Path::new("/usr/sbin").to_owned(),
            Path::new("/sbin").to_owned(),
        ])
        .any(|dir| dir.join(name).is_file())
}
