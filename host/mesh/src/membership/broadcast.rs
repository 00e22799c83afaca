//! Broadcasting, which may not work: the link may be down at boot, or the interface may go away
//! and come back with another subnet. The node tries for ever, with one log line when it fails
//! and one when it works again.

use std::io;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::UdpSocket;

use crate::net;
use crate::net::LocalAddress;

/// How soon a failed broadcast is sent again.
const AGAIN: Duration = Duration::from_millis(250);

/// How often the address is looked up while broadcasts work.
const LOOK: Duration = Duration::from_secs(10);

/// The broadcasting of one node.
pub(super) struct Broadcast {
    /// The destination of broadcasts, and the socket that receives those of others. None where
    /// the network has no broadcast.
    channel: Option<Channel>,
    local: LocalAddress,
    port: u16,
    failing: Option<Failing>,
    /// When [`Broadcast::look`] wants to be called.
    next: Instant,
}

struct Channel {
    to: SocketAddrV4,
    receiver: UdpSocket,
}

struct Failing {
    since: Instant,
    /// The last datagram to be sent.
    last: Bytes,
}

impl Broadcast {
    pub(super) fn start(local: LocalAddress, port: u16) -> Result<Self, net::BindError> {
        let channel = match local.broadcast {
            Some(ip) => Some(Channel::open(SocketAddrV4::new(ip, port))?),
            None => None,
        };
        Ok(Self {
            channel,
            local,
            port,
            failing: None,
            next: Instant::now() + LOOK,
        })
    }

    /// The socket that receives broadcasts.
    pub(super) fn receiver(&self) -> Option<&UdpSocket> {
        self.channel.as_ref().map(|channel| &channel.receiver)
    }

    /// Sends to all nodes. Returns whether the system accepted it.
    pub(super) fn send(&mut self, from: &UdpSocket, bytes: Bytes) -> bool {
        let Some(channel) = &self.channel else {
            return false;
        };
        match send_now(from, &bytes, channel.to) {
            Ok(()) => {
                if let Some(failing) = self.failing.take() {
                    let outage = failing.since.elapsed();
                    tracing::info!(to = %channel.to, ?outage, "broadcast works again");
                    self.next = Instant::now() + LOOK;
                }
                true
            }
            Err(error) => {
                let now = Instant::now();
                let since = match &self.failing {
                    Some(failing) => failing.since,
                    None => {
                        tracing::warn!(
                            to = %channel.to, %error,
                            "cannot broadcast; trying again until it works"
                        );
                        self.next = now + AGAIN;
                        now
                    }
                };
                self.failing = Some(Failing { since, last: bytes });
                false
            }
        }
    }

    /// When to call [`Broadcast::look`].
    pub(super) fn next_look(&self) -> Instant {
        self.next
    }

    /// Looks up whether the interface has another broadcast address now, and sends again what
    /// failed.
    pub(super) fn look(&mut self, from: &UdpSocket) {
        self.next = Instant::now() + if self.failing.is_some() { AGAIN } else { LOOK };
        // While the address is away, keep the old one.
        if let Ok(local) = net::find(self.local.ip)
            && local != self.local
        {
            self.moved(local);
        }
        if let Some(failing) = &self.failing {
            let last = failing.last.clone();
            self.send(from, last);
        }
    }

    fn moved(&mut self, local: LocalAddress) {
        if local.subnet != self.local.subnet {
            tracing::warn!(
                subnet = %local.subnet, before = %self.local.subnet,
                "the subnet of this node's address has changed; \
                 restart the node to let members in from the new one"
            );
        }
        if local.broadcast != self.local.broadcast
            && let Some(ip) = local.broadcast
        {
            match Channel::open(SocketAddrV4::new(ip, self.port)) {
                Ok(channel) => {
                    tracing::info!(to = %channel.to, "the broadcast address has changed");
                    self.channel = Some(channel);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot receive on the new broadcast address");
                    return;
                }
            }
        }
        self.local = local;
    }
}

impl Channel {
    fn open(to: SocketAddrV4) -> Result<Self, net::BindError> {
        let receiver = net::broadcast_receiver(to)?;
        Ok(Self { to, receiver })
    }
}

/// How often a send is tried when the error belongs to an earlier one.
const TRIES: u32 = 4;

/// Sends now or never: a datagram that has to wait would be late anyway.
pub(super) fn send_now(from: &UdpSocket, bytes: &[u8], to: SocketAddrV4) -> io::Result<()> {
    let socket = socket2::SockRef::from(from);
    let to = to.into();
    let mut tries = 0;
    loop {
        tries += 1;
        match socket.send_to(bytes, &to) {
            Ok(_) => return Ok(()),
            // An earlier datagram met a closed port. The error queue says which one, and it is
            // read there.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && tries < TRIES => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn a_broadcast_that_failed_is_sent_again_when_the_network_is_back() {
        let local = net::find(Ipv4Addr::new(127, 0, 0, 2)).expect("loopback");
        let any = |ip| SocketAddrV4::new(ip, 0);
        let spare = net::broadcast_receiver(any(Ipv4Addr::new(127, 255, 255, 255)));
        let port = spare
            .as_ref()
            .expect("bound")
            .local_addr()
            .expect("bound")
            .port();
        let socket = net::gossip_socket(any(local.ip)).expect("bound");
        let mut broadcast = Broadcast::start(local, port).expect("bound");
        let working = broadcast.channel.as_ref().expect("broadcasts").to;

        // 240.0.0.0/4 is reserved (RFC 1112): loopback has no route to it.
        let nowhere = SocketAddrV4::new(Ipv4Addr::new(240, 0, 0, 1), port);
        broadcast.channel.as_mut().expect("broadcasts").to = nowhere;
        assert!(!broadcast.send(&socket, Bytes::from_static(b"first")));
        assert!(!broadcast.send(&socket, Bytes::from_static(b"second")));
        broadcast.look(&socket);
        assert!(broadcast.failing.is_some());
        assert!(broadcast.next_look() <= Instant::now() + AGAIN, "soon");

        broadcast.channel.as_mut().expect("broadcasts").to = working;
        broadcast.look(&socket);
        assert!(broadcast.failing.is_none());
        let mut buffer = [0; 16];
        let receiver = broadcast.receiver().expect("broadcasts");
        let (length, _) = receiver.recv_from(&mut buffer).await.expect("received");
        assert_eq!(&buffer[..length], b"second", "only the newest counts");
    }
}
