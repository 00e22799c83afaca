//! Reads what is set for the app, with `host config set` or in the node's `--app-config`: the bytes that
//! the host gives as `config` have a line `KEY=VALUE` for each name.

use std::borrow::Cow;

/// The value under a name, of config or of a secret.
///
/// ```
/// let config = b"GREETING=hello\nTEXT=\"two\\nlines\"\n";
/// assert_eq!(raxx::config::get(config, "GREETING").as_deref(), Some("hello"));
/// assert_eq!(raxx::config::get(config, "TEXT").as_deref(), Some("two\nlines"));
/// assert_eq!(raxx::config::get(config, "OTHER"), None);
/// ```
pub fn get<'a>(config: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
    entries(config).find_map(|(key, value)| (key == name).then_some(value))
}

/// All names and their values. What is in no such line is left out.
pub fn entries(config: &[u8]) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    let text = std::str::from_utf8(config).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        match value.strip_prefix('"') {
            None => Some((key, Cow::Borrowed(value))),
            Some(quoted) => Some((key, Cow::Owned(unquote(quoted.strip_suffix('"')?)?))),
        }
    })
}

/// Reads what is within the quotes of a JSON string.
fn unquote(quoted: &str) -> Option<String> {
    let mut letters = quoted.chars();
    let mut value = String::new();
    while let Some(letter) = letters.next() {
        value.push(match letter {
            '"' => return None,
            '\\' => match letters.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'u' => {
                    let digits: String = letters.by_ref().take(4).collect();
                    char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
                }
                same @ ('"' | '\\' | '/') => same,
                _ => return None,
            },
            other => other,
        });
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_read_as_it_was_set() {
        let config =
            "# of the node\n\nA=1 = one\nB=\"\\\"q\\\" \\\\ \\u0007é\"\nnothing\nC=\nD=\"broken\n";
        let read: Vec<_> = entries(config.as_bytes()).collect();
        let expected = [("A", "1 = one"), ("B", "\"q\" \\ \u{7}é"), ("C", "")];
        assert_eq!(
            read,
            expected.map(|(key, value)| (key, Cow::Borrowed(value)))
        );
        assert_eq!(entries(&[0xff, b'=']).count(), 0);
    }
}
