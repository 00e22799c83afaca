//! The steps of a change of the cookie, on the files of one node. Each can be
//! taken twice, and cut short at any place: what is there then is a state that
//! works, and taking the step again completes it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use cluster::Cookie;

use super::files::{self, CookieFileError, next_to, previous_to};

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] CookieFileError),
    /// A file cannot be written.
    #[error(
        "cannot change {}: {cause}; run this as the owner of that file or as root. Where its folder can \
         never be written, as with systemd's LoadCredential, change the cookie by restarts: docs/operations.md",
        path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        cause: io::Error,
    },
    /// The new cookie is the one in use.
    #[error("{} holds the cookie that is in use already; make another one: host cookie generate FILE", .0.display())]
    InUse(PathBuf),
    /// Another new one waits.
    #[error(
        "another new cookie is accepted already, in {}; go on with that one: host cookie rotate switch; \
         or drop it: host cookie rotate back",
        .0.display()
    )]
    OtherNext(PathBuf),
    /// The change before is not over.
    #[error(
        "the change before this one is at step 2; end it first on every node: host cookie rotate finish"
    )]
    Unfinished,
    /// There is no new one.
    #[error(
        "there is no new cookie to switch to; take step 1 first: host cookie rotate accept FILE"
    )]
    NoNext,
    /// The new one is not sent with yet.
    #[error(
        "this node still sends with the old cookie; take step 2 first: host cookie rotate switch; \
         or give the change up: host cookie rotate back"
    )]
    NotSwitched,
    /// There is nothing to undo.
    #[error("no change of the cookie is under way: there is nothing to take back")]
    NothingToUndo,
}

/// How far the files of a node are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// There is one cookie.
    Rest,
    /// The next one is accepted.
    Accepting,
    /// The next one is sent with, the previous one accepted.
    Switched,
}

/// The cookie file of a node and its neighbours.
pub(crate) struct Files {
    path: PathBuf,
    next: PathBuf,
    previous: PathBuf,
}

const FLAG: &str = "the cookie file";

impl Files {
    pub(crate) fn of(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            next: next_to(path),
            previous: previous_to(path),
        }
    }

    /// How far they are.
    pub(crate) fn at(&self) -> Result<At, StepError> {
        let main = files::read(FLAG, &self.path)?;
        let differs = |path| {
            let cookie = files::read_if_there(FLAG, path)?;
            Ok::<_, CookieFileError>(cookie.is_some_and(|cookie| cookie.reveal() != main.reveal()))
        };
        Ok(match (differs(&self.next)?, differs(&self.previous)?) {
            (true, _) => At::Accepting,
            (false, true) => At::Switched,
            (false, false) => At::Rest,
        })
    }

    /// The cookie that is accepted besides after step 1.
    pub(crate) fn next(&self) -> Result<Cookie, StepError> {
        files::read_if_there(FLAG, &self.next)?.ok_or(StepError::NoNext)
    }

    /// Step 1: accepts the new cookie besides.
    pub(crate) fn accept(&self, new: &Cookie, from: &Path) -> Result<(), StepError> {
        let main = files::read(FLAG, &self.path)?;
        match self.at()? {
            At::Switched if new.reveal() == main.reveal() => Ok(()),
            At::Switched => Err(StepError::Unfinished),
            _ if new.reveal() == main.reveal() => Err(StepError::InUse(from.to_owned())),
            At::Accepting => {
                let next = files::read(FLAG, &self.next)?;
                match next.reveal() == new.reveal() {
                    true => Ok(()),
                    false => Err(StepError::OtherNext(self.next.clone())),
                }
            }
            At::Rest => {
                self.remove(&self.previous)?;
                self.write(&self.next, new)
            }
        }
    }

    /// Step 2: sends with the new cookie, accepts the old one besides.
    pub(crate) fn switch(&self) -> Result<(), StepError> {
        match self.at()? {
            At::Rest => Err(StepError::NoNext),
            At::Switched => Ok(()),
            At::Accepting => {
                let main = files::read(FLAG, &self.path)?;
                self.write(&self.previous, &main)?;
                self.rename(&self.next)
            }
        }
    }

    /// Step 3: forgets the old cookie.
    pub(crate) fn finish(&self) -> Result<(), StepError> {
        match self.at()? {
            At::Accepting => Err(StepError::NotSwitched),
            At::Rest | At::Switched => {
                self.remove(&self.next)?;
                self.remove(&self.previous)
            }
        }
    }

    /// Takes the last step back.
    pub(crate) fn back(&self) -> Result<(), StepError> {
        match self.at()? {
            At::Rest => Err(StepError::NothingToUndo),
            At::Accepting => {
                self.remove(&self.next)?;
                self.remove(&self.previous)
            }
            At::Switched => {
                let main = files::read(FLAG, &self.path)?;
                self.write(&self.next, &main)?;
                self.rename(&self.previous)
            }
        }
    }

    /// Gives a neighbour this cookie, for the owner of the cookie file only.
    fn write(&self, path: &Path, cookie: &Cookie) -> Result<(), StepError> {
        let failed = |cause| StepError::Write {
            path: path.to_owned(),
            cause,
        };
        let owner = fs::metadata(&self.path).map_err(failed)?;
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".new");
        let temporary = PathBuf::from(temporary);
        let write = || {
            let _ = fs::remove_file(&temporary);
            let mut file = create(&temporary)?;
            if file.metadata()?.uid() != owner.uid() {
                // Root does this for the user that the node runs as.
                chown(&temporary, Some(owner.uid()), Some(owner.gid()))?;
            }
            file.write_all(cookie.reveal())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&temporary, path)?;
            self.sync_folder()
        };
        write().map_err(failed)
    }

    /// Puts a neighbour in the place of the cookie file.
    fn rename(&self, from: &Path) -> Result<(), StepError> {
        fs::rename(from, &self.path)
            .and_then(|()| self.sync_folder())
            .map_err(|cause| StepError::Write {
                path: self.path.clone(),
                cause,
            })
    }

    fn remove(&self, path: &Path) -> Result<(), StepError> {
        match fs::remove_file(path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(StepError::Write {
                path: path.to_owned(),
                cause,
            }),
            _ => Ok(()),
        }
    }

    fn sync_folder(&self) -> io::Result<()> {
        match self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            Some(folder) => File::open(folder)?.sync_all(),
            None => File::open(".")?.sync_all(),
        }
    }
}

