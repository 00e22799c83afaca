//! What is asked over the socket, and what is answered.

use cluster::release::{DeployKey, Release};
use cluster::{ComponentBytes, Digest};
use host::api::Limits;
use host::api::types::{
    API, Code, Draft, Level, LogLine, Nodes, Progress, ReleaseKind, ReleaseList, ReleaseStatus,
    Released, Status, StoredComponent,
};
use http_body_util::BodyExt as _;
use serde_json::json;

use super::fake::{Behaviour, OTHER};
use super::{Bench, PATIENCE};

async fn upload(bench: &Bench, app: &'static [u8]) -> String {
    let digest = Digest::of(app).to_string();
    let kept: StoredComponent = bench
        .does("PUT", &format!("/v1/components/{digest}"), app)
        .await;
    assert_eq!((&kept.digest, kept.size), (&digest, app.len() as u64));
    digest
}

fn push(digest: &str) -> String {
    json!({ "component": digest, "by": "tester", "note": "a note" }).to_string()
}

#[tokio::test]
async fn an_app_is_uploaded_released_and_listed() {
    let bench = Bench::new();
    let digest = upload(&bench, b"an app").await;
    let released: Released = bench
        .does("POST", "/v1/apps/app/releases", push(&digest))
        .await;
    let releases: ReleaseList = bench.does("GET", "/v1/apps/app/releases", "").await;
    assert_eq!(releases.api, API);
    assert_eq!(releases.releases, std::slice::from_ref(&released.release));
    let release = released.release;
    assert_eq!(
        (release.digest, release.kind),
        (digest.clone(), ReleaseKind::Push)
    );
    assert_eq!((&*release.by, &*release.note), ("tester", "a note"));
    assert_eq!(release.status, ReleaseStatus::Target);
    let status: Status = bench.does("GET", "/v1/status", "").await;
    assert_eq!(status.target.unwrap().digest, digest);
    let nodes: Nodes = bench.does("GET", "/v1/nodes", "").await;
    assert_eq!(nodes.nodes.len(), 2);
}

#[tokio::test]
async fn a_request_that_cannot_be_is_refused_with_a_code_and_changes_nothing() {
    let limits = Limits {
        component: 1000,
        ..Limits::default()
    };
    let bench = Bench::with(None, limits);
    let digest = upload(&bench, b"an app").await;
    let other = Digest::of(b"another app").to_string();
    let put = |digest: &str| format!("/v1/components/{digest}");
    for (method, path, body, code) in [
        ("PUT", put(&other), "an app".to_owned(), Code::WrongDigest),
        ("PUT", put("0"), "an app".to_owned(), Code::BadRequest),
        ("PUT", put(&digest), "x".repeat(1001), Code::TooLarge),
        (
            "PUT",
            put(&Digest::of(b"bad").to_string()),
            "bad".to_owned(),
            Code::BadComponent,
        ),
        ("GET", put(&other), String::new(), Code::NoComponent),
        ("GET", "/v1/other".to_owned(), String::new(), Code::NotFound),
        ("GET", "/".to_owned(), String::new(), Code::NotFound),
        (
            "GET",
            "/v1/apps/other/releases".to_owned(),
            String::new(),
            Code::NotFound,
        ),
        (
            "POST",
            "/v1/status".to_owned(),
            String::new(),
            Code::BadMethod,
        ),
        (
            "DELETE",
            "/v1/apps/app/releases".to_owned(),
            String::new(),
            Code::BadMethod,
        ),
        (
            "GET",
            "/v1/apps/app/releases/00/progress".to_owned(),
            String::new(),
            Code::UnknownRelease,
        ),
        (
            "GET",
            "/v1/logs?loud".to_owned(),
            String::new(),
            Code::BadRequest,
        ),
    ] {
        assert_eq!(
            bench.refuses(method, &path, body).await,
            code,
            "{method} {path}"
        );
    }
    let releases: ReleaseList = bench.does("GET", "/v1/apps/app/releases", "").await;
    assert_eq!(releases.releases, []);
}

