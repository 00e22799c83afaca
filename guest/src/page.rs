//! `/`: the page that shows the cluster.
//!
//! It is rendered whole, so that it is right without a script; with one it
//! follows `/updates`. Style and script are inline, and the header
//! `content-security-policy` allows these two by their hashes and nothing else.

use raxx::cluster::{Node, Release, View};
use raxx::html::push_escaped;
use raxx::{Response, response};

use crate::date;
use crate::template::{count, cut};

const TEMPLATE: &str = include_str!("page/page.html");
pub(crate) const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

/// The hashes are of [`STYLE`] and [`SCRIPT`]; a test holds them to it.
const POLICY: &str = "default-src 'none'; \
    style-src 'sha256-YAfxHdnlPzMuEWp/B3+9lRhZMZVJ8OHErmCJN3ReR5Q='; \
    script-src 'sha256-bihzU3Xw/JgtjgCpORCXGDZWN0FQWkDqUnblbw5D+bw='; \
    connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// So many digits of a digest tell releases apart for the eye.
const SHORT_DIGEST: usize = 12;

/// The page as `node` serves it, with all nodes of `view`.
pub fn render(node: &Node, view: &View) -> Response {
    let body = 2048 + TEMPLATE.len() + STYLE.len() + SCRIPT.len() + 512 * view.nodes.len();
    let mut out = String::with_capacity(body);
    for (before, name) in &PIECES {
        out.push_str(before);
        match *name {
            "style" => out.push_str(STYLE),
            "script" => out.push_str(SCRIPT),
            "self" => push_escaped(&mut out, &node.name),
            "release" => push_release(&mut out, node.release.as_ref()),
            "release-id" => {
                if let Some(release) = &node.release {
                    push_escaped(&mut out, &release.id);
                }
            }
            "count" => raxx::json::push_number(&mut out, view.nodes.len() as u64),
            "plural" if view.nodes.len() != 1 => out.push('s'),
            "nodes" => {
                for member in &view.nodes {
                    push_node(&mut out, member, member.name == node.name);
                }
            }
            _ => {}
        }
    }
    html(out, POLICY)
}

/// A page, with what a browser is to know about it. `policy`: what it may load
/// and run.
pub(crate) fn html(page: String, policy: &'static str) -> Response {
    response(200)
        .header("content-type", "text/html; charset=utf-8")
        .header("cache-control", "no-store")
        .header("content-security-policy", policy)
        .header("x-content-type-options", "nosniff")
        .header("referrer-policy", "no-referrer")
        .body(page)
}

/// One entry of the list. The script makes the same of the template `#entry`.
fn push_node(out: &mut String, node: &Node, here: bool) {
    out.push_str("<li data-name=\"");
    push_escaped(out, &node.name);
    out.push_str(if here {
        "\" class=\"here\"><a href=\""
    } else {
        "\"><a href=\""
    });
    push_escaped(out, &node.url);
    out.push_str("\">");
    push_escaped(out, &node.name);
    out.push_str(
        "</a> <span class=\"badge\">this node</span><dl><div><dt>since</dt><dd><time datetime=\"",
    );
    date::push_iso(out, node.since);
    out.push_str("\">");
    date::push_text(out, node.since);
    out.push_str("</time></dd></div><div><dt>release</dt><dd>");
    push_release(out, node.release.as_ref());
    out.push_str("</dd></div></dl></li>\n");
}

/// The short digest, with the whole one to be seen by pointing at it.
fn push_release(out: &mut String, release: Option<&Release>) {
    let digest = release.map_or("", |release| &release.digest);
    out.push_str("<code title=\"");
    push_escaped(out, digest);
    out.push_str("\">");
    match digest.get(..SHORT_DIGEST) {
        Some(short) => push_escaped(out, short),
        None if digest.is_empty() => out.push_str("none yet"),
        None => push_escaped(out, digest),
    }
    out.push_str("</code>");
}

/// The template, cut when it is compiled.
const PIECES: [(&str, &str); count(TEMPLATE) + 1] = cut(TEMPLATE);

#[cfg(test)]
mod tests;
