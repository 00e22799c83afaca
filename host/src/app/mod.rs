//! From the bytes of a component to the generation that serves.
//!
//! ```text
//! watch -> intake -> Loader: validate -> Generation -> Slot
//! ```
//!
//! Only [`validate`] builds a [`Generation`], and the [`Slot`] takes nothing
//! else: so whatever serves has been checked. Who loads one has [`Slot::room`]
//! for it first: so there are at most two.

mod ahead;
mod engine;
mod functions;
mod generation;
mod intake;
mod life;
mod loader;
mod places;
mod slot;
mod smoke;
mod tally;
mod validate;
mod watch;
mod whole;

pub use engine::{Runtime, RuntimeConfig, RuntimeError};
pub use generation::{Generation, Kind};
pub(crate) use intake::locate_in;
pub use intake::{IntakeError, LARGEST_APP, MAX_APP, NamedComponent, locate, read, read_up_to};
pub use life::{Alive, Life, Seat};
pub use loader::{Loader, Preparing, Ready, Swapped};
pub use places::Places;
pub use slot::{Draining, Room, Slot};
pub use smoke::Smoke;
pub use tally::{CallEnd, Tally};
pub(crate) use validate::one_line;
pub use validate::{Refusal, validate};
pub use watch::{Seen, WatchMode, WatchedFile};
