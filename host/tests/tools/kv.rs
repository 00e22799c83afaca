//! `host kv`: what it shows and changes.

use std::process::Stdio;

use cluster::data::VALUE_MAX;
use host::api::types::DataList;

use super::{Bench, command};

async fn list(bench: &Bench, arguments: &[&str]) -> DataList {
    let listed = bench.run(&[arguments, &["--json"]].concat()).await;
    serde_json::from_str(&listed.out).expect("a list")
}

#[tokio::test]
async fn what_was_set_is_printed_as_it_is_listed_and_deleted() {
    let bench = Bench::new();
    let none = bench.run(&["kv", "ls"]).await;
    assert_eq!(none.out, "there are no keys\n");
    let set = bench.run(&["kv", "set", "stock/7", "hello"]).await;
    assert_eq!((set.exit, &*set.err), (Some(0), "set: stock/7\n"));
    let file = bench.file("value", b"\x1b[31mred\n\xff");
    bench
        .run(&["kv", "set", "a b&c", "--from-file", &file])
        .await;
    let mut get = command(&["kv", "get", "a b&c"]);
    get.args(["--data-dir".as_ref(), bench.path().as_os_str()]);
    let got = tokio::task::spawn_blocking(move || get.stderr(Stdio::null()).output());
    let got = got.await.expect("no panic").expect("an end");
    assert_eq!(got.stdout, b"\x1b[31mred\n\xff");
    let keys =
        |list: DataList| -> Vec<String> { list.entries.into_iter().map(|it| it.key).collect() };
    assert_eq!(
        keys(list(&bench, &["kv", "ls"]).await),
        ["a b&c", "stock/7"]
    );
    assert_eq!(
        keys(list(&bench, &["kv", "ls", "stock/"]).await),
        ["stock/7"]
    );
    let shown = bench.run(&["kv", "ls"]).await.out;
    assert!(
        shown.contains("KEY") && shown.contains("stock/7") && shown.contains("5 B"),
        "{shown}"
    );
    let deleted = bench.run(&["kv", "rm", "stock/7", "never-there"]).await;
    assert_eq!(deleted.err, "deleted: stock/7, never-there\n");
    let gone = bench.run(&["kv", "get", "stock/7"]).await;
    assert_eq!(gone.exit, Some(2), "{gone:?}");
    assert!(gone.err.contains("there is no key"), "{gone:?}");
}

#[tokio::test]
async fn buckets_are_apart_and_all_of_them_are_listed_over_many_pages() {
    let bench = Bench::new();
    for bucket in ["a", "default", "z"] {
        let lines: String = (0..900)
            .map(|n| {
                format!("{{\"bucket\":\"{bucket}\",\"key\":\"k{n:04}\",\"value\":\"aGVsbG8=\"}}\n")
            })
            .collect();
        let file = bench.file(bucket, lines.as_bytes());
        let imported = bench.run(&["kv", "import", &file]).await;
        assert_eq!(imported.err, "set: 900 keys\n", "{imported:?}");
    }
    assert_eq!(
        list(&bench, &["kv", "ls", "--bucket", "z"])
            .await
            .entries
            .len(),
        900
    );
    let all = list(&bench, &["kv", "ls", "--all"]).await;
    assert_eq!(all.entries.len(), 2700);
    let ordered: Vec<(&str, &str)> = all
        .entries
        .iter()
        .map(|it| (&*it.bucket, &*it.key))
        .collect();
    assert!(ordered.windows(2).all(|two| two[0] != two[1]));
}

#[tokio::test]
async fn what_was_exported_can_be_imported_again() {
    let bench = Bench::new();
    bench.run(&["kv", "set", "greeting", "hello"]).await;
    bench
        .run(&["kv", "set", "greeting", "servus", "--bucket", "shop"])
        .await;
    let exported = bench.run(&["kv", "export"]).await.out;
    assert_eq!(exported.lines().count(), 2, "{exported}");
    bench.run(&["kv", "rm", "greeting"]).await;
    let file = bench.file("data.jsonl", exported.as_bytes());
    assert_eq!(bench.run(&["kv", "import", &file]).await.exit, Some(0));
    assert_eq!(bench.run(&["kv", "get", "greeting"]).await.out, "hello");
    let shop = bench.run(&["kv", "export", "--bucket", "shop"]).await.out;
    assert_eq!(shop.lines().count(), 1, "{shop}");
    let broken = bench.file("broken", format!("{exported}no line\n").as_bytes());
    let refused = bench.run(&["kv", "import", &broken]).await;
    assert_eq!(refused.exit, Some(1), "{refused:?}");
    assert!(refused.err.contains("line 3 of"), "{refused:?}");
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_the_limit() {
    let bench = Bench::new();
    let large = bench.file("large", &vec![b'x'; VALUE_MAX + 1]);
    let long = "k".repeat(1025);
    for (arguments, part) in [
        (
            &["kv", "set", "a", "--from-file", &*large][..],
            "at most 1048576",
        ),
        (&["kv", "set", &*long, "v"], "1 to 1024"),
        (&["kv", "set", "a", "v", "--bucket", ""], "1 to 64"),
    ] {
        let refused = bench.run(arguments).await;
        assert_eq!(refused.exit, Some(2), "{refused:?}");
        assert!(refused.err.contains(part), "{part} in {refused:?}");
    }
}
