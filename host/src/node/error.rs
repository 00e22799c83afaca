//! Why a node did not start, or had to stop.

use super::ClaimError;
use super::address::AddressLost;
use super::config::NodeConfigError;
use crate::api::SocketError;
use crate::files::IntakeError;
use mesh::data::DataFileError;
use mesh::membership::{self, FatalError};
use mesh::store::StoreError;
use runtime::engine::RuntimeError;
use runtime::generation::ComponentError;

/// Why a node did not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The command line is wrong.
    #[error(transparent)]
    Config(#[from] NodeConfigError),
    /// Something is wrong on this machine.
    #[error(transparent)]
    Claimed(#[from] ClaimError),
    /// The app could not be read.
    #[error(transparent)]
    Intake(#[from] IntakeError),
    /// The component cannot be an app.
    #[error(transparent)]
    Refused(#[from] ComponentError),
    /// The store of components cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored key-value data cannot be used.
    #[error(transparent)]
    Data(#[from] DataFileError),
    /// The socket for tools cannot be opened.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The engine could not be built.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// Membership could not be set up.
    #[error(transparent)]
    Membership(#[from] membership::StartError),
    /// The IP of the node is gone.
    #[error(transparent)]
    AddressLost(#[from] AddressLost),
    /// Membership cannot go on.
    #[error(transparent)]
    Fatal(#[from] FatalError),
}
