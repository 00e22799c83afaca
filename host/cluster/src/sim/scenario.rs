//! Scenarios: a seed, a number of nodes, and a list of operations, as one line of text that can
//! be printed, read back and made shorter.

use std::fmt;
use std::str::FromStr;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The most nodes that a scenario has.
pub const NODES_MAX: u8 = 16;

/// A complete description of a run of a small cluster. Its text is a list of words and numbers,
/// `seed 7; nodes 3; far 1; lossy; cut 2 1500; wait 4000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// The seed of the network, and so of every node.
    pub seed: u64,
    /// How many nodes there are, from 1 to [`NODES_MAX`]. All are started at
    /// the beginning.
    pub nodes: u8,
    /// How many of the nodes are far: the last ones. Each is in a subnet of its own that no
    /// broadcast reaches, and joins the first two. Less than `nodes`.
    pub far: u8,
    /// Whether one in a hundred datagrams is always lost, even after all faults have ended.
    pub lossy: bool,
    /// The operations, in order.
    pub ops: Vec<Op>,
}

/// Declares the operations: their words, and from these how they are written and read.
macro_rules! ops {
    ($($(#[$doc:meta])* $word:literal $op:ident($($field:ident: $type:ty),*))*) => {
        /// An operation. One with a time lasts that long, in milliseconds, while the next
        /// operations go on. Nodes are counted from 0; numbers beyond the last node start again
        /// at 0.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Op {
            $($(#[$doc])* $op($($type),*),)*
        }

        impl fmt::Display for Op {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Op::$op($($field),*) => {
                        f.write_str($word)?;
                        $(write!(f, " {}", $field)?;)*
                        Ok(())
                    })*
                }
            }
        }

        fn read<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<Op> {
            let op = match words.next()? {
                $($word => Op::$op($(words.next()?.parse::<$type>().ok()?),*),)*
                _ => return None,
            };
            words.next().is_none().then_some(op)
        }
    };
}

ops! {
    /// Nothing happens for this time.
    "wait" Wait(time: u32)
    /// The process ends at once.
    "kill" Kill(node: u8)
    /// A new process starts, if there is none.
    "start" Start(node: u8)
    /// The process ends at once, and a new one starts after this time.
    "restart" Restart(node: u8, time: u32)
    /// The node leaves, and its process ends.
    "leave" Leave(node: u8)
    /// The machine loses what it keeps of its earlier processes.
    "wipe" Wipe(node: u8)
    /// From now on the wall clock is off by this many milliseconds.
    "clock" Clock(node: u8, off: i64)
    /// The process does not run for this time.
    "freeze" Freeze(node: u8, time: u32)
    /// For this time, the process runs only for a moment about once a second.
    "starve" Starve(node: u8, time: u32)
    /// The machine hears nothing for this time.
    "deafen" Deafen(node: u8, time: u32)
    /// The machine is cut off for this time.
    "cut" Cut(node: u8, time: u32)
    /// For this time, the nodes with their bit set and the other nodes do not hear each other.
    "part" Part(bits: u16, time: u32)
    /// For this time, this many in a thousand datagrams are lost.
    "lose" Lose(share: u16, time: u32)
    /// For this time, this many in a thousand datagrams from one node to another are lost.
    "lose-between" LoseBetween(from: u8, to: u8, share: u16, time: u32)
    /// For this time, this many in a thousand datagrams come twice.
    "double" Double(share: u16, time: u32)
    /// For this time, datagrams take up to this many milliseconds, and overtake each other.
    "delay" Delay(most: u16, time: u32)
    /// The control channel does not work for this time.
    "no-control" NoControl(time: u32)
    /// Nobody notices the end of a process for this time.
    "no-hints" NoHints(time: u32)
    /// One node is told, wrongly, that another may be gone.
    "hint" Hint(node: u8, about: u8)
    /// The node serves another component.
    "serve" Serve(node: u8, app: u8)
    /// The node pushes a component.
    "push" Push(node: u8, app: u8)
    /// The node pushes a component, at first to one canary only.
    "stage" Stage(node: u8, app: u8, canary: u8)
    /// The app file of the node has changed to this component.
    "file" File(node: u8, app: u8)
    /// The node goes back to the component before.
    "rollback" Rollback(node: u8)
    /// The node votes for or against one of the newest releases.
    "vote" Vote(node: u8, back: u8, ok: bool)
    /// Somebody sets one of a few settings on the node.
    "set" Set(node: u8, key: u8, value: u8)
    /// Somebody removes it there.
    "unset" Unset(node: u8, key: u8)
    /// A second machine has the name of the node for this time. If `true`, it gets the
    /// datagrams to their IP.
    "twin" Twin(node: u8, time: u32, reached: bool)
    /// A machine with another cookie is there for this time.
    "alien" Alien(time: u32)
    /// A machine whose name has another IP is there for this time.
    "liar" Liar(time: u32)
    /// This many datagrams that the node could have had are sent to it again.
    "replay" Replay(node: u8, count: u16)
    /// This many datagrams to other nodes are sent to the node.
    "misdirect" Misdirect(node: u8, count: u16)
    /// This many datagrams with a wrong tag are sent to the node.
    "forge" Forge(node: u8, count: u16)
    /// This many datagrams are sent to the node again, from other IPs.
    "spoof" Spoof(node: u8, count: u16)
    /// This many datagrams come to the node, each from a different unknown IP.
    "flood" Flood(node: u8, count: u16)
}

impl Op {
    /// How many kinds [`Op::of`] tells apart.
    pub const KINDS: u8 = 51;

