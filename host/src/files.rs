//! The files that people name: components and cookies. How they are found and read, and what is
//! said of one that cannot be.

mod component;
pub mod cookie;
pub mod search;

pub(crate) use component::locate_in;
pub use component::{IntakeError, locate, read, read_up_to};
pub use search::AppFileSearch;