/// Makes a file that was not there, for its owner only whatever the umask is.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            fs::write(folder.path(), "old\n").unwrap();
            folder
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("cookie")
        }

        fn files(&self) -> Files {
            Files::of(&self.path())
        }

        /// All cookie files and what they hold.
        fn content(&self) -> Vec<(String, String)> {
            let mut all: Vec<_> = fs::read_dir(self.0.path())
                .unwrap()
                .map(|entry| {
                    let entry = entry.unwrap();
                    let content = fs::read_to_string(entry.path()).unwrap();
                    let name = entry.file_name().into_string().unwrap();
                    (name, content.trim_end().to_owned())
                })
                .collect();
            all.sort();
            all
        }

        fn holds(&self, expected: &[(&str, &str)]) {
            let content = self.content();
            let content: Vec<_> = content.iter().map(|(a, b)| (&**a, &**b)).collect();
            assert_eq!(content, expected);
        }
    }

    fn cookie(text: &str) -> Cookie {
        Cookie::parse(text.as_bytes()).unwrap()
    }

    fn accept(files: &Files, text: &str) -> Result<(), StepError> {
        files.accept(&cookie(text), Path::new("new-file"))
    }

    #[test]
    fn three_steps_lead_from_one_cookie_to_the_next_and_each_can_be_repeated() {
        let folder = Folder::new();
        let files = folder.files();
        for _ in 0..2 {
            accept(&files, "new").unwrap();
            folder.holds(&[("cookie", "old"), ("cookie.next", "new")]);
        }
        for _ in 0..2 {
            files.switch().unwrap();
            folder.holds(&[("cookie", "new"), ("cookie.previous", "old")]);
        }
        for _ in 0..2 {
            files.finish().unwrap();
            folder.holds(&[("cookie", "new")]);
        }
    }

    #[test]
    fn each_step_can_be_taken_back() {
        let folder = Folder::new();
        let files = folder.files();
        accept(&files, "new").unwrap();
        files.switch().unwrap();
        files.back().unwrap();
        folder.holds(&[("cookie", "old"), ("cookie.next", "new")]);
        files.switch().unwrap();
        files.back().unwrap();
        files.back().unwrap();
        folder.holds(&[("cookie", "old")]);
        assert!(matches!(files.back(), Err(StepError::NothingToUndo)));
    }

    #[test]
    fn a_step_out_of_turn_is_refused_and_changes_nothing() {
        let folder = Folder::new();
        let files = folder.files();
        assert!(matches!(files.switch(), Err(StepError::NoNext)));
        assert!(matches!(accept(&files, "old"), Err(StepError::InUse(_))));
        accept(&files, "new").unwrap();
        let before = folder.content();
        assert!(matches!(
            accept(&files, "third"),
            Err(StepError::OtherNext(_))
        ));
        assert!(matches!(files.finish(), Err(StepError::NotSwitched)));
        assert_eq!(folder.content(), before);
        files.switch().unwrap();
        let before = folder.content();
        assert!(matches!(
            accept(&files, "third"),
            Err(StepError::Unfinished)
        ));
        // The one in use as the file that step 1 was taken with.
        accept(&files, "new").unwrap();
        assert_eq!(folder.content(), before);
    }

    #[test]
    fn a_step_that_was_cut_short_is_completed_by_taking_it_again() {
        let folder = Folder::new();
        let files = folder.files();
        accept(&files, "new").unwrap();
        // After the first of two renames.
        fs::write(folder.0.path().join("cookie.previous"), "old\n").unwrap();
        fs::write(folder.0.path().join("cookie.previous.new"), "o").unwrap();
        assert_eq!(files.at().unwrap(), At::Accepting);
        files.switch().unwrap();
        folder.holds(&[("cookie", "new"), ("cookie.previous", "old")]);
        // The same of the way back.
        fs::write(folder.0.path().join("cookie.next"), "new\n").unwrap();
        assert_eq!(files.at().unwrap(), At::Switched);
        files.back().unwrap();
        folder.holds(&[("cookie", "old"), ("cookie.next", "new")]);
    }

    #[test]
    fn what_is_written_is_for_its_owner_only() {
        let folder = Folder::new();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o644)).unwrap();
        accept(&folder.files(), "new").unwrap();
        let next = fs::metadata(folder.0.path().join("cookie.next")).unwrap();
        assert_eq!(next.mode() & 0o777, 0o600);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named_with_what_to_do() {
        let folder = Folder::new();
        // Root may write everywhere, but not into a folder that is a file.
        fs::create_dir(folder.0.path().join("cookie.next.new")).unwrap();
        let error = accept(&folder.files(), "new").unwrap_err().to_string();
        assert!(
            error.contains("cookie.next") && error.contains("as root"),
            "{error}"
        );
        assert_eq!(folder.files().at().unwrap(), At::Rest);
    }
}
