//! The members as membership keeps them, the hash by which two nodes see that they know the
//! same, and the view for all readers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::hash::mix;
use crate::run::{Advertised, Run};
use crate::{Boot, Member, NodeId, Time, View};

/// How long a run that is down is remembered here: as long as SWIM remembers it.
const REMEMBER: Duration = Duration::from_secs(60 * 60);

/// What is known of a node that is or was a member.
#[derive(Debug)]
pub(crate) struct RosterEntry {
    pub(crate) run: Run,
    /// None until it is known.
    pub(crate) advertised: Option<Advertised>,
    pub(crate) since_ms: u64,
    /// When it went down; none while it is up.
    pub(crate) gone: Option<Time>,
}

impl RosterEntry {
    pub(crate) fn is_up(&self) -> bool {
        self.gone.is_none()
    }

    pub(crate) fn member(&self) -> Member {
        Member {
            name: self.run.name.clone(),
            boot: self.run.boot,
            url: self.run.url.clone(),
            since_ms: self.since_ms,
            serving: self.advertised.as_ref().and_then(|it| it.serving.clone()),
            keys: self.advertised.as_ref().map(|it| it.keys),
        }
    }

    /// The share of an entry in the hash of the state. Equal content gives equal hashes, other
    /// content hardly ever does.
    fn hash(&self) -> u64 {
        if !self.is_up() {
            return 0;
        }
        // A run changes its revision whenever it changes what it advertises.
        let revision = self
            .advertised
            .as_ref()
            .map_or(0, |it| u64::from(it.revision) + 1);
        [self.run.boot.number(), self.run.process, revision]
            .into_iter()
            .fold(self.run.id().as_number(), |hash, word| mix(hash ^ word))
    }
}

/// The members, this node included.
#[derive(Debug)]
pub(crate) struct Roster {
    entries: BTreeMap<NodeId, RosterEntry>,
    hash: u64,
    view: Arc<View>,
    changed: bool,
}

impl Roster {
    /// A roster of this node alone.
    pub(crate) fn new(me: RosterEntry) -> Self {
        let mut roster = Self {
            entries: BTreeMap::new(),
            hash: 0,
            view: Arc::default(),
            changed: true,
        };
        roster.put(me);
        roster
    }

    /// Enters a node and replaces what was known of it.
    pub(crate) fn put(&mut self, entry: RosterEntry) {
        self.hash = self.hash.wrapping_add(entry.hash());
        if let Some(old) = self.entries.insert(entry.run.id(), entry) {
            self.hash = self.hash.wrapping_sub(old.hash());
        }
        self.changed = true;
    }

    /// Changes what is known of a node, if anything is known.
    pub(crate) fn update<T>(
        &mut self,
        id: NodeId,
        change: impl FnOnce(&mut RosterEntry) -> T,
    ) -> Option<T> {
        let entry = self.entries.get_mut(&id)?;
        let before = entry.hash();
        let result = change(entry);
        self.hash = self.hash.wrapping_sub(before).wrapping_add(entry.hash());
        self.changed = true;
        Some(result)
    }

    /// Notes what a run says of itself, if that is new.
    pub(crate) fn advertise(&mut self, id: NodeId, process: u64, advertised: Advertised) {
        let is_older = |old: &Advertised| old.revision < advertised.revision;
        let news = |entry: &&RosterEntry| {
            entry.run.process == process && entry.advertised.as_ref().is_none_or(is_older)
        };
        if self.get(id).filter(news).is_some() {
            self.update(id, |entry| entry.advertised = Some(advertised));
        }
    }

    /// What is known of a node.
    pub(crate) fn get(&self, id: NodeId) -> Option<&RosterEntry> {
        self.entries.get(&id)
    }

    /// What is known of a node, if it is up.
    pub(crate) fn up(&self, id: NodeId) -> Option<&RosterEntry> {
        self.get(id).filter(|entry| entry.is_up())
    }

    /// Whether this very run is up.
    pub(crate) fn is_up(&self, id: NodeId, boot: Boot) -> bool {
        self.up(id).is_some_and(|entry| entry.run.boot == boot)
    }

