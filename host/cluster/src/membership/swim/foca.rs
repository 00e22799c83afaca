//! SWIM by the crate `foca`: the configuration, its timers, and the filter for what its
//! datagrams claim.

use std::collections::{BTreeMap, VecDeque};
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use bytes::{Buf, BufMut};
use foca::{
    Codec, Config, Foca, Header, Identity, Member, Message, NoCustomBroadcast, Notification,
    PeriodicParams, PostcardCodec, Runtime, Timer,
};
use rand::rngs::StdRng;

use super::{Swim, SwimEvent, SwimState, Unreadable, Update};
use crate::message::KnownRun;
use crate::run::Run;
use crate::wire::SWIM_OVERHEAD;
use crate::{Boot, DATAGRAM_MAX, DownReason, NodeId, Time};

/// From this many members on, updates are passed on more often.
const MANY: usize = 1000;

/// How much longer a suspicion waits that has run out although the suspect is heard.
const HEARD_DELAY: Duration = Duration::from_millis(500);

/// The SWIM of one node.
pub(crate) struct FocaSwim {
    foca: Foca<Run, PostcardCodec, StdRng, NoCustomBroadcast>,
    out: Queue,
}

/// What foca wants, until it is polled.
#[derive(Default)]
struct Queue {
    now: Time,
    events: VecDeque<SwimEvent>,
    timers: BTreeMap<(Time, u64), Timer<Run>>,
    /// Keeps timers of the same moment in the order in which they were set.
    order: u64,
}

impl Identity for Run {
    type Addr = NodeId;

    /// foca must not raise boot numbers by itself: they must be stored first.
    fn renew(&self) -> Option<Self> {
        None
    }

    fn addr(&self) -> NodeId {
        self.id()
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        (self.boot, self.process) > (adversary.boot, adversary.process)
    }
}

/// The configuration for this number of other members.
fn config(others: usize) -> Config {
    let members = others + 1;
    let periodic = |millis, members| {
        Some(PeriodicParams {
            frequency: Duration::from_millis(millis),
            num_members: NonZeroUsize::new(members).unwrap_or(NonZeroUsize::MIN),
        })
    };
    // Found by simulation at 3 to 254 nodes, for detection within 3 s without
    // false downs at 1 % loss.
    Config {
        probe_period: Duration::from_millis(500),
        probe_rtt: Duration::from_millis(150),
        num_indirect_probes: NonZeroUsize::MIN.saturating_add(2),
        max_transmissions: NonZeroU8::MIN.saturating_add(if members < MANY { 11 } else { 15 }),
        suspect_to_down_after: Duration::from_secs(1),
        remove_down_after: Some(Duration::from_secs(60 * 60)),
        max_packet_size: NonZeroUsize::MIN.saturating_add(DATAGRAM_MAX - SWIM_OVERHEAD - 1),
        notify_down_members: true,
        periodic_announce: None,
        periodic_announce_to_down_members: periodic(2000, 2),
        periodic_gossip: periodic(100, 3),
    }
}

impl FocaSwim {
    pub(crate) fn new(me: Run, rng: StdRng) -> Self {
        Self {
            foca: Foca::new(me, config(0), rng, PostcardCodec),
            out: Queue::default(),
        }
    }

    /// Tells a node that it is suspected, so that it can refute it. foca passes a suspicion on
    /// only a number of times, and all of these may have been lost while the link to the
    /// suspect was cut.
    fn tell_suspect(&mut self, suspect: &Run, incarnation: u16) {
        let header = Header {
            src: self.foca.identity().clone(),
            // The lowest incarnation never replaces what the receiver knows.
            src_incarnation: 0,
            dst: suspect.clone(),
            message: Message::Gossip,
        };
        let suspicion = Member::new(suspect.clone(), incarnation, foca::State::Suspect);
        let mut bytes = Vec::new();
        if PostcardCodec.encode_header(&header, &mut bytes).is_ok() {
            bytes.put_u16(1);
            if PostcardCodec.encode_member(&suspicion, &mut bytes).is_ok() {
                self.out.events.push_back(SwimEvent::Send {
                    to: suspect.clone(),
                    bytes,
                });
            }
        }
    }

