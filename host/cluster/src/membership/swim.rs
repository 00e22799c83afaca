//! The failure detector, behind a trait: what membership asks of it, and what it reports.
//! `foca` is used in production; unit tests use `table`, which detects nothing by itself.

mod foca;
#[cfg(test)]
mod table;

use serde::{Deserialize, Serialize};

use crate::message::KnownRun;
use crate::run::Run;
use crate::{Boot, DownReason, NodeId, Time};

pub(crate) use self::foca::FocaSwim;
#[cfg(test)]
pub(crate) use self::table::TableSwim;

/// What is known of one node, in the form in which nodes pass it on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Update {
    pub(crate) run: Run,
    /// Counts how often the node has refuted a suspicion. For a run that is down it gives the
    /// reason.
    incarnation: u16,
    pub(crate) state: SwimState,
}

/// The states of SWIM. Down is final for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SwimState {
    Alive,
    Suspect,
    Down,
}

/// A run that is down has nothing more to refute, so the highest incarnations are free to carry
/// the reason in the gossip.
const LEFT: u16 = u16::MAX;
const REFUSED: u16 = u16::MAX - 1;

impl Update {
    /// A node that is said to be up.
    pub(crate) fn alive(run: Run) -> Self {
        Self {
            run,
            incarnation: 0,
            state: SwimState::Alive,
        }
    }

    /// A run that is down.
    pub(crate) fn down(run: Run, reason: DownReason) -> Self {
        let incarnation = match reason {
            DownReason::Left => LEFT,
            DownReason::Refused => REFUSED,
            DownReason::Failed => 0,
        };
        Self {
            run,
            incarnation,
            state: SwimState::Down,
        }
    }

    /// Why the run is down; none if it is not.
    pub(crate) fn down_reason(&self) -> Option<DownReason> {
        match (self.state, self.incarnation) {
            (SwimState::Alive | SwimState::Suspect, _) => None,
            (SwimState::Down, LEFT) => Some(DownReason::Left),
            (SwimState::Down, REFUSED) => Some(DownReason::Refused),
            (SwimState::Down, _) => Some(DownReason::Failed),
        }
    }
}

/// What the failure detector reports.
#[derive(Clone, Debug)]
pub(crate) enum SwimEvent {
    /// Send this to the node.
    Send { to: Run, bytes: Vec<u8> },
    /// A node that was not up is up.
    Up(Run),
    /// Another run has taken the place of one. Whether it is up is unchanged, or a later event
    /// says it.
    Replaced { old: Run, new: Run },
    /// A node that was up is down.
    Down(Run, DownReason),
    /// The others count this run as down, so it needs a new boot number.
    Defunct,
}

/// The datagram cannot be read, or does not come from the node that it names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// A failure detector that spreads what it knows. It takes time and bytes; [`Swim::poll`]
/// returns what it wants.
pub(crate) trait Swim: Send {
    /// When to call [`Swim::timer`] next.
    fn due(&self) -> Option<Time>;

    /// Does what is due. A run that was `heard` just now is not declared down.
    fn timer(&mut self, now: Time, heard: &dyn Fn(&Run) -> bool);

    /// Takes in a datagram of a member. It takes only those updates that `believes` lets pass.
    fn packet(
        &mut self,
        now: Time,
        from: (NodeId, Boot),
        bytes: &[u8],
        believes: &mut dyn FnMut(&Update) -> bool,
    ) -> Result<(), Unreadable>;

    /// Takes in updates that came another way, and spreads those that are new.
    fn learn(&mut self, now: Time, updates: Vec<Update>);

    /// Continues as this run of the own node.
    fn rejoin(&mut self, now: Time, me: Run);

    /// Asks a node for the members that it knows.
    fn announce(&mut self, now: Time, to: Run);

    /// All that is known, including runs that are down.
    fn updates(&self) -> Vec<Update>;

    /// How many nodes are known.
    fn len(&self) -> usize;

    /// The latest run that is known of a node.
    fn known(&self, id: NodeId) -> Option<KnownRun>;

    /// What it wants done or has found out.
    fn poll(&mut self) -> Option<SwimEvent>;
}
