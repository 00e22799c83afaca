//! How fast the cluster has to be, beside how fast the seed is: the one place
//! for these figures.

use std::time::Duration;

/// Tests demand a tenth of the speed, since they share their machine.
pub const SLACK: u32 = 10;

/// Port open until all list three.
pub const LISTED: Duration = Duration::from_millis(50);
/// Start of the third node until all list three: half a second, and the key
/// derivation.
pub const STARTED: Duration = Duration::from_millis(700);
/// Broadcasts pass again, or the link is up, until all list three.
pub const FOUND: Duration = Duration::from_millis(1200);
/// `kill -9` until the others list two.
pub const KILLED: Duration = Duration::from_millis(300);
/// Cable pulled, or node hung, until the others list two.
pub const SILENT: Duration = Duration::from_secs(3);
/// Cable plugged in, or node goes on, until all list three.
pub const HEALED: Duration = Duration::from_secs(3);
/// SIGTERM until the others list two.
pub const LEFT: Duration = Duration::from_millis(100);
/// One leave until the last of 1000 streams of one node was told.
pub const TOLD: Duration = Duration::from_millis(20);
/// 1000 streams opened at once until the last has its first event.
pub const OPENED: Duration = Duration::from_secs(1);
/// Memory of a node that does nothing.
pub const IDLE_BYTES: u64 = 40 << 20;

/// A LAN of many nodes falls into halves, or a cable is pulled, until each side
/// lists exactly itself.
pub const SPLIT: Duration = Duration::from_secs(6);
/// The halves are one LAN again until all list all.
pub const JOINED: Duration = Duration::from_secs(4);
/// A push, or a rollback, started until all three serve it.
pub const PUSHED: Duration = Duration::from_millis(500);
/// So many requests of a new release trapped that it is left, until the release
/// before serves everywhere.
pub const REVERTED: Duration = Duration::from_secs(2);

/// What an idle node may send, in bytes a second: what it may at 254 nodes.
pub const IDLE_SENT: f64 = 700.0;
/// What an idle node may receive, in bytes a second: what it may at 254 nodes.
pub const IDLE_RECEIVED: f64 = 50_000.0;
/// An answer of a node on which guests burn all processors.
pub const BESIDE: Duration = Duration::from_secs(1);