    /// Whether this run is still under a suspicion that it has not refuted.
    fn suspects(&self, suspect: &Run, incarnation: u16) -> bool {
        self.foca.iter_membership_state().any(|member| {
            member.id() == suspect
                && member.incarnation() == incarnation
                && member.state() == foca::State::Suspect
        })
    }

    /// Runs one call into foca, and completes what came of it.
    fn run(&mut self, now: Time, call: impl FnOnce(&mut Self) -> Result<(), foca::Error>) {
        self.out.now = now;
        let (members, seen) = (self.foca.num_members(), self.out.events.len());
        // Every error means that foca ignored its input, which is also the right thing to do.
        let _ignored = call(self);
        for event in self.out.events.range_mut(seen..) {
            if let SwimEvent::Down(run, reason) = event {
                let down = self
                    .foca
                    .iter_membership_state()
                    .find(|member| member.id() == run);
                *reason = down
                    .and_then(|m| update(m).down_reason())
                    .unwrap_or(DownReason::Failed);
            }
        }
        let after = self.foca.num_members();
        if (members + 1 < MANY) != (after + 1 < MANY) {
            let _always_replaceable = self.foca.set_config(config(after));
        }
    }
}

impl Swim for FocaSwim {
    fn due(&self) -> Option<Time> {
        self.out.timers.first_key_value().map(|((at, _), _)| *at)
    }

    fn timer(&mut self, now: Time, heard: &dyn Fn(&Run) -> bool) {
        while let Some(entry) = self.out.timers.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let timer = entry.remove();
            match &timer {
                // foca tells the member that it is down even if it has refuted the suspicion
                // since then.
                Timer::ChangeSuspectToDown {
                    member_id,
                    incarnation,
                    ..
                } if !self.suspects(member_id, *incarnation) => {}
                Timer::ChangeSuspectToDown {
                    member_id,
                    incarnation,
                    ..
                } if heard(member_id) => {
                    self.out.now = now;
                    self.tell_suspect(&member_id.clone(), *incarnation);
                    self.out.submit_after(timer, HEARD_DELAY);
                }
                _ => self.run(now, |me| me.foca.handle_timer(timer, &mut me.out)),
            }
        }
    }

    fn packet(
        &mut self,
        now: Time,
        from: (NodeId, Boot),
        bytes: &[u8],
        believes: &mut dyn FnMut(&Update) -> bool,
    ) -> Result<(), Unreadable> {
        let mut rest = bytes;
        let header: Header<Run> = PostcardCodec
            .decode_header(&mut rest)
            .map_err(|_| Unreadable)?;
        if (header.src.id(), header.src.boot) != from {
            return Err(Unreadable);
        }
        if rest.is_empty() {
            self.run(now, |me| me.foca.handle_data(bytes, &mut me.out));
            return Ok(());
        }
        if rest.len() < 2 {
            return Err(Unreadable);
        }
        let mut kept = bytes[..bytes.len() - rest.len()].to_vec();
        let count_at = kept.len();
        kept.put_u16(0);
        let mut count = 0;
        for _ in 0..rest.get_u16() {
            let before = rest;
            let member: Member<Run> = PostcardCodec
                .decode_member(&mut rest)
                .map_err(|_| Unreadable)?;
            if believes(&update(&member)) {
                kept.extend_from_slice(&before[..before.len() - rest.len()]);
                count += 1;
            }
        }
        if !rest.is_empty() {
            return Err(Unreadable);
        }
        kept[count_at..count_at + 2].copy_from_slice(&u16::to_be_bytes(count));
        self.run(now, |me| me.foca.handle_data(&kept, &mut me.out));
        Ok(())
    }

    fn learn(&mut self, now: Time, updates: Vec<Update>) {
        let members = updates.into_iter().map(member);
        self.run(now, |me| me.foca.apply_many(members, true, &mut me.out));
    }

    fn rejoin(&mut self, now: Time, me: Run) {
        self.run(now, |this| {
            this.foca.change_identity(me, &mut this.out)?;
            // After a change of identity, foca stays disconnected until it has applied some
            // list of updates; an empty one will do.
            this.foca
                .apply_many(std::iter::empty(), true, &mut this.out)
        });
    }

    fn announce(&mut self, now: Time, to: Run) {
        self.run(now, |me| me.foca.announce(to, &mut me.out));
    }

    fn updates(&self) -> Vec<Update> {
        self.foca.iter_membership_state().map(update).collect()
    }

    fn len(&self) -> usize {
        self.foca.iter_membership_state().len()
    }

    fn known(&self, id: NodeId) -> Option<KnownRun> {
        let member = self
            .foca
            .iter_membership_state()
            .find(|member| member.id().id() == id)?;
        Some(KnownRun {
            boot: member.id().boot,
            down: member.state() == foca::State::Down,
        })
    }

    fn poll(&mut self) -> Option<SwimEvent> {
        self.out.events.pop_front()
    }
}

