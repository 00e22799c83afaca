//! Tests of TLS between nodes and tools.

use super::*;

const SOON: Duration = Duration::from_secs(10);

fn keys(cookie: u8) -> Keys {
    Keys::from_master(&[cookie; 32])
}

/// Whether each side accepts the other, the caller first. In TLS 1.3 a caller learns of a
/// refusal only when it reads, so it reads.
async fn handshake(caller: &Identity, called: &Identity) -> (bool, bool) {
    let (near, far) = tokio::io::duplex(16 * 1024);
    let calling = async {
        let (mut stream, _) = caller.connect(near, 0, SOON).await?;
        tokio::io::AsyncReadExt::read_u8(&mut stream).await
    };
    let being_called = async {
        let (mut stream, _) = called.accept(far, SOON).await?;
        tokio::io::AsyncWriteExt::write_u8(&mut stream, 1).await?;
        tokio::io::AsyncWriteExt::flush(&mut stream).await
    };
    let (caller, called) = tokio::join!(calling, being_called);
    (caller.is_ok(), called.is_ok())
}

/// Shows one key, and expects another.
fn showing(shown: u8, expected: u8) -> Identity {
    let ends = Ends::new(&[keys(shown)], &[keys(expected)]);
    Identity::of(ends.expect("an identity"))
}

#[tokio::test]
async fn both_sides_of_one_cookie_agree() {
    let identity = Identity::new(&keys(1)).expect("an identity");
    assert_eq!(handshake(&identity, &identity).await, (true, true));
}

#[tokio::test]
async fn a_caller_refuses_a_node_with_another_cookie() {
    let caller = Identity::new(&keys(1)).expect("an identity");
    // It would accept any caller.
    assert_eq!(handshake(&caller, &showing(2, 1)).await, (false, false));
}

#[tokio::test]
async fn a_node_refuses_a_caller_with_another_cookie() {
    // It would accept any node.
    let called = Identity::new(&keys(1)).expect("an identity");
    assert_eq!(handshake(&showing(2, 1), &called).await, (false, false));
}

#[tokio::test]
async fn a_caller_that_speaks_no_protocol_of_ours_is_refused() {
    let called = Identity::new(&keys(1)).expect("an identity");
    let mut ends = Ends::new(&[keys(1)], &[keys(1)]).expect("an identity");
    let mut config = ends.callers[0].connector.config().as_ref().clone();
    config.alpn_protocols.clear();
    ends.callers[0].connector = TlsConnector::from(Arc::new(config));
    assert_eq!(
        handshake(&Identity::of(ends), &called).await,
        (false, false)
    );
}