    /// All nodes that are or were members.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &RosterEntry> {
        self.entries.values()
    }

    /// The runs that are up, except this node's own.
    pub(crate) fn others(&self, me: NodeId) -> impl Iterator<Item = &Run> {
        let up = self.entries().filter(|entry| entry.is_up());
        up.map(|entry| &entry.run).filter(move |run| run.id() != me)
    }

    /// Forgets the nodes that have been down for long.
    pub(crate) fn forget(&mut self, now: Time) {
        self.entries
            .retain(|_, entry| entry.gone.is_none_or(|at| now.since(at) < REMEMBER));
    }

    /// A hash that is equal on two nodes that see the same members with the same components.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// Whether a new view is needed.
    pub(crate) fn is_changed(&self) -> bool {
        self.changed
    }

    /// The view, if it has changed since the last call.
    pub(crate) fn publish(&mut self) -> Option<Arc<View>> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let mut members: Vec<Member> = self
            .entries
            .values()
            .filter(|entry| entry.is_up())
            .map(RosterEntry::member)
            .collect();
        members.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        if members == self.view.members {
            return None;
        }
        self.view = Arc::new(View {
            version: self.view.version + 1,
            members,
        });
        Some(self.view.clone())
    }

    /// The view as it was last published.
    pub(crate) fn view(&self) -> Arc<View> {
        self.view.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, Keys, Serving};

    fn entry(last: u8, boot: u64) -> RosterEntry {
        let ip = std::net::Ipv4Addr::new(10, 10, 10, last);
        let run = Run {
            name: crate::NodeName::new("example", ip).expect("a name"),
            port: 8383,
            url: crate::HttpUrl::plain((ip, 8080)),
            boot: Boot::from_number(boot),
            process: boot,
        };
        RosterEntry {
            run,
            advertised: None,
            since_ms: 0,
            gone: None,
        }
    }

    fn id(last: u8) -> NodeId {
        entry(last, 1).run.id()
    }

    #[test]
    fn the_hash_depends_on_the_state_and_not_on_how_it_came_about() {
        let mut one = Roster::new(entry(2, 1));
        one.put(entry(3, 1));
        one.put(entry(4, 1));
        let mut other = Roster::new(entry(4, 1));
        other.put(entry(3, 7));
        other.put(entry(2, 1));
        assert_ne!(one.hash(), other.hash());
        other.put(entry(3, 1));
        assert_eq!(one.hash(), other.hash());
        one.update(id(3), |entry| entry.gone = Some(Time::ZERO));
        assert_ne!(one.hash(), other.hash());
        other.update(id(3), |entry| entry.gone = Some(Time::ZERO));
        assert_eq!(one.hash(), other.hash());
    }

    #[test]
    fn an_older_release_does_not_replace_a_newer_one() {
        let mut roster = Roster::new(entry(2, 1));
        let serves = |revision, text: &str| Advertised {
            revision,
            serving: Some(Serving::bootstrap(Digest::of(text.as_bytes()))),
            keys: Keys::from_master(&[1; 32]).ids(),
        };
        roster.advertise(id(2), 1, serves(2, "new"));
        roster.advertise(id(2), 1, serves(1, "old"));
        roster.advertise(id(2), 9, serves(5, "of another run"));
        let entry = roster.get(id(2)).expect("it is there");
        assert_eq!(entry.advertised, Some(serves(2, "new")));
    }

    #[test]
    fn a_view_is_sorted_and_counts_its_changes() {
        let mut roster = Roster::new(entry(9, 1));
        roster.put(entry(10, 1));
        roster.put(entry(2, 1));
        let view = roster.publish().expect("a first view");
        assert_eq!(view.version, 1);
        let names: Vec<String> = view.members.iter().map(|m| m.name.to_string()).collect();
        assert_eq!(
            names,
            [
                "example@10.10.10.2",
                "example@10.10.10.9",
                "example@10.10.10.10"
            ]
        );
        roster.update(id(2), |_| ());
        assert!(roster.publish().is_none(), "nothing has changed");
    }
}
