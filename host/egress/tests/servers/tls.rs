//! HTTPS: whom the client trusts, and HTTP/2.

use std::convert::Infallible;

use http_body_util::Full;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::*;

/// An authority, as the client knows it, and the server that it vouches for under this name.
fn authority(name: &str, protocols: &[&[u8]]) -> (RootCertStore, Arc<ServerConfig>) {
    let mut issuer = CertificateParams::new(Vec::new()).expect("parameters");
    issuer.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let issuer = CertifiedIssuer::self_signed(issuer, key).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
    let leaf = leaf.signed_by(&key, &issuer).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone()).expect("a root");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth();
    let mut config = config
        .with_single_cert(vec![leaf.der().clone()], key)
        .expect("a certificate");
    config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
    (roots, Arc::new(config))
}

/// A server that answers with the version of HTTP and the path.
async fn https(config: Arc<ServerConfig>) -> Server {
    Server::start(move |stream| {
        let acceptor = TlsAcceptor::from(config.clone());
        async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = service_fn(|request: Request<hyper::body::Incoming>| async move {
                let text = format!("{:?} {}", request.version(), request.uri().path());
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
            });
            let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let io = TokioIo::new(stream);
            // A client that goes away is no concern of the server.
            let _ = match is_h2 {
                true => {
                    let server = http2::Builder::new(TokioExecutor::new());
                    server.serve_connection(io, service).await
                }
                false => http1::Builder::new().serve_connection(io, service).await,
            };
        }
    })
    .await
}

fn setup(port: u16, roots: RootCertStore) -> Setup {
    let texts = [
        format!("https://api.test:{port}"),
        format!("https://127.0.0.1:{port}"),
    ];
    Setup::with(&texts, &[&[LOOPBACK]], |config| {
        config.roots = TlsRoots::These(roots);
    })
}

#[tokio::test]
async fn requests_to_a_server_with_http_2_share_one_connection() {
    let (roots, config) = authority("api.test", &[b"h2", b"http/1.1"]);
    let server = https(config).await;
    let setup = setup(server.port(), roots);
    let url = format!("https://api.test:{}/first", server.port());
    let first = setup.get(&url).await.expect("an answer");
    assert_eq!(first.version(), http::Version::HTTP_2);
    // The first answer has not been read.
    let second = setup.get(&url).await.expect("an answer");
    assert_eq!(text(second).await, "HTTP/2.0 /first");
    assert_eq!(text(first).await, "HTTP/2.0 /first");
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_server_without_http_2_is_asked_in_http_1() {
    let (roots, config) = authority("api.test", &[]);
    let server = https(config).await;
    let setup = setup(server.port(), roots);
    let url = format!("https://api.test:{}/x", server.port());
    let response = setup.get(&url).await.expect("an answer");
    assert_eq!(text(response).await, "HTTP/1.1 /x");
}

#[tokio::test]
async fn a_server_of_another_name_or_of_an_unknown_authority_is_not_trusted() {
    let (roots, config) = authority("other.test", &[]);
    let server = https(config).await;
    let url = format!("https://api.test:{}/", server.port());
    let error = setup(server.port(), roots).get(&url).await;
    assert!(
        matches!(error, Err(EgressError::Certificate(..))),
        "{error:?}"
    );
    let (_, config) = authority("api.test", &[]);
    let (unknown, _) = authority("api.test", &[]);
    let server = https(config).await;
    let url = format!("https://api.test:{}/", server.port());
    let error = setup(server.port(), unknown).get(&url).await;
    assert!(
        matches!(error, Err(EgressError::Certificate(..))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_without_tls_is_told_apart_from_a_bad_certificate() {
    let server = Server::start(|mut stream| async move {
        super::server::answer(&mut stream, "400 Bad Request", "", "").await;
    })
    .await;
    let (roots, _) = authority("api.test", &[]);
    let url = format!("https://api.test:{}/", server.port());
    let error = setup(server.port(), roots).get(&url).await;
    assert!(matches!(error, Err(EgressError::Tls(..))), "{error:?}");
}
