//! Components to change to.

use lab::components;

use crate::support::components::read_built;

/// The example guest, as `cargo component build` leaves it.
pub(crate) fn guest() -> Vec<u8> {
    read_built("guest")
}

/// Another component that does the same: a section that means nothing makes
/// its digest another one.
pub(crate) fn another(component: &[u8], number: usize) -> Vec<u8> {
    components::marked(component, &number.to_le_bytes())
}

/// The example guest with functions besides, so many bytes in all.
pub(crate) fn large(bytes: usize) -> Vec<u8> {
    components::with_code(&guest(), bytes, 0)
}
