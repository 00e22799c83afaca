//! The core of discovery, membership, release agreement and settings, without IO: it takes time, bytes and
//! a seed, and returns effects. The host's membership thread drives it with
//! sockets and a clock; the tests drive a whole network of it in virtual time.
//!
//! [`Node`] is the state machine. An [`Input`] is something that happens to it, an [`Effect`] is
//! something that it wants done. A datagram goes `wire -> admission -> membership -> view`.

mod admission;
mod agreement;
mod app_name;
mod boot;
mod chance;
mod cidr;
mod component;
mod config;
mod cookie;
mod counts;
pub mod data;
mod digest;
#[cfg(test)]
mod documented;
pub mod egress;
pub mod fetch;
#[cfg(feature = "sim")]
pub mod fuzz;
mod hash;
mod http_url;
mod io;
mod keys;
mod me;
mod membership;
mod message;
mod name;
mod node;
mod node_id;
mod outbox;
mod presence;
pub mod release;
mod replicate;
mod replication;
mod run;
mod settings;
#[cfg(feature = "sim")]
pub mod sim;
mod stall;
mod sync;
mod time;
mod view;
mod wire;

pub use admission::{Counters, Refusal, RefusedDatagrams, RefusedRecords};
pub use app_name::{APP_NAME_MAX, AppName, AppNameError};
pub use boot::Boot;
pub use cidr::{Cidr, CidrError};
pub use component::{ComponentBuilder, ComponentBytes};
pub use config::{CLUSTER_PORT, Config, ConfigError};
pub use cookie::{COOKIE_MAX, Cookie, CookieError};
pub use counts::Counted;
pub use digest::{Digest, DigestError, short};
pub use egress::{Destination, EgressProtocol, EgressRule, EgressRuleError};
pub use http_url::{HTTP_URL_MAX, HttpUrl, HttpUrlError};
pub use io::{DownReason, Effect, Input, TakenEvidence, UpReason};
pub use keys::{KeyId, KeyIds, Keys, KeysError};
pub use name::{NAME_MAX, NameError, NodeName};
pub use node::Node;
#[cfg(feature = "sim")]
pub use node::Sizes;
pub use node_id::{NodeId, NodeIdError};
pub use settings::{
    ConfigLines, ConfigLinesError, LIVE_BYTES_MAX, LIVE_MAX, PAST_MAX, SETTINGS_STORED_MAX,
    Setting, SettingChange, SettingError, SettingKind, SettingNews, SettingParts, SettingReadError,
    Settings, check_settings, is_environment_name,
};
pub use sync::STATE_MAX;
pub use time::Time;
pub use view::{Member, Serving, View};
pub use wire::Version;

/// The largest datagram that is sent or accepted, in bytes. It fits an
/// Ethernet frame with room for a tunnel's header.
pub const DATAGRAM_MAX: usize = 1400;