#[tokio::test]
async fn a_release_that_cannot_be_is_refused_with_a_code_and_changes_nothing() {
    let limits = Limits {
        component: 1000,
        ..Limits::default()
    };
    let bench = Bench::with(None, limits);
    let digest = upload(&bench, b"an app").await;
    let other = Digest::of(b"another app").to_string();
    for (wanted, code) in [
        (json!({ "component": other }), Code::NoComponent),
        (json!({}), Code::BadRequest),
        (
            json!({ "component": digest, "rollback": "previous" }),
            Code::BadRequest,
        ),
        (json!({ "rollback": "previous" }), Code::NothingBefore),
        (
            json!({ "rollback": { "to": "abcd" } }),
            Code::UnknownRelease,
        ),
        (json!({ "rollback": { "to": "x" } }), Code::UnknownRelease),
        (
            json!({ "component": digest, "unknown": 1 }),
            Code::BadRequest,
        ),
        (
            json!({ "component": digest, "expect": other }),
            Code::Unexpected,
        ),
        (
            json!({ "component": digest, "min_nodes": 3 }),
            Code::TooFewNodes,
        ),
        (
            json!({ "component": digest, "canaries": { "count": 3 } }),
            Code::TooFewNodes,
        ),
        (
            json!({ "component": digest, "canaries": { "count": 1 } }),
            Code::BadRelease,
        ),
        (
            json!({ "component": digest, "note": "x".repeat(300) }),
            Code::BadRelease,
        ),
        (
            json!({ "component": digest, "note": "x".repeat(20_000) }),
            Code::TooLarge,
        ),
    ] {
        let refused = bench
            .refuses("POST", "/v1/apps/app/releases", wanted.to_string())
            .await;
        assert_eq!(refused, code, "{wanted}");
    }
    let record = json!({ "record": "00" }).to_string();
    assert_eq!(
        bench.refuses("POST", "/v1/apps/app/records", record).await,
        Code::BadRelease
    );
    let releases: ReleaseList = bench.does("GET", "/v1/apps/app/releases", "").await;
    assert_eq!(releases.releases, []);
}

#[tokio::test]
async fn the_same_app_again_is_told_which_release_it_is() {
    let bench = Bench::new();
    let digest = upload(&bench, b"an app").await;
    let released: Released = bench
        .does("POST", "/v1/apps/app/releases", push(&digest))
        .await;
    let (status, answer) = bench
        .ask("POST", "/v1/apps/app/releases", push(&digest))
        .await;
    assert_eq!(status, 409);
    let problem: host::api::types::Problem = serde_json::from_slice(&answer).unwrap();
    assert_eq!(problem.code, Code::Same);
    assert_eq!(problem.release, Some(released.release.id));
}

#[tokio::test]
async fn a_draft_changes_nothing_until_its_record_is_released() {
    let bench = Bench::new();
    let digest = upload(&bench, b"an app").await;
    let draft: Draft = bench
        .does("POST", "/v1/apps/app/drafts", push(&digest))
        .await;
    let releases: ReleaseList = bench.does("GET", "/v1/apps/app/releases", "").await;
    assert_eq!(releases.releases, []);
    let record = json!({ "record": draft.record }).to_string();
    let released: Released = bench.does("POST", "/v1/apps/app/records", record).await;
    assert_eq!(released.release.digest, digest);
}

/// A deploy key, and a function that signs the record of a draft with it.
fn deploy_key(seed: u8) -> (DeployKey, impl Fn(&Draft) -> String) {
    use data_encoding::HEXLOWER;
    use ring::signature::{Ed25519KeyPair, KeyPair as _};
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a key");
    let public = pair.public_key().as_ref().try_into().expect("32 bytes");
    let sign = move |draft: &Draft| {
        let record = HEXLOWER.decode(draft.record.as_bytes()).expect("hex");
        let record = Release::read(&record).expect("a record");
        let signature = pair.sign(record.signed_bytes());
        let signature = signature.as_ref().try_into().expect("64 bytes");
        let signed = record.with_signature(&signature).expect("it fits");
        HEXLOWER.encode(signed.bytes())
    };
    let cluster = "berlin".parse().expect("a name");
    (DeployKey::new(cluster, public), sign)
}

