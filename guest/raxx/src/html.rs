//! Escaping of text that goes into HTML.

/// Escape text for the content of an element or a quoted attribute.
///
/// ```
/// assert_eq!(raxx::html::escape("a<b & 'c'"), "a&lt;b &amp; &#39;c&#39;");
/// ```
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_escaped(&mut out, text);
    out
}

/// Like [`escape`], and appends the result to `out`.
pub fn push_escaped(out: &mut String, text: &str) {
    let mut rest = text;
    // All escaped characters are ASCII, so the bytes can be compared one by
    // one. In a guest, that is much faster than decoding characters.
    let special = |byte| matches!(byte, b'&' | b'<' | b'>' | b'"' | b'\'');
    while let Some(at) = rest.bytes().position(special) {
        out.push_str(&rest[..at]);
        out.push_str(match rest.as_bytes()[at] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            _ => "&#39;",
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_an_element_or_an_attribute() {
        assert_eq!(
            escape("\"><script>alert('\u{e4}')</script>&"),
            "&quot;&gt;&lt;script&gt;alert(&#39;\u{e4}&#39;)&lt;/script&gt;&amp;"
        );
        assert_eq!(escape("plain"), "plain");
        assert_eq!(escape(""), "");
    }
}
