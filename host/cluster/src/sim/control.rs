//! How states travel on the control channel. A connection is dialled when there is none, is
//! used by one exchange at a time, and is refused where the host refuses it. States flow in,
//! and come out at the other node after the time that TCP, TLS and a wire of 1 Gbit need.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use rand::RngExt;

use crate::Time;

use super::{Event, Lan, ms};

/// The limits of the host's control channel: how many members one node calls at a time, how
/// many callers it has, and how many callers may be in their handshake.
const CALLS_MAX: usize = 64;
const CALLERS_MAX: usize = 256;
const STRANGERS_MAX: usize = 32;

/// How long an unused connection stays, and how long an exchange and a handshake may take.
const IDLE: Duration = Duration::from_secs(30);
const EXCHANGE: Duration = Duration::from_secs(5);
const HANDSHAKE: Duration = Duration::from_secs(2);

/// The computing time of a mutual handshake on each side, one after the other.
pub(super) const TLS: Duration = Duration::from_micros(160);

/// The round trips until the first state may be sent: TCP, TLS 1.3, and the
/// exchange of names.
pub(super) const ROUND_TRIPS: u32 = 3;

/// When TCP sends lost data again: the least time that Linux waits. (Fast retransmission is
/// sooner, so this is too slow rather than too fast.)
pub(super) const AGAIN: Duration = Duration::from_millis(200);

/// How many bytes one segment carries, and how long a byte takes at 1 Gbit/s.
pub(super) const SEGMENT: usize = 1400;
pub(super) const BYTE: Duration = Duration::from_nanos(8);

/// The connections of one machine's process.
#[derive(Default)]
pub(super) struct MachineLinks {
    calls: BTreeMap<usize, Call>,
    /// The callers that are connected to it, and until when each stays if unused.
    callers: BTreeMap<usize, Time>,
    /// The callers in their handshake, and when each handshake is given up.
    strangers: BTreeMap<usize, Time>,
    /// When its wire and its handshakes will have finished what was begun.
    pub(super) wire: Time,
    pub(super) tls: Time,
}

/// A connection to one member.
struct Call {
    open_until: Option<Time>,
    /// The latest end of the exchange or handshake that is under way.
    busy_until: Option<Time>,
    /// The state that waits; at most one may.
    waiting: Option<Bytes>,
}

impl Lan {
    /// A node wants a state exchanged.
    pub(super) fn call(&mut self, from: usize, to: usize, state: Bytes) {
        if !self.control || !self.hears(from, to) {
            return;
        }
        let now = self.now;
        let calls = &mut self.machines[from].desk.calls;
        calls.retain(|_, call| {
            call.busy_until.is_some_and(|until| now < until)
                || call.open_until.is_some_and(|until| now < until)
        });
        let count = calls.len();
        match calls.get_mut(&to) {
            Some(call) if call.busy_until.is_some_and(|until| now < until) => {
                // A second waiting state is refused, as the host does.
                call.waiting.get_or_insert(state);
            }
            Some(_) => self.request(from, to, state),
            None if count < CALLS_MAX => self.dial(from, to, state),
            None => {}
        }
    }

    fn dial(&mut self, from: usize, to: usize, state: Bytes) {
        let now = self.now;
        let desk = &mut self.machines[to].desk;
        desk.callers.retain(|_, until| now < *until);
        desk.strangers.retain(|_, until| now < *until);
        if desk.strangers.len() >= STRANGERS_MAX || desk.callers.len() >= CALLERS_MAX {
            return;
        }
        desk.strangers.insert(from, now + HANDSHAKE);
        let computed = desk.tls.max(now) + TLS;
        desk.tls = computed;
        let mut took = computed.since(now) + TLS;
        for _ in 0..2 * ROUND_TRIPS {
            took += self.leg(from, to, 1);
        }
        let call = Call {
            open_until: None,
            busy_until: Some(now + HANDSHAKE),
            waiting: Some(state),
        };
        self.machines[from].desk.calls.insert(to, call);
        if took < HANDSHAKE {
            self.post(from, took, Event::Connected { to });
        }
    }

    /// A connection is there: sends the state that waited.
    pub(super) fn connected(&mut self, from: usize, to: usize) {
        self.machines[to].desk.strangers.remove(&from);
        if self.hears(from, to) && self.machines[to].node.is_some() {
            let until = self.now + IDLE;
            self.machines[to].desk.callers.insert(from, until);
            self.next_request(from, to);
        }
    }

    /// The answer has come: sends the next state.
    pub(super) fn next_request(&mut self, from: usize, to: usize) {
        let until = self.now + IDLE;
        if let Some(call) = self.machines[from].desk.calls.get_mut(&to) {
            (call.busy_until, call.open_until) = (None, Some(until));
            if let Some(state) = call.waiting.take() {
                self.request(from, to, state);
            }
        }
    }

    fn request(&mut self, from: usize, to: usize, bytes: Bytes) {
        let now = self.now;
        if let Some(call) = self.machines[from].desk.calls.get_mut(&to) {
            (call.busy_until, call.open_until) = (Some(now + EXCHANGE), Some(now + IDLE));
        }
        if let Some(until) = self.machines[to].desk.callers.get_mut(&from) {
            *until = now + IDLE;
        }
        self.stream(from, to, bytes.len(), Event::SyncRequest { from, bytes });
    }

    /// A node answers a state.
    pub(super) fn answer(&mut self, from: usize, to: usize, bytes: Bytes) {
        self.stream(from, to, bytes.len(), Event::SyncReply { from, bytes });
    }

    pub(super) fn stream(&mut self, from: usize, to: usize, bytes: usize, event: Event) {
        if !self.control || !self.hears(from, to) {
            return;
        }
        let now = self.now;
        let sent = &mut self.machines[from].synced;
        (sent.0, sent.1) = (sent.0 + 1, sent.1 + bytes as u64);
        let on_wire = BYTE * u32::try_from(bytes).unwrap_or(u32::MAX);
        let wire = &mut self.machines[from].desk.wire;
        *wire = (*wire).max(now) + on_wire;
        let wait = wire.since(now) + self.leg(from, to, bytes.div_ceil(SEGMENT));
        self.post(to, wait, event);
    }

    /// How long `segments` segments take to the other side, all sent at once.
    pub(super) fn leg(&mut self, from: usize, to: usize, segments: usize) -> Duration {
        let between = self.loss_between.get(&(from, to)).copied();
        let arrives = (1.0 - self.loss) * (1.0 - between.unwrap_or(0.0));
        let lost =
            (1.0 - arrives.powi(i32::try_from(segments).unwrap_or(i32::MAX))).clamp(0.0, 1.0);
        let mut took = Duration::from_micros(self.rng.random_range(self.latency.clone()));
        let mut again = AGAIN;
        while lost > 0.0 && again < ms(2000) && self.rng.random_bool(lost) {
            took += again;
            again *= 2;
        }
        took
    }

    /// The process on a machine has ended, and its connections with it.
    pub(super) fn hang_up(&mut self, machine: usize) {
        self.machines[machine].desk = MachineLinks::default();
        self.machines[machine].depot.close();
        for other in &mut self.machines {
            other.desk.calls.remove(&machine);
            other.desk.callers.remove(&machine);
            other.desk.strangers.remove(&machine);
            other.depot.hang_up(machine);
        }
    }
}
