//! Requests to members over shared connections.

use super::*;

/// A service that answers with what it got.
struct Back;

impl Service for Back {
    fn call(&self, _: Peer, request: Request<Incoming>) -> FutureAnswer {
        Box::pin(async move {
            match read(request.into_body(), 1 << 20, EXCHANGE).await {
                Ok(message) if message == "refuse" => {
                    refusal(StatusCode::CONFLICT, "w".repeat(4 * protocol::REFUSAL_MAX))
                }
                Ok(message) => answer(message),
                Err(error) => error.refusal(),
            }
        })
    }
}

fn back() -> Called {
    Called::start_serving(16, identity(), Arc::new(Back))
}

async fn request(client: &Client, at: SocketAddrV4) -> Result<(StatusCode, Bytes), CallError> {
    let message = Bytes::from_static(b"echo");
    client
        .request(&node(CALLED), at, "/publish", message, 10, SOON)
        .await
}

#[tokio::test]
async fn many_requests_to_one_member_share_one_connection() {
    let called = back();
    let client = Client::new(dialler(CALLER), 0);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (client, at) = (client.clone(), called.at);
        asking.spawn(async move { request(&client, at).await });
    }
    for answered in asking.join_all().await {
        let (status, said) = answered.expect("answered");
        assert_eq!((status, &said[..]), (StatusCode::OK, &b"echo"[..]));
    }
    assert_eq!(called.counters.now().admitted, 1);
}

#[tokio::test]
async fn a_connection_that_broke_is_dialled_again_and_one_that_idles_is_closed() {
    let process = Process::start_with(Arc::new(Back)).await;
    let client = Client::new(dialler(CALLER), 0);
    request(&client, process.at).await.expect("answered");
    let at = process.at;
    process.kill().await;
    let error = request(&client, at).await.expect_err("nobody there");
    assert!(error.is_unsent(), "{error}");
    assert_eq!(client.connected(), 0, "nothing is kept of it");

    let called = back();
    let client = Client::with(dialler(CALLER), 0, Duration::from_millis(50));
    request(&client, called.at).await.expect("answered");
    let idled = async {
        while client.connected() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, idled).await.expect("closed");
    request(&client, called.at).await.expect("answered again");
    called.counted(|c| c.admitted == 2).await;
}

#[tokio::test]
async fn a_member_that_is_gone_has_no_connection_left_when_it_is_back() {
    let called = back();
    let client = Client::new(dialler(CALLER), 0);
    request(&client, called.at).await.expect("answered");
    let of = |members| cluster::View {
        version: 1,
        members,
    };
    client.keep(&of(vec![listed(CALLED)]));
    request(&client, called.at).await.expect("answered");
    assert_eq!(called.counters.now().admitted, 1, "it was kept");
    client.keep(&of(Vec::new()));
    assert_eq!(client.connected(), 0);
    request(&client, called.at).await.expect("answered again");
    called.counted(|c| c.admitted == 2).await;
}

#[tokio::test]
async fn an_answer_that_is_too_long_or_does_not_come_is_an_error_that_says_so() {
    let called = back();
    let client = Client::new(dialler(CALLER), 0);
    let long = Bytes::from_static(b"longer than ten");
    let answered = client
        .request(&node(CALLED), called.at, "/publish", long, 10, SOON)
        .await;
    assert!(matches!(
        answered,
        Err(CallError::Answer(ReadError::TooLong))
    ));

    // The status of a refusal says enough.
    let refuse = Bytes::from_static(b"refuse");
    let answered = client
        .request(&node(CALLED), called.at, "/publish", refuse, 10, SOON)
        .await;
    let (status, _) = answered.expect("answered");
    assert_eq!(status, StatusCode::CONFLICT);

    // A listener that never accepts.
    let silent = net::tcp_listener(SocketAddrV4::new(CALLED, 0), 1, "--cluster-port");
    let silent = silent.expect("bound");
    let port = silent.local_addr().expect("bound").port();
    let at = SocketAddrV4::new(CALLED, port);
    let other = Client::new(dialler(CALLER), 0);
    let little = Duration::from_millis(50);
    let answered = other
        .request(&node(CALLED), at, "/publish", Bytes::new(), 10, little)
        .await;
    assert!(matches!(answered, Err(CallError::Slow(_))));
}

#[tokio::test]
async fn a_member_that_is_another_than_was_meant_is_not_asked() {
    let called = back();
    let client = Client::new(dialler(CALLER), 0);
    let other = NodeName::new("other", CALLED).expect("a name");
    let answered = client
        .request(&other, called.at, "/publish", Bytes::new(), 10, SOON)
        .await;
    assert!(matches!(
        answered,
        Err(CallError::Dial(DialError::Impostor))
    ));
}
