//! The files that people name: components and cookies. How they are found and read, and what
//! the error says if that fails.

mod component;
pub mod cookie;
pub mod search;

pub(crate) use component::locate_in;
pub use component::{IntakeError, locate, read, read_up_to};
pub use search::AppFileSearch;
