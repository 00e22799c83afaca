//! Counts the lines of product code: lines with at least one token.
//!
//! Comments and blank lines do not count, nor whole files of tests, simulation and
//! fuzzing, nor the items under `cfg(test)` and `cfg(feature = "sim")`.

use super::sources::{CRATES, Source};
use super::tokens;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The lines of each crate of the node, and of all together.
pub(super) fn table(files: &[Source]) -> String {
    let mut table = String::new();
    let mut sum = 0;
    for (dir, name) in CRATES {
        let lines: usize = files
            .iter()
            .filter(|file| file.node_crate() == Some(name) && file.is_product())
            .filter(|file| file.path.starts_with(&format!("{dir}src/")))
            .map(product_lines)
            .sum();
        sum += lines;
        let _ = writeln!(table, "{lines:6}  {name}");
    }
    let _ = writeln!(table, "{sum:6}  together");
    table
}

/// The lines of product code of the file.
fn product_lines(file: &Source) -> usize {
    let lines: BTreeSet<usize> = tokens::of_product(file)
        .iter()
        .flat_map(|token| token.line..=token.last_line)
        .collect();
    lines.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_with_code_count() {
        let text = "//! What.\n\n/// A.\nfn a(\n    b: u8, // why\n) {}\n\nconst C: &str = \"x\ny\";\n\n\
                    #[cfg(test)]\nmod tests {\n    fn t() {}\n}\n";
        assert_eq!(product_lines(&Source::new("host/src/a.rs", text)), 5);
    }

    #[test]
    fn each_crate_has_its_own_line() {
        let files = [
            Source::new("host/src/a.rs", "fn a() {}\n"),
            Source::new("host/mesh/src/a.rs", "fn a() {}\nfn b() {}\n"),
            Source::new("host/mesh/src/tests.rs", "fn a() {}\n"),
            Source::new("host/tests/a.rs", "fn a() {}\n"),
        ];
        let table = table(&files);
        for line in ["     1  host", "     2  mesh", "     3  together"] {
            assert!(table.contains(line), "{table}");
        }
    }
}
