//! Closed ports of others. When a datagram comes to a machine where nobody
//! listens, that machine says so by ICMP within a fraction of a millisecond,
//! and Linux keeps it in the socket's error queue together with the address
//! that the datagram was sent to.

use std::io::{self, IoSliceMut};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd};

use nix::cmsg_space;
use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt, sockopt};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// The most reports that are read at a time.
const REPORTS: usize = 64;

/// Asks for reports of closed ports and unreachable machines on this socket
/// (`IP_RECVERR`). From then on a send or receive may fail with an error that
/// an earlier datagram caused; to do it again is right.
///
/// # Errors
/// What the system says.
pub fn report_refusals(socket: &impl AsFd) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::Ipv4RecvErr, &true)?)
}

/// Reads the reports that wait: the addresses where, as their machine or this
/// one says, nobody listens or nobody is. Anybody on the LAN can forge such a
/// report, so it is a hint and no more. Does not block; at most 64 at a time,
/// after which the socket still counts as having some.
pub fn refused_peers(socket: &UdpSocket) -> Vec<Ipv4Addr> {
    let mut peers = Vec::new();
    for _ in 0..REPORTS {
        match socket.try_io(Interest::ERROR, || read_report(socket)) {
            Ok(Some(ip)) if !peers.contains(&ip) => peers.push(ip),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    peers
}

fn read_report(socket: &UdpSocket) -> io::Result<Option<Ipv4Addr>> {
    // What was sent comes back too; it is of no use and is cut off.
    let mut nothing = [];
    let mut payload = [IoSliceMut::new(&mut nothing)];
    let mut control = cmsg_space!(libc::sock_extended_err, libc::sockaddr_in);
    let report = recvmsg::<SockaddrIn>(
        socket.as_raw_fd(),
        &mut payload,
        Some(&mut control),
        MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT,
    )?;
    let gone = report.cmsgs()?.any(|message| match message {
        ControlMessageOwned::Ipv4RecvErr(error, _) => {
            let errno = i32::try_from(error.ee_errno).unwrap_or(0);
            matches!(errno, libc::ECONNREFUSED | libc::EHOSTUNREACH)
        }
        _ => false,
    });
    // Of a report, the address is where the datagram was sent to.
    Ok(report.address.filter(|_| gone).map(|sent_to| sent_to.ip()))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV4;

    use super::super::gossip_socket;
    use super::*;

    #[tokio::test]
    async fn a_closed_port_is_reported_with_the_address_it_was_sent_to() {
        let any = |last| SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), 0);
        let socket = gossip_socket(any(2)).expect("bound");
        let gone = gossip_socket(any(3)).expect("bound");
        let to = gone.local_addr().expect("bound");
        drop(gone);
        socket.send_to(b"probe", to).await.expect("sent");
        let refused = loop {
            socket.ready(Interest::ERROR).await.expect("a report");
            let refused = refused_peers(&socket);
            if !refused.is_empty() {
                break refused;
            }
        };
        assert_eq!(refused, [Ipv4Addr::new(127, 0, 0, 3)]);
        assert!(refused_peers(&socket).is_empty(), "each is reported once");
    }
}
