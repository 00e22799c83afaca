//! `wasi:sockets` of WASI 0.2: TCP connections to what the rules allow. The host looks names up
//! itself, and only allowed ones; an instance connects to the addresses that it was told, or to
//! those that a rule names. Nothing listens, and there is no UDP.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ::cluster::release::ReleaseId;
use ::cluster::{Destination, EgressProtocol};
use egress::{EgressError, Gate};
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as _;
use wasmtime_wasi::p2::{DynPollable, Network, Pollable, TcpSocket, subscribe};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsView as _};
use wasmtime_wasi::{WasiCtxBuilder, WasiView as _};

use super::HostState;
use super::outbound::Outbound;
use super::output::GuestLog;

/// How many addresses an instance may have been told.
const PINNED_MAX: usize = 256;

type Caller<'a> = StoreContextMut<'a, HostState>;

/// The sockets of one instance.
pub(super) struct Sockets {
    names: Arc<Names>,
    /// One for each socket that there is. Each takes a file of the node.
    permits: Vec<OwnedSemaphorePermit>,
}

/// What an instance was told of names, and what it may connect to by that.
struct Names {
    gate: Arc<Gate>,
    log: Arc<GuestLog>,
    release: Mutex<ReleaseId>,
    /// The names that led to an address.
    pinned: Mutex<BTreeMap<IpAddr, Vec<Arc<str>>>>,
}

impl Sockets {
    /// The sockets of the instance whose requests this sends.
    pub(super) fn of(outbound: &Outbound) -> Sockets {
        Sockets {
            names: Arc::new(Names {
                gate: outbound.client.gate().clone(),
                log: outbound.log.clone(),
                release: Mutex::new(outbound.release),
                pinned: Mutex::default(),
            }),
            permits: Vec::new(),
        }
    }

    /// A next call begins, under this release.
    pub(super) fn begin_call(&mut self, release: ReleaseId) {
        *self.names.release.lock() = release;
    }

    /// Sets up what WASI does with sockets.
    pub(super) fn set_up(&self, wasi: &mut WasiCtxBuilder) {
        let names = self.names.clone();
        wasi.allow_tcp(true).socket_addr_check(move |address, to| {
            let allowed = names.allows(address, to);
            Box::pin(async move { allowed })
        });
    }
}

impl Names {
    fn allows(&self, address: SocketAddr, to: SocketAddrUse) -> bool {
        match to {
            SocketAddrUse::TcpConnect => match self.check(address) {
                Ok(()) => true,
                Err(error) => {
                    self.refuse(&error);
                    false
                }
            },
            // What a socket that connects is bound to, the system chooses.
            SocketAddrUse::TcpBind => address.ip().is_unspecified() && address.port() == 0,
            _ => false,
        }
    }

