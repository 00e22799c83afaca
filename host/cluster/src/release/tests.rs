//! What follows from records and votes, on release sets that are filled by hand.

mod agreement;
mod ahead;
mod at_start;
mod files;
mod listing;
mod plans;
mod records;
mod rollback;
mod rollout;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::set::ReleaseSet;
use super::*;
use crate::{Digest, NodeName};

/// The wall clock of most tests.
const WALL: u64 = 1_700_000_000_000;

fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 10, 10, last)
}

fn node(last: u8) -> NodeName {
    NodeName::new("example", ip(last)).expect("a name")
}

fn set(last: u8) -> ReleaseSet {
    ReleaseSet::new(node(last), None)
}

fn component(name: &str) -> Component {
    Component::of(name.as_bytes())
}

fn file(name: &str) -> AppFile {
    AppFile {
        path: PathId::of(b"guest.wasm"),
        component: component(name),
    }
}

/// A deploy key, and a function that signs with it.
fn deploy_key(seed: u8) -> (DeployKey, impl Fn(&Release) -> Arc<Release>) {
    use ring::signature::{Ed25519KeyPair, KeyPair};
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a key");
    let public = pair.public_key().as_ref().try_into().expect("32 bytes");
    let sign = move |release: &Release| {
        let signature = pair.sign(release.signed_bytes());
        let signature = signature.as_ref().try_into().expect("64 bytes");
        release.with_signature(&signature).expect("it fits")
    };
    (
        DeployKey::new("berlin".parse().expect("a name"), public),
        sign,
    )
}

fn staged(canaries: &[u8]) -> Plan {
    Plan {
        canaries: canaries
            .iter()
            .map(|&last| node(last).id())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
        bake_ms: 1000,
        drop_streams: false,
    }
}

fn request(what: What) -> Request {
    Request {
        what,
        by: "someone".to_owned(),
        note: String::new(),
        expect: None,
        again: false,
    }
}

fn push(component: Component, plan: Plan) -> Request {
    request(What::Push { component, plan })
}

/// Releases the requested component at this time.
fn release(set: &mut ReleaseSet, request: Request, wall_ms: u64) -> Arc<Release> {
    let release = set.draft(request, wall_ms, None).expect("a draft");
    set.learn(vec![release.clone()], Vec::new());
    release
}

/// Pushes a component to all nodes at once.
fn pushed(set: &mut ReleaseSet, name: &str, wall_ms: u64) -> Arc<Release> {
    release(set, push(component(name), Plan::default()), wall_ms)
}

/// Goes back to what was the target before.
fn rolled_back(set: &mut ReleaseSet, wall_ms: u64) -> Arc<Release> {
    release(set, request(What::Rollback(RollbackTo::Previous)), wall_ms)
}

fn vote(release: &Release, last: u8, verdict: Verdict) -> Vote {
    Vote {
        release: release.id(),
        node: node(last).id(),
        verdict,
    }
}

/// The digest that is the target.
fn serves(set: &ReleaseSet) -> Option<crate::Digest> {
    set.target().map(|target| target.digest)
}

/// Teaches the second set all that the first one knows.
fn tell(from: &ReleaseSet, to: &mut ReleaseSet) {
    let records = from.history().newest().cloned().collect();
    to.learn(records, from.votes().iter().collect());
}

fn news(set: &mut ReleaseSet) -> Vec<News> {
    std::iter::from_fn(|| set.poll()).collect()
}
