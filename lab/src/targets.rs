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
