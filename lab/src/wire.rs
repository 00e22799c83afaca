//! Capturing the datagrams that a machine sees, and sending forged ones.

use anyhow::{Context, Result, ensure};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

/// `ETH_P_ALL`, in network byte order: every frame, both directions.
const ALL_FRAMES: i32 = (3_u16.to_be()) as i32;

const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const UDP: u8 = 17;

/// One UDP datagram as it was on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Who sent it, or claims to.
    pub from: SocketAddrV4,
    /// Whom it was sent to.
    pub to: SocketAddrV4,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// Sees all datagrams that its machine sends and receives.
#[derive(Debug)]
pub struct Capture(Socket);

impl Capture {
    /// Begin, in the namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// If the kernel gives no packet socket.
    pub fn begin() -> Result<Self> {
        // `DGRAM`: without the link's own header.
        let socket = Socket::new(
            Domain::PACKET,
            Type::DGRAM,
            Some(Protocol::from(ALL_FRAMES)),
        )
        .context("cannot open a packet socket")?;
        socket
            .set_recv_buffer_size(4 << 20)
            .context("cannot enlarge the buffer")?;
        Ok(Self(socket))
    }

    /// Collect until there are so many that `wanted` accepts.
    ///
    /// # Errors
    ///
    /// If there are fewer within the bound.
    pub fn collect(
        &mut self,
        count: usize,
        bound: Duration,
        mut wanted: impl FnMut(&Datagram) -> bool,
    ) -> Result<Vec<Datagram>> {
        let deadline = Instant::now() + bound;
        let mut found = Vec::new();
        let mut packet = vec![0; 65_536];
        while found.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(
                !left.is_zero(),
                "captured {} of {count} within {bound:?}",
                found.len()
            );
            self.0.set_read_timeout(Some(left))?;
            let Ok(size) = self.0.read(&mut packet) else {
                continue;
            };
            found.extend(Datagram::parse(&packet[..size]).filter(&mut wanted));
        }
        Ok(found)
    }
}

impl Capture {
    /// Show each datagram to `see` for so long.
    ///
    /// # Errors
    ///
    /// If the socket fails.
    pub fn watch(&mut self, lasting: Duration, mut see: impl FnMut(&Datagram)) -> Result<()> {
        let deadline = Instant::now() + lasting;
        let mut packet = vec![0; 65_536];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.0.set_read_timeout(Some(left))?;
            match self.0.read(&mut packet) {
                Ok(size) => {
                    if let Some(datagram) = Datagram::parse(&packet[..size]) {
                        see(&datagram);
                    }
                }
                // That nothing came, or a signal.
                Err(error) if matches!(error.kind(), WouldBlock | TimedOut | Interrupted) => {}
                Err(error) => return Err(error).context("cannot capture"),
            }
        }
    }
}

/// Sends datagrams with any source.
#[derive(Debug)]
pub struct Forge(Socket);

impl Forge {
    /// Begin, in the namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// If the kernel gives no raw socket.
    pub fn begin() -> Result<Self> {
        // IPPROTO_RAW: we write the IP header ourselves.
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255)))
            .context("cannot open a raw socket")?;
        socket.set_broadcast(true)?;
        Ok(Self(socket))
    }

    /// Send it, whoever its `from` is.
    ///
    /// # Errors
    ///
    /// If the kernel cannot send it.
    pub fn send(&self, datagram: &Datagram) -> Result<()> {
        let to = SockAddr::from(datagram.to);
        let packet = datagram.to_packet()?;
        self.0
            .send_to(&packet, &to)
            .with_context(|| format!("cannot send to {}", datagram.to))?;
        Ok(())
    }
}

impl Datagram {
    /// Read an IPv4 packet with a whole UDP datagram in it.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let header = usize::from(packet.first()? & 0x0f) * 4;
        let is_udp = packet.first()? >> 4 == 4 && *packet.get(9)? == UDP;
        // Neither more fragments nor an offset.
        let is_whole = u16_at(packet, 6)? & 0x3fff == 0;
        if !is_udp || !is_whole || header < IP_HEADER {
            return None;
        }
        let udp = packet.get(header..usize::from(u16_at(packet, 2)?))?;
        let payload = udp.get(UDP_HEADER..usize::from(u16_at(udp, 4)?))?;
        Some(Self {
            from: SocketAddrV4::new(ip_at(packet, 12)?, u16_at(udp, 0)?),
            to: SocketAddrV4::new(ip_at(packet, 16)?, u16_at(udp, 2)?),
            payload: payload.to_vec(),
        })
    }

    /// The IPv4 packet that carries it. The kernel fills in the checksum of the
    /// IP header; UDP needs none over IPv4.
    fn to_packet(&self) -> Result<Vec<u8>> {
        let udp = UDP_HEADER + self.payload.len();
        let total = u16::try_from(IP_HEADER + udp).context("too large for one packet")?;
        let mut packet = vec![0x45, 0];
        packet.extend(total.to_be_bytes());
        // Identification, flags, offset; then 64 hops.
        packet.extend([0, 0, 0, 0, 64, UDP, 0, 0]);
        packet.extend(self.from.ip().octets());
        packet.extend(self.to.ip().octets());
        packet.extend(self.from.port().to_be_bytes());
        packet.extend(self.to.port().to_be_bytes());
        packet.extend((total - IP_HEADER as u16).to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(&self.payload);
        Ok(packet)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn ip_at(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(octets.into())
}

#[cfg(test)]
mod tests {
    use super::Datagram;

    #[test]
    fn a_datagram_survives_the_wire() {
        let datagram = Datagram {
            from: "10.10.10.3:8383".parse().unwrap(),
            to: "10.10.10.255:8383".parse().unwrap(),
            payload: b"beacon".to_vec(),
        };
        assert_eq!(
            Datagram::parse(&datagram.to_packet().unwrap()),
            Some(datagram)
        );
    }

    #[test]
    fn what_is_no_datagram_is_passed_over() {
        for packet in [&[][..], &[0x45; 19], &[0x45; 27], &[0x60; 60], &[0xff; 60]] {
            assert_eq!(Datagram::parse(packet), None);
        }
    }
}
