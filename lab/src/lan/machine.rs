//! One machine of a LAN: its name, its network card, and requests from it.

use super::CABLE;
use crate::client::{self, Answer, Sse};
use crate::netns::Netns;
use anyhow::{Context, Result};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One machine: a namespace with the address 10.10.10.N.
#[derive(Debug)]
pub struct Machine {
    pub(super) number: u8,
    pub(super) netns: Netns,
    pub(super) data: PathBuf,
}

impl Machine {
    /// N of 10.10.10.N.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// 10.10.10.N.
    pub fn ip(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 10, 10, self.number)
    }

    /// `example@10.10.10.N`.
    pub fn node_name(&self) -> String {
        format!("example@{}", self.ip())
    }

    /// Where the node of this machine serves the app.
    pub fn url(&self) -> String {
        format!("http://{}:8080", self.ip())
    }

    /// Where the node of this machine keeps its data.
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// Remove all that its nodes have kept. None may be running.
    ///
    /// # Errors
    ///
    /// If the folder cannot be removed.
    pub fn forget(&self) -> Result<()> {
        match std::fs::remove_dir_all(&self.data) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed.with_context(|| format!("cannot empty {}", self.data.display())),
        }
    }

    /// The namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Give its network card one more address.
    ///
    /// # Errors
    ///
    /// If `ip` fails.
    pub fn give_address(&self, ip: Ipv4Addr) -> Result<()> {
        let address = format!("{ip}/24");
        self.netns.ip(&[
            "address",
            "add",
            &address,
            "broadcast",
            "10.10.10.255",
            "dev",
            CABLE,
        ])
    }

    /// Take an address away from its network card.
    ///
    /// # Errors
    ///
    /// If `ip` fails.
    pub fn take_address(&self, ip: Ipv4Addr) -> Result<()> {
        self.netns
            .ip(&["address", "delete", &format!("{ip}/24"), "dev", CABLE])
    }

    /// Take its network card down: nothing can be sent, there is no route.
    ///
    /// # Errors
    ///
    /// If `ip` fails.
    pub fn link_down(&self) -> Result<()> {
        self.netns.ip(&["link", "set", CABLE, "down"])
    }

    /// Bring its network card up.
    ///
    /// # Errors
    ///
    /// If `ip` fails.
    pub fn link_up(&self) -> Result<()> {
        self.netns.ip(&["link", "set", CABLE, "up"])
    }

    /// How many bytes its network card has sent and received so far, the
    /// Ethernet headers included.
    ///
    /// # Errors
    ///
    /// If the kernel does not say.
    pub fn traffic(&self) -> Result<(u64, u64)> {
        self.netns.run(|| {
            // `/proc/net` and `/sys` would be those of the whole process.
            let table = std::fs::read_to_string("/proc/thread-self/net/dev")?;
            traffic_of(&table, CABLE).with_context(|| format!("no counters: {table}"))
        })
    }

    /// GET the URL from this machine.
    ///
    /// # Errors
    ///
    /// If there is no whole answer within the bound.
    pub fn get(&self, url: &str, bound: Duration) -> Result<Answer> {
        self.netns.run(|| client::get(url, bound))
    }

    /// What the node of this machine answers to `GET /v1/status`; its cable may
    /// be out.
    ///
    /// # Errors
    ///
    /// If there is no answer within the bound.
    pub fn status(&self, bound: Duration) -> Result<serde_json::Value> {
        status_of(&self.data, bound)
    }

    /// Follow the server-sent events at the URL from this machine.
    ///
    /// # Errors
    ///
    /// If the stream does not open within the bound.
    pub fn follow(&self, url: &str, bound: Duration) -> Result<Sse> {
        self.netns.run(|| Sse::open(url, bound))
    }
}

/// What the node answers to `GET /v1/status` whose data folder this is.
pub(crate) fn status_of(folder: &Path, bound: Duration) -> Result<serde_json::Value> {
    let answer = client::get_over(&folder.join("host.sock"), "/v1/status", bound)?;
    serde_json::from_slice(&answer.body).with_context(|| answer.text())
}

/// The bytes that the card has sent and received, in the table
/// `/proc/net/dev`: `NAME: RECEIVED` and seven more, then `SENT`.
fn traffic_of(table: &str, card: &str) -> Option<(u64, u64)> {
    let line = table
        .lines()
        .find_map(|line| line.trim().strip_prefix(card)?.strip_prefix(':'))?;
    let mut fields = line.split_whitespace().map(str::parse);
    let received = fields.next()?.ok()?;
    Some((fields.nth(7)?.ok()?, received))
}

#[cfg(test)]
mod tests {
    use super::traffic_of;

    #[test]
    fn what_a_card_counts_is_read() {
        let table = "Inter-|   Receive |  Transmit\n face |bytes packets\n    \
                     lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n  \
                     eth0:4000 20 0 0 0 0 0 0 700 5 0 0 0 0 0 0\n";
        assert_eq!(traffic_of(table, "eth0"), Some((700, 4000)));
        assert_eq!(traffic_of(table, "eth1"), None);
    }
}
