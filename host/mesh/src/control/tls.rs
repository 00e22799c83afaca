//! TLS 1.3 in which both sides show the same raw public key (RFC 7250), which is derived from
//! the cookie. There is no certificate, no authority and no date. Without the cookie a side
//! cannot sign for that key, so each side refuses the other's wrong cookie.
//!
//! While a cluster changes its cookie a node may know two. The calling side says in clear,
//! where TLS has a server name (SNI), which key it will show; the called side shows the same
//! key, if it has it. If a caller is shown another key than it named, it tries its second key.

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use cluster::Keys;
use data_encoding::HEXLOWER;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, DnsName, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error,
    PeerIncompatible, ServerConfig, SignatureScheme,
};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use zeroize::Zeroizing;

/// The protocol on which the two sides agree (ALPN). The version of the messages is in their
/// paths.
const PROTOCOL: &[u8] = b"ace-control/1";

/// How many bytes of a key's hash its name has.
const KEY_NAME_BYTES: usize = 8;

/// The start of an Ed25519 private key in PKCS #8 (RFC 8410 section 7); the 32 bytes of the
/// seed follow.
const PKCS8_ED25519: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Both ends of TLS for one cluster. Cheap to clone; all clones change their keys together.
#[derive(Clone, Debug)]
pub(crate) struct Identity(Arc<watch::Sender<Arc<Ends>>>);

/// The TLS configuration for the keys that are known now.
struct Ends {
    acceptor: TlsAcceptor,
    /// The configuration for calls with each key; the key that is sent with comes first.
    callers: Vec<Caller>,
}

/// The configuration for calls with one key.
#[derive(Clone)]
struct Caller {
    connector: TlsConnector,
    /// The name of the key.
    name: DnsName<'static>,
    public: CertificateDer<'static>,
}

/// Why the keys of the cluster give no TLS.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up TLS for the control channel: {0}; this is a fault of the program")]
pub struct IdentityError(#[from] Error);

/// The key that the other side of a connection has shown.
#[derive(Clone, Debug)]
pub(crate) struct ShownCertificate(CertificateDer<'static>);

impl Identity {
    /// The identity of every node that knows the cookie, or one of two cookies.
    pub(crate) fn new(keys: &Keys) -> Result<Self, IdentityError> {
        Ok(Self::of(Ends::new(&both(keys), &both(keys))?))
    }

    fn of(ends: Ends) -> Self {
        Self(Arc::new(watch::Sender::new(Arc::new(ends))))
    }

    /// Knows only these keys from now on. [`Identity::revoked`] reports connections that were
    /// made with a key that is gone.
    pub(crate) fn change(&self, keys: &Keys) -> Result<(), IdentityError> {
        let ends = Ends::new(&both(keys), &both(keys))?;
        self.0.send_replace(Arc::new(ends));
        Ok(())
    }

    fn ends(&self) -> Arc<Ends> {
        self.0.borrow().clone()
    }

    /// With how many keys this node can call a member.
    pub(crate) fn keys(&self) -> usize {
        self.ends().callers.len()
    }

    /// Waits until the shown key is no longer known; that may never happen.
    pub(crate) async fn revoked(&self, shown: &ShownCertificate) {
        let mut ends = self.0.subscribe();
        let unknown = |ends: &Arc<Ends>| ends.callers.iter().all(|key| key.public != shown.0);
        // The sender lives as long as `self`.
        let _ = ends.wait_for(unknown).await;
    }

    /// The handshake of the called side.
    pub(crate) async fn accept<S>(
        &self,
        stream: S,
        within: Duration,
    ) -> io::Result<(TlsStream<S>, ShownCertificate)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = self.ends().acceptor.clone();
        let stream = tokio::time::timeout(within, acceptor.accept(stream)).await??;
        agreed(stream.into())
    }

    /// The handshake of the calling side, with key number `with`. If there is no such key, it
    /// is an error.
    pub(crate) async fn connect<S>(
        &self,
        stream: S,
        with: usize,
        within: Duration,
    ) -> io::Result<(TlsStream<S>, ShownCertificate)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let caller = self.ends().callers.get(with).cloned();
        let caller = caller.ok_or_else(|| io::Error::other("there is no such key any more"))?;
        let name = ServerName::DnsName(caller.name);
        let stream = tokio::time::timeout(within, caller.connector.connect(name, stream)).await??;
        agreed(stream.into())
    }
}

/// The keys of each cookie; the one that is sent with comes first.
fn both(keys: &Keys) -> Vec<Keys> {
    std::iter::once(keys.clone()).chain(keys.other()).collect()
}

