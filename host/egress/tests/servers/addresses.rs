//! What is reached: by name, by address, after a lookup, and after a redirect.

use super::server::{answer, request};
use super::*;

use cluster::{Destination, EgressProtocol};

#[tokio::test]
async fn without_a_rule_nothing_is_looked_up_and_nothing_connected() {
    let server = Server::echo().await;
    let setup = Setup::new(&[], &[&[LOOPBACK]]);
    for host in ["api.test", "127.0.0.1", "[::1]", "localhost"] {
        let url = format!("http://{host}:{}/", server.port());
        let denied = setup.get(&url).await.expect_err("denied");
        assert!(matches!(denied, EgressError::Denied(_)), "{denied}");
        let command = format!("`host egress add http://{host}:{}`", server.port());
        assert!(denied.to_string().contains(&command), "{denied}");
    }
    assert_eq!(setup.names.asked.load(SeqCst), 0);
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn a_client_that_is_closed_reaches_nothing() {
    let server = Server::echo().await;
    let request = get(&format!("http://127.0.0.1:{}/", server.port()));
    let denied = EgressClient::closed().send(request, long()).await;
    assert!(matches!(denied, Err(EgressError::Denied(_))));
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn an_allowed_name_that_turns_out_to_be_loopback_is_not_connected() {
    let server = Server::echo().await;
    let name = [format!("http://api.test:{}", server.port())];
    let setup = Setup::new(&name, &[&[LOOPBACK]]);
    let url = format!("http://api.test:{}/", server.port());
    let error = setup.get(&url).await.expect_err("prohibited");
    assert!(matches!(error, EgressError::Prohibited { ip, .. } if ip == LOOPBACK));
    let text = format!(
        "http://api.test:{0} is at 127.0.0.1, a loopback address, and no rule names that address; \
         `host egress add http://127.0.0.1:{0}` allows it",
        server.port()
    );
    assert_eq!(error.to_string(), text);
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn of_several_addresses_only_allowed_ones_are_connected() {
    let server = Server::echo().await;
    let other = Server::on(OTHER, server.port(), |_| async {}).await;
    let setup = Setup::open(&server);
    *setup.names.answers.lock() = [vec![OTHER, LOOPBACK]].into();
    let url = format!("http://api.test:{}/here?x=1", server.port());
    let response = setup.get(&url).await.expect("an answer");
    let port = server.port();
    assert_eq!(
        text(response).await,
        format!("GET /here?x=1 HTTP/1.1 host: api.test:{port}")
    );
    assert_eq!((server.accepted(), other.accepted()), (1, 0));
}

#[tokio::test]
async fn a_name_is_looked_up_once_for_a_connection_and_each_new_address_is_checked() {
    let server = Server::start(|mut stream| async move {
        if request(&mut stream).await.is_some() {
            answer(&mut stream, "200 OK", "connection: close\r\n", "once").await;
        }
    })
    .await;
    let other = Server::on(OTHER, server.port(), |_| async {}).await;
    let setup = Setup::open(&server);
    *setup.names.answers.lock() = [vec![LOOPBACK], vec![OTHER]].into();
    let url = format!("http://api.test:{}/", server.port());
    let response = setup.get(&url).await.expect("an answer");
    assert_eq!(text(response).await, "once");
    assert_eq!(setup.names.asked.load(SeqCst), 1);
    // The name has another address now.
    let error = setup.get(&url).await.expect_err("prohibited");
    assert!(matches!(error, EgressError::Prohibited { ip, .. } if ip == OTHER));
    assert_eq!((server.accepted(), other.accepted()), (1, 0));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_where_it_leads_to_is_checked_anew() {
    let inside = Server::echo().await;
    let location = format!("http://127.0.0.1:{}/secret", inside.port());
    let fields = format!("location: {location}\r\n");
    let server = Server::start(move |mut stream| {
        let fields = fields.clone();
        async move {
            if request(&mut stream).await.is_some() {
                answer(&mut stream, "302 Found", &fields, "").await;
            }
        }
    })
    .await;
    let setup = Setup::open(&server);
    let url = format!("http://api.test:{}/", server.port());
    let whole = setup.fetch(&url, LONG).await.expect("an answer");
    assert_eq!(whole.response.status(), 302);
    assert_eq!(whole.response.headers()["location"], location);
    let error = setup.fetch(&location, LONG).await.expect_err("denied");
    assert!(matches!(error, EgressError::Denied(_)));
    assert_eq!(inside.accepted(), 0);
}

#[tokio::test]
async fn the_address_of_a_node_of_the_cluster_must_be_named_itself() {
    let server = Server::echo().await;
    let port = server.port();
    // As if 127.0.0.0/8 were public.
    let texts = [format!("http://93.184.215.14:{port}")];
    let own: IpAddr = "93.184.215.14".parse().expect("an address");
    let name = [format!("http://api.test:{port}")];
    let is_own = |config: &mut EgressConfig| config.own = Arc::new(move |ip| ip == own);
    let setup = Setup::with(&name, &[&[own]], is_own);
    let to = Destination::of_host(EgressProtocol::Http, "api.test", port);
    let to = to.expect("a destination");
    let error = setup
        .client
        .gate()
        .addresses(&to)
        .await
        .expect_err("prohibited");
    assert!(
        error.to_string().contains("an address of this cluster"),
        "{error}"
    );
    let both = [name, texts].concat();
    let setup = Setup::with(&both, &[&[own]], is_own);
    assert_eq!(setup.client.gate().addresses(&to).await, Ok(vec![own]));
}

#[tokio::test]
async fn what_is_no_server_of_the_web_is_refused() {
    let setup = Setup::new(&["https://*".to_owned()], &[]);
    for url in [
        "ftp://api.test/",
        "/path",
        "https://me@api.test/",
        "https://127.1/",
        "tcp://a:1",
    ] {
        let error = setup.get(url).await.expect_err(url);
        assert!(matches!(error, EgressError::Url(_)), "{url}: {error}");
    }
    let mut connect = get("https://api.test");
    *connect.method_mut() = http::Method::CONNECT;
    let error = setup
        .client
        .send(connect, long())
        .await
        .expect_err("refused");
    assert_eq!(error, EgressError::Method("CONNECT".to_owned()));
}

#[tokio::test]
async fn a_name_without_an_address_and_a_port_without_a_server_are_told_apart() {
    let server = Server::echo().await;
    let setup = Setup::open(&server);
    let url = format!("http://api.test:{}/", server.port());
    drop(server);
    // The listener is closed once its task has ended.
    while !matches!(setup.get(&url).await, Err(EgressError::Refused(_))) {
        tokio::task::yield_now().await;
    }
    setup.names.answers.lock().clear();
    let error = setup.get(&url).await.expect_err("not found");
    assert!(matches!(error, EgressError::NoName(..)), "{error}");
}

#[tokio::test]
async fn localhost_is_looked_up_by_the_system_and_reached_if_it_is_named() {
    let server = Server::echo().await;
    let name = [format!("http://localhost:{}", server.port())];
    let setup = Setup::with(&name, &[], |config| {
        config.resolver = Arc::new(egress::SystemResolver::default());
    });
    let url = format!("http://localhost:{}/", server.port());
    let response = setup.get(&url).await.expect("an answer");
    assert!(text(response).await.starts_with("GET / HTTP/1.1"));
}
