//! Templates: text with places `{{name}}`, cut at these when it is compiled, so
//! that no request has to look for them.

/// What stands before each place, and its name. What follows the last has no
/// name, so there is one piece more than places.
pub(crate) const fn cut<const N: usize>(
    template: &'static str,
) -> [(&'static str, &'static str); N] {
    let mut pieces = [("", ""); N];
    let mut rest = template;
    let mut piece = 0;
    while let Some(open) = find(rest, *b"{{") {
        let (before, after) = rest.split_at(open);
        let (_, after) = after.split_at(2);
        let Some(close) = find(after, *b"}}") else {
            panic!("a {{ of the template is not closed");
        };
        let (name, after) = after.split_at(close);
        pieces[piece] = (before, name);
        rest = after.split_at(2).1;
        piece += 1;
    }
    pieces[piece] = (rest, "");
    pieces
}

/// How many places there are.
pub(crate) const fn count(template: &str) -> usize {
    let (mut found, mut rest) = (0, template);
    while let Some(at) = find(rest, *b"{{") {
        rest = rest.split_at(at + 2).1;
        found += 1;
    }
    found
}

const fn find(text: &str, pair: [u8; 2]) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at + 1 < bytes.len() {
        if bytes[at] == pair[0] && bytes[at + 1] == pair[1] {
            return Some(at);
        }
        at += 1;
    }
    None
}
