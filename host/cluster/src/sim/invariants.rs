//! What must hold of every run, whatever happens in it, and how it is found
//! that it does not. What flows in is the network, its log and the ledger of
//! its faults; what comes out are violations.
//!
//! | invariant | checked |
//! |---|---|
//! | views converge to the truth: name, run and release | at the end, [`diverged`] |
//! | they do so in time | at the end, [`CONVERGE`] |
//! | nobody is declared down without a fault that explains it | at every entry of the log, [`unexplained`] |
//! | nobody gives up its name who has it alone | at every entry of the log, [`unexplained`] |
//! | nothing changes any more once views have converged | at the end, [`unexplained`] |
//! | nodes know the same of releases, and serve what follows from it | at the end, `agreement` |
//! | no (boot, sequence) is accepted twice | at every datagram, `audit` |
//! | what must be refused changes nothing | at every datagram, `audit` |
//! | a node sends no more than its bound, and less at rest | at the end, [`noisy`] |
//! | a node keeps no more than its bound | after every operation, [`grown`] |

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::{Boot, Digest, DownReason, Effect, NodeId, NodeName, Sizes, Time};

use super::agreement::Disagreement;
use super::ledger::Ledger;
use super::{Harmless, Lan, LogEntry};

/// How long views may take to converge once all faults have ended: the longest
/// pause between two attempts to join, and what a probation takes.
pub const CONVERGE: Duration = Duration::from_secs(15);

/// What one node of a small cluster may send: so much whenever, and so much
/// each second, in bytes.
pub const BYTES_AT_ONCE: u64 = 64 * 1024;
/// See [`BYTES_AT_ONCE`].
pub const BYTES_PER_SECOND: u64 = 3 * 1024;

/// What it may send each second once all have agreed, in bytes.
pub const BYTES_AT_REST: u64 = 2 * 1024;

/// How many sources of refused datagrams a node tells apart at most, the one
/// that stands for all others included.
pub const SOURCES: usize = 257;

/// How many boot numbers of its own a node keeps at most.
pub const BOOTS: usize = 64;

/// An invariant that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A node does not list exactly who is there.
    Diverged {
        /// The node that lists them.
        machine: usize,
        /// What it lists.
        lists: BTreeSet<Shown>,
        /// What it should list.
        truth: BTreeSet<Shown>,
    },
    /// Views converged, but it took too long.
    Late {
        /// How long they had.
        within: Duration,
    },
    /// Nodes do not agree on releases, or serve what they should not.
    Disagreed {
        /// A node that shows it.
        machine: usize,
        /// How.
        how: Disagreement,
    },
    /// A node was declared down that nothing was wrong with.
    FalseDown {
        /// When.
        at: Time,
        /// Who says so.
        by: usize,
        /// Of whom.
        of: NodeName,
        /// Why, as it says.
        reason: DownReason,
    },
    /// A node gave up its name although it had it alone.
    NameLost {
        /// When.
        at: Time,
        /// Which one.
        machine: usize,
    },
    /// A view changed although everyone had agreed.
    Restless {
        /// When.
        at: Time,
        /// Whose view.
        machine: usize,
        /// The change.
        effect: String,
    },
    /// A datagram was taken in twice.
    Twice {
        /// When.
        at: Time,
        /// By whom.
        machine: usize,
        /// Of whom.
        source: NodeId,
        /// Its run.
        boot: Boot,
        /// Its number.
        sequence: u64,
    },
    /// A datagram changed something that must not.
    Changed {
        /// When.
        at: Time,
        /// Its receiver.
        machine: usize,
        /// Why it must not.
        why: Harmless,
        /// What it changed.
        lines: Vec<String>,
    },
    /// A node sent more than its bound.
    Noisy {
        /// Which one.
        machine: usize,
        /// How much.
        bytes: u64,
        /// In which time.
        within: Duration,
    },
    /// A node keeps more than its bound.
    Grown {
        /// When.
        at: Time,
        /// Which one.
        machine: usize,
        /// How much it keeps.
        sizes: Sizes,
    },
}

/// A member, as far as views must agree on it.
pub type Shown = (NodeName, Boot, Option<Digest>);

/// What the node on this machine lists.
pub fn lists(lan: &Lan, machine: usize) -> BTreeSet<Shown> {
    let node = lan.machines[machine].node.as_ref();
    let view = node.map(|node| node.view()).unwrap_or_default();
    let members = view.members.iter();
    members
        .map(|member| (member.name.clone(), member.boot, member.component()))
        .collect()
}

/// Who is there, of these machines: each as it sees itself.
pub fn truth(lan: &Lan, machines: usize) -> BTreeSet<Shown> {
    let live = (0..machines).filter(|&machine| lan.machines[machine].node.is_some());
    let itself = |machine: usize| {
        let name = &lan.machines[machine].name;
        lists(lan, machine).into_iter().find(|(n, ..)| n == name)
    };
    live.filter_map(itself).collect()
}

/// The first of these machines whose node does not list exactly who is there.
pub fn diverged(lan: &Lan, machines: usize) -> Option<Violation> {
    let truth = truth(lan, machines);
    let live = (0..machines).filter(|&machine| lan.machines[machine].node.is_some());
    live.map(|machine| (machine, lists(lan, machine)))
        .find(|(_, lists)| *lists != truth)
        .map(|(machine, lists)| Violation::Diverged {
            machine,
            lists,
            truth,
        })
}

