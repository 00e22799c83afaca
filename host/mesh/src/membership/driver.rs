//! The loop of membership's thread. It waits for anything, takes in a bounded amount of
//! everything, does what is due, and carries out what the core wants. Only it owns the core,
//! the sockets and the connections.

mod carry_out;
mod held;
mod settings;
mod start;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use cluster::release::AppFile;
use cluster::{Input, Node, NodeName, Time};
use tokio::io::{Interest, Ready};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use self::held::HeldDatagrams;
use super::boot_store::BootStore;
use super::broadcast::Broadcast;
use super::record_store::RecordStore;
use super::releases::{CoreRequest, FileOutcome, Overview};
use super::seeds::FoundSeed;
use super::silence::SilenceHint;
use super::{MembershipCounts, Order, Outside};
use crate::control;
use crate::control::{Event, Identity, Links};
use crate::data::wall_ms;
use crate::net;

/// How many datagrams of each socket, and events of the control channel, are taken in before
/// timers are checked.
const DATAGRAMS: usize = 64;
const EVENTS: usize = 16;

/// The state of the loop.
pub(super) struct Driver {
    node: Node,
    name: NodeName,
    clock: Clock,
    gossip: UdpSocket,
    broadcast: Broadcast,
    silence: SilenceHint,
    links: Links,
    events: mpsc::Receiver<Event>,
    boots: BootStore,
    /// The effects that wait while a new boot number is written to the disk.
    held: Option<HeldDatagrams>,
    releases: RecordStore,
    stored_settings: RecordStore,
    /// Whether there can be others that this node finds.
    may_find_others: bool,
    /// A file that waits until the clock is right, and when to try again.
    file_again: Option<(Instant, AppFile)>,
    /// The caller that waits for the result of a file.
    file_asked: Option<(AppFile, oneshot::Sender<FileOutcome>)>,
    /// The hash of the releases and votes in [`Outside::overview`].
    shown: u64,
    outside: Outside,
    counters: MembershipCounts,
    control: Arc<control::CallerCounts>,
    /// Shared with the control server and the links.
    identity: Identity,
    /// The addresses that names to join were found to have.
    found: mpsc::Receiver<FoundSeed>,
    /// The control server and the lookups; aborted when this is dropped.
    _tasks: JoinSet<()>,
    departed: bool,
    /// One byte longer than a datagram may be, so that a longer one is noticed.
    buffer: Vec<u8>,
}

/// The time that the core is told.
struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that begins now.
    fn begin() -> Clock {
        let start = Instant::now();
        Clock { start }
    }

    fn now(&self) -> Time {
        Time::from_start(self.start.elapsed())
    }

    fn instant(&self, time: Time) -> tokio::time::Instant {
        (self.start + time.since_start()).into()
    }
}

