//! What the page says, and that nothing said by others becomes markup.

use base64::Engine as _;
use raxx::testing;
use sha2::Digest as _;

use super::*;

const NAMES: [&str; 3] = [
    "example@10.10.10.2",
    "example@10.10.10.3",
    "example@10.10.10.4",
];

fn page(view: &View) -> String {
    let response = render(&view.nodes[0], view);
    String::from_utf8(response.body_bytes().to_vec()).unwrap()
}

#[test]
fn the_page_has_the_title_headings_and_links_of_the_seed() {
    let page = page(&testing::view(1, &NAMES));
    for expected in [
        "<title>Ace Raxx cluster example</title>",
        "<h1>Ace Raxx cluster example</h1>",
        ">node: example@10.10.10.2</h2>",
        "<ul id=\"node-list\"",
        "<a href=\"http://10.10.10.2:8080\">example@10.10.10.2</a>",
        "<a href=\"http://10.10.10.3:8080\">example@10.10.10.3</a>",
        "<a href=\"http://10.10.10.4:8080\">example@10.10.10.4</a>",
        "new EventSource(\"/updates\")",
        ">3 nodes</h3>",
        "<time datetime=\"2026-01-01T00:00:00Z\">2026-01-01 00:00 UTC</time>",
        ">aaaaaaaaaaaa</code>",
    ] {
        assert!(page.contains(expected), "{expected} is missing in\n{page}");
    }
    assert!(!page.contains("{{"), "a place of the template is left open");
}

#[test]
fn only_the_node_that_serves_is_marked() {
    let page = page(&testing::view(1, &NAMES));
    assert_eq!(page.matches("class=\"here\"").count(), 1);
    assert!(page.contains("data-name=\"example@10.10.10.2\" class=\"here\""));
}

#[test]
fn one_node_is_counted_as_one_and_may_have_no_release_yet() {
    let mut view = testing::view(1, &NAMES[..1]);
    view.nodes[0].release = None;
    let page = page(&view);
    assert!(page.contains(">1 node</h3>"), "{page}");
    assert!(page.contains("none yet</code>"), "{page}");
}

#[test]
fn what_nodes_say_of_themselves_cannot_become_markup() {
    let mut view = testing::view(1, &NAMES);
    let bad = "\"><script>alert(1)</script>";
    for node in &mut view.nodes {
        node.name = bad.into();
        node.url = bad.into();
        let release = node.release.as_mut().unwrap();
        release.id = bad.into();
        release.digest = bad.into();
    }
    let page = page(&view);
    assert!(!page.contains(bad), "{page}");
    assert!(!page.contains("<script>a"), "{page}");
}

#[test]
fn a_digest_of_wide_characters_does_not_end_the_exchange() {
    let mut view = testing::view(1, &NAMES[..1]);
    view.nodes[0].release.as_mut().unwrap().digest = "\u{e4}".repeat(7) + "\u{1f600}";
    assert!(page(&view).contains("\u{e4}"));
}

#[test]
fn the_policy_allows_this_style_and_this_script_and_nothing_else() {
    let hash = |text: &str| {
        let hash = sha2::Sha256::digest(text.as_bytes());
        base64::engine::general_purpose::STANDARD.encode(hash)
    };
    let style = format!("style-src 'sha256-{}';", hash(STYLE));
    let script = format!("script-src 'sha256-{}';", hash(SCRIPT));
    assert!(
        POLICY.contains(&style) && POLICY.contains(&script),
        "style or script has changed: put into POLICY\n{style}\n{script}"
    );
    let page = page(&testing::view(1, &NAMES));
    for text in [" style=", " onclick=", "javascript:"] {
        assert!(!page.contains(text), "{text} would not pass the policy");
    }
}
