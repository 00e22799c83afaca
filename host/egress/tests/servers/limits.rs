//! Servers that are slow, silent or endless.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::server::request;
use super::*;

const SHORT: Duration = Duration::from_millis(200);

async fn write(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    stream.write_all(bytes).await.is_ok()
}

const ENDLESS: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

/// A server that never answers.
async fn silent() -> Server {
    Server::start(|mut stream| async move { while request(&mut stream).await.is_some() {} }).await
}

/// A server that sends a byte now and then, without end.
async fn dribbling() -> Server {
    Server::start(|mut stream| async move {
        let _ = request(&mut stream).await;
        let mut goes_on = write(&mut stream, ENDLESS).await;
        while goes_on {
            tokio::time::sleep(Duration::from_millis(10)).await;
            goes_on = write(&mut stream, b".").await;
        }
    })
    .await
}

/// A server that sends so many bytes as fast as it can.
async fn large(bytes: u64) -> Server {
    Server::start(move |mut stream| async move {
        let _ = request(&mut stream).await;
        let mut goes_on = write(&mut stream, ENDLESS).await;
        let piece = vec![b'x'; 1 << 16];
        let mut left = bytes;
        while goes_on && left > 0 {
            goes_on = write(&mut stream, &piece).await;
            left = left.saturating_sub(piece.len() as u64);
        }
    })
    .await
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let server = silent().await;
    let setup = Setup::open(&server);
    let url = format!("http://api.test:{}/", server.port());
    let limits = SendLimits {
        first_byte: SHORT,
        ..long()
    };
    let error = setup.client.send(get(&url), limits).await;
    assert_eq!(error.expect_err("silent"), EgressError::Silent);
    let error = setup.fetch(&url, SHORT).await.expect_err("too late");
    assert!(
        matches!(error, EgressError::TotalTime | EgressError::Silent),
        "{error}"
    );
    // Neither connection is kept.
    server.ended(2).await;
}

#[tokio::test]
async fn a_server_that_never_begins_tls_is_given_up() {
    let server = silent().await;
    let port = server.port();
    let texts = [
        format!("https://api.test:{port}"),
        format!("https://127.0.0.1:{port}"),
    ];
    let setup = Setup::with(&texts, &[&[LOOPBACK]], |config| config.connect_time = SHORT);
    let error = setup
        .get(&format!("https://api.test:{port}/"))
        .await
        .expect_err("too late");
    assert!(matches!(error, EgressError::ConnectTime(_)), "{error}");
    // The app may want it faster than the node.
    let setup = Setup::new(&texts, &[&[LOOPBACK]]);
    let limits = SendLimits {
        connect: SHORT,
        ..long()
    };
    let error = setup
        .client
        .send(get(&format!("https://api.test:{port}/")), limits)
        .await;
    assert!(matches!(error, Err(EgressError::ConnectTime(_))));
}

#[tokio::test]
async fn a_server_that_dribbles_is_cut_off_when_the_time_is_over() {
    let server = dribbling().await;
    let setup = Setup::open(&server);
    let url = format!("http://api.test:{}/", server.port());
    let error = setup.fetch(&url, SHORT).await.expect_err("too late");
    assert_eq!(error, EgressError::TotalTime);
    let limits = SendLimits {
        total: SHORT,
        ..long()
    };
    let response = setup.client.send(get(&url), limits).await.expect("a head");
    let error = response.into_body().collect().await.expect_err("too late");
    assert_eq!(error, EgressError::TotalTime);
    server.ended(2).await;
}

#[tokio::test]
async fn a_body_that_pauses_for_too_long_is_cut_off() {
    let server = Server::start(|mut stream| async move {
        let _ = request(&mut stream).await;
        let _ = write(&mut stream, ENDLESS).await;
        while request(&mut stream).await.is_some() {}
    })
    .await;
    let setup = Setup::open(&server);
    let url = format!("http://api.test:{}/", server.port());
    let limits = SendLimits {
        between_bytes: SHORT,
        ..long()
    };
    let response = setup.client.send(get(&url), limits).await.expect("a head");
    let error = response.into_body().collect().await.expect_err("silent");
    assert_eq!(error, EgressError::Silent);
    server.ended(1).await;
}

