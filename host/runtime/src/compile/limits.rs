//! What compiling one component may take.

use std::time::Duration;

use crate::capacity::MachineLimits;

/// The part of the machine's memory that one compilation may take, unless a flag says
/// otherwise. Four can run at a time, though hardly ever do; if memory runs out then, the
/// kernel kills one of them, and it is tried again.
const PART: u64 = 2;
/// The least and the most memory that follow from the machine's, in bytes: 640 MiB and 2 GiB.
/// JavaScript and Python apps (12 and 20 MiB, most of it an interpreter) need about 500 MiB.
const LEAST: u64 = 640 << 20;
const MOST: u64 = 2 << 30;
/// Of a small machine it leaves a quarter to the node, in any case.
const NODE_PART: u64 = 4;
/// The part of that memory that the compiled code itself may have. The node maps it.
const CODE_PART: u64 = 4;
/// The part of it that compiled functions may have which a worker keeps: 40 to 128 MiB. Those of
/// an app in JavaScript or Python have 35 to 40 MiB, and a change of the app compiles few of them.
const FUNCTIONS_PART: u64 = 16;
/// The part of it, in tenths, that a worker may still hold when it waits for more work: 192 to
/// 614 MiB. After such an app it holds about 400 MiB, as memory in small pieces does not go back to
/// the system.
const WAITING_TENTHS: u64 = 3;
/// How much longer than its processor time a compilation may take on the clock. The
/// compiler has a low priority, so on a busy machine it waits a lot.
const WALL: u32 = 5;
/// The least time on the clock, whatever the processor time.
const WALL_LEAST: Duration = Duration::from_secs(120);

/// How much room the functions have that a worker keeps whose memory has this limit, in bytes.
pub(super) fn functions(memory: u64) -> u64 {
    memory / FUNCTIONS_PART
}

/// What compiling one component may take, in the process that does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Memory, in bytes.
    pub memory: u64,
    /// Processor time, of all processors together. It is counted in whole seconds.
    pub cpu: Duration,
}

impl CompileLimits {
    /// The limits on this machine: the memory follows from what the machine has, or
    /// the control group of this process.
    pub fn of_this_machine(cpu: Duration) -> CompileLimits {
        Self::of_machine(MachineLimits::look().memory, cpu)
    }

    /// The limits on a machine with so many bytes of memory.
    pub fn of_machine(memory: u64, cpu: Duration) -> CompileLimits {
        CompileLimits {
            memory: (memory / PART)
                .clamp(LEAST, MOST)
                .min(memory / NODE_PART * (NODE_PART - 1)),
            cpu,
        }
    }

    /// How large compiled code may be, in bytes.
    pub(super) fn code(&self) -> u64 {
        self.memory / CODE_PART
    }

    /// How much memory a worker may hold while it waits for more, in bytes.
    pub(super) fn waiting(&self) -> u64 {
        self.memory / 10 * WAITING_TENTHS
    }

    /// How long it may take on the clock.
    pub(super) fn wall(&self) -> Duration {
        (self.cpu * WALL).max(WALL_LEAST)
    }

    /// The processor time in whole seconds, at least one.
    pub(super) fn cpu_seconds(&self) -> u64 {
        self.cpu.as_secs().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_follows_from_what_the_machine_has() {
        let of = |mib: u64| CompileLimits::of_machine(mib << 20, Duration::ZERO).memory >> 20;
        let machines = [512, 1024, 2048, 3072, 65_536];
        assert_eq!(machines.map(of), [384, 640, 1024, 1536, 2048]);
    }

    #[test]
    fn the_compiler_and_the_node_together_get_no_more_than_there_is() {
        for mib in [128, 512, 1024, 2048, 8192, 65_536] {
            let (mappings, memory) = (65_530, mib << 20);
            let compiling = CompileLimits::of_machine(memory, Duration::ZERO).memory;
            let machine = MachineLimits { mappings, memory };
            let node = machine.budget_beside(compiling);
            assert!(
                node + compiling <= memory,
                "{node} and {compiling} of {memory}"
            );
        }
    }
}
