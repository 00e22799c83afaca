//! Records and votes as replicated data. They are two kinds, and records are merged first: a vote
//! counts only for a known release.

use std::net::SocketAddrV4;
use std::sync::Arc;

use bytes::Bytes;

use super::Agreement;
use crate::Refusal;
use crate::outbox::Outbox;
use crate::release::{Ballot, HISTORY_MAX, Release, ReleaseId};
use crate::replicate::{self, DataKind, KindSummary, Replicated, read_all};
use crate::stall::Moment;

/// Records and votes, with what is needed to take in more from this member.
pub(crate) struct FromMember<'a> {
    pub(crate) agreement: &'a mut Agreement,
    pub(crate) at: Moment<'a>,
    pub(crate) from: SocketAddrV4,
    pub(crate) out: &'a mut Outbox,
}

/// The records of releases.
pub(crate) struct RecordData<'a>(pub(crate) FromMember<'a>);

/// The votes on them.
pub(crate) struct VoteData<'a>(pub(crate) FromMember<'a>);

impl RecordData<'_> {
    fn all(&self) -> impl Iterator<Item = &Arc<Release>> {
        self.0.agreement.releases.history().newest()
    }

    /// The hash of all records, and the id of the head, or zeros.
    fn hash_and_head(&self) -> Vec<u8> {
        let releases = &self.0.agreement.releases;
        let mut bytes = releases.records_hash().to_le_bytes().to_vec();
        let head = releases.history().head().map(|head| *head.id().as_bytes());
        bytes.extend_from_slice(&head.unwrap_or_default());
        bytes
    }
}

impl Replicated for RecordData<'_> {
    /// The hash of all records, and the id of the head; empty if there are none.
    fn summary(&self) -> Vec<u8> {
        match self.all().next() {
            Some(_) => self.hash_and_head(),
            None => Vec::new(),
        }
    }

    fn missing(&self, theirs: &[u8]) -> Option<Vec<u8>> {
        let fingerprints = self.all().map(|release| release.fingerprint());
        (self.summary() != theirs).then(|| replicate::ask(self.hash_and_head(), fingerprints))
    }

    fn delta(&self, ask: &[u8], most: usize) -> Vec<u8> {
        let records = self.all().map(|it| (it.fingerprint(), it.bytes()));
        replicate::lacking(ask, &self.hash_and_head(), records, most)
    }

    fn merge(&mut self, delta: &[u8]) -> Result<(), Refusal> {
        let FromMember {
            agreement,
            at,
            from,
            out,
        } = &mut self.0;
        let mut records = Vec::new();
        let mut refused = Ok(());
        for record in read_all::<Bytes>(delta, HISTORY_MAX)? {
            match Release::read(&record) {
                Ok(release) => records.push(release),
                Err(error) => {
                    out.count().records.unreadable += 1;
                    refused = Err(error.refusal());
                }
            }
        }
        agreement.learn(*at, *from, records, Vec::new(), out);
        refused
    }
}

impl VoteData<'_> {
    fn all(&self) -> Vec<Ballot> {
        self.0.agreement.releases.votes().ballots()
    }

    fn hash(&self) -> Vec<u8> {
        let hash = self.0.agreement.releases.votes_hash();
        hash.to_le_bytes().to_vec()
    }
}

impl Replicated for VoteData<'_> {
    /// The hash of all votes; empty if there are none.
    fn summary(&self) -> Vec<u8> {
        match self.0.agreement.releases.votes().iter().next() {
            Some(_) => self.hash(),
            None => Vec::new(),
        }
    }

    fn missing(&self, theirs: &[u8]) -> Option<Vec<u8>> {
        let fingerprints = || self.all().into_iter().map(|it| it.fingerprint());
        (self.summary() != theirs).then(|| replicate::ask(self.hash(), fingerprints()))
    }

    fn delta(&self, ask: &[u8], most: usize) -> Vec<u8> {
        let ballots = self.all().into_iter().map(|it| (it.fingerprint(), it));
        replicate::lacking(ask, &self.hash(), ballots, most)
    }

    fn merge(&mut self, delta: &[u8]) -> Result<(), Refusal> {
        let FromMember {
            agreement,
            at,
            from,
            out,
        } = &mut self.0;
        let ballots: Vec<Ballot> = read_all(delta, HISTORY_MAX)?;
        if !ballots.iter().all(Ballot::is_bounded) {
            return Err(Refusal::Content);
        }
        let votes = ballots.iter().flat_map(Ballot::votes).collect();
        agreement.learn(*at, *from, Vec::new(), votes, out);
        Ok(())
    }
}

/// What a member's beacon says of releases.
pub(super) struct Knows {
    /// The hash of all records and votes that it knows.
    pub(super) hash: u64,
    /// The greatest release that it knows.
    pub(super) head: Option<ReleaseId>,
}

impl Knows {
    /// Reads the summaries in a beacon. None if they are missing.
    pub(super) fn read(summaries: &[KindSummary]) -> Option<Self> {
        let (records, head) = match replicate::of(summaries, DataKind::RELEASES)? {
            [] => (0, None),
            some => {
                let (hash, head) = some.split_first_chunk()?;
                let head = postcard::from_bytes(head).ok()?;
                (u64::from_le_bytes(*hash), Some(head))
            }
        };
        let votes = match replicate::of(summaries, DataKind::VOTES)? {
            [] => 0,
            some => u64::from_le_bytes(*some.first_chunk()?),
        };
        let hash = records.wrapping_add(votes);
        Some(Self { hash, head })
    }
}
