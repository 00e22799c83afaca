//! The priority of threads whose work can wait.

/// How far threads whose work can wait are behind those that serve.
const PATIENT: i32 = 10;

/// Puts the calling thread behind the others of this process, and of this
/// machine if those have no other priority.
pub(crate) fn lower_thread_priority() {
    // To be nicer is never refused; were it, the thread would have its fair share.
    let _ = rustix::process::nice(PATIENT);
}
