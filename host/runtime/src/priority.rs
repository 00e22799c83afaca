//! The priority of threads whose work can wait.

/// The nice value of threads whose work can wait.
const PATIENT: i32 = 10;

/// Gives the calling thread a lower priority than the other threads of this
/// process, and than those of this machine that have the usual priority.
pub(crate) fn lower_thread_priority() {
    // Lowering the own priority is never refused. If it were, the thread would
    // have its fair share.
    let _ = rustix::process::nice(PATIENT);
}