    /// An operation made from four numbers. Smaller numbers make a simpler or shorter one. So a
    /// generator of numbers is a generator of operations.
    pub fn of(kind: u8, one: u8, other: u8, amount: u16) -> Op {
        let amount = amount % 1000;
        let time = u32::from(amount) * 10;
        let count = amount / 8;
        match kind % Self::KINDS {
            0..8 => Op::Wait(time),
            8 | 9 => Op::Kill(one),
            10..13 => Op::Start(one),
            13 | 14 => Op::Restart(one, time / 4),
            15 => Op::Leave(one),
            16 => Op::Wipe(one),
            17 => Op::Clock(one, (i64::from(other) - 128) * i64::from(amount) * 1000),
            18 | 19 => Op::Freeze(one, time),
            20 => Op::Starve(one, time),
            21 => Op::Deafen(one, time),
            22 | 23 => Op::Cut(one, time),
            24 | 25 => Op::Part(other.into(), time),
            26 => Op::Lose(u16::from(other) * 2, time),
            27 | 28 => Op::LoseBetween(one, other, 100 + amount % 901, time),
            29 => Op::Double(u16::from(other) * 3, time),
            30 => Op::Delay(u16::from(other) / 4, time),
            31 if other < 128 => Op::NoControl(time),
            31 => Op::NoHints(time),
            32 => Op::Hint(one, other),
            33 => Op::Serve(one, other),
            34 => Op::Twin(one, time, other.is_multiple_of(2)),
            35 if other < 128 => Op::Alien(time),
            35 => Op::Liar(time),
            36 => Op::Replay(one, count),
            37 => Op::Misdirect(one, count),
            38 if other < 128 => Op::Forge(one, count),
            38 => Op::Spoof(one, count),
            39 | 40 => Op::Push(one, other),
            41 => Op::Stage(one, other, other / 6),
            42 | 43 => Op::File(one, other),
            44 => Op::Rollback(one),
            45 | 46 => Op::Vote(one, other / 2, other.is_multiple_of(2)),
            47 | 48 => Op::Set(one, other % 4, other),
            49 => Op::Unset(one, other % 4),
            _ => Op::Flood(one, count),
        }
    }
}

impl Scenario {
    /// The scenario of a seed: 2 to 7 nodes, up to 12 operations.
    pub fn random(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let nodes = rng.random_range(2..8);
        let far = match rng.random_range(0..4) {
            0 => rng.random_range(1..nodes),
            _ => 0,
        };
        let count = rng.random_range(1..13);
        let mut op = || {
            let (one, other) = (rng.random_range(0..nodes), rng.random());
            Op::of(
                rng.random_range(0..Op::KINDS),
                one,
                other,
                rng.random_range(0..1000),
            )
        };
        let ops = (0..count).map(|_| op()).collect();
        Self {
            seed,
            nodes,
            far,
            lossy: rng.random(),
            ops,
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}; nodes {}; far {}",
            self.seed, self.nodes, self.far
        )?;
        if self.lossy {
            f.write_str("; lossy")?;
        }
        self.ops.iter().try_for_each(|op| write!(f, "; {op}"))
    }
}

/// Why a text is no scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// It does not begin like a scenario.
    #[error("a scenario begins with: seed N; nodes N; far N (nodes up to {NODES_MAX}, far fewer)")]
    Head,
    /// An operation cannot be read.
    #[error("no operation: {0}")]
    Op(String),
}

impl FromStr for Scenario {
    type Err = ScenarioError;

    fn from_str(text: &str) -> Result<Self, ScenarioError> {
        let mut parts = text.split(';').map(str::trim).peekable();
        let mut number = |word: &str| {
            let rest = parts.next()?.strip_prefix(word)?;
            rest.trim().parse::<u64>().ok()
        };
        let (Some(seed), Some(nodes), Some(far)) =
            (number("seed "), number("nodes "), number("far "))
        else {
            return Err(ScenarioError::Head);
        };
        if nodes > NODES_MAX.into() || far >= nodes {
            return Err(ScenarioError::Head);
        }
        let lossy = parts.next_if_eq(&"lossy").is_some();
        let op = |part: &str| {
            read(part.split_whitespace()).ok_or_else(|| ScenarioError::Op(part.to_owned()))
        };
        Ok(Self {
            seed,
            nodes: nodes as u8,
            far: far as u8,
            lossy,
            ops: parts.map(op).collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_scenario_is_read_back_as_it_was_written() {
        for seed in 0..500 {
            let scenario = Scenario::random(seed);
            assert_eq!(scenario.to_string().parse(), Ok(scenario));
        }
    }

    #[test]
    fn what_is_no_scenario_is_refused_with_what_is_wrong() {
        let read = |text: &str| text.parse::<Scenario>().map(|_| ());
        assert_eq!(read("seed 1; nodes 3; far 0"), Ok(()));
        assert_eq!(read("seed 1; nodes 3; far 3"), Err(ScenarioError::Head));
        assert_eq!(read("seed 1; nodes 99; far 0"), Err(ScenarioError::Head));
        assert_eq!(read("kill 1"), Err(ScenarioError::Head));
        for op in ["kill", "kill 1 2", "kill x", "murder 1"] {
            let wrong = read(&format!("seed 1; nodes 3; far 0; {op}"));
            assert_eq!(wrong, Err(ScenarioError::Op(op.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn every_operation_is_read_back_as_it_was_written(
            kind: u8, one: u8, other: u8, amount: u16,
        ) {
            let op = Op::of(kind, one, other, amount);
            prop_assert_eq!(read(op.to_string().split_whitespace()), Some(op));
        }
    }
}
