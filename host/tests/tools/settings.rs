//! `host config` and `host egress`: what they set, refuse and show; and the same over the API.

use std::io::Write as _;
use std::process::Stdio;

use cluster::release::DeployKey;
use host::api::Limits;
use host::api::types::{Code, SettingList, SettingSort};
use http::StatusCode;
use serde_json::{Value, json};

use super::fake::{Behaviour, ME};
use super::{Bench, command, ended};

const SECRET: &str = "wT9-not-to-be-seen";

async fn list(bench: &Bench) -> SettingList {
    let listed = bench.run(&["config", "ls", "--json"]).await;
    serde_json::from_str(&listed.out).expect("a list")
}

#[tokio::test]
async fn what_was_set_is_listed_with_who_and_when_and_can_be_unset() {
    let bench = Bench::new();
    let none = bench.run(&["config", "ls"]).await;
    assert_eq!(none.out, "nothing is set\n");
    let set = bench
        .run(&["config", "set", "GREETING=hello = all", "a.b=1"])
        .await;
    assert_eq!(set.exit, Some(0), "{set:?}");
    assert_eq!(set.err, "set: GREETING, a.b\n");
    let listed = bench.run(&["config", "ls"]).await.out;
    for part in ["GREETING", "hello = all", "tester@", ME, "just now"] {
        assert!(listed.contains(part), "{part} in {listed}");
    }
    assert!(
        listed.ends_with("by wasi:config only, and not in the environment: a.b\n"),
        "{listed}"
    );
    let unset = bench.run(&["config", "unset", "GREETING"]).await;
    assert_eq!(unset.err, "unset: GREETING\n");
    let settings = list(&bench).await;
    assert_eq!(settings.settings.len(), 1);
    assert_eq!(settings.history.len(), 3);
    assert!(settings.history[0].removed && settings.history[0].key == "GREETING");
    let history = bench.run(&["config", "ls", "--history"]).await.out;
    assert!(history.contains("unset"), "{history}");
    assert!(!history.contains("hello"), "{history}");
}

#[tokio::test]
async fn a_secret_is_nowhere_but_in_what_the_app_is_given() {
    let bench = Bench::new();
    let file = bench.file("token", format!("{SECRET}\n").as_bytes());
    let set = bench
        .run(&["config", "set", "--secret", "TOKEN", "--from-file", &file])
        .await;
    assert_eq!(set.exit, Some(0), "{set:?}");
    let shown = [
        set.err,
        set.out,
        bench.run(&["config", "ls"]).await.out,
        bench.run(&["config", "ls", "--json"]).await.out,
        bench.run(&["config", "ls", "--history"]).await.out,
        bench.run(&["status", "--json"]).await.out,
        bench.run(&["logs", "--json"]).await.out,
    ];
    for text in &shown {
        assert!(!text.contains(SECRET), "{text}");
    }
    let first = list(&bench).await.settings[0].clone();
    assert_eq!((first.kind, first.value), (SettingSort::Secret, None));
    let fingerprint = first.fingerprint.expect("a fingerprint");
    assert!(
        shown[2].contains(&format!("(secret {fingerprint})")),
        "{shown:?}"
    );
    // The same value has the same fingerprint, and another one has not.
    let same = bench.file("same", SECRET.as_bytes());
    let other = bench.file("other", b"another one");
    for (file, equal) in [(same, true), (other, false)] {
        bench
            .run(&["config", "set", "--secret", "TOKEN", "--from-file", &file])
            .await;
        let now = list(&bench).await.settings[0].fingerprint.clone();
        assert_eq!(now.as_ref() == Some(&fingerprint), equal);
    }
    let seen = bench.run(&["config", "set", "TOKEN=visible"]).await;
    assert_eq!(seen.exit, Some(2), "{seen:?}");
    assert!(seen.err.contains("`TOKEN` is a secret"), "{seen:?}");
}

#[tokio::test]
async fn the_value_of_a_secret_comes_from_standard_input_and_not_from_the_command_line() {
    let bench = Bench::new();
    let mut set = command(&["config", "set", "--secret", "TOKEN"]);
    set.args(["--data-dir".as_ref(), bench.path().as_os_str()]);
    let mut running = set
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut stdin = running.stdin.take().expect("a pipe");
    stdin.write_all(SECRET.as_bytes()).expect("written");
    drop(stdin);
    let ended = tokio::task::spawn_blocking(move || running.wait())
        .await
        .expect("no panic");
    assert!(ended.expect("an end").success());
    assert_eq!(list(&bench).await.settings.len(), 1);
    let typed = bench
        .run(&["config", "set", "--secret", "TOKEN=typed"])
        .await;
    assert!(
        typed.err.contains("does not belong on the command line"),
        "{typed:?}"
    );
    let two = bench
        .run(&["config", "set", "--secret", "ONE", "TWO"])
        .await;
    assert!(two.err.contains("takes one name"), "{two:?}");
}

#[tokio::test]
async fn what_is_refused_says_why_and_changes_nothing() {
    let bench = Bench::new();
    for (words, says) in [
        (&["set", "NO_VALUE"][..], "`NO_VALUE` is no KEY=VALUE"),
        (&["set", "two words=1"], "`two words` cannot be the name"),
        (&["set", "A=1", "A=2"], "`A` is given twice"),
        (&["unset", "A"], "config `A` is not set"),
    ] {
        let refused = bench.run(&[&["config"], words].concat()).await;
        assert_ne!(refused.exit, Some(0), "{refused:?}");
        assert!(refused.err.contains(says), "{refused:?}");
    }
    let large = bench.file("large", &[b'x'; 65_537]);
    let refused = bench
        .run(&["config", "set", "--secret", "A", "--from-file", &large])
        .await;
    assert!(refused.err.contains("65536"), "{refused:?}");
    bench.node.behaves(Behaviour::Leave);
    let leaving = bench.run(&["config", "set", "A=1"]).await;
    assert_eq!(leaving.exit, Some(2), "{leaving:?}");
    assert!(
        leaving
            .err
            .ends_with("nothing was changed; do it on another node\n"),
        "{leaving:?}"
    );
    assert_eq!(list(&bench).await.settings, []);
}

