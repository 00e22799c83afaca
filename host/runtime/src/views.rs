//! The membership views as they come, and the name of this node.

use std::sync::Arc;

use cluster::{NodeName, View};
use tokio::sync::watch;

/// The views as they come, and the name of this node.
#[derive(Clone, Debug)]
pub struct Views {
    receiver: watch::Receiver<Arc<View>>,
    own: NodeName,
}

impl Views {
    /// Follows the views that membership publishes on the node with this name.
    pub fn new(receiver: watch::Receiver<Arc<View>>, own: NodeName) -> Views {
        Views { receiver, own }
    }

    /// The name of this node.
    pub fn own_name(&self) -> &NodeName {
        &self.own
    }

    /// The newest view.
    pub fn current(&self) -> Arc<View> {
        self.receiver.borrow().clone()
    }

    /// A receiver for one exchange. It has not seen the current view yet.
    pub fn subscribe(&self) -> watch::Receiver<Arc<View>> {
        let mut receiver = self.receiver.clone();
        receiver.mark_changed();
        receiver
    }
}
