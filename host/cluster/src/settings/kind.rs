//! What settings are about, and which names the environment of an app can have.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a setting is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
pub enum SettingKind {
    /// A value that the app reads under this name.
    Config,
    /// The same, and people are not shown the value.
    Secret,
    /// A rule that lets the app reach other servers. The rule is the name, and the value is empty.
    Egress,
    /// A schedule.
    Cron,
    /// A kind that a later version has added. It is kept and passed on, and means nothing here.
    Other(u8),
}

impl From<u8> for SettingKind {
    fn from(number: u8) -> Self {
        match number {
            0 => Self::Config,
            1 => Self::Secret,
            2 => Self::Egress,
            3 => Self::Cron,
            other => Self::Other(other),
        }
    }
}

impl From<SettingKind> for u8 {
    fn from(kind: SettingKind) -> u8 {
        match kind {
            SettingKind::Config => 0,
            SettingKind::Secret => 1,
            SettingKind::Egress => 2,
            SettingKind::Cron => 3,
            SettingKind::Other(other) => other,
        }
    }
}

impl fmt::Display for SettingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config => f.write_str("config"),
            Self::Secret => f.write_str("secret"),
            Self::Egress => f.write_str("egress"),
            Self::Cron => f.write_str("cron"),
            Self::Other(number) => write!(f, "kind {number}"),
        }
    }
}

/// Whether an environment variable can have this name. Config under another name is only seen by
/// `wasi:config`.
pub fn is_environment_name(key: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    key.bytes().all(letters) && !key.starts_with(|first: char| first.is_ascii_digit())
}
