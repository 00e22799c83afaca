//! TLS to other servers: with the certificates that the system trusts.

use std::io;
use std::sync::Arc;

use cluster::Destination;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::EgressError;

/// Whom to trust.
#[derive(Debug)]
pub enum TlsRoots {
    /// Whom the system trusts, or the file in `SSL_CERT_FILE`.
    System,
    /// These.
    These(RootCertStore),
}

/// TLS to other servers.
pub(crate) struct Tls {
    roots: TlsRoots,
    /// Made when it is first needed: the certificates of a system are many.
    made: Mutex<Option<Arc<ClientConfig>>>,
}

impl Tls {
    pub(crate) fn new(roots: TlsRoots) -> Self {
        let made = Mutex::default();
        Self { roots, made }
    }

    fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let mut made = self.made.lock();
        if let Some(made) = &*made {
            return Ok(made.clone());
        }
        let roots = match &self.roots {
            TlsRoots::System => system_roots()?,
            TlsRoots::These(roots) => roots.clone(),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(made.insert(Arc::new(config)).clone())
    }

    /// TLS with this server over this connection.
    pub(crate) async fn begin(
        &self,
        to: &Destination,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, EgressError> {
        let tls = |why: String| EgressError::Tls(to.clone(), why);
        let config = self.config().map_err(tls)?;
        let name = match (to.ip(), to.name()) {
            (Some(ip), _) => Ok(ServerName::from(ip)),
            (None, name) => ServerName::try_from(name.unwrap_or_default().to_owned()),
        };
        let name = name.map_err(|error| tls(error.to_string()))?;
        let begun = TlsConnector::from(config).connect(name, stream).await;
        begun.map_err(|error| failed(to, &error))
    }
}

/// The certificates of the system. A single one that cannot be read does no harm.
fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    match roots.is_empty() {
        false => Ok(roots),
        true => {
            let why = found.errors.first().map(ToString::to_string);
            let why = why.unwrap_or_else(|| "there are none".to_owned());
            Err(format!(
                "this machine has no certificates of authorities to trust ({why}); \
                 install the package ca-certificates, or set SSL_CERT_FILE"
            ))
        }
    }
}

fn failed(to: &Destination, error: &io::Error) -> EgressError {
    let cause = error
        .get_ref()
        .and_then(|it| it.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(why)) => {
            EgressError::Certificate(to.clone(), why.to_string())
        }
        _ => EgressError::Tls(to.clone(), error.to_string()),
    }
}
