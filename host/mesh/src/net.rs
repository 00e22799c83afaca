//! The network of this machine: its interfaces and addresses, and sockets bound the way the
//! cluster needs them. All code that touches socket options is here.

mod icmp;
mod interfaces;
mod priority;
mod sockets;

pub use icmp::{refused_peers, report_refusals};
pub use interfaces::{
    AddressError, InterfaceAddress, ListedAddresses, LocalAddress, PrivateAddress, find,
    interface_addresses, is_here, may_be_here, only_private_ipv4, wait_for,
};
pub use priority::raise_thread_priority;
pub use sockets::{
    BindError, broadcast_receiver, connect, connect_from, gossip_socket, tcp_listener,
};
