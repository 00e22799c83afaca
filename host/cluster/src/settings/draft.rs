//! The request for a change, and the records that are made from it, or the reason why none is made.
//! Nothing is stored here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::kind::SettingKind;
use super::record::{CONFIG_KEY_MAX, Setting, SettingName, SettingParts, SettingReadError};
use super::set::{LIVE_BYTES_MAX, LIVE_MAX, NAMES_MAX, SettingSet};
use crate::AppName;
use crate::egress::{EgressRule, EgressRuleError};
use crate::release::{Hlc, Unaccepted};

/// A change that somebody asks for.
#[derive(Clone, PartialEq, Eq)]
pub struct SettingChange {
    /// What it is about.
    pub kind: SettingKind,
    /// The name.
    pub key: String,
    /// The new value; none to remove the name.
    pub value: Option<String>,
}

/// Without the value, which may be a secret.
impl std::fmt::Debug for SettingChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verb = if self.value.is_some() { "set" } else { "unset" };
        write!(f, "SettingChange({verb} {} {})", self.kind, self.key)
    }
}

/// Why nothing is changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// There is no change in the request.
    #[error("there is nothing to change in the request")]
    Nothing,
    /// The name cannot be one of config.
    #[error(
        "`{0}` cannot be the name of a config entry; use 1 to {CONFIG_KEY_MAX} letters, digits and \
         `_ - . /`"
    )]
    Key(String),
    /// The text is no rule for other servers.
    #[error(transparent)]
    Egress(#[from] EgressRuleError),
    /// This version does not know such settings.
    #[error("this host does not know settings of the {0}; update it")]
    Kind(SettingKind),
    /// The name is in the request twice.
    #[error("`{0}` is given twice; give it once")]
    Twice(String),
    /// There is nothing to remove.
    #[error("{kind} `{key}` is not set; `host {command} ls` lists what is")]
    NotSet {
        /// What it is about.
        kind: SettingKind,
        /// The name.
        key: String,
        /// The command that lists such settings.
        command: &'static str,
    },
    /// A secret was to become visible.
    #[error(
        "`{0}` is a secret, and its value would be shown from now on; set it with --secret, or unset it first"
    )]
    IsSecret(String),
    /// There would be too many.
    #[error("that would be {0} settings, and {LIVE_MAX} are allowed; unset some first")]
    TooMany(usize),
    /// They would take too much.
    #[error(
        "all names and values would take {0} bytes, and {LIVE_BYTES_MAX} are allowed; \
         unset some, or keep large values elsewhere"
    )]
    TooLarge(usize),
    /// There would be too many names, with those that were removed.
    #[error(
        "that would be {0} names, with those that were unset, and {NAMES_MAX} are allowed; \
         set one again that was unset before"
    )]
    TooManyNames(usize),
    /// Somebody was faster.
    #[error("`{0}` was changed meanwhile; look at it, and try again")]
    Superseded(String),
    /// Its time is too far ahead.
    #[error(
        "the change of `{0}` is from too far ahead of all clocks here; set the clock of its node"
    )]
    Ahead(String),
    /// Only signed changes are accepted here.
    #[error(
        "nodes of this cluster take only settings that are signed with the deploy key; \
         add `--sign-with FILE`"
    )]
    Unsigned,
    /// The signature does not hold.
    #[error("the change is not taken: {0}")]
    Unaccepted(Unaccepted),
    /// The parts make no record.
    #[error(transparent)]
    Record(#[from] SettingReadError),
}

impl SettingChange {
    /// The change in the form in which it is kept.
    ///
    /// # Errors
    /// Its name or value cannot be.
    pub fn check(self) -> Result<Self, SettingError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
        match self.kind {
            SettingKind::Config | SettingKind::Secret => {
                let key = &self.key;
                if key.is_empty() || key.len() > CONFIG_KEY_MAX || !key.bytes().all(legal) {
                    return Err(SettingError::Key(self.key));
                }
                Ok(self)
            }
            SettingKind::Egress => Ok(Self {
                key: self.key.parse::<EgressRule>()?.to_string(),
                value: self.value.map(|_| String::new()),
                ..self
            }),
            SettingKind::Cron | SettingKind::Other(_) => Err(SettingError::Kind(self.kind)),
        }
    }
}

/// The command that shows settings of this kind.
fn command(kind: SettingKind) -> &'static str {
    match kind {
        SettingKind::Egress => "egress",
        SettingKind::Cron => "cron",
        SettingKind::Config | SettingKind::Secret | SettingKind::Other(_) => "config",
    }
}

