//! The priority of threads whose work can wait.

/// How much is added to the nice value of threads whose work can wait.
const PATIENT: i32 = 10;

/// Lowers the priority of the calling thread, so that threads with the usual
/// priority go first.
pub(crate) fn lower_thread_priority() {
    // Lowering the own priority is never refused. If it were, the thread would
    // have its fair share.
    let _ = rustix::process::nice(PATIENT);
}
