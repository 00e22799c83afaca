//! Connections are kept for the next request, and not longer than their rules.

use super::*;

#[tokio::test]
async fn a_connection_takes_the_next_request_too() {
    let server = Server::echo().await;
    let setup = Setup::open(&server);
    for path in ["one", "two", "three"] {
        let url = format!("http://api.test:{}/{path}", server.port());
        let response = setup.get(&url).await.expect("an answer");
        assert!(text(response).await.starts_with(&format!("GET /{path} ")));
    }
    assert_eq!(server.accepted(), 1);
    assert_eq!(setup.names.asked.load(SeqCst), 1);
}

#[tokio::test]
async fn after_a_rule_is_removed_no_request_goes_out_over_a_kept_connection() {
    let server = Server::echo().await;
    let port = server.port();
    let setup = Setup::open(&server);
    let url = format!("http://api.test:{port}/");
    text(setup.get(&url).await.expect("an answer")).await;
    // The name is allowed still, but its address is not.
    let name = [format!("http://api.test:{port}")];
    setup.rules.send_replace(rules(&name));
    let error = setup.get(&url).await.expect_err("prohibited");
    assert!(matches!(error, EgressError::Prohibited { .. }), "{error}");
    server.ended(1).await;
    setup.rules.send_replace(rules(&[]));
    let error = setup.get(&url).await.expect_err("denied");
    assert!(matches!(error, EgressError::Denied(_)), "{error}");
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn connections_of_other_rules_are_not_used_even_if_the_new_ones_allow_as_much() {
    let server = Server::echo().await;
    let port = server.port();
    let setup = Setup::open(&server);
    let url = format!("http://api.test:{port}/");
    text(setup.get(&url).await.expect("an answer")).await;
    let more = ["http://api.test", "http://127.0.0.1", "http://other.test"];
    let more = more.map(|it| format!("{it}:{port}"));
    setup.rules.send_replace(rules(&more));
    text(setup.get(&url).await.expect("an answer")).await;
    assert_eq!(server.accepted(), 2);
    server.ended(1).await;
}

#[tokio::test]
async fn a_request_that_runs_when_its_rule_is_removed_is_answered() {
    let (go, wait) = watch::channel(false);
    let server = Server::start(move |mut stream| {
        let mut wait = wait.clone();
        async move {
            let line = super::server::request(&mut stream)
                .await
                .unwrap_or_default();
            wait.wait_for(|it| *it).await.expect("the test runs");
            super::server::answer(&mut stream, "200 OK", "", &line).await;
        }
    })
    .await;
    let setup = Setup::open(&server);
    let url = format!("http://api.test:{}/", server.port());
    let client = setup.client.clone();
    let running = tokio::spawn(async move { client.send(get(&url), long()).await });
    while server.accepted() == 0 {
        tokio::task::yield_now().await;
    }
    setup.rules.send_replace(rules(&[]));
    go.send_replace(true);
    let response = running.await.expect("the task").expect("an answer");
    assert!(text(response).await.starts_with("GET /"));
}
