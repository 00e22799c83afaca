//! Turns compiled code into a component that can run. This is the only module outside
//! of generated bindings that may contain `unsafe`.
#![allow(
    unsafe_code,
    reason = "the engine cannot check that bytes are its own machine code; an artefact says so by its digest"
)]

use wasmtime::Engine;
use wasmtime::component::Component;

use super::artefact::Artefact;

/// Maps an artefact. It fails if the artefact was made by another version of the
/// engine or with other settings, or if the pool of instances has no room for such a
/// component.
pub(super) fn map(engine: &Engine, artefact: &Artefact) -> wasmtime::Result<Component> {
    // SAFETY: the bytes must be what the compiler of this version has made, because
    // they are executed. An `Artefact` has bytes whose SHA-256 is the one that its maker
    // gave it. Its maker is a process that this one started from its own executable, or
    // an earlier run of the node, which wrote the file with its digest into a folder that
    // no other user may change. Bytes that were damaged on the way have another digest.
    // The engine itself refuses code of another version or with other settings.
    unsafe { Component::deserialize(engine, artefact.bytes()) }
}
