//! Config as text: a line `KEY=VALUE` for each entry. Nodes read it from the file that
//! `--app-config` names, and give it to apps that have no other way to read config.
//!
//! Empty lines and lines that begin with `#` say nothing. A value that begins with `"` is a JSON
//! string; any other is taken as it is, to the end of the line.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::draft::SettingChange;
use super::kind::SettingKind;

/// What is wrong with a value in quotes.
const NO_STRING: &str = "has a value that begins with `\"` and is no JSON string";

/// Config of one node, by its names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ConfigLines(BTreeMap<String, String>);

/// Why a text is not in such lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} {what}")]
pub struct ConfigLinesError {
    /// Its number, from 1 on.
    pub line: usize,
    what: &'static str,
}

impl ConfigLines {
    /// Reads a text.
    ///
    /// # Errors
    /// Names the first line that cannot be read.
    pub fn read(text: &str) -> Result<Self, ConfigLinesError> {
        let mut entries = BTreeMap::new();
        for (line, said) in (1..).zip(text.lines()) {
            let wrong = |what| ConfigLinesError { line, what };
            if said.trim().is_empty() || said.starts_with('#') {
                continue;
            }
            let no_entry = "is no KEY=VALUE, no comment with `#` and not empty";
            let (key, value) = said.split_once('=').ok_or(wrong(no_entry))?;
            let change = SettingChange {
                kind: SettingKind::Config,
                key: key.to_owned(),
                value: None,
            };
            if change.check().is_err() {
                return Err(wrong("has a name that config cannot have"));
            }
            let value = match value.starts_with('"') {
                true => serde_json::from_str(value).map_err(|_| wrong(NO_STRING))?,
                false => value.to_owned(),
            };
            if entries.insert(key.to_owned(), value).is_some() {
                return Err(wrong("has a name that an earlier line has"));
            }
        }
        Ok(Self(entries))
    }

    /// The value under a name.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// All entries, by their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Without the values, which may be secrets.
impl std::fmt::Debug for ConfigLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Writes entries so that [`ConfigLines::read`] reads them.
pub(super) fn write<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (key, value) in entries {
        // Writing to a string never fails.
        let _ = match value.starts_with('"') || value.contains(['\n', '\r']) {
            true => writeln!(text, "{key}={}", serde_json::Value::from(value)),
            false => writeln!(text, "{key}={value}"),
        };
    }
    text
}
