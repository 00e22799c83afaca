//! Text that may come from elsewhere, made fit for a terminal: from an app, from a release,
//! from another node. It must not move the cursor, change colours, or look like more lines
//! than it is.
//!
//! Control characters, and characters that turn the direction of text, are shown by their
//! number: `\u{1b}`. Nothing is left out, so people see that something was there. JSON has an
//! escape of its own for them, which keeps the text as it is.

use std::fmt::{self, Write};

use serde_json::Value;

/// What a line of the log that goes on begins with, so that no text can pass for a line of its
/// own.
const GOES_ON: &str = "\n    ";

/// Writes text and escapes what is not fit for a terminal.
struct Escaping<'a> {
    to: &'a mut dyn Write,
    /// What a line break becomes.
    line_break: &'static str,
}

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(|c| c == '\n' || is_harmful(c)) {
            let (before, from) = rest.split_at(at);
            self.to.write_str(before)?;
            let mut characters = from.chars();
            match characters.next() {
                Some('\n') => self.to.write_str(self.line_break)?,
                Some(harmful) => write!(self.to, "{}", harmful.escape_unicode())?,
                None => {}
            }
            rest = characters.as_str();
        }
        self.to.write_str(rest)
    }
}

/// Whether a terminal acts on this character, or a reader is misled by it. Line breaks and
/// tabs are left to the layout.
fn is_harmful(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        // Marks, embeddings, overrides and isolates of direction, and two line breaks that are
        // no control characters.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            true
        }
        other => other.is_control(),
    }
}

fn escaped(text: impl fmt::Display, line_break: &'static str) -> String {
    let mut fit = String::new();
    let mut to = Escaping {
        to: &mut fit,
        line_break,
    };
    // Writing to a string never fails.
    let _ = write!(to, "{text}");
    fit
}

/// The text on one line.
pub fn one_line(text: impl fmt::Display) -> String {
    escaped(text, " ").replace('\t', " ")
}

/// The text with its lines. All but the first are indented.
pub fn lines(text: impl fmt::Display) -> String {
    escaped(text, GOES_ON)
}

/// Writes the text with its lines, as [`lines`] does.
///
/// # Errors
/// `to` has failed.
pub fn write_lines(to: &mut dyn Write, text: fmt::Arguments<'_>) -> fmt::Result {
    let line_break = GOES_ON;
    Escaping { to, line_break }.write_fmt(text)
}

/// Puts every text in an answer on one line.
pub fn all_on_one_line(value: &mut Value) {
    match value {
        Value::String(text) => *text = one_line(&*text),
        Value::Array(values) => values.iter_mut().for_each(all_on_one_line),
        Value::Object(fields) => fields.values_mut().for_each(all_on_one_line),
        _ => {}
    }
}

/// JSON that means the same and is fit for a terminal. `json` is serialized, so control
/// characters below 32 are escaped already.
pub fn json(json: String) -> String {
    let plain = |c: char| c.is_ascii_control() && c != '\u{7f}' || !is_harmful(c);
    if json.chars().all(plain) {
        return json;
    }
    let mut fit = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if plain(character) {
            fit.push(character);
        } else {
            // All of them are in the plane of four digits. Writing to a string never fails.
            let _ = write!(fit, "\\u{:04x}", u32::from(character));
        }
    }
    fit
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What must not reach a terminal: ESC, BEL, CR, DEL, the one-character CSI, an override of
    /// direction, a line separator.
    const HARMFUL: &str = "\u{1b}[2J\u{7}\r\u{7f}\u{9b}31m\u{202e}\u{2028}";

    #[test]
    fn each_harmful_character_is_shown_by_its_number() {
        assert_eq!(
            one_line(HARMFUL),
            r"\u{1b}[2J\u{7}\u{d}\u{7f}\u{9b}31m\u{202e}\u{2028}"
        );
        assert_eq!(lines(HARMFUL), one_line(HARMFUL));
        for code in (0..32).chain(127..160) {
            let character = char::from_u32(code).unwrap();
            let shown = one_line(character);
            assert!(!shown.contains(char::is_control), "{code}: {shown:?}");
        }
    }

    #[test]
    fn other_text_stays_as_it_is() {
        let text = "Grüße, 世界 \u{1f600} e\u{301}";
        assert_eq!(one_line(text), text);
        assert_eq!(lines(text), text);
    }

    #[test]
    fn a_line_break_is_a_space_or_begins_a_line_that_is_indented() {
        assert_eq!(one_line("a\n\tb"), "a  b");
        assert_eq!(lines("a\n2026 ERROR b"), "a\n    2026 ERROR b");
    }

    #[test]
    fn all_texts_of_an_answer_are_made_fit() {
        let mut value = serde_json::json!({ "a": ["\u{1b}x", 1], "b": { "c": "line\nbreak" } });
        all_on_one_line(&mut value);
        let fit = serde_json::json!({ "a": [r"\u{1b}x", 1], "b": { "c": "line break" } });
        assert_eq!(value, fit);
    }

    #[test]
    fn json_means_the_same_after_it_was_made_fit() {
        let fit = json(serde_json::to_string(HARMFUL).unwrap());
        assert!(fit.chars().all(|c| !is_harmful(c)), "{fit:?}");
        assert_eq!(serde_json::from_str::<String>(&fit).unwrap(), HARMFUL);
        let plain = "\"Grüße\"\n".to_owned();
        assert_eq!(json(plain.clone()), plain);
    }
}
