//! Which crate may use which, and which room of the crate `host` may use which.
//!
//! A room is a module at the top of `host/src`. An arrow that is not in the two
//! tables is forbidden. An arrow between crates is a line of a `Cargo.toml`;
//! one between rooms is a path in the code, such as `crate::app::App`.

use super::Finding;
use super::sources::{CRATES, Source};
use super::tokens::{self, Token};

/// `from` may use `to`, for the reason `why`.
struct Arrow {
    from: &'static str,
    to: &'static str,
    why: &'static str,
}

const fn arrow(from: &'static str, to: &'static str, why: &'static str) -> Arrow {
    Arrow { from, to, why }
}

/// The arrows between the crates of a node.
const BETWEEN_CRATES: [Arrow; 12] = [
    arrow("egress", "cluster", "the rules are the core's"),
    arrow("runtime", "egress", "apps reach other servers by it"),
    arrow("host", "egress", "the node gives it the rules in force"),
    arrow("runtime", "cluster", "an app sees members and releases"),
    arrow("runtime", "fault", "a node can die while it loads code"),
    arrow("mesh", "cluster", "its thread drives the core"),
    arrow("mesh", "fault", "a node can die while it writes a file"),
    arrow(
        "host",
        "cluster",
        "settings, names and digests are the core's",
    ),
    arrow("host", "runtime", "the app is served by it"),
    arrow("host", "mesh", "the node is a member by it"),
    arrow("host", "fault", "a node can die while it deploys"),
    arrow(
        "lab",
        "cluster",
        "what it reads are the core's names and digests",
    ),
];

/// The arrows between the rooms of `host`.
const INSIDE_HOST: [Arrow; 12] = [
    arrow(
        "cli",
        "node",
        "the flags of a node are a part of the command line",
    ),
    arrow("cli", "commands", "so are those of the commands"),
    arrow("node", "edge", "a node opens the listener"),
    arrow("node", "app", "a node serves the app"),
    arrow("node", "api", "a node answers people's programs"),
    arrow("app", "files", "an app has a file"),
    arrow("app", "api", "an app reports its state in the API's terms"),
    arrow("node", "files", "a node has a cookie file"),
    arrow(
        "commands",
        "files",
        "people push files, and name a cookie file",
    ),
    arrow("commands", "api", "commands ask in the API's terms"),
    arrow("node", "terminal", "the log may be a terminal"),
    arrow("commands", "terminal", "commands print on one"),
];

/// A crate depends only on crates that it has an arrow to.
pub(super) fn between_crates(files: &[Source]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (dir, from) in CRATES {
        let manifest = format!("{dir}Cargo.toml");
        for file in files.iter().filter(|file| file.path == manifest) {
            for to in dependencies(&file.text) {
                let is_ours = CRATES.iter().any(|(_, name)| *name == to);
                if is_ours && !is_allowed(&BETWEEN_CRATES, from, to) {
                    found.push(finding("crate-arrow", from, to, &manifest));
                }
            }
        }
    }
    found
}

/// The names of the dependencies in the section `[dependencies]` of a manifest.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    manifest
        .lines()
        .skip_while(|line| line.trim() != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
}

/// A room uses only rooms that it has an arrow to.
pub(super) fn inside_host(files: &[Source]) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let Some(module) = module_of(&file.path) else {
            continue;
        };
        let from = module[0].clone();
        for (to, line) in rooms_used(&tokens::of(file), module) {
            if to != from && !is_allowed(&INSIDE_HOST, &from, &to) {
                let place = format!("{}:{line}", file.path);
                found.push(finding("room-arrow", &from, &to, &place));
            }
        }
    }
    found
}

/// The path of the module in a file of `host/src`. None for the top of the
/// crate, which may name all rooms.
fn module_of(path: &str) -> Option<Vec<String>> {
    let path = path.strip_prefix("host/src/")?.strip_suffix(".rs")?;
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == "lib" || path == "main" {
        return None;
    }
    Some(path.split('/').map(str::to_owned).collect())
}

/// The rooms that the tokens of this module name, with the lines.
fn rooms_used(tokens: &[Token], mut module: Vec<String>) -> Vec<(String, usize)> {
    let mut used = Vec::new();
    // For each open bracket, whether it belongs to an inline module.
    let mut brackets = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token.word() {
            Some("crate") => used.extend(first_names(&tokens[at + 1..])),
            Some("super") => {
                let (supers, rest) = skip_supers(&tokens[at..]);
                if supers >= module.len() {
                    used.extend(first_names(rest));
                }
                at = tokens.len() - rest.len();
                continue;
            }
            _ if "({[".chars().any(|open| token.is(open)) => {
                let name = at.checked_sub(2).and_then(|at| module_name(&tokens[at..]));
                brackets.push(name.is_some());
                module.extend(name);
            }
            _ if ")}]".chars().any(|close| token.is(close)) && brackets.pop() == Some(true) => {
                module.pop();
            }
            _ => {}
        }
        at += 1;
    }
    used
}

/// The name of the inline module that begins with these tokens.
fn module_name(tokens: &[Token]) -> Option<String> {
    let [keyword, name, bracket, ..] = tokens else {
        return None;
    };
    let opens = keyword.word() == Some("mod") && bracket.is('{');
    name.word().filter(|_| opens).map(str::to_owned)
}