impl Runtime<Run> for Queue {
    fn notify(&mut self, notification: Notification<'_, Run>) {
        self.events.push_back(match notification {
            Notification::MemberUp(run) => SwimEvent::Up(run.clone()),
            // `run` looks up the reason when the call is over.
            Notification::MemberDown(run) => SwimEvent::Down(run.clone(), DownReason::Failed),
            Notification::Rename(old, new) => SwimEvent::Replaced {
                old: old.clone(),
                new: new.clone(),
            },
            Notification::Defunct => SwimEvent::Defunct,
            Notification::Active | Notification::Idle | Notification::Rejoin(_) => return,
        });
    }

    fn send_to(&mut self, to: Run, data: &[u8]) {
        self.events.push_back(SwimEvent::Send {
            to,
            bytes: data.to_vec(),
        });
    }

    fn submit_after(&mut self, event: Timer<Run>, after: Duration) {
        self.order += 1;
        self.timers.insert((self.now + after, self.order), event);
    }
}

fn update(member: &Member<Run>) -> Update {
    let state = match member.state() {
        foca::State::Alive => SwimState::Alive,
        foca::State::Suspect => SwimState::Suspect,
        foca::State::Down => SwimState::Down,
    };
    Update {
        run: member.id().clone(),
        incarnation: member.incarnation(),
        state,
    }
}

fn member(update: Update) -> Member<Run> {
    let state = match update.state {
        SwimState::Alive => foca::State::Alive,
        SwimState::Suspect => foca::State::Suspect,
        SwimState::Down => foca::State::Down,
    };
    Member::new(update.run, update.incarnation, state)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn run(last: u8) -> Run {
        let ip = std::net::Ipv4Addr::new(10, 10, 10, last);
        Run {
            name: crate::NodeName::new("example", ip).expect("a name"),
            port: 8383,
            url: crate::HttpUrl::plain((ip, 8080)),
            boot: Boot::from_number(1),
            process: u64::from(last),
        }
    }

    #[test]
    fn a_member_that_has_refuted_a_suspicion_is_not_told_that_it_is_down() {
        let (me, other) = (run(2), run(3));
        let mut swim = FocaSwim::new(me, StdRng::seed_from_u64(1));
        swim.learn(Time::ZERO, vec![Update::alive(other.clone())]);
        let mut now = Time::ZERO;
        // No probe is answered until there is a suspicion.
        while !swim.suspects(&other, 0) {
            now = swim.due().expect("a next probe");
            swim.timer(now, &|_| false);
        }
        let refuted = Update {
            incarnation: 1,
            ..Update::alive(other.clone())
        };
        swim.learn(now, vec![refuted]);
        while swim.poll().is_some() {}
        // As long as the suspicion would have lasted.
        let end = now + config(0).suspect_to_down_after + Duration::from_millis(10);
        while let Some(due) = swim.due().filter(|due| *due <= end) {
            swim.timer(due, &|_| false);
        }
        let events: Vec<SwimEvent> = std::iter::from_fn(|| swim.poll()).collect();
        assert!(!events.is_empty(), "it goes on probing");
        for event in events {
            let SwimEvent::Send { bytes, .. } = event else {
                panic!("nothing else comes of it: {event:?}");
            };
            let mut rest = &bytes[..];
            let header = PostcardCodec.decode_header(&mut rest);
            let header: Header<Run> = header.expect("a header");
            assert_ne!(header.message, Message::TurnUndead);
        }
    }
}
