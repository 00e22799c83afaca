//! Closed ports of other machines. When a datagram reaches a machine where no process listens,
//! that machine says so by ICMP within a fraction of a millisecond. Linux keeps the report in
//! the socket's error queue, together with the destination of the datagram.

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

/// Asks for reports of closed ports and unreachable machines on this socket (`IP_RECVERR`).
/// From then on a send or receive may fail with an error that an earlier datagram caused; then
/// try again.
///
/// # Errors
/// The system refuses.
pub fn report_refusals(socket: &impl AsFd) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::Ipv4RecvErr, &true)?)
}

/// Reads the waiting reports: addresses where no process or no machine is, as their machine or
/// this one says. Anybody on the LAN can forge such a report, so it is only a hint. Does not
/// block; reads at most 64 at a time, after which the socket still counts as having some.
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
    // The sent datagram comes back too; it is not needed and is cut off.
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
    // The address in a report is the destination of the datagram.
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
