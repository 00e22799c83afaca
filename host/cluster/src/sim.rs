//! A LAN in memory: machines with nodes, virtual time, one heap of events, one seed. Everything
//! depends only on the seed, so a failed run can be repeated.

mod agreement;
mod attack;
mod audit;
mod carry;
mod control;
mod data;
mod fetching;
pub mod figures;
pub mod invariants;
pub mod ledger;
mod links;
mod perform;
mod runner;
pub mod scenario;
mod settings;
mod shrink;
#[cfg(test)]
mod tests;
mod watch;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::Range;
use std::time::Duration;

use crate::fetch::Want;
use crate::{Boot, Cidr, Config, ConfigLines, Effect, HttpUrl, Input, Keys, Node, NodeName, Time};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub use self::agreement::Disagreement;
pub use self::audit::{Audit, Harmless};
pub use self::data::DataDisk;
pub use self::fetching::Held;
pub use self::runner::{Failure, Report};

/// The UDP and TCP port of membership, on every machine.
pub const PORT: u16 = 8383;

/// The default latency of a datagram, in microseconds.
const LATENCY: Range<u64> = 100..400;

/// How many datagrams the socket buffer of a machine holds while its process is frozen.
const BUFFER: usize = 512;

/// The wall clock at the start of a run; arbitrary.
const WALL_MS: u64 = 1_700_000_000_000;

/// The network.
pub struct Lan {
    /// The time, from the start of the run.
    pub now: Time,
    /// The machines, by the number that [`Lan::machine`] gave.
    pub machines: Vec<Machine>,
    /// The share of datagrams that each receiver loses.
    pub loss: f64,
    /// The additional share of datagrams that is lost from one machine to another.
    pub loss_between: BTreeMap<(usize, usize), f64>,
    /// The share of datagrams that arrives twice.
    pub duplication: f64,
    /// The latency of a datagram, in microseconds. With a wide range, later datagrams overtake
    /// earlier ones.
    pub latency: Range<u64>,
    /// Whether the control channel works.
    pub control: bool,
    /// Whether the end of a process is noticed, by closed control connections and by reports of
    /// closed ports.
    pub hints: bool,
    /// Whether machines fetch the components of their targets.
    pub fetches: bool,
    /// The share of questions for chunks that nobody answers.
    pub unanswered: f64,
    /// Whether a machine drops datagrams from outside with its own address, as Linux does by
    /// default.
    pub drop_martians: bool,
    /// The machine that gets datagrams to an address that two machines have.
    pub arp: BTreeMap<Ipv4Addr, usize>,
    /// All sent datagrams, while recording.
    pub tape: Option<Vec<Taped>>,
    /// The audit of datagrams, if there is one.
    pub audit: Option<Audit>,
    /// What nodes reported, oldest first.
    pub log: Vec<LogEntry>,
    /// How many datagrams and bytes were sent.
    pub sent: (u64, u64),
    made: agreement::Made,
    made_settings: settings::MadeSettings,
    /// The seed, to derive others from it.
    pub seed: u64,
    rng: StdRng,
    queue: BinaryHeap<Reverse<Queued>>,
    order: u64,
    at_address: BTreeMap<Ipv4Addr, Vec<usize>>,
}

/// A machine, and the process on it.
pub struct Machine {
    /// Its name; datagrams to the IP in it reach this machine.
    pub name: NodeName,
    /// The process, while there is one.
    pub node: Option<Node>,
    /// The keys of its next process.
    pub keys: Keys,
    /// What survives the process.
    pub disk: Disk,
    /// The error of its wall clock, in milliseconds.
    pub clock_off: i64,
    /// Whether its link is up.
    pub linked: bool,
    /// Machines hear each other if they are in the same part of the network.
    pub part: u32,
    /// Its broadcasts reach the machines of the same domain.
    pub domain: u32,
    /// Whether its process gets a broadcast address.
    pub broadcasts: bool,
    /// The prefix length of its subnet.
    pub prefix: u8,
    /// The nodes that its process is told to join.
    pub join: Vec<SocketAddrV4>,
    /// The ranges that its process is told to allow, besides its subnet.
    pub allow: Vec<Cidr>,
    /// How many datagrams and bytes it sent.
    pub sent: (u64, u64),
    /// How many datagrams and bytes of others reached it.
    pub received: (u64, u64),
    /// How many states and bytes it sent over the control channel.
    pub synced: (u64, u64),
    /// Whether it hears nothing.
    pub deaf: bool,
    /// Whether it gives wrong bytes as chunks.
    pub lies: bool,
    /// Changes the configuration of its processes.
    pub adjust: fn(&mut Config),
    frozen: Option<Vec<Event>>,
    desk: control::MachineLinks,
    depot: fetching::Depot,
    store: data::MachineData,
    /// Counts its processes: events for an earlier one are dropped.
    life: u32,
    timer: Option<Time>,
}

