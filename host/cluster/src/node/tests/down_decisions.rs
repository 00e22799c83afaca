//! What a node does when others say that a run is down, or that it is there.

use super::*;

fn about(accused: &Puppet, why: Cause) -> Down {
    Down {
        node: accused.id(),
        boot: accused.run.boot,
        why,
    }
}

#[test]
fn a_down_decision_about_who_was_just_heard_is_only_a_hint() {
    let mut bench = Bench::new();
    let (mut accused, mut judge) = (Puppet::new(3, 5), Puppet::new(4, 5));
    accused.join(&mut bench);
    judge.join(&mut bench);
    let down = about(&accused, Cause::Failed);
    let update = vec![Update::down(accused.run.clone(), DownReason::Failed)];
    let gossip = postcard::to_allocvec(&update).expect("it can be written");
    for message in [Message::Down(down), Message::Swim(&gossip)] {
        judge.say(&mut bench, &message);
        let sent = bench.sent(accused.ip());
        assert!(
            sent.iter().any(|message| message.starts_with("Probe")),
            "{sent:?}"
        );
        assert!(bench.lists(&accused));
        accused.say(&mut bench, &Message::Ack);
    }
    bench.pass(Duration::from_millis(500));
    assert!(bench.lists(&accused), "it answered");
    judge.say(&mut bench, &Message::Down(down));
    bench.pass(Duration::from_millis(300));
    assert!(!bench.lists(&accused), "it did not answer");
}

#[test]
fn a_down_decision_about_who_was_not_heard_lately_is_believed() {
    let mut bench = Bench::new();
    let (mut accused, mut judge) = (Puppet::new(3, 5), Puppet::new(4, 5));
    accused.join(&mut bench);
    judge.join(&mut bench);
    bench.pass(HEARSAY + Duration::from_millis(1));
    bench.effects();
    let down = about(&accused, Cause::Refused);
    judge.say(&mut bench, &Message::Down(down));
    assert_eq!(downs(&bench.effects()), [DownReason::Refused]);
}

#[test]
fn a_down_decision_about_who_may_just_be_between_two_beacons_is_only_a_hint() {
    let mut bench = Bench::new();
    let (mut accused, mut judge) = (Puppet::new(3, 5), Puppet::new(4, 5));
    accused.join(&mut bench);
    judge.join(&mut bench);
    // Longer than the longest pause between two beacons.
    bench.pass(Duration::from_millis(1150));
    bench.effects();
    let down = about(&accused, Cause::Failed);
    judge.say(&mut bench, &Message::Down(down));
    assert_eq!(downs(&bench.effects()), []);
    accused.say(&mut bench, &Message::Ack);
    bench.pass(Duration::from_millis(300));
    assert!(bench.lists(&accused));
}

#[test]
fn a_down_decision_about_who_sends_no_broadcasts_is_only_a_hint() {
    let mut bench = Bench::new();
    let (mut accused, mut judge) = (Puppet::new(3, 5), Puppet::new(4, 5));
    let nonce = bench.node.admission.nonce();
    accused.hello(&mut bench, nonce, None);
    judge.join(&mut bench);
    bench.pass(Duration::from_secs(20));
    bench.effects();
    let down = about(&accused, Cause::Failed);
    judge.say(&mut bench, &Message::Down(down));
    assert_eq!(downs(&bench.effects()), []);
    bench.pass(Duration::from_millis(300));
    assert_eq!(downs(&bench.effects()), [DownReason::Failed]);
}

#[test]
fn a_down_decision_about_who_is_up_and_was_not_heard_yet_is_only_a_hint() {
    let mut bench = Bench::new();
    let (accused, mut judge) = (Puppet::new(3, 5), Puppet::new(4, 5));
    judge.join(&mut bench);
    let update = vec![Update::alive(accused.run.clone())];
    let gossip = postcard::to_allocvec(&update).expect("it can be written");
    judge.say(&mut bench, &Message::Swim(&gossip));
    assert!(bench.lists(&accused));
    bench.effects();
    let down = about(&accused, Cause::Failed);
    judge.say(&mut bench, &Message::Down(down));
    assert_eq!(downs(&bench.effects()), []);
    bench.pass(Duration::from_millis(300));
    assert_eq!(downs(&bench.effects()), [DownReason::Failed]);
}

