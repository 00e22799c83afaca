//! `/updates`: the cluster as server-sent events.
//!
//! | event | when | data |
//! |---|---|---|
//! | `self` | once, when the stream opens | the name of the node that sends it |
//! | `nodes` | when a stream opens, then once for each node that joins or leaves | the names of all nodes, a JSON array |
//! | `view` | as `nodes`, and when a node changes its release or restarts | all of every node, a JSON object |
//!
//! `nodes` is for programs, `view` for the page, which shows more than names.

use raxx::cluster::{Node, View};
use raxx::mailbox::{ClosingReason, Message};
use raxx::{Step, continue_with, json, sse};

/// How often an idle stream says that it is alive. Proxies commonly close
/// what was silent for 30 to 60 s.
const HEARTBEAT_MS: u64 = 15_000;
/// The one timer of a stream.
const HEARTBEAT: u64 = 0;
/// How long a browser waits before it connects again.
const RETRY_MS: u64 = 1000;

/// The state of a stream: a hash of the data of its last `nodes` event, so
/// that the same names are not told twice. A stream costs its state for as
/// long as it is open, and a list of names would be a hundred times larger.
pub type Sent = u64;

/// Open a stream. The current view comes as its first message.
pub fn open(node: &Node) -> Step<Sent> {
    let hello = sse::retry(RETRY_MS).kind("self").data(&node.name);
    continue_with(0)
        .head(sse::head())
        .data(hello)
        .subscribe_nodes()
        .send_after(HEARTBEAT_MS, HEARTBEAT)
        .into()
}

/// Tell a stream what a message says.
pub fn tell(message: Message, sent: Sent) -> Step<Sent> {
    match message {
        Message::Nodes(view) => {
            let (events, sent) = events(&view, sent);
            continue_with(sent).data(events).into()
        }
        Message::Timer(HEARTBEAT) => continue_with(sent)
            .data(sse::comment(""))
            .send_after(HEARTBEAT_MS, HEARTBEAT)
            .into(),
        // The client is to come back at once: to this node's new code, or to
        // another node if a name or balancer leads there.
        Message::Closing(ClosingReason::Shutdown | ClosingReason::CodeChange) => {
            continue_with(sent)
                .data(sse::comment("closing, connect again").retry(RETRY_MS))
                .tail()
                .into()
        }
        _ => continue_with(sent).into(),
    }
}

/// The events that tell a view, and what is then sent.
fn events(view: &View, sent: Sent) -> (Vec<u8>, Sent) {
    let mut id = String::new();
    json::push_number(&mut id, view.version);
    let names = names(view);
    let hash = fnv1a(names.as_bytes());
    let mut events = Vec::new();
    if hash != sent {
        events = sse::event("nodes").id(&id).data(&names).into();
    }
    events.extend(Vec::from(sse::event("view").id(&id).data(&full(view))));
    (events, hash)
}

/// `["example@10.10.10.2", "example@10.10.10.3"]`.
pub(crate) fn names(view: &View) -> String {
    let mut out = String::with_capacity(2 + 32 * view.nodes.len());
    out.push('[');
    for (at, node) in view.nodes.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        json::push_string(&mut out, &node.name);
    }
    out.push(']');
    out
}

/// All that the view says, as JSON.
fn full(view: &View) -> String {
    let mut out = String::with_capacity(32 + 256 * view.nodes.len());
    out.push_str("{\"version\":");
    json::push_number(&mut out, view.version);
    out.push_str(",\"nodes\":[");
    for (at, node) in view.nodes.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str("{\"name\":");
        json::push_string(&mut out, &node.name);
        out.push_str(",\"url\":");
        json::push_string(&mut out, &node.url);
        out.push_str(",\"since\":");
        json::push_number(&mut out, node.since);
        out.push_str(",\"release\":");
        match &node.release {
            Some(release) => {
                out.push_str("{\"id\":");
                json::push_string(&mut out, &release.id);
                out.push_str(",\"digest\":");
                json::push_string(&mut out, &release.digest);
                out.push('}');
            }
            None => out.push_str("null"),
        }
        out.push('}');
    }
    out.push_str("]}");
    out
}

/// FNV-1a in 64 bits, by its published offset and prime. The standard hasher
/// may change between compilers, and the state of a stream outlives them. A
/// collision, one in 2^64, would leave one event unsaid.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use raxx::mailbox::Effect;
    use raxx::{Continue, Part, testing};

    const TWO: [&str; 2] = ["example@10.10.10.2", "example@10.10.10.3"];

    fn told(message: Message, sent: Sent) -> (String, Continue<Sent>) {
        let Step::Continue(next) = tell(message, sent) else {
            panic!("a stream that has begun is never done");
        };
        let text = next
            .parts
            .iter()
            .map(|part| match part {
                Part::Data(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Part::Tail(_) => "(tail)".into(),
                other => panic!("{other:?}"),
            })
            .collect();
        (text, next)
    }

    #[test]
    fn a_view_is_told_as_the_seed_told_it_and_in_full() {
        let (text, _) = told(Message::Nodes(testing::view(7, &TWO)), 0);
        let (nodes, view) = text.split_once("\n\n").unwrap();
        assert_eq!(
            nodes,
            "event: nodes\nid: 7\ndata: [\"example@10.10.10.2\", \"example@10.10.10.3\"]"
        );
        let data = view.strip_prefix("event: view\nid: 7\ndata: ").unwrap();
        let json: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(json["version"], 7);
        assert_eq!(json["nodes"][1]["url"], "http://10.10.10.3:8080");
        assert_eq!(json["nodes"][1]["since"], 1_767_225_600_000u64);
        assert_eq!(json["nodes"][1]["release"]["digest"], "a".repeat(64));
    }

    #[test]
    fn a_node_that_leaves_is_one_nodes_event_and_a_new_release_is_none() {
        let (_, open) = told(Message::Nodes(testing::view(7, &TWO)), 0);
        let mut changed = testing::view(8, &TWO);
        changed.nodes[1].release = None;
        let (text, next) = told(Message::Nodes(changed), open.state);
        assert!(!text.contains("event: nodes"), "{text}");
        assert!(text.contains("event: view\nid: 8\n"), "{text}");
        assert!(text.contains("\"release\":null"), "{text}");

        let (text, _) = told(Message::Nodes(testing::view(9, &TWO[..1])), next.state);
        assert_eq!(text.matches("event: nodes").count(), 1, "{text}");
    }

    #[test]
    fn a_heartbeat_is_a_comment_and_asks_for_the_next() {
        let (text, next) = told(Message::Timer(HEARTBEAT), 5);
        assert_eq!(text, ": \n\n");
        assert_eq!(next.state, 5);
        assert_eq!(
            next.effects,
            [Effect::SendAfter {
                milliseconds: 15_000,
                token: HEARTBEAT
            }]
        );
    }

    #[test]
    fn a_stream_ends_cleanly_when_the_node_stops() {
        for reason in [ClosingReason::Shutdown, ClosingReason::CodeChange] {
            let (text, _) = told(Message::Closing(reason), 5);
            assert_eq!(text, ": closing, connect again\nretry: 1000\n\n(tail)");
        }
        assert_eq!(told(Message::Closing(ClosingReason::ClientGone), 5).0, "");
    }

    #[test]
    fn messages_that_mean_nothing_here_change_nothing() {
        for message in [Message::Writable, Message::Lagged(2), Message::Timer(9)] {
            let (text, next) = told(message, 5);
            assert_eq!((text.as_str(), next.state), ("", 5));
            assert_eq!(next.effects, []);
        }
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
