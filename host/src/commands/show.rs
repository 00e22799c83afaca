//! Shows values to people: times, sizes, digests, colours, tables.

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use comfy_table::{Table, presets};

/// Something is as it should be.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// Something goes on.
pub(super) const BUSY: Style = AnsiColor::Yellow.on_default();
/// Something has failed.
pub(super) const BAD: Style = AnsiColor::Red.on_default();
/// Something is over.
pub(super) const PAST: Style = Style::new().dimmed();
/// Nothing special.
pub(super) const PLAIN: Style = Style::new();

/// How many digits of a digest and of a release id people see.
const DIGEST: usize = 12;
const ID: usize = 10;

/// The beginning of a digest.
pub(super) fn digest(digest: &str) -> &str {
    digest.get(..DIGEST).unwrap_or(digest)
}

/// The beginning of a release id.
pub(super) fn id(id: &str) -> &str {
    id.get(..ID).unwrap_or(id)
}

/// A size.
pub(super) fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).to_string()
}

/// How long ago something happened. Both times are of one clock.
pub(super) fn ago(now_ms: u64, at_ms: u64) -> String {
    match now_ms.saturating_sub(at_ms) / 1000 {
        0 => "just now".to_owned(),
        _ => format!("{} ago", lasted(now_ms.saturating_sub(at_ms))),
    }
}

/// A time span in its largest unit.
pub(super) fn lasted(ms: u64) -> String {
    match ms / 1000 {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// A short time span.
pub(super) fn took(us: u64) -> String {
    match us {
        0..1000 => format!("{us} µs"),
        1000..1_000_000 => format!("{} ms", us / 1000),
        _ => format!("{:.1} s", Duration::from_micros(us).as_secs_f64()),
    }
}

/// A number and the word for it, singular or plural.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {many}"),
    }
}

/// Text in a style. The printer removes the style if it does not print on a
/// terminal.
pub(super) fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// A table with a style for each row.
pub(super) fn table(header: &[&str], rows: Vec<(Style, Vec<String>)>) -> String {
    let (styles, rows): (Vec<Style>, Vec<Vec<String>>) = rows.into_iter().unzip();
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.iter().copied());
    for row in rows {
        // A line break in a cell would move the styles to the wrong rows.
        table.add_row(row.into_iter().map(|cell| cell.replace(['\n', '\r'], " ")));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let styles = std::iter::once(Style::new().bold()).chain(styles);
    let mut text = String::new();
    for (line, style) in table.lines().zip(styles) {
        // Writing to a string never fails.
        let _ = writeln!(text, "{}", styled(style, line.trim_end()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_their_largest_unit() {
        let now = 1_000_000_000_000;
        let at = |seconds: u64| ago(now, now - seconds * 1000);
        assert_eq!(at(0), "just now");
        assert_eq!(at(59), "59 s ago");
        assert_eq!(at(200), "3 min ago");
        assert_eq!(at(3600 * 47), "47 h ago");
        assert_eq!(at(3600 * 48), "2 days ago");
        assert_eq!(ago(now, now + 5000), "just now", "a clock was set back");
        assert_eq!(
            [took(7), took(4_200), took(1_250_000)],
            ["7 µs", "4 ms", "1.2 s"]
        );
    }

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = vec![
            (GOOD, vec!["a".to_owned(), "long\nline".to_owned()]),
            (PLAIN, vec!["bbbb".to_owned(), String::new()]),
        ];
        let text = table(&["X", "Y"], rows);
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(plain, "X     Y\na     long line\nbbbb\n");
        assert!(text.contains("\u{1b}[32ma     long line\u{1b}[0m"));
    }
}
