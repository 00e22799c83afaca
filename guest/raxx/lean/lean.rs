//! What a lean guest has instead of WASI: definitions of the symbols that the C
//! library and the standard library import, served by `ace:raxx/system`.
//!
//! `build.rs` of raxx compiles this into one object and bundles it. The linker
//! takes a symbol from it where it would else import one, and only that: what an
//! app does not use is neither in it nor imported. A normal module of raxx cannot
//! do it, because rustc exports each symbol with a name of its own from a `cdylib`.
//!
//! There are no files, no sockets, no arguments and no environment here. A
//! callback that sleeps or exits traps, and the log of the node says why.

#![no_std]

// `std_symbol!(random_get)` is the symbol under which the standard library of this
// toolchain imports it. Written by `build.rs`.
include!(concat!(env!("OUT_DIR"), "/std_symbols.rs"));

mod host;
#[cfg(target_env = "p1")]
mod p1;
#[cfg(target_env = "p2")]
mod p2;
#[cfg(target_env = "p2")]
mod p2_absent;
