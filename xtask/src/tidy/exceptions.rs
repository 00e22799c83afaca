//! The known places that break a rule today: a list that may only become
//! shorter.

use super::Finding;
use std::collections::BTreeSet;

/// The list. Each line has a rule and what breaks it. `#` begins a comment.
pub(super) const LIST: &str = include_str!("exceptions.txt");

/// The errors: findings that are not in the list, and entries of the list that
/// are not needed.
pub(super) fn apply(list: &str, found: Vec<Finding>) -> Vec<String> {
    let mut unused: BTreeSet<&str> = list
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let listed = unused.clone();
    let mut errors = Vec::new();
    for finding in found {
        let key = format!("{} {}", finding.rule, finding.subject);
        unused.remove(key.as_str());
        if !listed.contains(key.as_str()) {
            errors.push(format!("{} [{key}]", finding.message));
        }
    }
    errors.extend(unused.iter().map(|line| {
        format!("xtask/src/tidy/exceptions.txt: `{line}` is not needed any more; remove the line")
    }));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(subject: &str) -> Finding {
        Finding {
            rule: "file-length",
            subject: subject.to_owned(),
            message: format!("{subject}: too long"),
        }
    }

    #[test]
    fn what_is_not_in_the_list_is_an_error() {
        assert_eq!(
            apply("", vec![finding("a.rs")]),
            ["a.rs: too long [file-length a.rs]"]
        );
    }

    #[test]
    fn what_is_in_the_list_is_none_however_often_it_is_found() {
        let list = "# Too long today.\nfile-length a.rs\n";
        assert!(apply(list, vec![finding("a.rs"), finding("a.rs")]).is_empty());
    }

    #[test]
    fn a_line_of_the_list_that_is_not_needed_is_an_error() {
        let errors = apply(
            "file-length a.rs\nfile-length b.rs\n",
            vec![finding("a.rs")],
        );
        assert_eq!(errors.len(), 1);
        assert!(errors[0].contains("b.rs"), "{errors:?}");
    }
}
