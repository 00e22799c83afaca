//! A LAN: a switch, and machines 10.10.10.2, .3, … on it. Everything is inside
//! network namespaces, so nothing of it touches the real network.

mod machine;

use crate::netns::{Netns, remove_stale};
use crate::process::Launch;
use crate::programs::Programs;
use crate::skip;
use anyhow::{Context, Result};
use parking_lot::{Mutex, MutexGuard};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

pub use machine::Machine;
pub(crate) use machine::status_of;

/// Tells the LANs of one process apart.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// One LAN at a time: its tests measure time, and share few cores.
static TURN: Mutex<()> = Mutex::new(());

/// The machine's end of its cable.
pub(crate) const CABLE: &str = "eth0";
/// The cookie of all nodes.
pub const COOKIE: &str = "a cookie of the laboratory";
/// The switch itself.
const BRIDGE: &str = "bridge";
/// A second switch, which no cable leads to from the first.
const ISLAND: &str = "island";

/// A switch and the machines on it.
#[derive(Debug)]
pub struct Lan {
    machines: Vec<Machine>,
    switch: Netns,
    programs: Programs,
    data: PathBuf,
    // Last, so that the next LAN begins when all of this one is gone.
    _turn: MutexGuard<'static, ()>,
}

impl Lan {
    /// A LAN of so many machines, 10.10.10.2 and up; none if this machine
    /// cannot have one, which is said loudly.
    ///
    /// # Panics
    ///
    /// In CI, if it cannot have one.
    pub fn or_skip(programs: Programs, machines: u8) -> Option<Self> {
        if let Some(why) = skip::lan_obstacle() {
            skip::skip(&why);
            return None;
        }
        match Self::new(programs, machines) {
            Ok(lan) => Some(lan),
            Err(error) => {
                skip::skip(&format!(
                    "no LAN of network namespaces can be made: {error:#}"
                ));
                None
            }
        }
    }

    /// A LAN of so many machines, 10.10.10.2 and up.
    ///
    /// # Errors
    ///
    /// If the namespaces cannot be made.
    pub fn new(programs: Programs, machines: u8) -> Result<Self> {
        // A test that failed while it had its turn has not spoilt ours.
        let turn = TURN.lock();
        remove_stale()?;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let data = std::env::temp_dir().join(format!("ace-lab-{}-{id}", std::process::id()));
        std::fs::create_dir(&data).with_context(|| format!("cannot make {}", data.display()))?;
        let switch = Netns::new(&format!("{id}-switch"))?;
        add_bridge(&switch, BRIDGE)?;
        add_bridge(&switch, ISLAND)?;
        let mut lan = Self {
            machines: Vec::new(),
            switch,
            programs,
            data,
            _turn: turn,
        };
        for number in (2..).take(machines.into()) {
            lan.machines.push(Machine {
                number,
                netns: Netns::new(&format!("{id}-{number}"))?,
                data: lan.data.join(number.to_string()),
            });
            lan.plug_in(number)?;
        }
        Ok(lan)
    }

    /// The machine 10.10.10.N.
    ///
    /// # Panics
    ///
    /// If the LAN has no such machine: the test is wrong.
    pub fn machine(&self, number: u8) -> &Machine {
        let machine = self
            .machines
            .iter()
            .find(|machine| machine.number == number);
        machine.unwrap_or_else(|| panic!("this LAN has no machine 10.10.10.{number}"))
    }

