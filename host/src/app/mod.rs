//! From the bytes of a component to the generation that serves.
//!
//! ```text
//! intake -> validate -> Generation -> Slot
//! ```
//!
//! Only [`validate`] builds a [`Generation`], and the [`Slot`] takes nothing
//! else: so whatever serves has been checked.

mod engine;
mod generation;
mod intake;
mod slot;
mod validate;

pub use engine::{Runtime, RuntimeConfig, RuntimeError};
pub use generation::{Generation, Kind};
pub use intake::{AppBytes, IntakeError, MAX_APP, locate, read};
pub use slot::Slot;
pub(crate) use validate::one_line;
pub use validate::{Refusal, validate};
