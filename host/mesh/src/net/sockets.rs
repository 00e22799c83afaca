//! Sockets bound the way the cluster needs them.
//!
//! A socket bound to a unicast address receives no broadcast, and datagrams must leave from the
//! node's own address. So there are two sockets. The one on the node's address sends everything
//! and receives unicast. The one on the broadcast address only receives, and several nodes of
//! one machine share that address.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

use super::report_refusals;

/// The size of the buffer for unread datagrams, in bytes: a second of gossip of a thousand
/// nodes. The system may grant less (`net.core.rmem_max`), which is enough for hundreds.
const RECEIVE_BUFFER: usize = 1024 * 1024;

/// Why a socket could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program listens there.
    #[error("{protocol} {address} is taken by another program; stop it, or choose {remedy}")]
    Taken {
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// The address to bind.
        address: SocketAddrV4,
        /// The flag that chooses another address.
        remedy: &'static str,
    },
    /// A port under 1024 needs a permission.
    #[error(
        "this user may not listen on {protocol} {address}; choose {remedy} with a port \
         from 1024 on, or grant CAP_NET_BIND_SERVICE"
    )]
    Forbidden {
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// The address to bind.
        address: SocketAddrV4,
        /// The flag that chooses another address.
        remedy: &'static str,
    },
    /// Any other error.
    #[error("cannot listen on {protocol} {address}: {error}")]
    Other {
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// The address to bind.
        address: SocketAddrV4,
        /// What the system says.
        error: io::Error,
    },
}

/// The socket that sends everything, bound to the node's own address. It also reports closed
/// ports of other machines (see [`report_refusals`]). Must be called in the runtime that drives
/// it.
///
/// # Errors
/// [`BindError`].
pub fn gossip_socket(address: SocketAddrV4) -> Result<UdpSocket, BindError> {
    let open = || {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_broadcast(true)?;
        socket.set_freebind_v4(true)?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.set_nonblocking(true)?;
        report_refusals(&socket)?;
        socket.bind(&address.into())?;
        UdpSocket::from_std(socket.into())
    };
    open().map_err(|error| explain(error, "UDP", address, "--cluster-port"))
}

/// The receive-only socket on the broadcast address. Must be called in the runtime that drives
/// it.
///
/// # Errors
/// [`BindError`].
pub fn broadcast_receiver(address: SocketAddrV4) -> Result<UdpSocket, BindError> {
    let open = || {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        // Every node of this machine has such a socket, and each gets every broadcast.
        socket.set_reuse_address(true)?;
        socket.set_freebind_v4(true)?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        UdpSocket::from_std(socket.into())
    };
    open().map_err(|error| explain(error, "UDP", address, "--cluster-port"))
}

/// Listens on an address, even while its link is down: the address works as soon as the link
/// does (`IP_FREEBIND`). `remedy` is the flag that chooses another address, for the error. Must
/// be called in the runtime that drives it.
///
/// # Errors
/// [`BindError`].
pub fn tcp_listener(
    address: SocketAddrV4,
    backlog: i32,
    remedy: &'static str,
) -> Result<TcpListener, BindError> {
    let open = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        // So a restart need not wait until old connections time out. It does not let two
        // programs listen.
        socket.set_reuse_address(true)?;
        socket.set_freebind_v4(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(backlog)?;
        TcpListener::from_std(socket.into())
    };
    open().map_err(|error| explain(error, "TCP", address, remedy))
}

/// Connects from the node's own address, so that the other side can check the caller.
///
/// # Errors
/// The system cannot connect.
pub async fn connect_from(from: Ipv4Addr, to: SocketAddrV4) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    let stream = socket.connect(to.into()).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Connects from an address that the system chooses.
///
/// # Errors
/// The system cannot connect.
pub async fn connect(to: SocketAddrV4) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn explain(
    error: io::Error,
    protocol: &'static str,
    address: SocketAddrV4,
    remedy: &'static str,
) -> BindError {
    match error.kind() {
        io::ErrorKind::AddrInUse => BindError::Taken {
            protocol,
            address,
            remedy,
        },
        io::ErrorKind::PermissionDenied => BindError::Forbidden {
            protocol,
            address,
            remedy,
        },
        _ => BindError::Other {
            protocol,
            address,
            error,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback(last: u8, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), port)
    }

    #[tokio::test]
    async fn a_broadcast_reaches_every_node_of_the_machine() {
        let to = SocketAddrV4::new(Ipv4Addr::new(127, 255, 255, 255), 0);
        let first = broadcast_receiver(to).expect("bound");
        let port = first.local_addr().expect("bound").port();
        let to = SocketAddrV4::new(*to.ip(), port);
        let second = broadcast_receiver(to).expect("shared");
        let sender = gossip_socket(loopback(2, 0)).expect("bound");
        sender.send_to(b"hello", to).await.expect("sent");
        for receiver in [first, second] {
            let mut buffer = [0; 16];
            let (length, from) = receiver.recv_from(&mut buffer).await.expect("received");
            assert_eq!(&buffer[..length], b"hello");
            assert_eq!(from, sender.local_addr().expect("bound"));
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_named_with_the_flag_that_chooses_another() {
        let first = gossip_socket(loopback(2, 0)).expect("bound");
        let port = first.local_addr().expect("bound").port();
        let error = gossip_socket(loopback(2, port)).expect_err("taken");
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("UDP 127.0.0.2:{port} is taken")),
            "{text}"
        );
        assert!(text.contains("--cluster-port"), "{text}");

        let first = tcp_listener(loopback(2, 0), 8, "--http").expect("bound");
        let port = first.local_addr().expect("bound").port();
        let error = tcp_listener(loopback(2, port), 8, "--http").expect_err("taken");
        assert!(matches!(error, BindError::Taken { .. }));
    }

    #[tokio::test]
    async fn connections_come_from_the_own_address() {
        let listener = tcp_listener(loopback(3, 0), 8, "--http").expect("bound");
        let port = listener.local_addr().expect("bound").port();
        let from = Ipv4Addr::new(127, 0, 0, 2);
        let stream = connect_from(from, loopback(3, port)).await.expect("open");
        let (_, peer) = listener.accept().await.expect("accepted");
        assert_eq!(peer, stream.local_addr().expect("bound"));
        assert_eq!(peer.ip(), from);
    }
}
