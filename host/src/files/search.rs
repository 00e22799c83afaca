//! Where the file that `--app` names may be. A bare name means a file in the
//! current folder, or else the newest build of it. So the name stays right when
//! somebody goes from a debug build to a release build.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Where `cargo` leaves components, seen from the folder of a workspace.
const BUILD_FOLDERS: [&str; 4] = [
    "target/wasm32-wasip1/release",
    "target/wasm32-wasip1/debug",
    "target/wasm32-wasip2/release",
    "target/wasm32-wasip2/debug",
];

/// When a file was last modified: seconds and nanoseconds since 1970.
pub(crate) type Modified = (i64, i64);

/// All places where the file may be, and the place where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppFileSearch {
    /// The given path. If it is a bare name, the paths in the build folders
    /// follow.
    all: Vec<PathBuf>,
    /// The index of the place where the file was last found.
    place: usize,
    /// When the file that was last taken had been modified; none if none was
    /// taken.
    taken: Option<Modified>,
}

impl AppFileSearch {
    /// The places that a value of `--app` stands for.
    pub fn of(app: &Path) -> AppFileSearch {
        Self::seen_from(Path::new(""), app)
    }

    /// Like [`of`](Self::of), from another folder than the current one.
    pub fn seen_from(folder: &Path, app: &Path) -> AppFileSearch {
        let mut all = vec![folder.join(app)];
        if app.components().count() == 1 && app.file_name().is_some() {
            all.extend(BUILD_FOLDERS.map(|build| folder.join(build).join(app)));
        }
        let mut places = AppFileSearch {
            all,
            place: 0,
            taken: None,
        };
        places.follow();
        places
    }

    /// All places.
    pub(crate) fn all(&self) -> &[PathBuf] {
        &self.all
    }

    /// Where the file was when it was last looked for.
    pub fn path(&self) -> &Path {
        &self.all[self.place]
    }

    /// The index of that place.
    pub(crate) fn place(&self) -> usize {
        self.place
    }

    /// Whether it is a bare name, which may be in more than one place.
    pub(crate) fn is_bare(&self) -> bool {
        self.all.len() > 1
    }

    /// Notes that a file was taken that was modified at this time. A time in the
    /// future counts as now; otherwise it would keep later builds out.
    pub(crate) fn take(&mut self, modified: Modified) {
        self.taken = Some(modified.min(now()));
    }

    /// Like `take`, with the time of the file as it is now. Must be called before
    /// the file is read.
    pub(crate) fn take_now(&mut self) {
        if let Some(modified) = modified(self.path()) {
            self.take(modified);
        }
    }

    /// Looks for the file in the folder itself, else for the newest build. A file
    /// that is older than the one that was taken is no reason to leave a place.
    /// So nothing old comes back when a build removes its file for a moment, or
    /// somebody removes it for good. Returns whether the file is in another place
    /// than before.
    pub(crate) fn follow(&mut self) -> bool {
        let seen: Vec<_> = self.all.iter().map(|path| modified(path)).collect();
        let place = choose(&seen, self.place, self.taken);
        std::mem::replace(&mut self.place, place) != place
    }
}

/// Chooses the place; the last one was `before`.
fn choose(seen: &[Option<Modified>], before: usize, taken: Option<Modified>) -> usize {
    if let [Some(_), ..] = seen {
        return 0;
    }
    let newest = seen
        .iter()
        .enumerate()
        .max_by_key(|(_, modified)| **modified);
    match newest {
        Some((place, Some(modified))) if taken.is_none_or(|taken| *modified > taken) => place,
        _ => before,
    }
}

fn modified(path: &Path) -> Option<Modified> {
    let metadata = path.metadata().ok()?;
    Some((metadata.mtime(), metadata.mtime_nsec()))
}

fn now() -> Modified {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let since = since.unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    (seconds, since.subsec_nanos().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Option<Modified> {
        Some((second, 0))
    }

    #[test]
    fn the_newest_build_is_meant_unless_the_file_is_in_the_folder_itself() {
        assert_eq!(choose(&[None, at(1), at(3), at(2)], 0, None), 2);
        assert_eq!(choose(&[at(0), at(1), at(3), at(2)], 2, at(3)), 0);
        assert_eq!(choose(&[None, None, None], 0, None), 0);
    }

    #[test]
    fn a_later_build_in_another_place_is_followed_and_an_earlier_one_is_not() {
        let (debug, release) = (2, 1);
        assert_eq!(choose(&[None, at(6), at(5)], debug, at(5)), release);
        assert_eq!(choose(&[None, at(4), at(5)], debug, at(5)), debug);
        // A later build in the same place is no other place.
        assert_eq!(choose(&[None, at(4), at(9)], debug, at(5)), debug);
        // The file is gone, for a moment or for good.
        assert_eq!(choose(&[None, at(4), None], debug, at(5)), debug);
        assert_eq!(choose(&[None, at(6), None], debug, at(5)), release);
        // The file in the folder itself is gone, and something was built after
        // it.
        assert_eq!(choose(&[None, at(6), at(7)], 0, at(5)), debug);
        assert_eq!(choose(&[None, at(4), at(3)], 0, at(5)), 0);
    }

    #[test]
    fn only_a_bare_name_is_looked_for_in_build_folders() {
        let all = |app: &str| AppFileSearch::seen_from(Path::new("/w"), Path::new(app)).all;
        assert_eq!(all("guest.wasm").len(), 5);
        assert_eq!(all("guest.wasm")[0], Path::new("/w/guest.wasm"));
        assert_eq!(all("dist/guest.wasm"), [Path::new("/w/dist/guest.wasm")]);
        assert_eq!(all("/srv/guest.wasm"), [Path::new("/srv/guest.wasm")]);
        assert_eq!(all("./guest.wasm"), [Path::new("/w/./guest.wasm")]);
    }

    #[test]
    fn a_build_from_the_future_keeps_no_later_one_out() {
        let mut places = AppFileSearch::of(Path::new("no-such-app.wasm"));
        places.take((i64::MAX, 0));
        assert!(places.taken <= Some(now()));
    }
}
