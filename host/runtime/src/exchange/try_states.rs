//! Tries new code on copies of the states of open streams, before it serves. Nothing of
//! the streams themselves changes, and nobody hears of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Exchanges;
use super::migrate::{NotMigrated, migrate};
use crate::generation::Generation;

/// How long all states together may take. Those that are not tried by then are not tried.
const TIME: Duration = Duration::from_secs(5);
/// How many paths a sentence names.
const NAMED: usize = 3;

/// New code cannot take over some of the streams that are open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableStates {
    /// By path, how many states could not be turned, and how many were tried.
    paths: Vec<(String, usize, usize)>,
    /// Why the first one could not.
    cause: String,
}

impl std::error::Error for UnreadableStates {}

impl fmt::Display for UnreadableStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the new app cannot read the state of ")?;
        for (at, (path, failed, tried)) in self.paths.iter().take(NAMED).enumerate() {
            let before = if at > 0 { ", " } else { "" };
            // A client has chosen the path.
            let path = path.escape_debug();
            write!(f, "{before}{failed} of {tried} open streams of {path}")?;
        }
        if self.paths.len() > NAMED {
            write!(f, " and of {} more paths", self.paths.len() - NAMED)?;
        }
        write!(
            f,
            ": {}; let it take them over, or push it with --drop-streams, which ends them",
            self.cause
        )
    }
}

impl Exchanges {
    /// Tries whether this code, which does not serve yet, can take over the streams that
    /// are open on the code that serves: on copies of up to 40 states, some of each path.
    ///
    /// # Errors
    /// If it cannot take over some of them.
    pub async fn try_states(&self, new: &Generation) -> Result<(), UnreadableStates> {
        let Some(old) = self.slot.current() else {
            return Ok(());
        };
        let states = self.open.some(&old);
        if states.is_empty() {
            return Ok(());
        }
        // What is tried is not counted: not of the code that serves, and not of new code.
        let (old, new) = (old.twin(), new.twin());
        let began = Instant::now();
        let mut tried: BTreeMap<Arc<str>, (usize, usize)> = BTreeMap::new();
        let mut cause = None;
        for open in states {
            let migrated = match migrate(&old, &new, &open.state).await {
                // The machine had no room for it, which says nothing.
                Err(NotMigrated::Failed { failure, .. }) if failure.is_busy() => continue,
                migrated => migrated,
            };
            let (failed, of) = tried.entry(open.path).or_default();
            *of += 1;
            if let Err(why) = migrated {
                *failed += 1;
                cause.get_or_insert(why.to_string());
            }
            if began.elapsed() > TIME {
                break;
            }
        }
        let Some(cause) = cause else { return Ok(()) };
        let failed = tried.into_iter().filter(|(_, (failed, _))| *failed > 0);
        let mut paths: Vec<(String, usize, usize)> = failed
            .map(|(path, (failed, of))| (path.to_string(), failed, of))
            .collect();
        paths.sort_by_key(|(_, failed, _)| std::cmp::Reverse(*failed));
        Err(UnreadableStates { paths, cause })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_with_most_of_them_are_named_and_the_rest_counted() {
        let one = UnreadableStates {
            paths: vec![("/updates".to_owned(), 12, 40)],
            cause: "it traps".to_owned(),
        };
        let text = one.to_string();
        assert!(
            text.contains("cannot read the state of 12 of 40 open streams of /updates: it traps;"),
            "{text}"
        );
        let many = UnreadableStates {
            paths: (0..5).map(|at| (format!("/{at}\u{1b}"), 1, 1)).collect(),
            ..one
        };
        let text = many.to_string();
        assert!(text.contains(" and of 2 more paths: it traps"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
