//! The priority of a thread.

/// What membership's thread asks for: before other programs' work, behind the
/// system's own.
const NICE: i32 = -10;

/// Puts the calling thread before the others of this machine, if the system
/// allows it (root, or `CAP_SYS_NICE`). Returns whether it did. Without it the
/// thread has its fair share, which is much more than it needs.
pub fn raise_thread_priority() -> bool {
    // No process id means the caller; and to Linux that is the thread.
    rustix::process::setpriority_process(None, NICE).is_ok()
}