    /// Whether a rule allows the address, or a name that led to it.
    fn check(&self, address: SocketAddr) -> Result<(), EgressError> {
        let (ip, port) = (address.ip().to_canonical(), address.port());
        let names = self.pinned.lock().get(&ip).cloned().unwrap_or_default();
        let mut refused = None;
        let by_name = names
            .iter()
            .map(|name| Destination::of_host(EgressProtocol::Tcp, name, port));
        for to in by_name.chain([Destination::at(EgressProtocol::Tcp, ip, port)]) {
            let to = to.map_err(|error| EgressError::Url(error.to_string()))?;
            match self.gate.check_address(&to, ip) {
                Ok(()) => return Ok(()),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        refused.map_or(Ok(()), Err)
    }

    fn refuse(&self, error: &EgressError) {
        self.log.refused(*self.release.lock(), error);
    }

    async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, EgressError> {
        let addresses = self.gate.look_up(name).await?;
        let mut pinned = self.pinned.lock();
        for ip in &addresses {
            if pinned.len() >= PINNED_MAX && !pinned.contains_key(ip) {
                return Err(EgressError::Busy("all addresses"));
            }
            let names = pinned.entry(*ip).or_default();
            if names.iter().all(|it| **it != *name) && names.len() < PINNED_MAX {
                names.push(name.into());
            }
        }
        Ok(addresses)
    }
}

/// A lookup of a guest: it runs, or this is what is left of its addresses.
enum ResolveStream {
    Running(AbortOnDropJoinHandle<Result<Vec<IpAddr>, EgressError>>),
    Told(Result<std::vec::IntoIter<IpAddr>, ErrorCode>),
}

impl ResolveStream {
    fn told(looked_up: Result<Vec<IpAddr>, EgressError>) -> ResolveStream {
        ResolveStream::Told(looked_up.map(Vec::into_iter).map_err(|it| code(&it)))
    }

    /// The next address, if the lookup is over.
    fn next(&mut self) -> Result<Option<IpAddress>, ErrorCode> {
        match self {
            ResolveStream::Running(_) => Err(ErrorCode::WouldBlock),
            ResolveStream::Told(Ok(addresses)) => Ok(addresses.next().map(Into::into)),
            ResolveStream::Told(Err(error)) => Err(*error),
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for ResolveStream {
    async fn ready(&mut self) {
        if let ResolveStream::Running(lookup) = self {
            *self = ResolveStream::told(lookup.await);
        }
    }
}

/// The error in the terms of `wasi:sockets`.
fn code(error: &EgressError) -> ErrorCode {
    match error {
        error if error.is_refusal() => ErrorCode::AccessDenied,
        EgressError::Url(_) | EgressError::Method(_) => ErrorCode::InvalidArgument,
        EgressError::Busy(_) => ErrorCode::NewSocketLimit,
        EgressError::LookupTime(_) => ErrorCode::TemporaryResolverFailure,
        _ => ErrorCode::NameUnresolvable,
    }
}

/// Puts the functions in the place of the engine's own, which must be linked already.
///
/// # Errors
/// If the engine has them in another version, or with other types.
pub(crate) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    add_lookups(linker)?;
    add_sockets(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn add_lookups(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut lookup = linker.instance("wasi:sockets/ip-name-lookup@0.2.12")?;
    lookup.resource(
        "resolve-address-stream",
        ResourceType::host::<ResolveStream>(),
        |mut caller: Caller<'_>, number| {
            let stream = Resource::<ResolveStream>::new_own(number);
            caller.data_mut().ctx().table.delete(stream)?;
            Ok(())
        },
    )?;
    lookup.func_wrap(
        "resolve-addresses",
        |mut caller: Caller<'_>, (network, name): (Resource<Network>, String)| {
            let state = caller.data_mut();
            // Whoever has the network may look names up.
            state.ctx().table.get(&network)?;
            let begun = match begin_lookup(state, name) {
                Ok(stream) => Ok(state.ctx().table.push(stream)?),
                Err(error) => Err(error),
            };
            Ok((begun,)) as wasmtime::Result<(Result<Resource<ResolveStream>, ErrorCode>,)>
        },
    )?;
    lookup.func_wrap(
        "[method]resolve-address-stream.resolve-next-address",
        |mut caller: Caller<'_>, (stream,): (Resource<ResolveStream>,)| {
            let next = caller.data_mut().ctx().table.get_mut(&stream)?.next();
            Ok((next,)) as wasmtime::Result<(Result<Option<IpAddress>, ErrorCode>,)>
        },
    )?;
    lookup.func_wrap(
        "[method]resolve-address-stream.subscribe",
        |mut caller: Caller<'_>, (stream,): (Resource<ResolveStream>,)| {
            let pollable = subscribe(caller.data_mut().ctx().table, stream)?;
            Ok((pollable,)) as wasmtime::Result<(Resource<DynPollable>,)>
        },
    )
}

/// Begins to look a name up. An address is its own answer.
fn begin_lookup(state: &mut HostState, name: String) -> Result<ResolveStream, ErrorCode> {
    let Some(sockets) = &state.instance.sockets else {
        return Err(ErrorCode::AccessDenied);
    };
    if let Ok(ip) = name.parse::<IpAddr>() {
        return Ok(ResolveStream::told(Ok(vec![ip.to_canonical()])));
    }
    let names = sockets.names.clone();
    if let Err(error) = names.gate.check_look_up(&name) {
        names.refuse(&error);
        return Err(code(&error));
    }
    let lookup = spawn(async move {
        let looked_up = names.look_up(&name).await;
        if let Err(error) = &looked_up {
            names.refuse(error);
        }
        looked_up
    });
    Ok(ResolveStream::Running(lookup))
}

fn add_sockets(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut create = linker.instance("wasi:sockets/tcp-create-socket@0.2.12")?;
    create.func_wrap(
        "create-tcp-socket",
        |mut caller: Caller<'_>, (family,): (IpAddressFamily,)| {
            let created = create_socket(caller.data_mut(), family)?;
            Ok((created,)) as wasmtime::Result<(Result<Resource<TcpSocket>, ErrorCode>,)>
        },
    )?;
    let mut tcp = linker.instance("wasi:sockets/tcp@0.2.12")?;
    tcp.resource(
        "tcp-socket",
        ResourceType::host::<TcpSocket>(),
        |mut caller: Caller<'_>, number| {
            let state = caller.data_mut();
            let socket = Resource::<TcpSocket>::new_own(number);
            state.ctx().table.delete(socket)?;
            if let Some(sockets) = &mut state.instance.sockets {
                sockets.permits.pop();
            }
            Ok(())
        },
    )
}

/// The most sockets of one instance at a time: it must not take all of the node.
const SOCKETS_MAX: usize = 32;

/// A new socket, if any connection may be made at all, and as long as the node has files for it.
fn create_socket(
    state: &mut HostState,
    family: IpAddressFamily,
) -> wasmtime::Result<Result<Resource<TcpSocket>, ErrorCode>> {
    // It sets WASI up, if this is the first that is used of it.
    let _ = state.ctx();
    let Some(sockets) = &state.instance.sockets else {
        return Ok(Err(ErrorCode::AccessDenied));
    };
    if sockets.permits.len() >= SOCKETS_MAX {
        return Ok(Err(ErrorCode::NewSocketLimit));
    }
    let permit = match sockets.names.gate.socket() {
        Ok(permit) => permit,
        Err(error) => {
            sockets.names.refuse(&error);
            return Ok(Err(code(&error)));
        }
    };
    let socket = match state.sockets().create_tcp_socket(family) {
        Ok(socket) => socket,
        Err(error) => return error.downcast().map(Err),
    };
    if let Some(sockets) = &mut state.instance.sockets {
        sockets.permits.push(permit);
    }
    Ok(Ok(socket))
}
