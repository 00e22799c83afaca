//! Checks that the glossary of ARCHITECTURE.md is short, and true of the code.
//!
//! Its first table has a row for each term: the term, what it means, and its
//! symbols in the code. Its second table has the words that are not used any
//! more, in the order of `words`.

use super::Finding;
use super::sources::Source;
use super::tokens;
use super::words::OLD_WORDS;
use std::collections::BTreeSet;

/// How many terms there may be. A newcomer must be able to read all of them.
const TERMS_MAX: usize = 40;

/// The line that opens the section.
const HEADING: &str = "## Glossary";

/// The glossary has few terms. Each occurs once, and has symbols that exist.
/// The glossary names each old word.
pub(super) fn is_true(files: &[Source]) -> Vec<Finding> {
    let Some(document) = files.iter().find(|file| file.path == "ARCHITECTURE.md") else {
        return Vec::new();
    };
    let rows = rows(&document.text);
    let terms: Vec<_> = rows.iter().filter(|row| row.cells.len() == 3).collect();
    let mut found = Vec::new();
    if terms.len() > TERMS_MAX {
        found.push(finding(
            0,
            "terms",
            format!("{} terms, of at most {TERMS_MAX}", terms.len()),
        ));
    }
    let known = names_in_code(files);
    let mut seen = BTreeSet::new();
    for row in &terms {
        let term = row.cells[0];
        if !seen.insert(term) {
            found.push(finding(
                row.line,
                term,
                format!("the term `{term}` has two rows"),
            ));
        }
        for symbol in quoted(row.cells[2]) {
            let is_known = |name: &str| known.contains(name);
            if !symbol.split("::").all(is_known) {
                let message = format!("`{symbol}` of the term `{term}` is not in the code");
                found.push(finding(row.line, symbol, message));
            }
        }
    }
    let listed: Vec<_> = rows.iter().filter(|row| row.cells.len() == 2).collect();
    for old in OLD_WORDS {
        let names =
            |cells: &[&str]| cells[0] == old.now && quoted(cells[1]).any(|word| word == old.word);
        if !listed.iter().any(|row| names(&row.cells)) {
            let message = format!(
                "the row `{}` does not name the old word `{}`",
                old.now, old.word
            );
            found.push(finding(0, old.word, message));
        }
    }
    found
}

/// The document without its glossary. It keeps the number of lines.
pub(super) fn without(text: &str) -> String {
    let mut is_glossary = false;
    let mut rest = String::new();
    for line in text.lines() {
        if line.starts_with("## ") {
            is_glossary = line == HEADING;
        }
        if !is_glossary {
            rest.push_str(line);
        }
        rest.push('\n');
    }
    rest
}

/// A row of a table.
struct Row<'a> {
    line: usize,
    cells: Vec<&'a str>,
}

/// The rows of the tables of the glossary, without the head rows.
fn rows(text: &str) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    let lines = (1..).zip(text.lines());
    let glossary = lines
        .skip_while(|(_, line)| *line != HEADING)
        .skip(1)
        .take_while(|(_, line)| !line.starts_with("## "));
    for (line, text) in glossary {
        let inside = text
            .strip_prefix('|')
            .and_then(|text| text.strip_suffix('|'));
        match inside {
            // The row before this line was the head of the table.
            Some(rule) if rule.starts_with("--") => {
                rows.pop();
            }
            Some(inside) => {
                let cells = inside.split('|').map(str::trim).collect();
                rows.push(Row { line, cells });
            }
            None => {}
        }
    }
    rows
}

/// The texts between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// All names in the code of nodes and guests, and the names of their files.
fn names_in_code(files: &[Source]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in files.iter().filter(|file| file.is_product()) {
        let path = file.path.trim_end_matches(".rs");
        names.extend(path.split('/').map(str::to_owned));
        let tokens = tokens::of_product(file);
        names.extend(
            tokens
                .iter()
                .filter_map(|token| token.word().map(str::to_owned)),
        );
    }
    names
}

fn finding(line: usize, subject: &str, message: String) -> Finding {
    let place = match line {
        0 => "ARCHITECTURE.md".to_owned(),
        line => format!("ARCHITECTURE.md:{line}"),
    };
    Finding {
        rule: "glossary",
        subject: subject.to_owned(),
        message: format!("{place}: glossary: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(terms: &str) -> Vec<String> {
        let mut text = format!(
            "# Architecture\n\n{HEADING}\n\n| term | what it means | in the code |\n|---|---|---|\n\
             {terms}\n| the word | not |\n|---|---|\n"
        );
        for old in OLD_WORDS {
            text += &format!("| {} | `{}` |\n", old.now, old.word);
        }
        let code = "pub struct Slot; pub mod fetch { pub struct Chunks; }";
        is_true(&[
            Source::new(
                "ARCHITECTURE.md",
                text + "\n## After it\n\n| a | b | `Nothing` |\n",
            ),
            Source::new("host/src/slot.rs", code),
        ])
        .into_iter()
        .map(|one| one.subject)
        .collect()
    }

    #[test]
    fn a_glossary_of_symbols_that_exist_is_right() {
        assert!(found("| slot | what serves | `Slot`, `fetch::Chunks` |\n").is_empty());
        assert!(found("| slot | what serves | `slot` |\n").is_empty());
    }

    #[test]
    fn a_symbol_that_does_not_exist_is_found() {
        assert_eq!(found("| seat | a hold | `Seat` |\n"), ["Seat"]);
        assert_eq!(
            found("| slot | what serves | `room::Slot` |\n"),
            ["room::Slot"]
        );
    }

    #[test]
    fn a_term_with_two_rows_is_found() {
        assert_eq!(
            found("| slot | a | `Slot` |\n| slot | b | `Slot` |\n"),
            ["slot"]
        );
    }

    #[test]
    fn too_many_terms_are_found() {
        let terms: String = (0..=TERMS_MAX)
            .map(|n| format!("| t{n} | a | |\n"))
            .collect();
        assert_eq!(found(&terms), ["terms"]);
    }

    #[test]
    fn an_old_word_without_a_row_is_found() {
        let document = Source::new("ARCHITECTURE.md", format!("{HEADING}\n"));
        assert_eq!(is_true(&[document]).len(), OLD_WORDS.len());
    }

    #[test]
    fn the_rest_of_the_document_keeps_its_lines() {
        let text = "a\n## Glossary\nb\n## C\nd\n";
        assert_eq!(without(text), "a\n\n\n## C\nd\n");
    }
}
