//! Migrates an exchange to newer code, or back to older code: its state is
//! turned into one that the other code reads.
//!
//! The version and the shape of a state are always those of the generation that its
//! exchange is on. Either a callback of that generation wrote the state, or the
//! state was turned into that version when the exchange came there, or it had that
//! shape before.

use std::cmp::Ordering;

use bytes::Bytes;

use super::call::{Change, change};
use crate::generation::{CallFailure, ComponentKind, Generation};

/// Why an exchange cannot migrate. The text is for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotMigrated {
    #[error("the new app is a {0}, which has no streams that go on")]
    Kind(&'static str),
    #[error(
        "the shape of its state has changed and its version has not: both are {0}; raise the version, and let code-change turn states of version {0}"
    )]
    Shape(u32),
    #[error("its state of version {from} was refused for version {to}: {reason}")]
    Refused { from: u32, to: u32, reason: String },
    #[error("turning its state of version {from} into version {to} failed: {failure}")]
    Failed {
        from: u32,
        to: u32,
        failure: CallFailure,
    },
    #[error("its new state has {0} bytes, more than the {1} allowed; --max-state allows more")]
    TooLarge(usize, usize),
}

/// Makes the state for the new code. A state of the same shape is taken as it is. Else the code
/// with the higher state version knows both shapes, so that code turns the state.
pub(super) async fn migrate(
    old: &Generation,
    new: &Generation,
    state: &Bytes,
) -> Result<Bytes, NotMigrated> {
    if !matches!(new.kind, ComponentKind::Streaming(_)) {
        return Err(NotMigrated::Kind(new.kind.name()));
    }
    let (from, to) = (old.state_version, new.state_version);
    let shapes = (&old.state_shape, &new.state_shape);
    let has_same_shape = match shapes {
        (Some(old), Some(new)) => Some(old == new),
        // A shape that one of them does not say is not compared.
        _ => None,
    };
    if has_same_shape == Some(true) {
        return Ok(state.clone());
    }
    let (code, direction) = match to.cmp(&from) {
        Ordering::Equal if has_same_shape == Some(false) => return Err(NotMigrated::Shape(to)),
        Ordering::Equal => return Ok(state.clone()),
        Ordering::Greater => (new, Change::From(from)),
        Ordering::Less => (old, Change::DownTo(to)),
    };
    // A thousand streams take turns here, so that requests are not held up. The
    // semaphore is never closed; if it were, the streams would not wait.
    let _turn = new.runtime.migrations.acquire().await.ok();
    match change(code, direction, state).await {
        Ok(Ok(state)) => {
            let limit = new.runtime.limits.state;
            match state.len() > limit {
                true => Err(NotMigrated::TooLarge(state.len(), limit)),
                false => Ok(state.into()),
            }
        }
        Ok(Err(reason)) => Err(NotMigrated::Refused {
            from,
            to,
            reason: short(&reason),
        }),
        Err(failure) => Err(NotMigrated::Failed { from, to, failure }),
    }
}

/// The guest's own words, in one line of bounded length.
fn short(reason: &str) -> String {
    let line = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(300).collect()
}
