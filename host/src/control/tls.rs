//! TLS 1.3 in which both sides show the same raw public key (RFC 7250), the
//! one that follows from the cookie. There is no certificate, no authority and
//! no date. Who does not know the cookie cannot sign for that key, so each
//! side refuses the other's wrong cookie.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use cluster::Keys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error,
    PeerIncompatible, ServerConfig, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use zeroize::Zeroizing;

/// What the two sides agree to speak (ALPN). The version of the messages
/// themselves is in their paths.
const PROTOCOL: &[u8] = b"ace-control/1";

/// The start of an Ed25519 private key in PKCS #8 (RFC 8410 section 7); the
/// 32 bytes of the seed follow.
const PKCS8_ED25519: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Both ends of TLS as one cluster speaks it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Identity {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

/// Why no TLS can be had with the keys of the cluster.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up TLS for the control channel: {0}; this is a fault of the program")]
pub struct IdentityError(#[from] Error);

impl Identity {
    /// The identity of everyone who knows the cookie.
    pub(crate) fn new(keys: &Keys) -> Result<Self, IdentityError> {
        Self::showing(keys, keys)
    }

    /// Shows one key, and expects to be shown another.
    fn showing(shown: &Keys, expected: &Keys) -> Result<Self, IdentityError> {
        let provider = Arc::new(ring::default_provider());
        let (public, private) = key_pair(shown)?;
        let key = Arc::new(CertifiedKey::new(vec![public], private));
        let pinned = Arc::new(Pinned {
            key: key_pair(expected)?.0,
            algorithms: provider.signature_verification_algorithms,
        });

        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(pinned.clone())
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(
                key.clone(),
            )));
        server.alpn_protocols = vec![PROTOCOL.to_vec()];
        // Connections live long; sessions to resume would only take memory.
        server.send_tls13_tickets = 0;
        server.session_storage = Arc::new(NoServerSessionStorage {});

        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(pinned)
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(key)));
        client.alpn_protocols = vec![PROTOCOL.to_vec()];
        client.resumption = Resumption::disabled();

        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            connector: TlsConnector::from(Arc::new(client)),
        })
    }

    /// The handshake of the side that was called.
    pub(crate) async fn accept<S>(&self, stream: S, within: Duration) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = tokio::time::timeout(within, self.acceptor.accept(stream)).await??;
        agreed(stream.into())
    }

    /// The handshake of the side that calls.
    pub(crate) async fn connect<S>(
        &self,
        stream: S,
        to: Ipv4Addr,
        within: Duration,
    ) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::IpAddress(IpAddr::V4(to).into());
        let stream = tokio::time::timeout(within, self.connector.connect(name, stream)).await??;
        agreed(stream.into())
    }
}

/// A side that offers no protocol at all passes the handshake, so this must be
/// looked at.
fn agreed<S>(stream: TlsStream<S>) -> io::Result<TlsStream<S>> {
    if stream.get_ref().1.alpn_protocol() == Some(PROTOCOL) {
        Ok(stream)
    } else {
        Err(io::Error::other(
            "it speaks no protocol of the control channel",
        ))
    }
}

/// The public key as TLS shows it, and the private one.
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

/// Takes one public key and no other.
#[derive(Debug)]
struct Pinned {
    key: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pinned {
    fn check(&self, shown: &CertificateDer<'_>) -> Result<(), Error> {
        if *shown == self.key {
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

/// Never asked for: both sides speak TLS 1.3 only.
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
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn keys(cookie: u8) -> Keys {
        Keys::from_master(&[cookie; 32])
    }

    /// What each side makes of the other, the caller first. TLS 1.3 lets a
    /// caller believe that all is well until it reads, so it reads.
    async fn handshake(caller: &Identity, called: &Identity) -> (bool, bool) {
        let (near, far) = tokio::io::duplex(16 * 1024);
        let calling = async {
            let mut stream = caller.connect(near, Ipv4Addr::LOCALHOST, SOON).await?;
            tokio::io::AsyncReadExt::read_u8(&mut stream).await
        };
        let being_called = async {
            let mut stream = called.accept(far, SOON).await?;
            tokio::io::AsyncWriteExt::write_u8(&mut stream, 1).await?;
            tokio::io::AsyncWriteExt::flush(&mut stream).await
        };
        let (caller, called) = tokio::join!(calling, being_called);
        (caller.is_ok(), called.is_ok())
    }

    #[tokio::test]
    async fn both_sides_of_one_cookie_agree() {
        let identity = Identity::new(&keys(1)).expect("an identity");
        assert_eq!(handshake(&identity, &identity).await, (true, true));
    }

    #[tokio::test]
    async fn a_caller_refuses_a_node_with_another_cookie() {
        let caller = Identity::new(&keys(1)).expect("an identity");
        // It would take any caller for its own.
        let called = Identity::showing(&keys(2), &keys(1)).expect("an identity");
        assert_eq!(handshake(&caller, &called).await, (false, false));
    }

    #[tokio::test]
    async fn a_node_refuses_a_caller_with_another_cookie() {
        // It would take any node for one of its own.
        let caller = Identity::showing(&keys(2), &keys(1)).expect("an identity");
        let called = Identity::new(&keys(1)).expect("an identity");
        assert_eq!(handshake(&caller, &called).await, (false, false));
    }

    #[tokio::test]
    async fn a_caller_that_speaks_no_protocol_of_ours_is_refused() {
        let called = Identity::new(&keys(1)).expect("an identity");
        let mut caller = called.clone();
        let mut config = caller.connector.config().as_ref().clone();
        config.alpn_protocols.clear();
        caller.connector = TlsConnector::from(Arc::new(config));
        assert_eq!(handshake(&caller, &called).await, (false, false));
    }
}
