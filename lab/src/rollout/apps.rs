//! App files to push, each of which no node has.

use super::Nodes;
use crate::components::{filled, marked};
use anyhow::Result;
use std::path::PathBuf;

/// So large is an app that is long on its way, in bytes.
pub const LONG: usize = 40_000_000;

impl Nodes<'_> {
    /// The guest; each mark makes another app.
    ///
    /// # Errors
    ///
    /// If it cannot be read or written; so with the others.
    pub fn good(&self, mark: &str) -> Result<PathBuf> {
        let guest = std::fs::read(self.lan.programs().app())?;
        self.app_file(mark, &marked(&guest, mark.as_bytes()))
    }

    /// What traps at `/panic`; each mark makes another app.
    ///
    /// # Errors
    ///
    /// As [`Nodes::good`].
    pub fn bad(&self, mark: &str) -> Result<PathBuf> {
        let fixture = self.lan.programs().component("fixture-misbehave");
        self.app_file(mark, &marked(&std::fs::read(fixture)?, mark.as_bytes()))
    }

    /// The guest in [`LONG`] bytes.
    ///
    /// # Errors
    ///
    /// As [`Nodes::good`].
    pub fn long(&self) -> Result<PathBuf> {
        let guest = std::fs::read(self.lan.programs().app())?;
        self.app_file("long", &filled(&guest, LONG, 1))
    }

    fn app_file(&self, name: &str, content: &[u8]) -> Result<PathBuf> {
        let path = self.lan.scratch().join(format!("{name}.wasm"));
        std::fs::write(&path, content)?;
        Ok(path)
    }
}
