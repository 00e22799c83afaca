//! What people set for an app: config, secrets, the servers that it may reach, and schedules.
//! Changes flow in, from people and from other nodes; [`Settings`], what is set now, flows out.
//!
//! Each change is a [`Setting`]: a record of which name got which value, when, where and by whom. The
//! newest record of a name counts. So nodes that know the same records agree, in whatever order
//! they learnt them. There is no leader, and a minority goes on working.
//!
//! `record -> set -> snapshot`. `draft` makes records, `stored` is the file of them, `shared` is
//! the part of a node that holds them, `replicated` how members exchange them.

mod draft;
mod kind;
mod lines;
mod record;
mod replicated;
mod set;
mod shared;
mod snapshot;
mod stored;
#[cfg(test)]
mod tests;

pub use draft::{SettingChange, SettingError};
pub use kind::{SettingKind, is_environment_name};
pub use lines::{ConfigLines, ConfigLinesError};
pub use record::{Setting, SettingParts, SettingReadError};
pub use set::{LIVE_BYTES_MAX, LIVE_MAX, PAST_MAX};
pub use shared::SettingNews;
pub use snapshot::Settings;
pub use stored::{SETTINGS_STORED_MAX, check_settings};

pub(crate) use replicated::SettingData;
pub(crate) use shared::SharedSettings;
