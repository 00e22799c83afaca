//! Why a component was not compiled, and what to do.

use std::process::ExitStatus;
use std::time::Duration;

/// Why a component was not compiled.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CompileError {
    /// The compiler does not take it, and says why in one line.
    #[error("{0}")]
    Refused(String),
    /// It needs too much memory.
    #[error(
        "compiling its {} takes more than the {} of memory that it may take here \
         (reached after {:.1} s); split its largest functions, or raise --compile-memory",
        mib(*component), mib(*limit), after.as_secs_f32()
    )]
    Memory {
        /// The limit, in bytes.
        limit: u64,
        /// How long it took to get there.
        after: Duration,
        /// The size of the component, in bytes.
        component: u64,
    },
    /// It needs too much processor time.
    #[error(
        "compiling it takes more than the {} s of processor time that it may take here; \
         split its largest functions, or raise --compile-time",
        limit.as_secs()
    )]
    Cpu {
        /// The limit.
        limit: Duration,
    },
    /// Its compiled code is too large.
    #[error(
        "its compiled code has {}, more than the {} that it may have here, which is a quarter of \
         --compile-memory ({}); make it smaller, or raise --compile-memory",
        mib(*size), mib(*limit), mib(*memory)
    )]
    Code {
        /// The size of the code, in bytes.
        size: u64,
        /// The limit, in bytes.
        limit: u64,
        /// The limit of memory, in bytes.
        memory: u64,
    },
    /// The compiler failed on it.
    #[error("the compiler failed on it ({0}); please report this, with the component")]
    Crashed(String),
    /// The process that compiled it was killed, again and again.
    #[error(
        "the process that compiles was killed {times} times ({status}), as the kernel does when memory \
         runs out; see that this machine has memory to spare"
    )]
    Killed {
        /// How often.
        times: usize,
        /// How it ended the last time.
        status: ExitStatus,
    },
    /// It took too long on the clock, though not too much processor time.
    #[error(
        "compiling it was not done after {} s, in which it got too little processor time: \
         this machine has too much else to do",
        limit.as_secs()
    )]
    Slow {
        /// The limit.
        limit: Duration,
    },
    /// There is no process that compiles.
    #[error("{0}")]
    Trouble(String),
}

impl CompileError {
    /// Whether the cause is in this machine alone, so that it says nothing about the
    /// component, and a later attempt may succeed.
    pub fn is_local(&self) -> bool {
        match self {
            CompileError::Killed { .. } | CompileError::Slow { .. } | CompileError::Trouble(_) => {
                true
            }
            CompileError::Refused(_)
            | CompileError::Memory { .. }
            | CompileError::Cpu { .. }
            | CompileError::Code { .. }
            | CompileError::Crashed(_) => false,
        }
    }
}

/// A size as people read it.
fn mib(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{} MiB", bytes >> 20),
    }
}
