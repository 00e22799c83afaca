//! Checks that no old word of the glossary is used.
//!
//! Each word is looked for only where it would mislead, and where no other meaning of
//! it is right.

use super::Finding;
use super::glossary;
use super::sources::Source;
use super::tokens::{self, Kind};
use std::collections::BTreeMap;

/// A word that is no longer used.
pub(super) struct OldWord {
    /// The word, or several in a row.
    pub(super) word: &'static str,
    /// The word to use instead.
    pub(super) now: &'static str,
    /// Where it is looked for.
    at: At,
    /// It is looked for only in paths that begin like this.
    under: &'static str,
}

/// Where an old word is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// The name of a struct, enum, trait or type alias, where it is defined.
    Type,
    /// An identifier that is this word.
    Name,
    /// An identifier with this word as one of its parts: `strange` in
    /// `strange_datagrams` and in `StrangeDatagram`.
    Part,
    /// Comments, texts in the code, and documents. Upper and lower case are the same.
    Prose,
    /// Documents only.
    Docs,
}

const fn old(word: &'static str, at: At, now: &'static str) -> OldWord {
    under("", word, at, now)
}

const fn under(under: &'static str, word: &'static str, at: At, now: &'static str) -> OldWord {
    OldWord {
        word,
        now,
        at,
        under,
    }
}

/// All old words.
pub(super) const OLD_WORDS: &[OldWord] = &[
    old("AppBytes", At::Name, "component"),
    old("store_app", At::Name, "store, find"),
    old("--max-app", At::Docs, "component"),
    old("ReleaseKey", At::Name, "release id"),
    old("Force", At::Type, "target"),
    old("in_force", At::Name, "target"),
    old("in force", At::Prose, "target"),
    old("Standing", At::Type, "release status"),
    old("Book", At::Type, "release set"),
    under("host/cluster/", "Peer", At::Name, "run"),
    old("Door", At::Name, "admission"),
    old("Strangers", At::Name, "refusal"),
    old("strange", At::Name, "refusal"),
    old("rival", At::Part, "name conflict"),
    old("rivals", At::Part, "name conflict"),
    old("Vet", At::Name, "hearsay filter"),
    old("Pace", At::Name, "stall-adjusted clock"),
    under("host/cluster/", "Spread", At::Name, "rumours"),
    under("host/mesh/", "spread", At::Part, "transfer"),
    under("host/src/", "spread", At::Part, "transfer"),
    old("Holder", At::Name, "transfer"),
    old("Room", At::Type, "load permit"),
    old("seat", At::Part, "lease"),
    old("seats", At::Part, "lease"),
    old("Life", At::Type, "generation stats"),
    old("Ready", At::Type, "prepared"),
    under("host/runtime/", "carry", At::Part, "migrate"),
    under("host/runtime/", "carried", At::Part, "migrate"),
    under("host/src/", "carry", At::Part, "migrate"),
    under("host/src/", "carried", At::Part, "migrate"),
    old("outlet", At::Part, "output queue"),
    old("trial", At::Part, "bake check"),
    old("on trial", At::Prose, "bake check"),
    old("judgement", At::Part, "bake check"),
    old("Face", At::Type, "node API, routes"),
    old("Desk", At::Type, "node API, routes"),
    old("Keeper", At::Name, "cookie watcher"),
    old("Places", At::Name, "app file search"),
    old("Attended", At::Name, "stall guard"),
    under("host/runtime/", "plain", At::Part, "wasi_http"),
    old("heed", At::Part, "apply"),
    under(
        "host/cluster/src/membership/",
        "verdict",
        At::Part,
        "down decision",
    ),
    under(
        "host/cluster/src/membership/",
        "verdict",
        At::Prose,
        "down decision",
    ),
];

/// No old word is used.
pub(super) fn no_old_word(files: &[Source]) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| is_held(&file.path)) {
        let said = Said::of(file);
        for old in OLD_WORDS
            .iter()
            .filter(|old| file.path.starts_with(old.under))
        {
            for line in said.lines_with(old) {
                found.push(finding(file, line, old));
            }
        }
    }
    found
}

/// Whether the words of the file count. Those of this list do not, nor those of texts
/// from the time of the old words.
fn is_held(path: &str) -> bool {
    !path.starts_with("xtask/src/tidy") && path != "CHANGELOG.md"
}

fn finding(file: &Source, line: usize, old: &OldWord) -> Finding {
    let place = match old.at {
        At::Type => "type ",
        At::Name => "name ",
        At::Part => "name with ",
        At::Prose | At::Docs => "",
    };
    Finding {
        rule: "old-word",
        subject: format!("{place}{}", old.word),
        message: format!(
            "{}:{line}: {place}`{}` is an old word; the glossary of ARCHITECTURE.md has `{}`",
            file.path, old.word, old.now
        ),
    }
}

/// The words of a file, each with its lines.
#[derive(Default)]
struct Said {
    types: BTreeMap<String, Vec<usize>>,
    names: BTreeMap<String, Vec<usize>>,
    parts: BTreeMap<String, Vec<usize>>,
    /// All words of prose in a row. An empty word stands for the end of a text.
    prose: Vec<(String, usize)>,
    is_document: bool,
}