/// What survives a process.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// Its boot number.
    pub boot: Option<Boot>,
    /// What it knew of releases.
    pub releases: Option<Bytes>,
    /// What it knew of settings.
    pub settings: Option<Bytes>,
    /// What it had stored of the key-value data.
    pub data: data::DataDisk,
}

/// A datagram that was sent.
#[derive(Clone)]
pub struct Taped {
    /// Its source address.
    pub from: SocketAddrV4,
    /// The whole datagram.
    pub bytes: Bytes,
}

/// Something that a node reported.
pub struct LogEntry {
    /// When it reported.
    pub at: Time,
    /// The machine of the node.
    pub machine: usize,
    /// The report. For a new view, only that there is one.
    pub effect: Effect,
}

#[derive(Clone)]
enum Event {
    Datagram {
        from: SocketAddrV4,
        bytes: Bytes,
    },
    Timer {
        life: u32,
    },
    Unreachable {
        ip: Ipv4Addr,
    },
    SyncRequest {
        from: usize,
        bytes: Bytes,
    },
    SyncReply {
        from: usize,
        bytes: Bytes,
    },
    Connected {
        to: usize,
    },
    /// A machine asks for a part of a component.
    Question {
        from: usize,
        number: u64,
        want: Want,
    },
    /// The result of a question of this process.
    Answer {
        life: u32,
        reply: fetching::Reply,
    },
    FetchTimer {
        life: u32,
    },
    /// A member tells what was written.
    Told {
        from: usize,
        bytes: Bytes,
    },
    /// The disk is to have what was written until now.
    Save {
        life: u32,
    },
}

