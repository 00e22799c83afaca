//! Whether to believe what another node says of a third.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::admission::{CONTACTS_MAX, Contacts, HOLD};
use crate::membership::Roster;
use crate::membership::Update;
use crate::run::Run;
use crate::{Boot, Config, DownReason, Time};

/// While a suspect is heard so often, a suspicion that has run out waits until
/// it was asked once more.
pub(crate) const HEARD: Duration = Duration::from_secs(1);

/// Whoever was heard within this is not taken for down on another's word, so
/// one deaf node cannot take down the others. It is longer than the longest
/// pause between two beacons, or the word of a deaf node would count just
/// before the next one; and shorter than making sure of a silent member takes.
pub(crate) const HEARSAY: Duration = Duration::from_millis(1500);

/// Whether this very run may be there for all that this node can tell: it was
/// heard within so long, or sends no broadcasts that could be missed.
pub(crate) fn may_be_there(
    contacts: &Contacts,
    now: Time,
    ip: Ipv4Addr,
    boot: Boot,
    within: Duration,
) -> bool {
    let admitted = contacts
        .admitted(ip)
        .filter(|admitted| admitted.boot == boot);
    admitted.is_some_and(|it| it.broadcast.is_none() || now.since(it.heard) < within)
}

/// Whether this node makes sure itself when another one says that this run is
/// gone: it may be there for all that it can tell, or is up and was not heard
/// yet. Who speaks of that one may come from the other side of a cut.
pub(crate) fn doubtful(
    contacts: &Contacts,
    roster: &Roster,
    now: Time,
    ip: Ipv4Addr,
    boot: Boot,
) -> bool {
    let heard = contacts
        .admitted(ip)
        .is_some_and(|admitted| admitted.boot == boot);
    may_be_there(contacts, now, ip, boot, HEARSAY) || !heard && roster.is_up(ip, boot)
}

/// Filters the updates of one datagram.
pub(crate) struct HearsayFilter<'a> {
    now: Time,
    config: &'a Config,
    me: &'a Run,
    contacts: &'a Contacts,
    roster: &'a Roster,
    /// How many more nodes may become known.
    room: usize,
    /// The runs that were called down but may be there.
    pub(crate) doubts: Vec<(Ipv4Addr, Boot)>,
}

impl<'a> HearsayFilter<'a> {
    pub(crate) fn new(
        now: Time,
        config: &'a Config,
        me: &'a Run,
        contacts: &'a Contacts,
        roster: &'a Roster,
        known: usize,
    ) -> Self {
        let room = CONTACTS_MAX.saturating_sub(known);
        Self {
            now,
            config,
            me,
            contacts,
            roster,
            room,
            doubts: Vec::new(),
        }
    }

    /// Whether to take in this update.
    pub(crate) fn believes(&mut self, update: &Update) -> bool {
        let ip = update.run.ip();
        if ip == self.me.ip() {
            // Of this run, so that SWIM can refute it; not of earlier ones.
            return update.run == *self.me;
        }
        if !self.config.allows(ip) {
            return false;
        }
        if self.roster.get(ip).is_none() {
            if self.room == 0 {
                return false;
            }
            self.room -= 1;
        }
        match update.down_reason() {
            None => !self.second_run(&update.run),
            // Only the node itself says so, and it says it once.
            Some(DownReason::Left) => true,
            Some(DownReason::Failed | DownReason::Refused) => {
                let boot = update.run.boot;
                let doubtful = doubtful(self.contacts, self.roster, self.now, ip, boot);
                if doubtful && self.roster.is_up(ip, boot) {
                    self.doubts.push((ip, boot));
                }
                !doubtful
            }
        }
    }

    /// Whether another run of this node is there, so that this one has to prove
    /// itself here.
    fn second_run(&self, run: &Run) -> bool {
        self.contacts.admitted(run.ip()).is_some_and(|first| {
            run.boot > first.boot
                && run.process != first.process
                && self.now.since(first.heard) < HOLD
                && self.roster.is_up(run.ip(), first.boot)
        })
    }
}