impl Said {
    fn of(file: &Source) -> Self {
        let mut said = Said::default();
        if file.path.ends_with(".md") {
            said.is_document = true;
            said.add_prose(&glossary::without(&file.text), 1);
        } else if file.is_rust() {
            said.add_code(file);
            said.add_comments(&file.text);
        }
        said
    }

    fn add_code(&mut self, file: &Source) {
        let mut before = "";
        let tokens = tokens::of(file);
        for token in &tokens {
            if let Kind::Literal(literal) = &token.kind {
                self.add_prose(literal, token.line);
            }
            let name = token.word().unwrap_or_default();
            if !name.is_empty() {
                let line = token.line;
                if ["struct", "enum", "union", "trait", "type"].contains(&before) {
                    self.types.entry(name.to_owned()).or_default().push(line);
                }
                for part in parts(name) {
                    self.parts.entry(part).or_default().push(line);
                }
                self.names.entry(name.to_owned()).or_default().push(line);
            }
            before = name;
        }
    }

    fn add_comments(&mut self, text: &str) {
        for (at, line) in text.lines().enumerate() {
            match line.trim_start().strip_prefix("//") {
                Some(comment) => self.add_words(comment, at + 1),
                None => self.end_text(),
            }
        }
    }

    fn add_prose(&mut self, text: &str, first_line: usize) {
        for (at, line) in text.lines().enumerate() {
            self.add_words(line, first_line + at);
        }
        self.end_text();
    }

    fn add_words(&mut self, text: &str, line: usize) {
        let words = text
            .split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-')
            .filter(|word| !word.is_empty());
        self.prose
            .extend(words.map(|word| (word.to_lowercase(), line)));
    }

    fn end_text(&mut self) {
        if self.prose.last().is_some_and(|(word, _)| !word.is_empty()) {
            self.prose.push((String::new(), 0));
        }
    }

    fn lines_with(&self, old: &OldWord) -> Vec<usize> {
        let in_map = |map: &BTreeMap<String, Vec<usize>>| map.get(old.word).cloned();
        match old.at {
            At::Type => in_map(&self.types).unwrap_or_default(),
            At::Name => in_map(&self.names).unwrap_or_default(),
            At::Part => in_map(&self.parts).unwrap_or_default(),
            At::Docs if !self.is_document => Vec::new(),
            At::Prose | At::Docs => {
                let wanted: Vec<&str> = old.word.split(' ').collect();
                self.prose
                    .windows(wanted.len())
                    .filter(|words| words.iter().map(|(word, _)| word).eq(&wanted))
                    .map(|words| words[0].1)
                    .collect()
            }
        }
    }
}

/// The parts of an identifier in lower case: `on` and `trial` for `on_trial` and
/// `OnTrial`.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut was_lower = false;
    for c in name.chars() {
        if c == '_' || (c.is_uppercase() && was_lower) {
            parts.push(String::new());
        }
        was_lower = c.is_lowercase();
        if let Some(part) = parts.last_mut().filter(|_| c != '_') {
            part.extend(c.to_lowercase());
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        no_old_word(&[Source::new(path, text)])
            .into_iter()
            .map(|one| one.subject)
            .collect()
    }

    #[test]
    fn an_old_word_is_found_where_it_is_looked_for() {
        for (text, subject) in [
            ("struct Force;", "type Force"),
            ("fn f() -> Holder {}", "name Holder"),
            ("fn heed_swim() {}", "name with heed"),
            ("struct OnTrial;", "name with trial"),
            ("// What is in\n// force.", "in force"),
            ("fn f() { say(\"In force.\") }", "in force"),
            ("/// What is in force.\nfn f() {}", "in force"),
        ] {
            assert_eq!(found("host/src/a.rs", text), [subject], "{text}");
        }
        assert_eq!(found("docs/a.md", "What is in force."), ["in force"]);
        assert_eq!(found("docs/a.md", "`host run --max-app 8M`"), ["--max-app"]);
    }

    #[test]
    fn the_same_word_with_another_meaning_is_right() {
        for text in [
            // A name of the standard library.
            "fn f() { Poll::Ready(()) }",
            // The old word is only a part of another word.
            "fn set_at(reenforce: u8) {}",
            // The words are in two texts.
            "// It is in\nfn f() {}\n// force",
            // An old spelling that the command line still accepts.
            "fn f() { flag(\"--max-app\") }",
        ] {
            assert!(found("host/src/a.rs", text).is_empty(), "{text}");
        }
        assert!(found("lab/src/a.rs", "use plain::carry;").is_empty());
        assert!(found("CHANGELOG.md", "What is in force").is_empty());
    }

    #[test]
    fn a_name_has_parts() {
        assert_eq!(parts("heed_swim"), ["heed", "swim"]);
        assert_eq!(parts("OnTrial"), ["on", "trial"]);
        assert_eq!(parts("ON_TRIAL"), ["on", "trial"]);
        assert_eq!(parts("_"), Vec::<String>::new());
    }
}