/// How many times the tokens begin with `super`, and the tokens after that,
/// which begin with `::`.
fn skip_supers(mut tokens: &[Token]) -> (usize, &[Token]) {
    let mut supers = 1;
    tokens = &tokens[1..];
    while let [a, b, next, rest @ ..] = tokens
        && a.is(':')
        && b.is(':')
        && next.word() == Some("super")
    {
        supers += 1;
        tokens = rest;
    }
    (supers, tokens)
}

/// The names after `::`: one, or the first of each path in `{…}`.
fn first_names(tokens: &[Token]) -> Vec<(String, usize)> {
    let named = |token: &Token| Some((token.word()?.to_owned(), token.line));
    let [a, b, rest @ ..] = tokens else {
        return Vec::new();
    };
    if !a.is(':') || !b.is(':') {
        return Vec::new();
    }
    let Some(first) = rest.first() else {
        return Vec::new();
    };
    if !first.is('{') {
        return named(first).into_iter().collect();
    }
    let mut names = Vec::new();
    let mut depth = 0_usize;
    let mut is_first = false;
    for token in rest {
        if token.is('{') {
            depth += 1;
            is_first = depth == 1;
        } else if token.is('}') {
            depth -= 1;
            if depth == 0 {
                break;
            }
        } else if token.is(',') {
            is_first = depth == 1;
        } else if is_first {
            names.extend(named(token));
            is_first = false;
        }
    }
    names
}

fn is_allowed(arrows: &[Arrow], from: &str, to: &str) -> bool {
    arrows
        .iter()
        .any(|arrow| arrow.from == from && arrow.to == to)
}

fn finding(rule: &'static str, from: &str, to: &str, place: &str) -> Finding {
    let arrows: &[Arrow] = match rule {
        "room-arrow" => &INSIDE_HOST,
        _ => &BETWEEN_CRATES,
    };
    let allowed: Vec<String> = arrows
        .iter()
        .filter(|arrow| arrow.from == from)
        .map(|arrow| format!("{} ({})", arrow.to, arrow.why))
        .collect();
    let allowed = match allowed.is_empty() {
        true => "none of the others".to_owned(),
        false => allowed.join(", "),
    };
    Finding {
        rule,
        subject: format!("{from} -> {to}"),
        message: format!(
            "{place}: {from} must not use {to}; it may use {allowed}. Move what both need \
             to where both may reach it (the arrows are in xtask/src/tidy/arrows.rs)"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crates(path: &str, dependencies: &str) -> Vec<String> {
        let text = format!(
            "[package]\nname = \"x\"\n\n[dependencies]\nbytes.workspace = true\n{dependencies}\n\n\
             [dev-dependencies]\nhost.workspace = true\n"
        );
        subjects(between_crates(&[Source::new(path, text)]))
    }

    fn rooms(path: &str, text: &str) -> Vec<String> {
        subjects(inside_host(&[Source::new(path, text)]))
    }

    fn subjects(found: Vec<Finding>) -> Vec<String> {
        found.into_iter().map(|one| one.subject).collect()
    }

    #[test]
    fn a_crate_that_uses_one_above_it_is_found() {
        let cluster = "host/cluster/Cargo.toml";
        assert_eq!(
            crates(cluster, "mesh.workspace = true"),
            ["cluster -> mesh"]
        );
        let runtime = "host/runtime/Cargo.toml";
        assert_eq!(
            crates(runtime, "mesh = { path = \"x\" }"),
            ["runtime -> mesh"]
        );
    }

    #[test]
    fn a_crate_may_use_those_below_it() {
        let below = "cluster.workspace = true\nfault.workspace = true";
        assert!(crates("host/mesh/Cargo.toml", below).is_empty());
        assert!(crates("host/Cargo.toml", "runtime.workspace = true").is_empty());
    }

    #[test]
    fn a_room_that_uses_one_it_must_not_is_found_however_it_is_written() {
        for text in [
            "use crate::node::Config;",
            "use crate::{edge, node::Config};",
            "use crate::{app::{self, App}, node};",
            "use super::super::node::Config;",
            "mod tests { use super::super::super::node::Config; }",
            "fn f() { debug_assert!(crate::node::is_well()); }",
        ] {
            let found = rooms("host/src/app/deploy.rs", text);
            assert!(
                found.contains(&"app -> node".to_owned()),
                "{text}: {found:?}"
            );
        }
        assert_eq!(
            rooms("host/src/edge.rs", "use super::app::App;"),
            ["edge -> app"]
        );
    }

    #[test]
    fn a_room_may_use_itself_what_is_below_it_and_other_crates() {
        let deploy = "use crate::app::App; use super::super::app::App; use super::node; \
                      mod node { use super::super::node; } pub(crate) fn f(node: u8) {} \
                      use mesh::node::A;";
        assert!(rooms("host/src/app/deploy.rs", deploy).is_empty());
        let serve = "use crate::{api, app::App, edge::Server};";
        assert!(rooms("host/src/node/mod.rs", serve).is_empty());
        assert!(rooms("host/src/main.rs", "use crate::node;").is_empty());
    }
}
