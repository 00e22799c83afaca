//! The priority of a thread.

/// What membership's thread asks for: before other programs' work, behind the
/// system's own.
const NICE: i32 = -10;

/// How far threads whose work can wait are behind those that serve.
const PATIENT: i32 = 10;

/// Puts the calling thread before the others of this machine, if the system
/// allows it (root, or `CAP_SYS_NICE`). Returns whether it did. Without it the
/// thread has its fair share, which is much more than it needs.
pub fn raise_thread_priority() -> bool {
    // No process id means the caller; and to Linux that is the thread.
    rustix::process::setpriority_process(None, NICE).is_ok()
}

/// Puts the calling thread behind the others of this process, and of this
/// machine if those have no other priority.
pub fn lower_thread_priority() {
    // To be nicer is never refused; were it, the thread would have its fair share.
    let _ = rustix::process::nice(PATIENT);
}
