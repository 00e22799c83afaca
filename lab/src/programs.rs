//! Where the programs under test are.

use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};

/// The host, and the app that it serves.
#[derive(Clone, Debug)]
pub struct Programs {
    host: PathBuf,
    app: PathBuf,
}

impl Programs {
    /// These two.
    ///
    /// # Errors
    ///
    /// If either does not exist.
    pub fn new(host: &Path, app: &Path) -> Result<Self> {
        for file in [host, app] {
            ensure!(
                file.is_file(),
                "{} is not built; run `cargo xtask test`, or \
                 `cargo build -p guest --target wasm32-wasip2`",
                file.display()
            );
        }
        Ok(Self {
            host: host.to_owned(),
            app: app.to_owned(),
        })
    }

    /// For a test of the host: the host it was built with
    /// (`env!("CARGO_BIN_EXE_host")`), and the guest that `cargo xtask test`
    /// built.
    ///
    /// # Errors
    ///
    /// If either does not exist.
    pub fn of_test(host: &str) -> Result<Self> {
        let host = Path::new(host);
        Self::new(host, &component_of(host, "guest"))
    }

    /// The host program.
    pub fn host(&self) -> &Path {
        &self.host
    }

    /// The component that nodes serve if they are not told otherwise.
    pub fn app(&self) -> &Path {
        &self.app
    }

    /// A component that `cargo xtask test` built, by the name of its package.
    pub fn component(&self, package: &str) -> PathBuf {
        component_of(&self.host, package)
    }
}

/// Components lie beside `release/host` in the target folder.
fn component_of(host: &Path, package: &str) -> PathBuf {
    let target = host
        .parent()
        .and_then(Path::parent)
        .unwrap_or(Path::new("target"));
    target
        .join("wasm32-wasip2/debug")
        .join(format!("{}.wasm", package.replace('-', "_")))
}
