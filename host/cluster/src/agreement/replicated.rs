//! Records and votes as replicated data. They are two kinds, of which records are merged first: a
//! vote counts only for a release that is known.

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
}

impl Replicated for RecordData<'_> {
    /// The hash of all records, and the id of the head, or zeros.
    fn summary(&self) -> Vec<u8> {
        let releases = &self.0.agreement.releases;
        let mut summary = releases.records_hash().to_le_bytes().to_vec();
        let head = releases.history().head().map(|head| *head.id().as_bytes());
        summary.extend_from_slice(&head.unwrap_or_default());
        summary
    }

    fn missing(&self, theirs: &[u8]) -> Option<Vec<u8>> {
        let summary = self.summary();
        let fingerprints = self.all().map(|release| release.fingerprint());
        (summary != theirs).then(|| replicate::ask(summary, fingerprints))
    }

    fn delta(&self, ask: &[u8], most: usize) -> Vec<u8> {
        let records = self.all().map(|it| (it.fingerprint(), it.bytes()));
        replicate::lacking(ask, &self.summary(), records, most)
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
}

impl Replicated for VoteData<'_> {
    /// The hash of all votes.
    fn summary(&self) -> Vec<u8> {
        let hash = self.0.agreement.releases.votes_hash();
        hash.to_le_bytes().to_vec()
    }

    fn missing(&self, theirs: &[u8]) -> Option<Vec<u8>> {
        let summary = self.summary();
        let fingerprints = || self.all().into_iter().map(|it| it.fingerprint());
        (summary != theirs).then(|| replicate::ask(summary, fingerprints()))
    }

    fn delta(&self, ask: &[u8], most: usize) -> Vec<u8> {
        let ballots = self.all().into_iter().map(|it| (it.fingerprint(), it));
        replicate::lacking(ask, &self.summary(), ballots, most)
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
    /// Of all records and votes that it knows.
    pub(super) hash: u64,
    /// The greatest release that it knows.
    pub(super) head: Option<ReleaseId>,
}

impl Knows {
    /// Reads the summaries in a beacon. None if there are no such.
    pub(super) fn read(summaries: &[KindSummary]) -> Option<Self> {
        let (records, head) = replicate::of(summaries, DataKind::RELEASES)?.split_first_chunk()?;
        let votes = replicate::of(summaries, DataKind::VOTES)?.first_chunk()?;
        let head: ReleaseId = postcard::from_bytes(head).ok()?;
        let hash = u64::from_le_bytes(*records).wrapping_add(u64::from_le_bytes(*votes));
        let is_some = head.as_bytes().iter().any(|byte| *byte != 0);
        Some(Self {
            hash,
            head: is_some.then_some(head),
        })
    }
}
