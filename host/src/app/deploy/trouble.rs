//! Why a release does not serve here.

use mesh::store::StoreError;
use mesh::transfer::TransferError;
use runtime::exchange::UnreadableStates;
use runtime::generation::ComponentError;

/// Why a release does not serve here.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The fault is the app's.
    #[error(transparent)]
    Refused(ComponentError),
    /// The component could not be compiled or tried, for a reason on this machine.
    #[error(transparent)]
    NotNow(ComponentError),
    /// The fault is this machine's.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No member gives the component.
    #[error(transparent)]
    Transfer(TransferError),
    /// The app cannot take over the streams that are open here.
    #[error(transparent)]
    Streams(#[from] UnreadableStates),
    /// The component is larger than this node takes. Trying again does not help.
    #[error(transparent)]
    TooLarge(StoreError),
    /// The process died twice with it. The fault is taken for the app's.
    #[error(
        "the process of this node died twice within a minute of starting the component, so it is not \
         started again"
    )]
    KillsProcess,
    /// Without the record, the bytes cannot be checked, so they cannot be
    /// fetched.
    #[error("the record of the release has not come yet")]
    NoRecord,
    /// The node stops.
    #[error("the node is stopping")]
    Stopping,
}

impl From<ComponentError> for Trouble {
    fn from(error: ComponentError) -> Trouble {
        match error.is_local() {
            true => Trouble::NotNow(error),
            false => Trouble::Refused(error),
        }
    }
}

impl From<TransferError> for Trouble {
    fn from(error: TransferError) -> Trouble {
        match error {
            TransferError::Store(error @ StoreError::TooLarge { .. }) => Trouble::TooLarge(error),
            other => Trouble::Transfer(other),
        }
    }
}
