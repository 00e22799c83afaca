//! Scenarios: a seed, a number of nodes, and a list of what happens to them,
//! as one line of text that can be printed, read back and made shorter.

use std::fmt;
use std::str::FromStr;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The most nodes that a scenario has.
pub const NODES_MAX: u8 = 16;

/// A run of a small cluster, wholly described. Its text is a list of words and
/// numbers, `seed 7; nodes 3; far 1; lossy; cut 2 1500; wait 4000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Of the network, and so of every node.
    pub seed: u64,
    /// How many nodes there are, from 1 to [`NODES_MAX`]. All are started at
    /// the beginning.
    pub nodes: u8,
    /// How many of these, the last ones, are each in a subnet of its own that
    /// no broadcast reaches, and join the first two. Less than `nodes`.
    pub far: u8,
    /// Whether one in a hundred datagrams is lost all the time, also when all
    /// faults have ended.
    pub lossy: bool,
    /// What happens, in this order.
    pub ops: Vec<Op>,
}

/// Declares the operations: their words, and from these how they are written
/// and read.
macro_rules! ops {
    ($($(#[$doc:meta])* $word:literal $op:ident($($field:ident: $type:ty),*))*) => {
        /// Something that happens, or begins: what is given a time lasts that
        /// long, in milliseconds, while the operations after it go on. Nodes
        /// are counted from 0, and from there again after the last.
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
    /// Nothing happens for so long.
    "wait" Wait(time: u32)
    /// The process ends at once.
    "kill" Kill(node: u8)
    /// A new process starts, if there is none.
    "start" Start(node: u8)
    /// The process ends at once, and a new one starts so much later.
    "restart" Restart(node: u8, time: u32)
    /// The process says that it leaves, and ends.
    "leave" Leave(node: u8)
    /// What the machine keeps of its earlier processes is lost.
    "wipe" Wipe(node: u8)
    /// The wall clock is off by so many milliseconds from now on.
    "clock" Clock(node: u8, off: i64)
    /// The process does not run for so long.
    "freeze" Freeze(node: u8, time: u32)
    /// The process runs for a moment about once a second, for so long.
    "starve" Starve(node: u8, time: u32)
    /// The machine hears nothing for so long.
    "deafen" Deafen(node: u8, time: u32)
    /// The machine is cut off for so long.
    "cut" Cut(node: u8, time: u32)
    /// Those whose bit is set and the others do not hear each other for so long.
    "part" Part(bits: u16, time: u32)
    /// So many in a thousand datagrams are lost for so long.
    "lose" Lose(share: u16, time: u32)
    /// So many in a thousand are lost from the one to the other for so long.
    "lose-between" LoseBetween(from: u8, to: u8, share: u16, time: u32)
    /// So many in a thousand datagrams come twice for so long.
    "double" Double(share: u16, time: u32)
    /// Datagrams take up to so many milliseconds, and overtake, for so long.
    "delay" Delay(most: u16, time: u32)
    /// The control channel does not work for so long.
    "no-control" NoControl(time: u32)
    /// Nobody notices the ends of processes for so long.
    "no-hints" NoHints(time: u32)
    /// The one is told, wrongly, that the other may be gone.
    "hint" Hint(node: u8, about: u8)
    /// The node serves another app.
    "serve" Serve(node: u8, app: u8)
    /// The node pushes an app.
    "push" Push(node: u8, app: u8)
    /// The node pushes an app, at first to one canary only.
    "stage" Stage(node: u8, app: u8, canary: u8)
    /// The app file of the node has changed to this app.
    "file" File(node: u8, app: u8)
    /// The node goes back to the app before.
    "rollback" Rollback(node: u8)
    /// The node votes for or against one of the newest releases.
    "vote" Vote(node: u8, back: u8, ok: bool)
    /// A second machine has the name of the node for so long, and gets what is
    /// sent to their IP if `true`.
    "twin" Twin(node: u8, time: u32, reached: bool)
    /// A machine with another cookie is there for so long.
    "alien" Alien(time: u32)
    /// A machine whose name has another IP is there for so long.
    "liar" Liar(time: u32)
    /// So many datagrams that the node could have had are sent to it again.
    "replay" Replay(node: u8, count: u16)
    /// So many datagrams that were for others are sent to the node.
    "misdirect" Misdirect(node: u8, count: u16)
    /// So many datagrams with a wrong tag are sent to the node.
    "forge" Forge(node: u8, count: u16)
    /// So many datagrams are sent to the node again, from other IPs.
    "spoof" Spoof(node: u8, count: u16)
    /// So many datagrams come to the node, each from another strange IP.
    "flood" Flood(node: u8, count: u16)
}

impl Op {
    /// How many kinds [`Op::of`] tells apart.
    pub const KINDS: u8 = 48;

    /// An operation made of four numbers: smaller ones make a simpler or a
    /// shorter one. So a generator of numbers is a generator of operations.
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
            _ => Op::Flood(one, count),
        }
    }
}

impl Scenario {
    /// The scenario that belongs to a seed: 2 to 7 nodes, up to 12 operations.
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
    /// It does not begin as one.
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
