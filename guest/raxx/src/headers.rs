//! Header and trailer fields: an ordered list that keeps duplicates and accepts
//! only what HTTP allows on the wire.

use std::fmt;

/// Fields that a response has at most once, so that [`Headers::append`] refuses
/// a second one. Source: the singleton fields of RFC 9110 and RFC 9111 and of
/// related standards, as far as apps set them.
const SINGLE: [&str; 10] = [
    "age",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "date",
    "etag",
    "last-modified",
    "location",
    "retry-after",
];

/// Why a field was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The name is empty, or has an upper-case letter or another character that
    /// is not allowed.
    #[error(
        "header name {0:?} is not a lower-case token: use letters a-z, digits and -, as in \"content-type\""
    )]
    Name(String),
    /// The value has a line break or another control character.
    #[error(
        "the value of header {0:?} has a line break or another control character: remove it, it could forge further headers"
    )]
    Value(String),
    /// The field is there already, and may occur only once.
    #[error("header {0:?} is set already and may occur once only: set it instead of appending")]
    Duplicate(String),
}

/// A list of header or trailer fields, in order, with duplicates.
///
/// Names are lower case. What an app adds is checked, so a value with a line
/// break never reaches the wire.
///
/// ```
/// use raxx::Headers;
///
/// let mut headers = Headers::new();
/// headers.set("content-type", "text/plain")?;
/// headers.append("set-cookie", "a=1")?;
/// headers.append("set-cookie", "b=2")?;
/// assert_eq!(headers.get("content-type"), Some("text/plain"));
/// assert_eq!(headers.get_all("set-cookie").count(), 2);
/// assert!(headers.set("x-note", "two\r\nlines").is_err());
/// # Ok::<(), raxx::HeaderError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Headers {
    fields: Vec<(String, Vec<u8>)>,
}

impl Headers {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// The first value of a field as text. None if the field is missing or its
    /// value is not UTF-8. Upper and lower case of the name do not matter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_bytes(name)
            .and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The first value of a field as bytes.
    pub fn get_bytes(&self, name: &str) -> Option<&[u8]> {
        self.iter()
            .find(|(have, _)| have.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// All values of a field, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter()
            .filter(move |(have, _)| have.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Whether a field is there.
    pub fn contains(&self, name: &str) -> bool {
        self.get_bytes(name).is_some()
    }

    /// Set a field to one value. The value replaces all values that the field
    /// had.
    ///
    /// # Errors
    ///
    /// [`HeaderError::Name`] and [`HeaderError::Value`]. The list does not
    /// change then.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), HeaderError> {
        let value = value.as_ref();
        check(name, value)?;
        self.remove(name);
        self.fields.push((name.to_owned(), value.to_vec()));
        Ok(())
    }

    /// Add a value to a field, and keep those that it has. Cookies need this:
    /// each `set-cookie` is a separate field.
    ///
    /// # Errors
    ///
    /// The errors of [`set`](Self::set), and [`HeaderError::Duplicate`] if the
    /// field is there already and may occur only once, such as `content-type`.
    pub fn append(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), HeaderError> {
        let value = value.as_ref();
        check(name, value)?;
        if SINGLE.contains(&name) && self.contains(name) {
            return Err(HeaderError::Duplicate(name.to_owned()));
        }
        self.fields.push((name.to_owned(), value.to_vec()));
        Ok(())
    }

    /// Remove all values of a field.
    pub fn remove(&mut self, name: &str) {
        self.fields
            .retain(|(have, _)| !have.eq_ignore_ascii_case(name));
    }

    /// All fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// A list of fields that came from the host, which has checked them.
    pub(crate) fn from_wire(fields: Vec<(String, Vec<u8>)>) -> Self {
        Self { fields }
    }

    pub(crate) fn into_wire(self) -> Vec<(String, Vec<u8>)> {
        self.fields
    }
}

/// Shows a value as text, and escapes the bytes that are no text.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(
                self.iter()
                    .map(|(name, value)| (name, String::from_utf8_lossy(value))),
            )
            .finish()
    }
}

/// A name is a `token` of RFC 9110 in lower case; a value has no control
/// character but the tab.
fn check(name: &str, value: &[u8]) -> Result<(), HeaderError> {
    let token =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(HeaderError::Name(name.to_owned()));
    }
    if value.iter().any(|b| b.is_ascii_control() && *b != b'\t') {
        return Err(HeaderError::Value(name.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_with_a_line_break_or_control_character_is_refused() {
        let mut headers = Headers::new();
        for value in ["a\r\nb: c", "a\nb", "a\rb", "a\0b", "a\x7fb"] {
            let refused = headers.set("x-a", value);
            assert_eq!(refused, Err(HeaderError::Value("x-a".into())), "{value:?}");
        }
        assert!(headers.is_empty());
        assert_eq!(headers.set("x-a", "tab\tand \u{e4}"), Ok(()));
    }

    #[test]
    fn a_name_that_is_not_a_lower_case_token_is_refused() {
        let mut headers = Headers::new();
        for name in ["", "Content-Type", "a b", "a:", "a\r\n", "\u{e4}"] {
            let refused = headers.append(name, "v");
            assert_eq!(refused, Err(HeaderError::Name(name.into())));
        }
    }

    #[test]
    fn append_keeps_several_cookies_and_refuses_a_second_content_type() {
        let mut headers = Headers::new();
        assert_eq!(headers.append("set-cookie", "a=1"), Ok(()));
        assert_eq!(headers.append("set-cookie", "b=2"), Ok(()));
        assert_eq!(
            headers.get_all("set-cookie").collect::<Vec<_>>(),
            [b"a=1", b"b=2"]
        );
        assert_eq!(headers.append("content-type", "text/plain"), Ok(()));
        assert_eq!(
            headers.append("content-type", "text/html"),
            Err(HeaderError::Duplicate("content-type".into()))
        );
    }

    #[test]
    fn set_takes_the_place_of_all_values() {
        let mut headers = Headers::new();
        headers.append("vary", "a").unwrap();
        headers.append("vary", "b").unwrap();
        headers.set("vary", "c").unwrap();
        assert_eq!(headers.get_all("vary").collect::<Vec<_>>(), [b"c"]);
    }

    #[test]
    fn lookup_has_no_regard_to_case() {
        let headers = Headers::from_wire(vec![("accept".into(), b"*/*".to_vec())]);
        assert_eq!(headers.get("Accept"), Some("*/*"));
    }
}