    /// All of its machines.
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }

    /// The namespace of the switch.
    pub(crate) fn switch(&self) -> &Netns {
        &self.switch
    }

    /// The programs under test.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// A folder for what only this LAN needs; gone with it.
    pub fn scratch(&self) -> &Path {
        &self.data
    }

    /// A node on machine N that serves the guest, as the README starts it.
    pub fn host(&self, number: u8) -> Launch {
        let machine = self.machine(number);
        Launch::new(self.programs.host())
            .in_netns(machine.netns.name())
            .arg("--name")
            .arg(machine.node_name())
            .arg("--app")
            .arg(self.programs.app())
            .arg("--data-dir")
            .arg(machine.data_dir())
            .env("HOST_COOKIE", COOKIE)
    }

    /// `host COMMAND …` about the node of machine N, on that machine.
    pub fn tool(&self, number: u8, command: &[&str]) -> Launch {
        let machine = self.machine(number);
        Launch::new(self.programs.host())
            .in_netns(machine.netns.name())
            .args(command.iter().copied())
            .arg("--data-dir")
            .arg(machine.data_dir())
    }

    /// `host COMMAND …` on machine `from` about the node of machine N, over its
    /// cluster port.
    pub fn tool_from(&self, from: u8, number: u8, command: &[&str]) -> Launch {
        Launch::new(self.programs.host())
            .in_netns(self.machine(from).netns.name())
            .args(command.iter().copied())
            .arg("--node")
            .arg(self.machine(number).ip().to_string())
            .env("HOST_COOKIE", COOKIE)
    }

    /// Pull the cable of machine N. It loses its carrier.
    ///
    /// # Errors
    ///
    /// If `ip` fails.
    pub fn cut(&self, number: u8) -> Result<()> {
        self.switch.ip(&["link", "set", &port(number), "down"])
    }

    /// Plug the cable of machine N in again.
    ///
    /// # Errors
    ///
    /// If `ip` fails.
    pub fn mend(&self, number: u8) -> Result<()> {
        self.switch.ip(&["link", "set", &port(number), "up"])
    }

    /// Move these machines to a second switch, where they reach each other and
    /// nobody else; no cable loses its carrier.
    ///
    /// # Errors
    ///
    /// If `ip` fails.
    pub fn split_off(&self, numbers: &[u8]) -> Result<()> {
        self.move_to(ISLAND, numbers)
    }

    /// Move these machines back to the switch of all.
    ///
    /// # Errors
    ///
    /// If `ip` fails.
    pub fn reunite(&self, numbers: &[u8]) -> Result<()> {
        self.move_to(BRIDGE, numbers)
    }

    fn move_to(&self, bridge: &str, numbers: &[u8]) -> Result<()> {
        self.move_each(numbers.iter().map(|number| (*number, bridge.to_owned())))
    }

    /// Connect machines with other bridges, in one go: meanwhile some are here
    /// and some there, and cannot reach each other.
    fn move_each(&self, moves: impl Iterator<Item = (u8, String)>) -> Result<()> {
        let set = |(number, bridge)| format!("link set {} master {bridge}", port(number));
        self.switch.ip_all(&moves.map(set).collect::<Vec<_>>())
    }

    /// Connect every machine with its TAP device instead of with the switch,
    /// or with the switch again.
    pub(crate) fn through_forwarder(&self, through: bool) -> Result<()> {
        let numbers = || self.machines.iter().map(|machine| machine.number);
        if through {
            for number in numbers() {
                add_bridge(&self.switch, &spur(number))?;
                self.switch
                    .ip(&["link", "set", &tap(number), "master", &spur(number)])?;
            }
            self.move_each(numbers().map(|number| (number, spur(number))))?;
        } else {
            self.move_each(numbers().map(|number| (number, BRIDGE.to_owned())))?;
            for number in numbers() {
                self.switch.ip(&["link", "delete", &spur(number)])?;
            }
        }
        Ok(())
    }

    /// Let the switch pass broadcasts to machine N, or lose them all. Whatever
    /// is sent to the machine alone arrives: the others are told its hardware
    /// address, since the question for it would be a broadcast.
    ///
    /// # Errors
    ///
    /// If `ip` fails.
    pub fn pass_broadcasts_to(&self, number: u8, pass: bool) -> Result<()> {
        let (ip, mac) = (self.machine(number).ip().to_string(), mac_text(number));
        for other in self.machines.iter().filter(|other| other.number != number) {
            other.netns.ip(&[
                "neighbour",
                "replace",
                &ip,
                "lladdr",
                &mac,
                "nud",
                "permanent",
                "dev",
                CABLE,
            ])?;
        }
        let pass = if pass { "on" } else { "off" };
        self.switch.ip(&[
            "link",
            "set",
            &port(number),
            "type",
            "bridge_slave",
            "bcast_flood",
            pass,
        ])
    }

    /// Give machine N its cable and its address.
    fn plug_in(&self, number: u8) -> Result<()> {
        let machine = self.machine(number);
        let port = port(number);
        self.switch.ip(&[
            "link",
            "add",
            &port,
            "type",
            "veth",
            "peer",
            "name",
            CABLE,
            "netns",
            machine.netns.name(),
        ])?;
        self.switch
            .ip(&["link", "set", &port, "master", BRIDGE, "up"])?;
        machine
            .netns
            .ip(&["link", "set", CABLE, "address", &mac_text(number)])?;
        machine.give_address(machine.ip())?;
        machine.link_up()
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.data) {
            eprintln!("lab: cannot remove {}: {error}", self.data.display());
        }
    }
}

/// The switch's end of the cable of machine N.
fn port(number: u8) -> String {
    format!("port{number}")
}

/// The forwarder's end of what leads to machine N.
pub(crate) fn tap(number: u8) -> String {
    format!("tap{number}")
}

/// The bridge between that and the port of machine N.
fn spur(number: u8) -> String {
    format!("spur{number}")
}

/// The hardware address of machine N.
pub(crate) fn mac(number: u8) -> [u8; 6] {
    [2, 0, 10, 10, 10, number]
}

/// The same as text.
fn mac_text(number: u8) -> String {
    mac(number).map(|byte| format!("{byte:02x}")).join(":")
}

fn add_bridge(switch: &Netns, name: &str) -> Result<()> {
    switch.ip(&["link", "add", name, "type", "bridge"])?;
    switch.ip(&["link", "set", name, "up"])
}
