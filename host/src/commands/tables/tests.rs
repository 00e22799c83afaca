//! The tables that people see, at a fixed time, made from the examples of
//! docs/api.md.

use super::*;

const DOCUMENT: &str = include_str!("../../../../docs/api.md");

fn example<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let after = DOCUMENT.split(&format!("### {name}\n")).nth(1).unwrap();
    let block = after.split("```json\n").nth(1).unwrap();
    serde_json::from_str(block.split("```").next().unwrap()).unwrap()
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn several_nodes_of_one_machine_are_listed_with_what_names_them() {
    use super::super::local::{AskedNode, LocalNode};
    let node = |folder: &str, pid| LocalNode {
        folder: folder.into(),
        reachable: folder.into(),
        pid,
        user: Some("host".to_owned()),
    };
    let nodes = [
        AskedNode {
            node: node("/var/lib/host", 4242),
            says: Ok(example("Status")),
        },
        AskedNode {
            node: node("/tmp/b@127.0.0.1\u{1b}[2J", 4243),
            says: Err("it does not answer".to_owned()),
        },
    ];
    let shown = local(&nodes);
    assert_eq!(
        plain(&shown),
        "\
NODE                  HTTP                    SERVES        MEMBERS  UP   PROCESS  USER  DATA FOLDER
example@10.10.10.2    http://10.10.10.2:8080  0fbcca52de4e  3        2 h  4242     host  /var/lib/host
b@127.0.0.1\\u{1b}[2J  it does not answer      -             -        -    4243     host  /tmp/b@127.0.0.1\\u{1b}[2J
say which one is meant with --name or --data-dir
"
    );
}

#[test]
fn the_status_of_a_busy_node() {
    let shown = plain(&status(&example("Status")));
    assert_eq!(
        shown,
        "\
example@10.10.10.2 serves http://10.10.10.2:8080, version 0.1.0, up 2 h, process 4242
  cluster   3 members, this one included
  serves    0fbcca52de4e of release 3fa2b1c0d4, 186.2 KiB, ace:raxx/server, since 3 min ago
  current   generation 3, 12 live exchanges
  bakes     for another 42 s; `host releases` shows the votes
  draining  77aa02de4e8c since 3 min ago: 1 live, 120 migrated, 1 refused, 0 cut
  last swap seen 4 ms, compiled 210 ms, validated 12 ms, swapped 18 µs
  now       fetching 256.0 KiB of 1.0 MiB 9c1b0fbcca52 of release b2c0d4e5f6
  failed    5 s ago: the disk is full; it tries again
  target    release 3fa2b1c0d4, 0fbcca52de4e; the newest one b2c0d4e5f6 is baking
  app file  /srv/guest.wasm is what serves
  store     3 components, 558.6 KiB
  load      4 of 1000 requests, 312 of 7055 streams, 812.0 MiB of 6.0 GiB; 2 idle instances; 2 turned away (2 for want of memory)
  datagrams 52011 accepted, 4 refused (3 of another cookie, 1 seen before)
  callers   9 admitted, 1 refused (1 without cookie or TLS, or too slow)
  published 240 sent, 118 received, 12 dropped, members slow or unreachable
"
    );
}

#[test]
fn the_status_of_a_node_without_an_app() {
    let mut it: Status = example("Status");
    it.serving = None;
    it.draining = None;
    it.doing = None;
    it.failed = None;
    it.target = None;
    it.file = None;
    it.deploy_key = Some(format!("berlin:{}", "ab".repeat(32)));
    let shown = plain(&status(&it));
    assert!(shown.contains("  serves    nothing yet\n"), "{shown}");
    assert!(shown.contains("  target    nothing was released yet\n"));
    let signed = "  releases  only those signed by deploy key berlin:abababababab; none refused\n";
    assert!(shown.contains(signed), "{shown}");
}

#[test]
fn what_was_refused_is_told_by_reason_and_nothing_of_what_was_not() {
    let mut it: Status = example("Status");
    it.datagrams.refused = 0;
    it.callers.refused = 0;
    it.publications.dropped = 0;
    let shown = plain(&status(&it));
    let calm = "
  datagrams 52011 accepted, none refused
  callers   9 admitted, none refused
  published 240 sent, 118 received
";
    assert!(shown.ends_with(calm), "{shown}");
    it.fetches.wrong = 1;
    it.records.old = 2;
    it.records.forged = 1;
    let shown = plain(&status(&it));
    let told = "
  fetches   wrong bytes of a component from members, 1 time
  releases  3 refused (1 forged, 2 old)
";
    assert!(shown.ends_with(told), "{shown}");
}

#[test]
fn the_members_with_what_they_do() {
    let mut it: Nodes = example("Nodes");
    let mut other = it.nodes[0].clone();
    other.node = "example@10.10.10.3".to_owned();
    other.me = false;
    other.on_target = false;
    other.failed = Some(Failed {
        at_ms: 1,
        reason: "it traps at start".to_owned(),
        digest: None,
        release: None,
        again: false,
    });
    it.nodes.push(other);
    let mut canary = it.nodes[0].clone();
    (canary.me, canary.on_target) = (false, false);
    canary.bake = Some(BakeRole::Canary);
    it.nodes.push(canary);
    assert_eq!(
        plain(&nodes(&it)),
        "\
NODE                  HTTP                    UP SINCE  SERVES        RELEASE     STATE              BOOT           SENDS WITH  ALSO ACCEPTS
example@10.10.10.2 *  http://10.10.10.2:8080  2 h ago   0fbcca52de4e  3fa2b1c0d4  on target          1789990000000  5f3a21b0    c2d4e6f8
example@10.10.10.3    http://10.10.10.2:8080  2 h ago   0fbcca52de4e  3fa2b1c0d4  it traps at start  1789990000000  5f3a21b0    c2d4e6f8
example@10.10.10.2    http://10.10.10.2:8080  2 h ago   0fbcca52de4e  3fa2b1c0d4  canary             1789990000000  5f3a21b0    c2d4e6f8
"
    );
}

#[test]
fn a_cookie_that_a_member_sends_with_and_another_does_not_accept_is_told_of() {
    let mut it: Nodes = example("Nodes");
    let mut other = it.nodes[0].clone();
    other.node = "example@10.10.10.3".to_owned();
    other.cookie = Some(MemberCookie {
        sends: "c2d4e6f8".to_owned(),
        also: Some("5f3a21b0".to_owned()),
    });
    it.nodes.push(other.clone());
    assert!(!nodes(&it).contains("warning"), "both accept both");
    it.nodes[0].cookie.as_mut().unwrap().also = None;
    let shown = plain(&nodes(&it));
    assert!(
        shown.ends_with(
            "\nwarning: cookie c2d4e6f8 is not accepted by example@10.10.10.2; \
             it is sent with by example@10.10.10.3\n"
        ),
        "{shown}"
    );
    it.nodes[0].cookie = None;
    assert!(!nodes(&it).contains("warning"), "nothing is known of it");
}

#[test]
fn the_releases_with_what_became_of_them() {
    let mut it: ReleaseList = example("Releases");
    it.releases.push(it.releases[0].clone());
    assert_eq!(
        plain(&releases(&it, 1)),
        "\
RELEASE     STANDING  KIND  APP           SIZE     WHEN      AFTER       VOTES           WHO                               NOTE
b2c0d4e5f6  baking    push  9c1b0fbcca52  1.0 MiB  15 s ago  3fa2b1c0d4  +1 -0, 2 first  ann@laptop on example@10.10.10.3  larger title
and 1 older ones: host releases -n 2
"
    );
    it.releases.clear();
    assert_eq!(releases(&it, 1), "nothing was released yet\n");
}
