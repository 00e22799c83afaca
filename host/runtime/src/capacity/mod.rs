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

pub(crate) use client::ClientSide;
pub use machine::{MachineLimits, PlaceLimits};
pub(crate) use memory::Resident;
pub(crate) use meter::{CallEnded, Metered, TICK, Times};
pub use meter::{Meter, SlowLane};
pub(crate) use places::{Class, PATIENCE, Place, SizeOf, TABLES_OF_A_PLACE};
pub use places::{InstancePlaces, NoPlace, PlacesNow, TurnedAway};
