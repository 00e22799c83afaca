//! What must hold in every run, whatever happens in it, and how violations are found. The network, its log
//! and the ledger of its faults flow in; violations flow out.
//!
//! | invariant | checked |
//! |---|---|
//! | views converge to the truth: name, run and release | at the end, [`diverged`] |
//! | views converge in time | at the end, [`CONVERGE`] |
//! | nobody is declared down without a fault that explains it | at every entry of the log, [`unexplained`] |
//! | no node gives up a name that only it has | at every entry of the log, [`unexplained`] |
//! | nothing changes any more once views have converged | at the end, [`unexplained`] |
//! | nodes know the same releases, and serve the target | at the end, `agreement` |
//! | nodes know the same settings, and the newest of each name | at the end, `settings` |
//! | no (boot, sequence) is accepted twice | at every datagram, `audit` |
//! | a datagram that must be refused changes nothing | at every datagram, `audit` |
//! | a node sends no more than its bound, and less at rest | at the end, [`noisy`] |
//! | a node keeps no more than its bound | after every operation, [`grown`] |

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::{Boot, Digest, DownReason, Effect, NodeId, NodeName, Sizes, Time};

use super::agreement::Disagreement;
use super::ledger::Ledger;
use super::{Harmless, Lan, LogEntry};

/// How long views may take to converge after all faults have ended: the longest pause between two attempts
/// to join, and the time of a probation.
pub const CONVERGE: Duration = Duration::from_secs(15);

/// How many bytes one node of a small cluster may send at any time, and how many more each second.
pub const BYTES_AT_ONCE: u64 = 64 * 1024;
/// See [`BYTES_AT_ONCE`].
pub const BYTES_PER_SECOND: u64 = 3 * 1024;

/// How many bytes it may send each second once all nodes agree.
pub const BYTES_AT_REST: u64 = 2 * 1024;

/// The most sources of refused datagrams that a node tells apart, including the one that stands for all
/// others.
pub const SOURCES: usize = 257;

/// The most boot numbers of its own that a node keeps.
pub const BOOTS: usize = 64;

/// An invariant that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A node does not list exactly the nodes that are there.
    Diverged {
        /// The machine of the node.
        machine: usize,
        /// The members that it lists.
        lists: BTreeSet<Shown>,
        /// The members that it should list.
        truth: BTreeSet<Shown>,
    },
    /// Views converged, but it took too long.
    Late {
        /// The limit.
        within: Duration,
    },
    /// Nodes do not agree on releases or settings, or serve what they should not.
    Disagreed {
        /// The machine of a node that shows it.
        machine: usize,
        /// How they disagree.
        how: Disagreement,
    },
    /// A node was declared down although it had no fault.
    FalseDown {
        /// When it was declared down.
        at: Time,
        /// The node that declared it.
        by: usize,
        /// The node that was declared down.
        of: NodeName,
        /// The reason that was given.
        reason: DownReason,
    },
    /// A node gave up its name although no other node had it.
    NameLost {
        /// When it did.
        at: Time,
        /// The machine of the node.
        machine: usize,
    },
    /// A view changed although all nodes had agreed.
    Restless {
        /// When it changed.
        at: Time,
        /// The machine with the view.
        machine: usize,
        /// The change.
        effect: String,
    },
    /// A datagram was accepted twice.
    Twice {
        /// When it was accepted again.
        at: Time,
        /// The receiver.
        machine: usize,
        /// The sender.
        source: NodeId,
        /// The sender's run.
        boot: Boot,
        /// The sequence number.
        sequence: u64,
    },
    /// A datagram changed something although it must not.
    Changed {
        /// When it did.
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
        /// The machine of the node.
        machine: usize,
        /// How many bytes it sent.
        bytes: u64,
        /// The time in which it sent them.
        within: Duration,
    },
    /// A node keeps more than its bound.
    Grown {
        /// When this was found.
        at: Time,
        /// The machine of the node.
        machine: usize,
        /// The sizes of its tables.
        sizes: Sizes,
    },
}

/// The parts of a member on which views must agree.
pub type Shown = (NodeName, Boot, Option<Digest>);

/// The members that the node on this machine lists.
pub fn lists(lan: &Lan, machine: usize) -> BTreeSet<Shown> {
    let node = lan.machines[machine].node.as_ref();
    let view = node.map(|node| node.view()).unwrap_or_default();
    let members = view.members.iter();
    members
        .map(|member| (member.name.clone(), member.boot, member.component()))
        .collect()
}

/// The nodes on these machines that are there, each as it sees itself.
pub fn truth(lan: &Lan, machines: usize) -> BTreeSet<Shown> {
    let live = (0..machines).filter(|&machine| lan.machines[machine].node.is_some());
    let itself = |machine: usize| {
        let name = &lan.machines[machine].name;
        lists(lan, machine).into_iter().find(|(n, ..)| n == name)
    };
    live.filter_map(itself).collect()
}

/// The first of these machines whose node does not list exactly the nodes that are there.
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

/// What is wrong with a node's report, if anything is.
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

/// The facts of the scenario, by which reports are checked.
pub struct Facts<'a> {
    /// How many machines are nodes of the scenario: the first ones.
    pub machines: usize,
    /// The faults.
    pub ledger: &'a Ledger,
    /// The machines whose name another machine had at some time.
    pub shared: &'a BTreeSet<usize>,
    /// Whether all faults have ended and all views have converged.
    pub agreed: bool,
}

/// How many bytes a node has sent since the start, in datagrams and states.
pub fn sent(lan: &Lan, machine: usize) -> u64 {
    let its = &lan.machines[machine];
    its.sent.1 + its.synced.1
}

/// Whether a node has sent more bytes in this time than its bound.
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

/// Whether a node keeps more than it may with this number of cookie holders. It may keep as many releases,
/// votes and settings as were made.
pub fn grown(lan: &Lan, machine: usize, holders: usize, sources: usize) -> Option<Violation> {
    let sizes = lan.machines[machine].node.as_ref()?.sizes();
    let (releases, votes) = lan.made.counts();
    let nodes = [sizes.contacts, sizes.roster, sizes.swim, sizes.checks];
    let grown = nodes.into_iter().any(|size| size > holders)
        || sizes.sources > sources
        || sizes.boots > BOOTS
        || sizes.releases > releases
        || sizes.votes > votes
        || sizes.settings > lan.made_settings.count()
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
                    "machine {machine} is wrong about releases or settings, or another one is: {how:?}"
                )
            }
            Violation::Grown { at, machine, sizes } => {
                write!(f, "{at}: machine {machine} keeps too much: {sizes:?}")
            }
        }
    }
}

/// Writes what a machine lists but should not, and what it should list but does not.
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