#[test]
fn a_node_that_hears_that_it_is_down_still_answers_at_once() {
    let mut bench = Bench::new();
    let (mut judge, mut asker) = (Puppet::new(3, 5), Puppet::new(4, 5));
    judge.join(&mut bench);
    asker.join(&mut bench);
    // It may protest once a second.
    bench.pass(Duration::from_millis(1100));
    let down = Down {
        node: NodeId::of(ME),
        boot: bench.node.boot(),
        why: Cause::Failed,
    };
    judge.say(&mut bench, &Message::Down(down));
    bench.effects();
    let hello = Hello {
        about: asker.about(),
        echo: 0,
        want_echo: true,
        known: None,
    };
    asker.say(&mut bench, &Message::Hello(hello));
    let sent = bench.sent(asker.ip());
    assert!(sent.iter().any(|message| message.starts_with("Hello")));
}

#[test]
fn a_probe_for_the_last_number_of_this_process_is_answered_with_the_new_one() {
    let mut bench = Bench::new();
    let mut prober = Puppet::new(3, 5);
    prober.join(&mut bench);
    let old = bench.node.boot();
    let nonce = bench.node.admission.nonce();
    let known = KnownRun {
        boot: old,
        down: true,
    };
    prober.hello(&mut bench, nonce, Some(known));
    let new = bench.node.boot();
    assert!(new > old);
    bench.effects();
    let proof = |bench: &mut Bench, prober: &mut Puppet, boot| {
        prober.say(bench, &Message::Probe { boot });
        let sent = bench.sent(prober.ip());
        let proves = |sent: &&String| sent.starts_with("Hello") && sent.contains("echo: 77");
        sent.iter().filter(proves).count()
    };
    assert_eq!(proof(&mut bench, &mut prober, old), 1);
    let of_another_process = Boot::from_number(3);
    assert_eq!(proof(&mut bench, &mut prober, of_another_process), 0);
}

#[test]
fn a_recording_of_the_last_seconds_does_not_make_an_earlier_run_seem_live() {
    let mut bench = Bench::new();
    let mut earlier = Puppet::new(3, 5);
    let nonce = bench.node.admission.nonce();
    let recorded = earlier.sealed_hello(nonce);
    bench.hear(earlier.run.address(), &recorded);
    assert!(bench.lists(&earlier));
    earlier.say(&mut bench, &Message::Leave);
    let mut later = Puppet::new(3, 6);
    later.join(&mut bench);
    assert!(bench.node.admission.accepts(nonce), "it is as good as new");
    bench.hear(earlier.run.address(), &recorded);
    let id = later.id();
    assert!(!bench.node.admission.heard().has_conflict(bench.now, id));
    // Now it sends something that makes it seem so.
    earlier.hello(&mut bench, nonce, None);
    assert!(bench.node.admission.heard().has_conflict(bench.now, id));
}

#[test]
fn a_down_decision_about_another_run_changes_nothing() {
    let mut bench = Bench::new();
    let (mut accused, mut judge) = (Puppet::new(3, 5), Puppet::new(4, 5));
    accused.join(&mut bench);
    judge.join(&mut bench);
    bench.pass(HEARSAY + Duration::from_millis(1));
    for boot in [4, 6] {
        let boot = Boot::from_number(boot);
        let down = Down {
            node: accused.id(),
            boot,
            why: Cause::Failed,
        };
        judge.say(&mut bench, &Message::Down(down));
    }
    bench.pass(Duration::from_millis(300));
    assert!(bench.lists(&accused));
}
