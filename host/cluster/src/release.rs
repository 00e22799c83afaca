//! Release agreement: which component the nodes of a cluster serve, without a leader and
//! without a quorum. Records and votes flow in, from people, files and other nodes; the target
//! of this node flows out. Each set here only grows, up to a bound, and a pure function
//! computes the rest. So nodes that know the same agree, in whatever order they learnt it.
//!
//! `clock -> id -> record -> history`, then `votes -> target`. `draft` makes records, `mark`
//! decides what a changed file means, `set` holds it all, `stored` is its file, and `at_start`
//! tells what that file says before this node has heard anybody.

mod at_start;
mod check;
mod clock;
mod draft;
mod history;
mod id;
mod key;
mod listing;
mod mark;
mod news;
mod record;
mod set;
mod stored;
mod target;
#[cfg(test)]
mod tests;
mod votes;

pub use at_start::{AtStart, at_start};
pub use check::ReleaseError;
pub use clock::Hlc;
pub use id::{IdPrefix, IdPrefixError, ReleaseId, ReleaseKind, ReleaseStamp};
pub use key::{
    ClusterName, ClusterNameError, DeployKey, DeployKeyError, SIGNATURE_LEN, Unaccepted,
};
pub use listing::{Listed, ReleaseStatus};
pub use mark::{AppFile, PathId};
pub use record::{
    BAKE_MAX, BY_MAX, CANARIES_MAX, CHUNK, Component, NOTE_MAX, Parent, Plan, Release,
};
pub use target::{Target, VoteState};
pub use votes::Verdict;

pub use draft::{DraftError, Request, RollbackTo, What};
pub use news::News;
pub(crate) use stored::read_stored;
pub use stored::{STORED_MAX, StoredError, check_stored};

pub(crate) use clock::{Skew, ahead_of_members, beyond, median};
pub(crate) use history::HISTORY_MAX;
#[cfg(feature = "sim")]
pub(crate) use history::History;
pub(crate) use listing::listing;
#[cfg(test)]
pub(crate) use record::Parts;
pub(crate) use record::SIZE_MAX;
pub(crate) use set::{Learnt, ReleaseSet};
pub(crate) use votes::{Ballot, Vote};
