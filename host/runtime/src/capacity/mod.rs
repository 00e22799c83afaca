//! What a call gets of this machine: a place for its instance, memory, and its turn on a processor.
//!
//! ```text
//! MachineLimits -> PlaceLimits -> InstancePlaces (who has an instance) -> Meter (what it uses, and whose turn it is)
//! ```
//!
//! What is missing here is the machine's trouble, and never a fault of the app.

mod client;
mod machine;
mod memory;
mod meter;
mod places;
mod slow_lane;

pub(crate) use client::ClientSide;
pub use machine::{MachineLimits, PlaceLimits};
pub(crate) use memory::Resident;
pub use meter::Meter;
pub(crate) use meter::{CallEnded, CallTimes, Metered, SharedMeter, TICK};
pub(crate) use places::{Class, PATIENCE, Place, SizeOf, TABLES_OF_A_PLACE};
pub use places::{InstancePlaces, NoPlace, PlacesNow, TurnedAway};
pub use slow_lane::SlowLane;
