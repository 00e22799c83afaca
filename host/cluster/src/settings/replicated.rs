//! Settings as replicated data.

use std::net::SocketAddrV4;

use bytes::Bytes;

use super::record::Setting;
use super::set::{NAMES_MAX, PAST_MAX};
use super::shared::SharedSettings;
use crate::Refusal;
use crate::outbox::Outbox;
use crate::release::Hlc;
use crate::replicate::{self, Replicated, read_all};
use crate::stall::Moment;

/// The settings, with what is needed to take in more from a member.
pub(crate) struct SettingData<'a> {
    pub(crate) settings: &'a mut SharedSettings,
    pub(crate) at: Moment<'a>,
    pub(crate) from: SocketAddrV4,
    /// The latest time that a record may have.
    pub(crate) latest: Hlc,
    pub(crate) out: &'a mut Outbox,
}

impl SettingData<'_> {
    fn hash(&self) -> Vec<u8> {
        self.settings.set().hash().to_le_bytes().to_vec()
    }
}

impl Replicated for SettingData<'_> {
    /// The hash of all records; empty if there are none.
    fn summary(&self) -> Vec<u8> {
        self.settings.summary()
    }

    fn missing(&self, theirs: &[u8]) -> Option<Vec<u8>> {
        let shares = self.settings.set().all().map(|it| it.share());
        (self.summary() != theirs).then(|| replicate::ask(self.hash(), shares))
    }

    fn delta(&self, ask: &[u8], most: usize) -> Vec<u8> {
        let records = self.settings.set().all();
        let records = records.map(|it| (it.share(), it.bytes()));
        replicate::lacking(ask, &self.hash(), records, most)
    }

    fn merge(&mut self, delta: &[u8]) -> Result<(), Refusal> {
        let mut records = Vec::new();
        let mut refused = Ok(());
        for record in read_all::<Bytes>(delta, NAMES_MAX + PAST_MAX)? {
            match Setting::read(&record) {
                Ok(record) => records.push(record),
                Err(error) => {
                    self.out.count().records.unreadable += 1;
                    refused = Err(error.refusal());
                }
            }
        }
        let (at, from) = (self.at, self.from);
        self.settings
            .learn(at, from, self.latest, records, self.out);
        refused
    }
}