impl Ends {
    /// Shows some keys, and expects others from the other side.
    fn new(shown: &[Keys], expected: &[Keys]) -> Result<Self, IdentityError> {
        let provider = Arc::new(ring::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let expected = expected
            .iter()
            .map(|keys| Ok(key_pair(keys)?.0))
            .collect::<Result<Vec<_>, Error>>()?;
        let mut named = Vec::new();
        let mut callers = Vec::new();
        for (at, keys) in shown.iter().enumerate() {
            let (public, private) = key_pair(keys)?;
            let name = key_name(&public)?;
            let key = Arc::new(CertifiedKey::new(vec![public.clone()], private));
            named.push((name.clone(), key.clone()));
            let pinned = Pinned {
                // A caller that has named its key expects the same key.
                keys: expected.get(at).cloned().into_iter().collect(),
                algorithms,
            };
            let mut client = ClientConfig::builder_with_provider(provider.clone())
                .with_protocol_versions(&[&TLS13])?
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(pinned))
                .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(key)));
            client.alpn_protocols = vec![PROTOCOL.to_vec()];
            client.resumption = Resumption::disabled();
            callers.push(Caller {
                connector: TlsConnector::from(Arc::new(client)),
                name,
                public,
            });
        }

        let pinned = Pinned {
            keys: expected,
            algorithms,
        };
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(pinned))
            .with_cert_resolver(Arc::new(ByName(named)));
        server.alpn_protocols = vec![PROTOCOL.to_vec()];
        // Connections live long, so session tickets would only use memory.
        server.send_tls13_tickets = 0;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            callers,
        })
    }
}

impl fmt::Debug for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ends(secret)")
    }
}

/// The name of a key in clear: a hash of its public part. It tells a listener no more than the
/// tags of datagrams do.
fn key_name(public: &CertificateDer<'_>) -> Result<DnsName<'static>, Error> {
    let hash = Sha256::digest(public);
    let hex = HEXLOWER.encode(&hash[..KEY_NAME_BYTES]);
    DnsName::try_from(format!("{hex}.ace"))
        .map_err(|_| Error::General("the name of a key is no name".to_owned()))
}

/// Shows the key that the caller names, or the one that is sent with.
#[derive(Debug)]
struct ByName(Vec<(DnsName<'static>, Arc<CertifiedKey>)>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let wanted = hello.server_name().unwrap_or_default();
        let named = self.0.iter().find(|(name, _)| name.as_ref() == wanted);
        let (_, key) = named.or(self.0.first())?;
        Some(key.clone())
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }
}

/// A side that offers no protocol at all passes the handshake, so this must be checked.
fn agreed<S>(stream: TlsStream<S>) -> io::Result<(TlsStream<S>, ShownCertificate)> {
    let (_, session) = stream.get_ref();
    if session.alpn_protocol() != Some(PROTOCOL) {
        return Err(io::Error::other(
            "it speaks no protocol of the control channel",
        ));
    }
    let shown = session.peer_certificates().and_then(<[_]>::first).cloned();
    let shown = shown.ok_or_else(|| io::Error::other("it showed no key"))?;
    Ok((stream, ShownCertificate(shown.into_owned())))
}

/// The public key in the form of TLS, and the private key.
fn key_pair(keys: &Keys) -> Result<(CertificateDer<'static>, Arc<dyn SigningKey>), Error> {
    let mut pkcs8 = Zeroizing::new([0; 48]);
    let (start, seed) = pkcs8.split_at_mut(PKCS8_ED25519.len());
    start.copy_from_slice(&PKCS8_ED25519);
    seed.copy_from_slice(keys.tls_seed().as_ref());
    let private = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8.as_slice()))?;
    let public = private
        .public_key()
        .ok_or_else(|| Error::General("the key has no public part".to_owned()))?
        .to_vec();
    Ok((CertificateDer::from(public), private))
}

/// Accepts only these public keys.
#[derive(Debug)]
struct Pinned {
    keys: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pinned {
    fn check(&self, shown: &CertificateDer<'_>) -> Result<(), Error> {
        if self.keys.iter().any(|key| key == shown) {
            Ok(())
        } else {
            Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            ))
        }
    }

    fn signed(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(shown.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }
}

/// Never called: both sides speak only TLS 1.3.
fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::PeerIncompatible(
        PeerIncompatible::Tls12NotOfferedOrEnabled,
    ))
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(shown).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _shown: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed(message, shown, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(shown).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _shown: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed(message, shown, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
