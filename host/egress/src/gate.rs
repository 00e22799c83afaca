//! The one place that looks names up and opens connections for apps. It asks for the rules that
//! stand at each step anew.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use cluster::egress::{allows, canonical, may_connect, tcp_destinations};
use cluster::{Destination, EgressProtocol, EgressRule};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::resolver::{Resolver, SystemResolver};
use crate::tls::{Tls, TlsRoots};
use crate::{ADDRESSES_MAX, CONNECT_TIME, CONNECTIONS_MAX, EgressError, LOOKUP_TIME, NEXT_ADDRESS};

/// Whether an address is one of the cluster's own nodes.
pub type OwnAddresses = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// Returns the rules that stand now.
pub type RulesNow = Arc<dyn Fn() -> Arc<[EgressRule]> + Send + Sync>;

/// What a [`Gate`] is built from.
pub struct EgressConfig {
    /// The rules that stand, asked for again at each step.
    pub rules: RulesNow,
    /// The addresses of the cluster's own nodes.
    pub own: OwnAddresses,
    /// Who looks names up.
    pub resolver: Arc<dyn Resolver>,
    /// Whom to trust.
    pub roots: TlsRoots,
    /// How long a connection may take, with its lookup and TLS: [`CONNECT_TIME`] but in tests.
    pub connect_time: Duration,
}

impl EgressConfig {
    /// The usual one, for these rules.
    pub fn new(rules: RulesNow, own: OwnAddresses) -> Self {
        Self {
            rules,
            own,
            resolver: Arc::new(SystemResolver::default()),
            roots: TlsRoots::System,
            connect_time: CONNECT_TIME,
        }
    }
}

/// Decides what apps may reach, and opens the connections.
pub struct Gate {
    rules: RulesNow,
    own: OwnAddresses,
    resolver: Arc<dyn Resolver>,
    pub(crate) tls: Tls,
    pub(crate) connect_time: Duration,
    /// What is left of [`CONNECTIONS_MAX`].
    connections: Arc<Semaphore>,
}

impl Gate {
    /// A gate for these rules.
    pub fn new(config: EgressConfig) -> Self {
        Self {
            rules: config.rules,
            own: config.own,
            resolver: config.resolver,
            tls: Tls::new(config.roots),
            connect_time: config.connect_time,
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        }
    }

    /// The rules that stand now.
    pub fn rules(&self) -> Arc<[EgressRule]> {
        (self.rules)()
    }

    /// Whether the rules allow this destination, by what the app calls it.
    ///
    /// # Errors
    /// [`EgressError::Denied`].
    pub fn check(&self, to: &Destination) -> Result<(), EgressError> {
        match allows(&self.rules(), to) {
            true => Ok(()),
            false => Err(EgressError::Denied(to.clone())),
        }
    }

    /// Whether a connection to this address may be made for this destination.
    ///
    /// # Errors
    /// [`EgressError::Denied`] or [`EgressError::Prohibited`].
    pub fn check_address(&self, to: &Destination, ip: IpAddr) -> Result<(), EgressError> {
        self.check(to)?;
        if may_connect(&self.rules(), to, ip, (self.own)(canonical(ip))) {
            return Ok(());
        }
        let rule = Destination::at(to.protocol(), ip, to.port());
        match rule {
            Ok(rule) if to.name().is_some() => Err(EgressError::Prohibited {
                to: to.clone(),
                ip,
                rule: Box::new(EgressRule::from(&rule)),
            }),
            _ => Err(EgressError::Denied(to.clone())),
        }
    }

