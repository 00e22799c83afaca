//! The change of the cookie while the node runs: the keys that are sent with and accepted.

use super::Node;
use crate::{Keys, Time};

impl Node {
    /// Sends and accepts with these keys from now on. Nothing else changes:
    /// who is a member stays one as long as it is heard.
    pub(super) fn change_keys(&mut self, now: Time, keys: Keys) {
        let ids = keys.ids();
        self.keys = keys;
        if self.me.advertised.keys != ids {
            self.me.advertised.keys = ids;
            self.advertise(now);
        }
    }
}
