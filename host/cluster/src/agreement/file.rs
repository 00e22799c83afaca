//! App files. The meaning of a changed file depends on what was decided, so a node that has
//! just started listens before it decides on it.

use std::time::Duration;

use super::rumours::Rumour;
use super::{Agreement, StoreWhen};
use crate::membership::Roster;
use crate::outbox::Outbox;
use crate::release::AppFile;
use crate::stall::Moment;

/// How long a node that has just started listens before it decides what its app file means, for
/// it may have missed what was decided about that file. The times are for any case, for a node
/// alone, and while members know other releases.
const LISTEN_LEAST: Duration = Duration::from_millis(500);
const LISTEN: Duration = Duration::from_secs(2);
const LISTEN_MOST: Duration = Duration::from_secs(10);

impl Agreement {
    /// An app file is there or has changed. Its meaning depends on what was decided, so a node
    /// that has just started first listens for that.
    pub(crate) fn see_file(
        &mut self,
        at: Moment<'_>,
        roster: &Roster,
        file: AppFile,
        out: &mut Outbox,
    ) {
        self.releases.see(&file);
        self.apply_releases(at.now, StoreWhen::First, out);
        self.file = Some(file);
        self.look_at_file(at, roster, out);
    }

    /// Decides what the waiting file means, if there is one, as soon as possible.
    pub(crate) fn look_at_file(&mut self, at: Moment<'_>, roster: &Roster, out: &mut Outbox) {
        if self.listens(at, roster) {
            return;
        }
        let Some(file) = self.file.take() else {
            return;
        };
        let ahead_ms = self.ahead_ms(at.clock, at.wall_ms, roster);
        self.take_own(at);
        let made = self.releases.file(file, at.wall_ms, ahead_ms);
        self.apply_releases(at.now, StoreWhen::First, out);
        if let Some(release) = made {
            self.rumours.tell(at, roster, Rumour::Record(release), out);
        }
    }

    /// Whether this node may not know yet what was decided before its start: it has heard
    /// nobody, or a member knows other releases.
    fn listens(&self, at: Moment<'_>, roster: &Roster) -> bool {
        let age = at.me.uptime(at.clock);
        let mut hashes = roster.others(at.me.id()).map(|run| {
            let told = self.members.get(&run.id());
            told.and_then(|told| told.hash)
        });
        match hashes.next() {
            _ if age < LISTEN_LEAST => true,
            None => age < LISTEN,
            Some(first) => {
                let differs = |hash| hash != Some(self.releases.hash());
                age < LISTEN_MOST && (differs(first) || hashes.any(differs))
            }
        }
    }
}
