//! Two runs of one node: which of them a third node admits.

use super::*;
use crate::admission::HOLD;

/// An admitted node, and a later run with its name that has proven since then that it is live.
fn two_runs(bench: &mut Bench) -> (Puppet, Puppet) {
    let (mut first, mut second) = (Puppet::new(3, 5), Puppet::new(3, 9));
    first.join(bench);
    let nonce = bench.node.admission.nonce();
    second.hello(bench, nonce, None);
    assert_eq!(admitted(bench), first.run.boot);
    bench.effects();
    (first, second)
}

fn admitted(bench: &Bench) -> Boot {
    let admitted = bench
        .node
        .admission
        .heard()
        .admitted(NodeId::of(puppet_ip()));
    admitted.expect("one was let in").boot()
}

/// Lets time pass in which this run is heard.
fn pass_with(bench: &mut Bench, run: &mut Puppet, duration: Duration) {
    let step = Duration::from_millis(200);
    let end = bench.now + duration;
    while bench.now < end {
        run.say(bench, &Message::Ack);
        bench.pass(step.min(end.since(bench.now)));
    }
}

#[test]
fn a_second_run_is_let_in_when_the_first_is_not_heard_any_more() {
    let mut bench = Bench::new();
    let (_, second) = two_runs(&mut bench);
    bench.pass(Duration::from_secs(1));
    let mut second = second;
    let nonce = bench.node.admission.nonce();
    second.hello(&mut bench, nonce, None);
    bench.pass(HOLD);
    assert_eq!(admitted(&bench), second.run.boot);
}

#[test]
fn a_second_run_that_is_gone_itself_is_not_let_in_when_the_first_pauses_or_goes() {
    for goes in [false, true] {
        let mut bench = Bench::new();
        let (mut first, _) = two_runs(&mut bench);
        pass_with(&mut bench, &mut first, HOLD + Duration::from_millis(200));
        if goes {
            first.say(&mut bench, &Message::Leave);
        }
        bench.pass(HOLD + Duration::from_millis(400));
        assert_eq!(admitted(&bench), first.run.boot, "{goes}");
    }
}

#[test]
fn of_two_that_are_there_the_later_one_is_told_and_of_one_that_is_alone_nobody() {
    for (apart, told) in [(400, true), (2400, false)] {
        let mut bench = Bench::new();
        let (mut first, _) = two_runs(&mut bench);
        bench.pass(Duration::from_millis(apart));
        bench.effects();
        first.say(&mut bench, &Message::Ack);
        let sent = bench.sent(puppet_ip());
        let taken = sent.iter().any(|message| message.starts_with("Taken"));
        assert_eq!(taken, told, "heard {apart} ms after the other: {sent:?}");
        assert_eq!(admitted(&bench), first.run.boot);
    }
}
