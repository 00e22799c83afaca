//! From the terms of the core to those of the API.

use std::net::Ipv4Addr;

use cluster::release::{Kind, Release, ReleaseKey, Verdict};
use cluster::{Counters, Refusal};

use super::types::{self as api, Standing};
use crate::app::publish::PublishCounters;
use mesh::control::ControlCounters;

/// Refused datagrams by reason.
pub fn refused_datagrams(counters: &Counters) -> api::RefusedDatagrams {
    let by = |why| counters.refused(why);
    api::RefusedDatagrams {
        size: by(Refusal::Size),
        version: by(Refusal::Version),
        source: by(Refusal::Source),
        cookie: by(Refusal::Cookie),
        address: by(Refusal::Address),
        receiver: by(Refusal::Receiver),
        replay: by(Refusal::Replay),
        stale: by(Refusal::Stale),
        content: by(Refusal::Content),
        unsigned: by(Refusal::Unsigned),
        forged: by(Refusal::Forged),
        old: by(Refusal::Old),
    }
}

/// Refused records by reason.
pub fn refused_records(counted: &cluster::RefusedRecords) -> api::RefusedRecords {
    api::RefusedRecords {
        unreadable: counted.unreadable,
        unsigned: counted.unsigned,
        forged: counted.forged,
        old: counted.old,
    }
}

/// Callers by what became of them.
pub fn callers(counted: &ControlCounters) -> api::Callers {
    api::Callers {
        admitted: counted.admitted,
        refused: counted.refused(),
        refused_by: api::RefusedCallers {
            source: counted.refused_source,
            limit: counted.refused_limit,
            handshake: counted.refused_handshake,
            hello: counted.refused_hello,
            role: counted.refused_role,
            stalled: counted.refused_stalled,
        },
    }
}

/// Publications by what became of them.
pub fn publications(counted: &PublishCounters) -> api::Publications {
    api::Publications {
        sent: counted.sent,
        uncertain: counted.uncertain,
        dropped: counted.dropped,
        received: counted.received,
        stale: counted.stale,
        unreadable: counted.unreadable,
    }
}

/// All digits of a key.
pub fn key(key: &ReleaseKey) -> String {
    format!("{key:.32}")
}

/// A release, what has become of it, and who has voted on it.
pub fn release(
    release: &Release,
    standing: Standing,
    votes: &[(Ipv4Addr, Verdict)],
) -> api::Release {
    let voted = |wanted| {
        let votes = votes.iter().filter(move |(_, verdict)| *verdict == wanted);
        votes.map(|(ip, _)| *ip).collect()
    };
    api::Release {
        key: key(&release.key()),
        kind: match release.kind() {
            Kind::Bootstrap => api::Kind::Bootstrap,
            Kind::Push => api::Kind::Push,
            Kind::Rollback => api::Kind::Rollback,
        },
        standing,
        digest: release.app().digest.to_string(),
        size: release.app().size,
        at_ms: release.id().at.ms(),
        node: release.id().node.to_string(),
        by: release.by().to_owned(),
        note: release.note().to_owned(),
        parent: release.parent().map(|parent| key(&parent.key)),
        canaries: release.plan().canaries.clone(),
        bake_ms: release.plan().bake_ms,
        signed: release.signature().is_some(),
        votes_for: voted(Verdict::Ok),
        votes_against: voted(Verdict::Failed),
    }
}