    /// The addresses of an allowed destination that a connection may be made to.
    ///
    /// # Errors
    /// The destination or all its addresses are refused, or the name was not found.
    pub async fn addresses(&self, to: &Destination) -> Result<Vec<IpAddr>, EgressError> {
        self.check(to)?;
        let all = match (to.ip(), to.name()) {
            (Some(ip), _) => vec![ip],
            (None, name) => self.lookup(to, name.unwrap_or_default()).await?,
        };
        let mut refused = None;
        let mut allowed = Vec::new();
        for ip in all {
            match self.check_address(to, ip) {
                Ok(()) => allowed.push(ip),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        allowed.truncate(ADDRESSES_MAX);
        match (allowed.is_empty(), refused) {
            (false, _) => Ok(allowed),
            (true, Some(error)) => Err(error),
            (true, None) => Err(EgressError::NoName(
                to.clone(),
                "it has no address".to_owned(),
            )),
        }
    }

    async fn lookup(&self, to: &Destination, name: &str) -> Result<Vec<IpAddr>, EgressError> {
        match timeout(LOOKUP_TIME, self.resolver.lookup(name)).await {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => Err(EgressError::NoName(to.clone(), error.to_string())),
            Err(_) => Err(EgressError::LookupTime(to.clone())),
        }
    }

    /// The addresses of a name that a TCP connection may be made to, by any rule.
    ///
    /// # Errors
    /// The name or all its addresses are refused, or it was not found.
    pub async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, EgressError> {
        let first = self.tcp(name)?.swap_remove(0);
        let all = self.lookup(&first, name).await?;
        // The rules may have changed meanwhile.
        let ways = self.tcp(name)?;
        let mut refused = None;
        let mut allowed = Vec::new();
        for ip in all {
            if ways.iter().any(|to| self.check_address(to, ip).is_ok()) {
                allowed.push(ip);
            } else {
                refused = refused.or_else(|| self.check_address(&ways[0], ip).err());
            }
        }
        allowed.truncate(ADDRESSES_MAX);
        match refused {
            Some(error) if allowed.is_empty() => Err(error),
            _ => Ok(allowed),
        }
    }

    /// Whether a rule for TCP allows this name, with any port.
    ///
    /// # Errors
    /// [`EgressError::Name`], or the text is no name.
    pub fn check_look_up(&self, name: &str) -> Result<(), EgressError> {
        self.tcp(name).map(drop)
    }

    /// What the rules for TCP allow under this name: one or more.
    fn tcp(&self, name: &str) -> Result<Vec<Destination>, EgressError> {
        match tcp_destinations(&self.rules(), name) {
            Ok(ways) if ways.is_empty() => Err(EgressError::Name(name.to_owned())),
            Ok(ways) => Ok(ways),
            Err(error) => Err(EgressError::Url(error.to_string())),
        }
    }

    /// The right to have one more socket that an app uses by itself.
    ///
    /// # Errors
    /// No rule allows a TCP connection, or there are too many.
    pub fn socket(&self) -> Result<OwnedSemaphorePermit, EgressError> {
        let is_tcp = |rule: &EgressRule| rule.protocol() == EgressProtocol::Tcp;
        if !self.rules().iter().any(is_tcp) {
            return Err(EgressError::NoTcp);
        }
        let permit = self.connections.clone().try_acquire_owned();
        permit.map_err(|_| EgressError::Busy("all connections"))
    }

    /// How many more connections there may be.
    pub(crate) fn connections_left(&self) -> usize {
        self.connections.available_permits()
    }

    /// A connection to this destination. The permit is to live as long as the connection. The
    /// name is looked up once, and what is connected to are the addresses that were checked.
    pub(crate) async fn connect(
        &self,
        to: &Destination,
    ) -> Result<(TcpStream, OwnedSemaphorePermit), EgressError> {
        let addresses = self.addresses(to).await?;
        let permit = self.connections.clone().acquire_owned().await;
        let permit = permit.map_err(|_| EgressError::Busy("all connections"))?;
        let mut addresses = addresses.into_iter();
        let mut attempts = JoinSet::new();
        let mut last = None;
        loop {
            if let Some(ip) = addresses.next() {
                // The rules may have changed since the lookup.
                self.check_address(to, ip)?;
                attempts.spawn(TcpStream::connect(SocketAddr::new(ip, to.port())));
            }
            tokio::select! {
                Some(attempt) = attempts.join_next() => match attempt {
                    Ok(Ok(stream)) => {
                        // Small requests go out at once. Without it they go out too.
                        let _ = stream.set_nodelay(true);
                        return Ok((stream, permit));
                    }
                    Ok(Err(error)) => last = Some(error),
                    Err(error) => last = Some(io::Error::other(error)),
                },
                () = sleep(NEXT_ADDRESS), if addresses.len() > 0 => {}
                else => return Err(not_connected(to, last)),
            }
        }
    }
}

fn not_connected(to: &Destination, error: Option<io::Error>) -> EgressError {
    match error {
        Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            EgressError::Refused(to.clone())
        }
        Some(error) if error.kind() == io::ErrorKind::TimedOut => {
            EgressError::ConnectTime(to.clone())
        }
        Some(error) => EgressError::Unreachable(to.clone(), error.to_string()),
        None => EgressError::Unreachable(to.clone(), "it has no address".to_owned()),
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("rules", &self.rules())
            .finish_non_exhaustive()
    }
}