struct Queued {
    at: Time,
    order: u64,
    machine: usize,
    event: Event,
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Queued {}

/// Runs a test with several seeds, or only with the one in `CLUSTER_SEED`.
pub fn with_seeds(count: u64, test: impl Fn(&mut Lan)) {
    let given = std::env::var("CLUSTER_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seeds = given.map_or(1..count + 1, |seed| seed..seed + 1);
    for seed in seeds {
        test(&mut Lan::new(seed));
    }
}

/// A duration in milliseconds.
pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A duration in seconds.
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The keys of the cluster under test.
pub fn keys() -> Keys {
    Keys::from_master(&[7; 32])
}

impl Lan {
    /// A network without machines, and without faults.
    pub fn new(seed: u64) -> Self {
        Self {
            now: Time::ZERO,
            machines: Vec::new(),
            loss: 0.0,
            loss_between: BTreeMap::new(),
            duplication: 0.0,
            latency: LATENCY,
            control: true,
            hints: true,
            fetches: false,
            unanswered: 0.0,
            drop_martians: true,
            arp: BTreeMap::new(),
            tape: None,
            audit: None,
            log: Vec::new(),
            sent: (0, 0),
            made: agreement::Made::default(),
            made_settings: settings::MadeSettings::default(),
            seed,
            rng: StdRng::seed_from_u64(seed),
            queue: BinaryHeap::new(),
            order: 0,
            at_address: BTreeMap::new(),
        }
    }

    /// A new machine without a process, named `example@IP`.
    pub fn machine(&mut self, ip: &str) -> usize {
        let name: NodeName = format!("example@{ip}").parse().expect("a name");
        self.at_address
            .entry(name.ip())
            .or_default()
            .push(self.machines.len());
        self.machines.push(Machine {
            name,
            node: None,
            keys: keys(),
            disk: Disk::default(),
            clock_off: 0,
            linked: true,
            part: 0,
            domain: 0,
            broadcasts: true,
            prefix: 16,
            join: Vec::new(),
            allow: Vec::new(),
            sent: (0, 0),
            received: (0, 0),
            synced: (0, 0),
            deaf: false,
            lies: false,
            adjust: |_| (),
            frozen: None,
            desk: control::MachineLinks::default(),
            depot: fetching::Depot::default(),
            store: data::MachineData::default(),
            life: 0,
            timer: None,
        });
        self.machines.len() - 1
    }

    /// Makes and starts `count` machines, from 10.10.0.2 or 10.10.10.2 on.
    pub fn cluster(&mut self, count: usize) -> Vec<usize> {
        let base = u32::from(Ipv4Addr::new(10, 10, 10, 2));
        let made: Vec<usize> = (base..)
            .take(count)
            .map(|ip| self.machine(&Ipv4Addr::from(ip).to_string()))
            .collect();
        made.iter().for_each(|&machine| self.start(machine));
        made
    }

    /// Starts a process.
    pub fn start(&mut self, machine: usize) {
        self.hang_up(machine);
        let (wall_ms, seed) = (self.wall_ms(machine), self.rng.random());
        let its = &mut self.machines[machine];
        let ip = its.name.ip();
        let mut config = Config {
            built_ms: 0,
            name: its.name.clone(),
            url: HttpUrl::plain((ip, 8080)),
            cluster_port: PORT,
            broadcast: its
                .broadcasts
                .then_some(SocketAddrV4::new(Ipv4Addr::new(10, 10, 255, 255), PORT)),
            subnet: Cidr::new(ip, its.prefix).expect("a range"),
            allow: its.allow.clone(),
            join: its.join.clone(),
            boot_stored: its.disk.boot,
            releases_stored: its.disk.releases.clone(),
            settings_stored: its.disk.settings.clone(),
            app_config: ConfigLines::default(),
            data: its.store.load(&its.disk.data),
            deploy_key: None,
            wall_ms,
        };
        (its.adjust)(&mut config);
        its.life += 1;
        its.frozen = None;
        its.timer = None;
        its.node = Some(Node::new(config, &its.keys, self.now, seed));
        self.settle(machine);
    }

    /// Ends a process at once. The other nodes may notice.
    pub fn kill(&mut self, machine: usize) {
        self.machines[machine].node = None;
        self.machines[machine].life += 1;
        self.hang_up(machine);
        if !self.hints {
            return;
        }
        let ip = self.machines[machine].name.ip();
        for other in 0..self.machines.len() {
            if other != machine && self.hears(machine, other) {
                self.post(other, ms(1), Event::Unreachable { ip });
            }
        }
    }

    /// Tells a node to leave; then its process ends.
    pub fn leave(&mut self, machine: usize) {
        self.give(machine, Input::Leave);
    }

    /// Stops a process from running, as SIGSTOP does.
    pub fn freeze(&mut self, machine: usize) {
        self.machines[machine].frozen.get_or_insert_default();
    }

    /// Whether its process is frozen.
    pub fn is_frozen(&self, machine: usize) -> bool {
        self.machines[machine].frozen.is_some()
    }

    /// Lets a process run again, with what its socket buffer holds.
    pub fn thaw(&mut self, machine: usize) {
        for event in self.machines[machine].frozen.take().unwrap_or_default() {
            self.deliver(machine, event);
        }
    }

    /// Plugs the cable of a machine in, or pulls it.
    pub fn set_linked(&mut self, machine: usize, linked: bool) {
        self.machines[machine].linked = linked;
    }

    /// An attacker sends a datagram to a machine.
    pub fn inject(&mut self, machine: usize, from: SocketAddrV4, bytes: &[u8]) {
        self.deliver(
            machine,
            Event::Datagram {
                from,
                bytes: Bytes::copy_from_slice(bytes),
            },
        );
    }

    /// Gives an input to a node.
    pub fn give(&mut self, machine: usize, input: Input<'_>) {
        let wall_ms = self.wall_ms(machine);
        if let Some(node) = &mut self.machines[machine].node {
            node.handle(self.now, wall_ms, input);
            self.settle(machine);
        }
    }

    /// The process on a machine.
    ///
    /// # Panics
    /// If there is no process.
    pub fn node(&self, machine: usize) -> &Node {
        self.machines[machine].node.as_ref().expect("a process")
    }

    /// The seed of the run.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A random time below `below`.
    pub fn chance(&mut self, below: Duration) -> Duration {
        below.mul_f64(self.rng.random::<f64>())
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("repeat this run with CLUSTER_SEED={}", self.seed);
        }
    }
}
