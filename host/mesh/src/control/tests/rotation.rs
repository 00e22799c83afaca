//! The control channel while a cluster changes its cookie.

use super::*;

const OLD: u8 = 1;
const NEW: u8 = 2;

/// The cookies of a node at each step: the one that it sends with, and the other one that it
/// accepts.
const STEPS: [(u8, Option<u8>); 4] = [(OLD, None), (OLD, Some(NEW)), (NEW, Some(OLD)), (NEW, None)];

fn keys((own, other): (u8, Option<u8>)) -> Keys {
    let of = |cookie| Keys::from_master(&[cookie; 32]);
    match other {
        Some(other) => of(own).accepting(&of(other)),
        None => of(own),
    }
}

fn knows((own, other): (u8, Option<u8>), cookie: u8) -> bool {
    own == cookie || other == Some(cookie)
}

fn at_step(step: (u8, Option<u8>)) -> Dialler {
    Dialler {
        me: node(CALLER),
        identity: Identity::new(&keys(step)).expect("an identity"),
    }
}

#[tokio::test]
async fn at_every_step_nodes_that_share_a_cookie_reach_each_other_and_others_do_not() {
    for called_at in STEPS {
        let identity = Identity::new(&keys(called_at)).expect("an identity");
        let called = Called::start_as(16, identity);
        for caller_at in STEPS {
            let dialled = at_step(caller_at)
                .dial(&node(CALLED), called.at, WINDOW)
                .await;
            let share = [OLD, NEW]
                .iter()
                .any(|&c| knows(caller_at, c) && knows(called_at, c));
            match dialled {
                Ok(connection) => {
                    assert!(share, "{caller_at:?} reached {called_at:?}");
                    connection.close().await;
                }
                Err(error) => assert!(!share, "{caller_at:?} to {called_at:?}: {error}"),
            }
        }
    }
}

#[tokio::test]
async fn a_node_at_the_next_or_the_same_step_is_reached_without_a_refusal() {
    for (called_at, caller_at) in STEPS
        .into_iter()
        .zip(STEPS.into_iter().skip(1))
        .flat_map(|(one, next)| [(one, one), (one, next), (next, one), (next, next)])
    {
        let identity = Identity::new(&keys(called_at)).expect("an identity");
        let called = Called::start_as(16, identity);
        let dialled = at_step(caller_at)
            .dial(&node(CALLED), called.at, WINDOW)
            .await;
        dialled.expect("admitted").close().await;
        assert_eq!(called.counters.now().refused_by.handshake, 0);
    }
}

#[tokio::test]
async fn a_third_cookie_is_refused_in_both_directions_at_every_step() {
    const WRONG: (u8, Option<u8>) = (3, None);
    for step in STEPS {
        let identity = Identity::new(&keys(step)).expect("an identity");
        let called = Called::start_as(16, identity);
        let dialled = at_step(WRONG).dial(&node(CALLED), called.at, WINDOW).await;
        assert!(matches!(dialled.err(), Some(DialError::Tls(_))));

        let called = Called::start_as(16, Identity::new(&keys(WRONG)).expect("an identity"));
        let dialled = at_step(step).dial(&node(CALLED), called.at, WINDOW).await;
        assert!(matches!(dialled.err(), Some(DialError::Tls(_))));
        assert_eq!(called.counters.now().admitted, 0);
    }
}

#[tokio::test]
async fn when_the_old_cookie_is_dropped_its_connections_end_and_the_others_stay() {
    let identity = Identity::new(&keys((NEW, Some(OLD)))).expect("an identity");
    let called = Called::start_as(16, identity.clone());
    let old = at_step((OLD, None))
        .dial(&node(CALLED), called.at, WINDOW)
        .await;
    let new = at_step((NEW, None))
        .dial(&node(CALLED), called.at, WINDOW)
        .await;
    let (mut old, mut new) = (old.expect("admitted"), new.expect("admitted"));
    identity.change(&keys((NEW, None))).expect("changed");
    timeout(SOON, old.ended()).await.expect("ended in time");
    let hello = protocol::introduce(&node(CALLER));
    let answer = new.exchange(&HELLO, hello).await;
    answer.expect("still answered");
    let again = at_step((OLD, None))
        .dial(&node(CALLED), called.at, WINDOW)
        .await;
    assert!(matches!(again.err(), Some(DialError::Tls(_))));
}

#[tokio::test]
async fn a_caller_that_drops_a_cookie_dials_again_with_the_other() {
    let called_as = Identity::new(&keys((OLD, Some(NEW)))).expect("an identity");
    let called = Called::start_as(16, called_as);
    let dialler = at_step((OLD, Some(NEW)));
    let (events_in, mut events) = mpsc::channel(16);
    let mut links = Links::new(dialler.clone(), called.at.port(), events_in);
    links.keep(&cluster::View {
        version: 1,
        members: vec![listed(CALLER), listed(CALLED)],
    });
    called.counted(|c| c.admitted == 1).await;
    dialler
        .identity
        .change(&keys((NEW, None)))
        .expect("changed");
    called.counted(|c| c.admitted == 2).await;
    assert!(events.try_recv().is_err(), "nobody was missed");
}
