//! The small part of JSON that an app needs to send strings and numbers. A
//! guest without a serialiser stays small.

/// Append a string as JSON to `out`, with its quotes.
///
/// Besides what JSON requires, this escapes `<`, so that the text can be in a
/// script element, and the line separators that old JavaScript refused.
///
/// ```
/// let mut out = String::new();
/// raxx::json::push_string(&mut out, "a \"b\"\n");
/// assert_eq!(out, r#""a \"b\"\n""#);
/// ```
pub fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' | '\u{7f}' => push_unicode(out, c),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Append a whole number to `out`.
///
/// ```
/// let mut out = String::new();
/// raxx::json::push_number(&mut out, 42);
/// assert_eq!(out, "42");
/// ```
pub fn push_number(out: &mut String, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend(digits[at..].iter().map(|digit| char::from(*digit)));
}

/// Writes `\uXXXX`. It works only for characters of the basic plane; all
/// characters that are escaped belong to it.
fn push_unicode(out: &mut String, c: char) {
    out.push_str("\\u");
    for shift in [12, 8, 4, 0] {
        let digit = (c as u32 >> shift) & 0xf;
        out.push(char::from_digit(digit, 16).unwrap_or('0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> String {
        let mut out = String::new();
        push_string(&mut out, text);
        out
    }

    #[test]
    fn strings_are_escaped_as_json_asks() {
        assert_eq!(string("a\"\\\n\r\t"), r#""a\"\\\n\r\t""#);
        assert_eq!(string("\0\x1f\x7f"), r#""\u0000\u001f\u007f""#);
        assert_eq!(string("\u{e4} \u{1f600}"), "\"\u{e4} \u{1f600}\"");
    }

    #[test]
    fn a_string_cannot_end_a_script_element() {
        assert_eq!(string("</script>\u{2028}"), r#""\u003c/script>\u2028""#);
    }

    #[test]
    fn numbers_are_written_in_full() {
        let mut out = String::new();
        for number in [0, 9, 10, u64::MAX] {
            push_number(&mut out, number);
            out.push(' ');
        }
        assert_eq!(out, "0 9 10 18446744073709551615 ");
    }
}