#[tokio::test]
async fn with_a_deploy_key_nothing_is_stored_that_its_signed_record_does_not_name() {
    let (key, sign) = deploy_key(1);
    let (_, sign_otherwise) = deploy_key(2);
    let bench = Bench::with(Some(key), Limits::default());
    let draft = async |bytes: &[u8]| -> Draft {
        let app = ComponentBytes::of(bytes.to_vec().into()).app();
        let upload = json!({ "size": app.size, "manifest": app.manifest.to_string() });
        let wanted = json!({ "component": app.digest.to_string(), "upload": upload });
        bench
            .does("POST", "/v1/apps/app/drafts", wanted.to_string())
            .await
    };
    let (wanted, other) = (draft(b"an app").await, draft(b"another app").await);
    let path = format!("/v1/components/{}", Digest::of(b"an app"));
    for (record, bytes, code) in [
        (None, &b"an app"[..], Code::Unsigned),
        (Some("00".to_owned()), b"an app", Code::BadRelease),
        (Some("no hex".to_owned()), b"an app", Code::BadRequest),
        (Some(wanted.record.clone()), b"an app", Code::Unsigned),
        (Some(sign_otherwise(&wanted)), b"an app", Code::Unsigned),
        (Some(sign(&other)), b"an app", Code::BadRelease),
        (Some(sign(&wanted)), b"another app", Code::TooLarge),
        (Some(sign(&wanted)), b"no app", Code::WrongDigest),
    ] {
        let refused = bench.upload_signed(&path, record.as_deref(), bytes).await;
        assert_eq!(refused, Err(code), "{record:?}");
        let found = bench.refuses("GET", &path, "").await;
        assert_eq!(found, Code::NoComponent, "{record:?}");
    }
    // A draft says what it will be, and lies about the manifest.
    let lie = json!({ "size": 6, "manifest": Digest::of(b"lie").to_string() });
    let lie = json!({ "component": Digest::of(b"an app").to_string(), "upload": lie });
    let lie: Draft = bench
        .does("POST", "/v1/apps/app/drafts", lie.to_string())
        .await;
    assert_eq!(
        bench
            .upload_signed(&path, Some(&sign(&lie)), b"an app")
            .await,
        Err(Code::BadRelease)
    );
    let record = sign(&wanted);
    let body = json!({ "record": record }).to_string();
    assert_eq!(
        bench
            .refuses("POST", "/v1/apps/app/records", body.clone())
            .await,
        Code::NoComponent
    );
    let taken = bench.upload_signed(&path, Some(&record), b"an app").await;
    assert_eq!(taken, Ok(()));
    let released: Released = bench.does("POST", "/v1/apps/app/records", body).await;
    assert!(released.release.signed);
}

#[tokio::test]
async fn a_push_without_a_needed_signature_uploads_nothing() {
    let bench = Bench::with(Some(deploy_key(1).0), Limits::default());
    let app = bench.file("app.wasm", b"an app");
    let unsigned = bench.run(&["push", &app]).await;
    assert_eq!(unsigned.exit, Some(2), "{unsigned:?}");
    assert!(unsigned.err.contains("--sign-with"), "{unsigned:?}");
    let path = format!("/v1/components/{}", Digest::of(b"an app"));
    assert_eq!(bench.refuses("GET", &path, "").await, Code::NoComponent);
}

#[tokio::test]
async fn progress_says_what_each_member_does_until_it_is_decided() {
    let bench = Bench::new();
    bench.node.behaves(Behaviour::OtherRefuses("it traps"));
    let digest = upload(&bench, b"an app").await;
    let released: Released = bench
        .does("POST", "/v1/apps/app/releases", push(&digest))
        .await;
    let path = format!("/v1/apps/app/releases/{}/progress", released.release.id);
    let (_, lines) = bench.ask("GET", &path, "").await;
    let lines: Vec<Progress> = serde_json::Deserializer::from_slice(&lines)
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(lines.len(), 4, "{lines:#?}");
    let Some(Progress::Done { failed, .. }) = lines.last() else {
        panic!("{lines:#?}");
    };
    assert_eq!(failed, &[(OTHER.to_owned(), Some("it traps".to_owned()))]);
}

#[tokio::test]
async fn the_log_is_followed_from_its_newest_lines_on() {
    let bench = Bench::new();
    let add = |level, message: &str| {
        bench.log.add(LogLine {
            seq: 0,
            at_ms: 1,
            level,
            message: message.to_owned(),
            fields: vec![("member".to_owned(), "a".to_owned())],
        });
    };
    for (level, message) in [
        (Level::Info, "old"),
        (Level::Warn, "there"),
        (Level::Debug, "too much"),
    ] {
        add(level, message);
    }
    let (_, lines) = bench.ask("GET", "/v1/logs?lines=1&level=info", "").await;
    let there: LogLine = serde_json::from_slice(&lines).unwrap();
    assert_eq!((there.seq, &*there.message), (1, "there"));

    let stream = tokio::net::UnixStream::connect(bench.path().join("host.sock")).await;
    let io = hyper_util::rt::TokioIo::new(stream.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::builder()
        .uri("/v1/logs?lines=0&follow=true&level=error")
        .header("host", "node")
        .body(String::new())
        .unwrap();
    let mut answer = sender.send_request(request).await.unwrap();
    add(Level::Warn, "not grave enough");
    add(Level::Error, "new");
    let frame = tokio::time::timeout(PATIENCE, answer.frame())
        .await
        .unwrap();
    let line = frame.unwrap().unwrap().into_data().unwrap();
    let line: LogLine = serde_json::from_slice(&line).unwrap();
    assert_eq!((line.seq, &*line.message), (4, "new"));
}