impl SettingSet {
    /// The time that the next change would have.
    pub(super) fn next_time(&self, wall_ms: u64, ahead_ms: Option<i64>) -> Hlc {
        // A clock that is ahead of the members' would be above what they set later.
        let ahead = ahead_ms.and_then(|ahead| u64::try_from(ahead).ok());
        self.clock()
            .tick(wall_ms.saturating_sub(ahead.unwrap_or(0)))
    }

    /// Makes the records of some changes, without storing them. All have one time.
    pub(super) fn draft(
        &self,
        changes: Vec<SettingChange>,
        by: &str,
        (at, salt): (Hlc, [u8; 16]),
    ) -> Result<Vec<Arc<Setting>>, SettingError> {
        let records = changes.into_iter().map(|change| {
            let change = change.check()?;
            let parts = SettingParts {
                app: AppName::the_only(),
                cluster: self.cluster(),
                kind: change.kind,
                key: change.key,
                salt,
                value: None,
                at,
                node: self.me.clone(),
                by: by.to_owned(),
            };
            Ok(Setting::new(parts, change.value.as_deref())?)
        });
        let records = records.collect::<Result<Vec<_>, SettingError>>()?;
        self.check_change(&records)?;
        Ok(records)
    }

    /// Whether these records can be the next change here, but for their signatures.
    fn check_change(&self, records: &[Arc<Setting>]) -> Result<(), SettingError> {
        let mut names = BTreeSet::new();
        for record in records {
            if !names.insert(record.name()) {
                return Err(SettingError::Twice(record.key().to_owned()));
            }
            let before = self.same_name(record);
            if before.is_some_and(|before| before.place() > record.place()) {
                return Err(SettingError::Superseded(record.key().to_owned()));
            }
            let is_set = before.filter(|before| !before.is_removal());
            let was_secret = is_set.is_some_and(|it| it.kind() == SettingKind::Secret);
            if record.is_removal() && is_set.is_none() {
                return Err(SettingError::NotSet {
                    kind: record.kind(),
                    key: record.key().to_owned(),
                    command: command(record.kind()),
                });
            }
            if was_secret && record.kind() == SettingKind::Config && !record.is_removal() {
                return Err(SettingError::IsSecret(record.key().to_owned()));
            }
        }
        if records.is_empty() {
            return Err(SettingError::Nothing);
        }
        self.check_room(records)
    }

    /// Whether there is room. What makes it less is always allowed.
    fn check_room(&self, records: &[Arc<Setting>]) -> Result<(), SettingError> {
        let before: BTreeMap<SettingName, &Arc<Setting>> =
            self.newest().map(|it| (it.name(), it)).collect();
        let mut after = before.clone();
        after.extend(records.iter().map(|it| (it.name(), it)));
        let live = |all: &BTreeMap<SettingName, &Arc<Setting>>| {
            let live = all.values().filter(|it| !it.is_removal());
            live.fold((0, 0), |(count, bytes), it| (count + 1, bytes + it.size()))
        };
        let ((count, bytes), (count_after, bytes_after)) = (live(&before), live(&after));
        if count_after > LIVE_MAX.max(count) {
            return Err(SettingError::TooMany(count_after));
        }
        if bytes_after > LIVE_BYTES_MAX.max(bytes) {
            return Err(SettingError::TooLarge(bytes_after));
        }
        if after.len() > NAMES_MAX.max(before.len()) {
            return Err(SettingError::TooManyNames(after.len()));
        }
        Ok(())
    }

    /// Whether these records, signed or not, can be taken in as a change of this node. `latest`: the
    /// latest time that a record may have.
    pub(super) fn check(&self, records: &[Arc<Setting>], latest: Hlc) -> Result<(), SettingError> {
        for record in records {
            match self.accept(record) {
                Ok(()) => {}
                Err(Unaccepted::Unsigned) => return Err(SettingError::Unsigned),
                Err(why) => return Err(SettingError::Unaccepted(why)),
            }
            if record.at() > latest {
                return Err(SettingError::Ahead(record.key().to_owned()));
            }
            if record.lacks_value() {
                let why = "it sets a value that it does not have";
                return Err(SettingReadError::Contradiction(why).into());
            }
            SettingChange {
                kind: record.kind(),
                key: record.key().to_owned(),
                value: record.value().map(str::to_owned),
            }
            .check()?;
        }
        self.check_change(records)
    }
}
