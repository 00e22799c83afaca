//! The priority of a thread.

/// The priority that membership's thread asks for: before other programs, behind the system's
/// own work.
const NICE: i32 = -10;

/// Raises the priority of the calling thread above other programs, if the system allows it
/// (root, or `CAP_SYS_NICE`). Returns whether it did. Without it the thread has its fair share,
/// which is much more than it needs.
pub fn raise_thread_priority() -> bool {
    // Without a process id this means the caller, and to Linux that is the thread.
    rustix::process::setpriority_process(None, NICE).is_ok()
}
