//! All effects after a new boot number wait until the number is on the disk, since others would
//! learn the number from them. Membership's thread does not block meanwhile.

use bytes::Bytes;
use cluster::{Boot, Effect};
use tokio::sync::oneshot;

use super::Driver;
use crate::data_dir::DataDirError;

/// The number that is being stored, and the effects that wait for it. One round of the loop
/// makes all of them.
pub(super) struct HeldDatagrams {
    boot: Boot,
    stored: oneshot::Receiver<Result<(), DataDirError>>,
    effects: Vec<(Effect, Option<oneshot::Sender<Bytes>>)>,
}

impl HeldDatagrams {
    pub(super) fn until(boot: Boot, stored: oneshot::Receiver<Result<(), DataDirError>>) -> Self {
        Self {
            boot,
            stored,
            effects: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, effect: Effect, answer: &mut Option<oneshot::Sender<Bytes>>) {
        let answer = match effect {
            Effect::SyncReply { .. } => answer.take(),
            _ => None,
        };
        self.effects.push((effect, answer));
    }
}

impl Driver {
    /// Waits until the boot number is on the disk, and then carries out the waiting effects.
    pub(super) async fn boot_stored(&mut self) {
        while let Some(held) = self.held.take() {
            let failed = match held.stored.await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("its thread has ended".to_owned()),
            };
            if let Some(error) = failed {
                // It is right to go on: if this number is used twice, the members say so and
                // the node takes a higher one.
                tracing::error!(error, boot = held.boot.number(), "boot number not stored");
                self.counters.boots_not_stored += 1;
            }
            for (effect, mut answer) in held.effects {
                self.carry_out(effect, &mut answer);
            }
        }
    }
}