impl Driver {
    /// Takes part until an order ends it.
    pub(super) async fn run(mut self) {
        loop {
            self.boot_stored().await;
            let woken = self.wait().await;
            match woken {
                Woken::Order => {
                    let order = *self.outside.order.borrow_and_update();
                    match order {
                        Order::Run => {}
                        Order::Leave => self.handle(Input::Leave),
                        Order::Stop => return,
                    }
                }
                Woken::Serving => {
                    let serving = self.outside.serving.borrow_and_update().clone();
                    if let Some(serving) = serving {
                        self.handle(Input::Serving(serving));
                    }
                }
                Woken::Keys => self.change_keys(),
                Woken::FoundSeed(FoundSeed { name, addresses }) => self.handle(Input::Seeds {
                    name,
                    addresses: &addresses,
                }),
                Woken::CoreRequest(want) => self.want(want),
                Woken::Event(event) => self.event(event),
                Woken::Other => {}
            }
            // What arrived before the timers fired is older: an answer that waits to be read
            // must not count as missing.
            let busy = self.take_in();
            if self
                .node
                .next_timer()
                .is_some_and(|due| due <= self.clock.now())
            {
                self.handle(Input::Timer);
            }
            if let Some((_, file)) = self.file_again.take_if(|(at, _)| *at <= Instant::now()) {
                self.handle(Input::AppFile(file));
            }
            if self.broadcast.next_look() <= Instant::now() {
                self.broadcast.look(&self.gossip);
            }
            self.publish_overview();
            self.publish_merged();
            self.publish_counters();
            self.look_for_others();
            if self.departed {
                return;
            }
            if busy {
                // The control channel shares this thread.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Waits until there is something to do.
    async fn wait(&mut self) -> Woken {
        let timer = self.node.next_timer().map(|due| self.clock.instant(due));
        let look = self.broadcast.next_look().into();
        let next = timer.map_or(look, |timer| timer.min(look));
        let broadcast = self.broadcast.receiver();
        tokio::select! {
            // Errors of readiness itself do not happen, and would show on use.
            _ = self.gossip.ready(Interest::READABLE | Interest::ERROR) => Woken::Other,
            _ = readable(broadcast) => Woken::Other,
            Some(event) = self.events.recv() => Woken::Event(event),
            changed = self.outside.order.changed() => match changed {
                Ok(()) => Woken::Order,
                // Nobody is left to give orders.
                Err(_) => { self.departed = true; Woken::Other }
            },
            Ok(()) = self.outside.serving.changed() => Woken::Serving,
            Some(want) = self.outside.wanted.recv() => Woken::CoreRequest(want),
            Ok(()) = self.outside.keys.changed() => Woken::Keys,
            Some(found) = self.found.recv() => Woken::FoundSeed(found),
            () = sleep_until(next) => Woken::Other,
        }
    }

    /// Takes in what has arrived, a bounded amount of each kind. Returns whether there may be
    /// more.
    fn take_in(&mut self) -> bool {
        for ip in net::refused_peers(&self.gossip) {
            self.handle(Input::Unreachable { ip });
        }
        let mut busy = false;
        for from_broadcast in [false, true] {
            let mut taken = 0;
            while taken < DATAGRAMS && self.datagram(from_broadcast) {
                taken += 1;
            }
            busy |= taken == DATAGRAMS;
        }
        for _ in 0..EVENTS {
            match self.events.try_recv() {
                Ok(event) => self.event(event),
                Err(_) => return busy,
            }
        }
        true
    }

    /// Takes in one datagram. False if there is none.
    fn datagram(&mut self, from_broadcast: bool) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        let socket = if from_broadcast {
            self.broadcast.receiver()
        } else {
            Some(&self.gossip)
        };
        let received = match socket {
            Some(socket) => socket.try_recv_from(&mut buffer),
            None => Err(io::ErrorKind::WouldBlock.into()),
        };
        let more = match received {
            Ok((length, SocketAddr::V4(from))) => {
                let bytes = buffer.get(..length).unwrap_or_default();
                self.handle(Input::Datagram { from, bytes });
                true
            }
            Ok((_, SocketAddr::V6(_))) => true,
            // Any other error belongs to an earlier send; see `net::icmp`.
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        self.buffer = buffer;
        more
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Request {
                peer,
                bytes,
                answer,
            } => {
                let mut answer = Some(answer);
                let request = Input::SyncRequest {
                    member: peer,
                    bytes: &bytes,
                };
                self.handle_for(request, &mut answer);
            }
            Event::Reply { peer, bytes } => self.handle(Input::SyncReply {
                member: peer,
                bytes: &bytes,
            }),
            Event::Lost { ip } => self.handle(Input::Unreachable { ip }),
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        self.handle_for(input, &mut None);
    }

    fn handle_for(&mut self, input: Input<'_>, answer: &mut Option<oneshot::Sender<Bytes>>) {
        self.node.handle(self.clock.now(), wall_ms(), input);
        while let Some(effect) = self.node.poll_effect() {
            self.carry_out(effect, answer);
        }
    }

    fn want(&mut self, want: CoreRequest) {
        if !self.node.takes_part() {
            // This drops the sender of the answer, which tells the waiting caller.
            return;
        }
        match want {
            CoreRequest::Draft(request, answer) => {
                let draft = self.node.draft(self.clock.now(), wall_ms(), request);
                // If the caller no longer waits, it does not need the answer.
                let _ = answer.send(draft);
            }
            CoreRequest::Publish(release, answer) => {
                self.handle(Input::Publish(release));
                self.publish_overview();
                let _ = answer.send(());
            }
            CoreRequest::Vote(release, verdict) => self.handle(Input::Vote(release, verdict)),
            CoreRequest::File(file, answer) => {
                self.file_again = None;
                if let Some((_, before)) = self.file_asked.replace((file, answer)) {
                    let _ = before.send(Ok(None));
                }
                self.handle(Input::AppFile(file));
            }
            CoreRequest::DraftSettings(changes, by, answer) => {
                // Without a draft, the caller is told that the node cannot.
                if let Some(draft) = self.draft_settings(changes, &by) {
                    let _ = answer.send(draft);
                }
            }
            CoreRequest::PublishSettings(records, answer) => {
                let published = self.publish_settings(records);
                let _ = answer.send(published);
            }
            CoreRequest::LookAtSettings(answer) => {
                let _ = answer.send(self.settings_look());
            }
        }
    }

    fn look_for_others(&mut self) {
        let datagrams = self.node.counters();
        let heard = datagrams.accepted + datagrams.probation + datagrams.refused.total() > 0;
        self.silence.look(Instant::now(), heard);
    }

    /// Shows the rest of the host what is known of releases, if it is new.
    fn publish_overview(&mut self) {
        let known = self.node.releases_hash();
        if known == self.shown {
            return;
        }
        self.shown = known;
        self.outside.overview.send_replace(Arc::new(Overview {
            target: self.node.target(),
            releases: self.node.listing(),
            names: self.node.names(),
        }));
    }

    fn change_keys(&mut self) {
        let keys = self.outside.keys.borrow_and_update().clone();
        let Some(keys) = keys else {
            return;
        };
        if let Err(error) = self.identity.change(&keys) {
            tracing::error!(%error, "the control channel goes on with the keys it has");
        }
        self.handle(Input::Keys(Box::new(keys)));
    }

    fn publish_counters(&mut self) {
        self.counters.datagrams = *self.node.counters();
        self.counters.callers = self.control.now();
        self.counters.releases_not_stored = self.releases.failed() + self.stored_settings.failed();
        self.outside.counters.count(|shown| *shown = self.counters);
    }
}

/// What ended a wait.
enum Woken {
    Order,
    Serving,
    CoreRequest(CoreRequest),
    Keys,
    FoundSeed(FoundSeed),
    Event(Event),
    /// A socket or a timer; both are checked in any case.
    Other,
}

async fn readable(socket: Option<&UdpSocket>) -> io::Result<Ready> {
    match socket {
        Some(socket) => socket.ready(Interest::READABLE).await,
        None => std::future::pending().await,
    }
}
