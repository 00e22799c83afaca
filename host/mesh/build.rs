//! Hands the time of the build to the program: no clock that shows less is right.
//! `SOURCE_DATE_EPOCH`, where it is set, says when that was, so that builds can be repeated.

use std::path::Path;
use std::time::{Duration, SystemTime};

fn main() -> std::io::Result<()> {
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo:rerun-if-changed=build.rs");
    let given = std::env::var("SOURCE_DATE_EPOCH").ok();
    let given = given.and_then(|seconds| Some(Duration::from_secs(seconds.parse().ok()?)));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let built = given.unwrap_or(now.unwrap_or_default()).as_millis();
    let folder = std::env::var_os("OUT_DIR").ok_or_else(|| std::io::Error::other("no OUT_DIR"))?;
    std::fs::write(Path::new(&folder).join("built_ms"), built.to_string())
}
