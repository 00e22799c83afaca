//! The apps of `fixtures/makers`, where `cargo xtask makers` put them.

use std::path::{Path, PathBuf};

/// What each app says in its greeting, and what the next release of it says.
const RELEASES: [&str; 2] = ["release-one", "release-two"];

/// An app, by its name in `fixtures/makers`.
#[derive(Clone, Copy)]
pub(crate) struct App(&'static str);

impl App {
    pub(crate) const fn named(name: &'static str) -> App {
        App(name)
    }

    /// Its component. None if it could not be built here: then the test is skipped.
    pub(crate) fn file(self) -> Option<PathBuf> {
        let host = Path::new(env!("CARGO_BIN_EXE_host"));
        let target = host.ancestors().nth(2).expect("target/release/host");
        let file = target.join("makers").join(format!("{}.wasm", self.0));
        if file.is_file() {
            return Some(file);
        }
        lab::skip::skip(&format!(
            "{} is not built; `cargo xtask makers` builds it, or says why it cannot",
            file.display()
        ));
        None
    }

    /// Whether it is for WASI 0.3, so that its instances take several requests at a time.
    pub(crate) fn shares_instances(self) -> bool {
        matches!(self.0, "wasip3" | "spin" | "python_03")
    }

    /// How it greets.
    pub(crate) fn hello(self) -> String {
        let name = match self.0 {
            "composed" => "axum",
            "python" => "Python",
            "python_03" => "Python with WASI 0.3",
            "javascript" => "JavaScript",
            name => name,
        };
        format!("hello from {name}, {}\n", RELEASES[0])
    }

    /// How its next release greets.
    pub(crate) fn next_hello(self) -> String {
        self.hello().replace(RELEASES[0], RELEASES[1])
    }
}

/// The next release of an app: the same component, but for what it says of itself.
pub(crate) fn next(component: &[u8]) -> Vec<u8> {
    let [from, to] = RELEASES.map(str::as_bytes);
    let mut next = component.to_vec();
    let mut at = 0;
    while let Some(found) = next[at..].windows(from.len()).position(|it| it == from) {
        at += found;
        next[at..at + to.len()].copy_from_slice(to);
    }
    assert!(at > 0, "the component does not say which release it is");
    next
}
