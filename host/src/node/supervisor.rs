//! What a node tells the service manager that has started it, by the protocol of sd_notify(3):
//! that it serves, and that it stops. So `Type=notify` and what is ordered after the unit wait
//! for a node that answers. Without `NOTIFY_SOCKET` nothing is told.

use sd_notify::NotifyState;

/// The node serves at this address.
pub(super) fn ready(name: &str, url: &str) {
    let status = format!("{name} serves {url}");
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// The node begins to stop.
pub(super) fn stopping() {
    let status = "open exchanges finish";
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(
            "cannot tell the service manager how this node is: {error}; if its unit has \
             Type=notify, it takes the node for one that does not start"
        );
    }
}