#[tokio::test]
async fn a_gigabyte_is_refused_where_it_is_wanted_whole() {
    let server = large(1 << 30).await;
    let setup = Setup::open(&server);
    let url = format!("http://api.test:{}/", server.port());
    let error = setup.fetch(&url, LONG).await.expect_err("too large");
    assert_eq!(error, EgressError::TooLarge(1 << 20));
    server.ended(1).await;
}

/// What the process has in memory now, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
    let kib = line.and_then(|it| it.trim().strip_suffix(" kB"));
    kib.and_then(|it| it.parse::<u64>().ok()).expect("a number") << 10
}

#[tokio::test]
async fn a_gigabyte_passes_through_without_filling_the_memory() {
    let server = large(1 << 30).await;
    let setup = Setup::open(&server);
    let url = format!("http://api.test:{}/", server.port());
    let mut body = setup.get(&url).await.expect("a head").into_body();
    let (mut bytes, before, mut most) = (0, resident(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.expect("a frame").into_data() else {
            continue;
        };
        if bytes >> 26 != (bytes + data.len() as u64) >> 26 {
            most = most.max(resident().saturating_sub(before));
        }
        bytes += data.len() as u64;
    }
    assert_eq!(bytes, 1 << 30);
    assert!(most < 64 << 20, "{most} bytes more");
}

#[tokio::test]
async fn a_body_that_promises_too_much_is_not_read() {
    let server = Server::start(|mut stream| async move {
        let _ = request(&mut stream).await;
        let _ = write(
            &mut stream,
            b"HTTP/1.1 200 OK\r\ncontent-length: 1048577\r\n\r\n",
        )
        .await;
        while request(&mut stream).await.is_some() {}
    })
    .await;
    let setup = Setup::open(&server);
    let url = format!("http://api.test:{}/", server.port());
    let error = setup.fetch(&url, LONG).await.expect_err("too large");
    assert_eq!(error, EgressError::TooLarge(1 << 20));
    server.ended(1).await;
}

#[tokio::test]
async fn what_is_not_http_or_has_too_large_a_head_is_told_as_broken() {
    let server = Server::start(|mut stream| async move {
        let line = request(&mut stream).await.unwrap_or_default();
        if line.starts_with("GET /head ") {
            let field = format!("x: {}\r\n", "x".repeat(1 << 20));
            let _ = write(&mut stream, b"HTTP/1.1 200 OK\r\n").await;
            let _ = write(&mut stream, field.as_bytes()).await;
        } else {
            let _ = write(&mut stream, b"+PONG\r\n\r\n").await;
        }
        while request(&mut stream).await.is_some() {}
    })
    .await;
    let setup = Setup::open(&server);
    for path in ["", "head"] {
        let url = format!("http://api.test:{}/{path}", server.port());
        let error = setup.get(&url).await.expect_err("broken");
        assert!(matches!(error, EgressError::Broken(_)), "{error}");
    }
    server.ended(2).await;
}

#[tokio::test]
async fn more_requests_than_there_may_be_are_refused_until_one_has_been_read() {
    let server = Server::echo().await;
    let setup = Setup::open(&server);
    let url = format!("http://api.test:{}/", server.port());
    let mut answers = Vec::new();
    for _ in 0..egress::REQUESTS_MAX {
        answers.push(setup.get(&url).await.expect("an answer"));
    }
    let error = setup.get(&url).await.expect_err("busy");
    assert_eq!(error, EgressError::Busy("all requests"));
    let one = answers.pop().expect("an answer");
    assert!(text(one).await.starts_with("GET /"));
    setup.get(&url).await.expect("an answer");
}