#[tokio::test]
async fn with_a_deploy_key_config_and_egress_have_to_be_signed() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("deploy.key").display().to_string();
    let made = ended(command(&["key", "new", "--cluster", "test", &key])).await;
    let public: DeployKey = made.out.trim().parse().unwrap();
    let bench = Bench::with(Some(public), Limits::default());
    let other = folder.path().join("other.key").display().to_string();
    ended(command(&["key", "new", "--cluster", "test", &other])).await;
    let file = bench.file("token", SECRET.as_bytes());
    for words in [
        &["config", "set", "A=1"][..],
        &["config", "set", "--secret", "TOKEN", "--from-file", &file],
        &["egress", "add", "https://api.example.com"],
    ] {
        let unsigned = bench.run(words).await;
        assert_eq!(unsigned.exit, Some(2), "{unsigned:?}");
        assert!(
            unsigned.err.contains("add `--sign-with FILE`"),
            "{unsigned:?}"
        );
        let wrong = bench.run(&[words, &["--sign-with", &other]].concat()).await;
        assert_eq!(wrong.exit, Some(2), "{wrong:?}");
        assert!(wrong.err.contains("signed with another key"), "{wrong:?}");
        let signed = bench.run(&[words, &["--sign-with", &key]].concat()).await;
        assert_eq!(signed.exit, Some(0), "{signed:?}");
    }
    let settings = list(&bench).await.settings;
    assert_eq!(settings.len(), 3);
    assert!(settings.iter().all(|it| it.signed));
    let unset = bench.run(&["config", "unset", "A"]).await;
    assert_eq!(unset.exit, Some(2), "{unset:?}");
    // A removal names what it removes, and a secret is removed by its name alone.
    for name in ["A", "TOKEN"] {
        let unset = bench
            .run(&["config", "unset", name, "--sign-with", &key])
            .await;
        assert_eq!(unset.exit, Some(0), "{unset:?}");
    }
    assert_eq!(list(&bench).await.settings.len(), 1);
}

#[tokio::test]
async fn a_rule_for_other_servers_is_kept_in_one_form_and_listed() {
    let bench = Bench::new();
    let none = bench.run(&["egress", "ls"]).await.out;
    assert!(none.contains("no other server"), "{none}");
    let add = bench
        .run(&[
            "egress",
            "add",
            "https://API.example.com:443",
            "tcp://10.0.0.5:5432",
        ])
        .await;
    assert_eq!(add.exit, Some(0), "{add:?}");
    let listed = bench.run(&["egress", "ls"]).await.out;
    assert!(
        listed.contains("https://api.example.com ") && listed.contains("tcp://10.0.0.5:5432"),
        "{listed}"
    );
    assert_eq!(bench.run(&["config", "ls"]).await.out, "nothing is set\n");
    let wrong = bench.run(&["egress", "add", "api.example.com"]).await;
    assert_eq!(wrong.exit, Some(2), "{wrong:?}");
    assert!(wrong.err.contains("https://"), "{wrong:?}");
    let rm = bench
        .run(&["egress", "rm", "https://api.example.com"])
        .await;
    assert_eq!(rm.exit, Some(0), "{rm:?}");
    let gone = bench
        .run(&["egress", "rm", "https://api.example.com"])
        .await;
    assert!(gone.err.contains("`host egress ls` lists"), "{gone:?}");
}

#[tokio::test]
async fn the_api_takes_changes_and_refuses_what_it_cannot_read() {
    let bench = Bench::new();
    let path = "/v1/apps/app/settings";
    let wanted = json!({ "by": "a program", "changes": [
        { "kind": "config", "key": "A", "value": "1" },
        { "kind": "config", "key": "B", "value": "2" },
    ] });
    let (status, answer) = bench.ask("POST", path, wanted.to_string()).await;
    assert_eq!(status, StatusCode::OK);
    let list: SettingList = serde_json::from_slice(&answer).expect("a list");
    assert_eq!(list.settings.len(), 2);
    assert_eq!(list.settings[0].by, "a program");
    let code = async |path: &str, body: Value| {
        let (_, answer) = bench.ask("POST", path, body.to_string()).await;
        let problem: host::api::types::Problem =
            serde_json::from_slice(&answer).expect("a problem");
        problem.code
    };
    assert_eq!(
        code(path, json!({ "by": "x", "changes": [] })).await,
        Code::BadSetting
    );
    let unset = json!({ "by": "x", "changes": [{ "kind": "config", "key": "C", "value": null }] });
    assert_eq!(code(path, unset).await, Code::NotSet);
    let cron = json!({ "by": "x", "changes": [{ "kind": "other", "key": "C", "value": "" }] });
    assert_eq!(code(path, cron).await, Code::BadSetting);
    let records = "/v1/apps/app/settings/records";
    assert_eq!(
        code(records, json!({ "records": ["zz"] })).await,
        Code::BadRequest
    );
    assert_eq!(
        code(records, json!({ "records": ["00"] })).await,
        Code::BadSetting
    );
    let many: Vec<Value> = (0..257)
        .map(|n| json!({ "kind": "config", "key": format!("K{n}"), "value": "" }))
        .collect();
    assert_eq!(
        code(path, json!({ "by": "x", "changes": many })).await,
        Code::BadRequest
    );
}
