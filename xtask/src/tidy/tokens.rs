//! The tokens of a Rust file in the order in which they are written, without
//! comments.

use super::sources::Source;
use proc_macro2::{Delimiter, Group, Literal, TokenStream, TokenTree};

/// One token, and the line it begins on.
pub(super) struct Token {
    /// The first line, counted from 1.
    pub(super) line: usize,
    /// The last line. It differs from the first one only for literals.
    pub(super) last_line: usize,
    /// What it is.
    pub(super) kind: Kind,
}

/// What a token is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An identifier, a keyword or the name of a lifetime.
    Word(String),
    /// A literal as it is written.
    Literal(String),
    /// Anything else, opening and closing brackets included.
    Sign(char),
}

impl Token {
    /// The identifier that this token is.
    pub(super) fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(word) => Some(word),
            _ => None,
        }
    }

    /// Whether it is this punctuation or bracket.
    pub(super) fn is(&self, sign: char) -> bool {
        self.kind == Kind::Sign(sign)
    }
}

/// All tokens of the file. A file that does not parse has none; the compiler
/// complains about it.
pub(super) fn of(file: &Source) -> Vec<Token> {
    flatten(file, false)
}

/// The tokens of the file without those of tests and of the simulation: the items
/// under `cfg(test)` and `cfg(feature = "sim")` are left out.
pub(super) fn of_product(file: &Source) -> Vec<Token> {
    flatten(file, true)
}

fn flatten(file: &Source, product_only: bool) -> Vec<Token> {
    let mut tokens = Vec::new();
    if let Ok(stream) = file.text.parse() {
        add(stream, product_only, &mut tokens);
    }
    tokens
}

/// Adds the tokens of the stream, and of the groups in it.
fn add(stream: TokenStream, product_only: bool, tokens: &mut Vec<Token>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        if let (TokenTree::Punct(punct), true) = (&tree, is_attribute(&tree)) {
            if let Some(TokenTree::Punct(inner)) = trees.peek()
                && inner.as_char() == '!'
            {
                trees.next();
            }
            if let Some(TokenTree::Group(group)) = trees.peek()
                && group.delimiter() == Delimiter::Bracket
            {
                // All parts of a doc comment's attribute have the same place.
                let is_comment = same_place(group, punct);
                let skips = product_only && says_test(group);
                if is_comment || skips {
                    trees.next();
                }
                if skips {
                    while let Some(tree) = trees.next()
                        && !ends_item(&tree)
                    {}
                }
                if is_comment || skips {
                    continue;
                }
            }
        }
        add_one(tree, product_only, tokens);
    }
}

fn is_attribute(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == '#')
}

fn same_place(group: &Group, punct: &proc_macro2::Punct) -> bool {
    let (a, b) = (group.span(), punct.span());
    a.start() == b.start() && a.end() == b.end()
}

/// Whether the attribute is a `cfg` for tests or the simulation.
fn says_test(group: &Group) -> bool {
    let text: String = group
        .stream()
        .to_string()
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect();
    text.starts_with("cfg(")
        && !text.contains("not(")
        && (text.contains("test") || text.contains("\"sim\""))
}

/// Whether an item, field or statement ends with this token.
fn ends_item(tree: &TokenTree) -> bool {
    match tree {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punct) => matches!(punct.as_char(), ';' | ','),
        _ => false,
    }
}

fn add_one(tree: TokenTree, product_only: bool, tokens: &mut Vec<Token>) {
    match tree {
        TokenTree::Group(group) => {
            let (open, close) = match group.delimiter() {
                Delimiter::Parenthesis => ('(', ')'),
                Delimiter::Brace => ('{', '}'),
                Delimiter::Bracket => ('[', ']'),
                Delimiter::None => (' ', ' '),
            };
            tokens.push(sign(group.span_open().start().line, open));
            add(group.stream(), product_only, tokens);
            tokens.push(sign(group.span_close().end().line, close));
        }
        TokenTree::Ident(ident) => {
            let line = ident.span().start().line;
            let name = ident.to_string();
            let word = name.trim_start_matches("r#").to_owned();
            tokens.push(Token {
                line,
                last_line: line,
                kind: Kind::Word(word),
            });
        }
        TokenTree::Punct(punct) => {
            tokens.push(sign(punct.span().start().line, punct.as_char()));
        }
        TokenTree::Literal(literal) => tokens.push(of_literal(&literal)),
    }
}

fn sign(line: usize, sign: char) -> Token {
    Token {
        line,
        last_line: line,
        kind: Kind::Sign(sign),
    }
}

fn of_literal(literal: &Literal) -> Token {
    let span = literal.span();
    Token {
        line: span.start().line,
        last_line: span.end().line,
        kind: Kind::Literal(literal.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, product_only: bool) -> Vec<String> {
        flatten(&Source::new("a.rs", text), product_only)
            .iter()
            .filter_map(|token| token.word().map(str::to_owned))
            .collect()
    }

    #[test]
    fn comments_are_no_tokens() {
        let text = "//! one\n/// two\nstruct A; // three\n#[doc = \"four\"] struct B;";
        assert_eq!(words(text, false), ["struct", "A", "doc", "struct", "B"]);
    }

    #[test]
    fn tests_and_simulation_are_left_out_of_the_product() {
        let text = "#[cfg(test)] mod tests { fn a() {} } \
                    #[cfg(feature = \"sim\")] pub mod sim; \
                    #[cfg(not(test))] fn b() {} \
                    struct C { #[cfg(test)] d: u8, e: u8 }";
        let product = words(text, true);
        for gone in ["tests", "a", "sim", "d"] {
            assert!(!product.contains(&gone.to_owned()), "{gone}");
        }
        for kept in ["b", "C", "e"] {
            assert!(product.contains(&kept.to_owned()), "{kept}");
        }
    }
}
