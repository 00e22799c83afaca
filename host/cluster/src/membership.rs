//! Who is a member: the roster, the failure detector, and what is made of the word of others.

pub(crate) mod check;
pub(crate) mod hearsay;
pub(crate) mod roster;
pub(crate) mod swim;

pub(crate) use self::check::{CheckStep, Checks, Hint};
pub(crate) use self::roster::{Roster, RosterEntry};
#[cfg(test)]
pub(crate) use self::swim::TableSwim;
pub(crate) use self::swim::{FocaSwim, Swim, SwimEvent, Update};