/// What is wrong with something that a node reported, if anything is.
pub fn unexplained(lan: &Lan, entry: &LogEntry, facts: &Facts<'_>) -> Option<Violation> {
    let LogEntry { at, machine, .. } = *entry;
    match &entry.effect {
        Effect::Down { member, reason } => {
            let named = |one: &usize| lan.machines[*one].name == member.name;
            let of = (0..facts.machines).find(named);
            let explained = of.is_some_and(|of| facts.ledger.explains(at, machine, of));
            (!explained).then(|| Violation::FalseDown {
                at,
                by: machine,
                of: member.name.clone(),
                reason: *reason,
            })
        }
        Effect::NameTaken { .. } => {
            (!facts.shared.contains(&machine)).then_some(Violation::NameLost { at, machine })
        }
        effect @ (Effect::Up { .. } | Effect::StoreBoot(_)) if facts.agreed => {
            Some(Violation::Restless {
                at,
                machine,
                effect: format!("{effect:?}"),
            })
        }
        _ => None,
    }
}

/// What the scenario knows, by which a report is judged.
pub struct Facts<'a> {
    /// How many machines are the nodes of the scenario: the first ones.
    pub machines: usize,
    /// The faults.
    pub ledger: &'a Ledger,
    /// The machines whose name another one had at some time.
    pub shared: &'a BTreeSet<usize>,
    /// Whether all faults have ended and all views have converged.
    pub agreed: bool,
}

/// How many bytes a node has sent since the start, in datagrams and states.
pub fn sent(lan: &Lan, machine: usize) -> u64 {
    let its = &lan.machines[machine];
    its.sent.1 + its.synced.1
}

/// Whether a node has sent more than its bound: so many bytes in this time.
pub fn noisy(
    machine: usize,
    bytes: u64,
    within: Duration,
    at_once: u64,
    per_second: u64,
) -> Option<Violation> {
    let bound = at_once + per_second * within.as_secs();
    (bytes > bound).then_some(Violation::Noisy {
        machine,
        bytes,
        within,
    })
}

/// Whether a node keeps more than it may, where there are so many holders of
/// the cookie: of releases and votes as many as were made.
pub fn grown(lan: &Lan, machine: usize, holders: usize, sources: usize) -> Option<Violation> {
    let sizes = lan.machines[machine].node.as_ref()?.sizes();
    let (releases, votes) = lan.made.counts();
    let nodes = [sizes.contacts, sizes.roster, sizes.swim, sizes.checks];
    let grown = nodes.into_iter().any(|size| size > holders)
        || sizes.sources > sources
        || sizes.boots > BOOTS
        || sizes.releases > releases
        || sizes.votes > votes
        || sizes.effects > 0;
    grown.then_some(Violation::Grown {
        at: lan.now,
        machine,
        sizes,
    })
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Diverged {
                machine,
                lists,
                truth,
            } => write_difference(f, *machine, lists, truth),
            Violation::Late { within } => {
                write!(f, "views had not converged {within:?} after the last fault")
            }
            Violation::FalseDown { at, by, of, reason } => write!(
                f,
                "{at}: machine {by} declares {of} down ({reason}), and nothing explains it"
            ),
            Violation::NameLost { at, machine } => {
                write!(
                    f,
                    "{at}: machine {machine} gives up a name that it has alone"
                )
            }
            Violation::Restless {
                at,
                machine,
                effect,
            } => write!(
                f,
                "{at}: machine {machine} still reports after all have agreed: {effect}"
            ),
            Violation::Twice {
                at,
                machine,
                source,
                boot,
                sequence,
            } => write!(
                f,
                "{at}: machine {machine} takes datagram {sequence} of {source}, boot {boot}, twice"
            ),
            Violation::Changed {
                at,
                machine,
                why,
                lines,
            } => {
                write!(f, "{at}: {why} changes something in machine {machine}:")?;
                lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
            }
            Violation::Noisy {
                machine,
                bytes,
                within,
            } => write!(f, "machine {machine} sent {bytes} bytes in {within:?}"),
            Violation::Disagreed { machine, how } => {
                write!(
                    f,
                    "machine {machine} is wrong about releases, or another one is: {how:?}"
                )
            }
            Violation::Grown { at, machine, sizes } => {
                write!(f, "{at}: machine {machine} keeps too much: {sizes:?}")
            }
        }
    }
}

/// What a machine lists and should not, and the other way round.
fn write_difference(
    f: &mut fmt::Formatter<'_>,
    machine: usize,
    lists: &BTreeSet<Shown>,
    truth: &BTreeSet<Shown>,
) -> fmt::Result {
    write!(f, "machine {machine} does not list who is there:")?;
    let show = |(name, boot, release): &Shown| match release {
        Some(release) => format!("{name} {boot} {release}"),
        None => format!("{name} {boot}"),
    };
    for missing in truth.difference(lists) {
        write!(f, "\n  - {}", show(missing))?;
    }
    for wrong in lists.difference(truth) {
        write!(f, "\n  + {}", show(wrong))?;
    }
    Ok(())
}
