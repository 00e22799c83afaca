//! What a node knows of members, as two members exchange it.

use super::{Membership, Serving, Update};
use crate::admission::Contacts;
use crate::me::Me;
use crate::outbox::Outbox;
use crate::stall::Moment;
use crate::sync::KnownNode;

impl Membership {
    /// All that is known of members, the own run included.
    pub(crate) fn state(&self, me: &Me) -> Vec<KnownNode> {
        let mut updates = self.swim.updates();
        updates.push(Update::alive(me.run.clone()));
        let known = |update: Update| {
            let entry = self.roster.get(update.run.ip());
            let serving = entry
                .filter(|entry| entry.run.process == update.run.process)
                .map_or(Serving::default(), |entry| entry.serving);
            KnownNode {
                update,
                serving: serving.digest,
                revision: serving.revision,
            }
        };
        updates.into_iter().map(known).collect()
    }

    /// Takes in what a member knows of others, as far as it can be believed.
    pub(crate) fn merge(
        &mut self,
        at: Moment<'_>,
        heard: &Contacts,
        nodes: Vec<KnownNode>,
        out: &mut Outbox,
    ) {
        let serving = nodes.iter().map(|it| {
            let serving = Serving {
                digest: it.serving,
                revision: it.revision,
            };
            (it.update.run.ip(), it.update.run.process, serving)
        });
        let serving: Vec<_> = serving.collect();
        let updates = nodes.into_iter().map(|it| it.update).collect();
        self.learn(at, heard, updates, out);
        for (ip, process, serving) in serving {
            if ip != at.me.ip() {
                self.roster.serve(ip, process, serving);
            }
        }
    }
}
