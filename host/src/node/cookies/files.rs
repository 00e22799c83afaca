//! From flags and files to checked cookies.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use cluster::{COOKIE_MAX, Cookie, CookieError};
use zeroize::Zeroizing;

/// What is put behind the name of the cookie file.
const NEXT: &str = ".next";
const PREVIOUS: &str = ".previous";

/// Why a cookie cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CookieFileError {
    /// The file cannot be read.
    #[error("{flag}: cannot read {}: {cause}", path.display())]
    File {
        /// What named it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What the file system said.
        cause: io::Error,
    },
    /// What it holds is no cookie.
    #[error("{from}: {cause}")]
    Cookie {
        /// Where it came from.
        from: String,
        /// What is wrong.
        cause: CookieError,
    },
    /// Both are one.
    #[error(
        "the cookie of {main} and the second one of {second} are the same; \
         give the one that is to be accepted besides, or leave it away"
    )]
    Same {
        /// Where the first came from.
        main: String,
        /// Where the second came from.
        second: String,
    },
}

/// Where a cookie comes from.
#[derive(Debug)]
pub enum Origin {
    /// It was given as it is.
    Given {
        /// By what.
        from: &'static str,
        /// The cookie.
        cookie: Cookie,
    },
    /// It is in a file.
    File {
        /// What named it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
    },
}

/// Where the cookies of a node come from.
#[derive(Debug)]
pub struct Origins {
    /// The one that is sent with.
    pub main: Origin,
    /// The one that is accepted besides, if it was named; else the neighbours
    /// of the first one's file count.
    pub second: Option<Origin>,
}

/// What a second cookie is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Second {
    /// The new one, before it is sent with.
    Next,
    /// The old one, after it was.
    Previous,
    /// It was named by a flag or the environment.
    Given,
}

/// The cookies of a node.
#[derive(Debug)]
pub struct Cookies {
    /// The one that is sent with.
    pub main: Cookie,
    /// The one that is accepted besides.
    pub second: Option<(Second, Cookie)>,
}

impl Cookies {
    /// Whether these are the same cookies in the same roles.
    pub(super) fn equal(&self, other: &Cookies) -> bool {
        let second = |cookies: &Cookies| {
            let second = cookies.second.as_ref();
            second.map(|(what, cookie)| (*what, Zeroizing::new(cookie.reveal().to_vec())))
        };
        self.main.reveal() == other.main.reveal() && second(self) == second(other)
    }
}

impl Origin {
    /// Takes a cookie that was given as it is.
    ///
    /// # Errors
    /// [`CookieFileError::Cookie`].
    pub fn given(from: &'static str, text: String) -> Result<Self, CookieFileError> {
        let bytes = Zeroizing::new(text.into_bytes());
        let cookie = Cookie::parse(&bytes).map_err(|cause| CookieFileError::Cookie {
            from: from.to_owned(),
            cause,
        })?;
        Ok(Self::Given { from, cookie })
    }

    /// Takes a cookie out of a file, which is read here once to see that it
    /// can be.
    ///
    /// # Errors
    /// [`CookieFileError::File`] and [`CookieFileError::Cookie`].
    pub fn file(flag: &'static str, path: PathBuf) -> Result<Self, CookieFileError> {
        read(flag, &path)?;
        // The commands run in another folder.
        let path = std::path::absolute(&path).unwrap_or(path);
        Ok(Self::File { flag, path })
    }

    /// The cookie now.
    ///
    /// # Errors
    /// [`CookieFileError::File`] and [`CookieFileError::Cookie`].
    pub fn read(&self) -> Result<Cookie, CookieFileError> {
        match self {
            Self::Given { from, cookie } => {
                Cookie::parse(cookie.reveal()).map_err(|cause| CookieFileError::Cookie {
                    from: (*from).to_owned(),
                    cause,
                })
            }
            Self::File { flag, path } => read(flag, path),
        }
    }

    /// Where it comes from, for people.
    pub fn shown(&self) -> String {
        match self {
            Self::Given { from, .. } => (*from).to_owned(),
            Self::File { path, .. } => path.display().to_string(),
        }
    }

    /// The file that it is in.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Given { .. } => None,
            Self::File { path, .. } => Some(path),
        }
    }
}

impl Origins {
    /// Reads all that there is now.
    ///
    /// # Errors
    /// [`CookieFileError`]; what was read before still holds then.
    pub fn read(&self) -> Result<Cookies, CookieFileError> {
        let main = self.main.read()?;
        let second = match (&self.second, self.main.path()) {
            (Some(origin), _) => {
                let second = origin.read()?;
                if second.reveal() == main.reveal() {
                    return Err(CookieFileError::Same {
                        main: self.main.shown(),
                        second: origin.shown(),
                    });
                }
                Some((Second::Given, second))
            }
            (None, Some(path)) => neighbour(path, &main)?,
            (None, None) => None,
        };
        Ok(Cookies { main, second })
    }
}

/// The second cookie beside a file. One that is the first one again is what a
/// step left that was not finished: it counts as not there.
fn neighbour(path: &Path, main: &Cookie) -> Result<Option<(Second, Cookie)>, CookieFileError> {
    for (path, second) in [
        (next_to(path), Second::Next),
        (previous_to(path), Second::Previous),
    ] {
        if let Some(cookie) = read_if_there("the second cookie", &path)?
            && cookie.reveal() != main.reveal()
        {
            return Ok(Some((second, cookie)));
        }
    }
    Ok(None)
}

/// Where the new cookie of a file is.
pub(super) fn next_to(path: &Path) -> PathBuf {
    beside(path, NEXT)
}

/// Where the old cookie of a file is.
pub(super) fn previous_to(path: &Path) -> PathBuf {
    beside(path, PREVIOUS)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Reads a cookie file.
pub(crate) fn read(flag: &'static str, path: &Path) -> Result<Cookie, CookieFileError> {
    let bytes = read_bytes(path).map_err(|cause| CookieFileError::File {
        flag,
        path: path.to_owned(),
        cause,
    })?;
    Cookie::parse(&bytes).map_err(|cause| CookieFileError::Cookie {
        from: path.display().to_string(),
        cause,
    })
}

/// The same, or none if there is no such file.
pub(super) fn read_if_there(
    flag: &'static str,
    path: &Path,
) -> Result<Option<Cookie>, CookieFileError> {
    match read(flag, path) {
        Ok(cookie) => Ok(Some(cookie)),
        Err(CookieFileError::File { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn read_bytes(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    // Room for a line end; one more byte is too long whatever it is.
    let most = COOKIE_MAX + 2;
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 1));
    File::open(path)?
        .take(most as u64 + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(io::Error::other(format!("it has more than {most} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new(files: &[(&str, &str)]) -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            for (name, content) in files {
                folder.write(name, content);
            }
            folder
        }

        fn write(&self, name: &str, content: &str) {
            std::fs::write(self.0.path().join(name), content).unwrap();
        }

        fn origins(&self, second: Option<&str>) -> Origins {
            let file = |name: &str| Origin::File {
                flag: "--cookie-file",
                path: self.0.path().join(name),
            };
            Origins {
                main: file("c"),
                second: second.map(file),
            }
        }

        /// What is read: the first cookie, what the second is, and the second.
        fn read(&self) -> (String, Option<(Second, String)>) {
            let text = |cookie: &Cookie| String::from_utf8(cookie.reveal().to_vec()).unwrap();
            let cookies = self.origins(None).read().unwrap();
            let second = cookies.second.as_ref();
            let second = second.map(|(what, cookie)| (*what, text(cookie)));
            (text(&cookies.main), second)
        }
    }

    #[test]
    fn the_neighbours_of_a_cookie_file_say_at_which_step_it_is() {
        let second = |what, cookie: &str| Some((what, cookie.to_owned()));
        let folder = Folder::new(&[("c", "old\n")]);
        assert_eq!(folder.read(), ("old".into(), None));
        folder.write("c.next", "new\n");
        assert_eq!(folder.read(), ("old".into(), second(Second::Next, "new")));
        // A step that was cut short, at each place.
        folder.write("c.previous", "old\n");
        assert_eq!(folder.read(), ("old".into(), second(Second::Next, "new")));
        folder.write("c", "new\n");
        assert_eq!(
            folder.read(),
            ("new".into(), second(Second::Previous, "old"))
        );
        std::fs::remove_file(folder.0.path().join("c.next")).unwrap();
        assert_eq!(
            folder.read(),
            ("new".into(), second(Second::Previous, "old"))
        );
    }

    #[test]
    fn a_second_cookie_that_cannot_be_is_an_error_that_names_its_file() {
        let folder = Folder::new(&[("c", "old"), ("c.next", "\n"), ("same", "old\n")]);
        let error = folder.origins(None).read().unwrap_err().to_string();
        assert!(error.contains("c.next: the cookie is empty"), "{error}");
        let error = folder.origins(Some("same")).read().unwrap_err().to_string();
        assert!(error.contains("are the same"), "{error}");
        let error = folder.origins(Some("none")).read().unwrap_err().to_string();
        assert!(
            error.contains("cannot read") && error.contains("none"),
            "{error}"
        );
    }

    #[test]
    fn a_second_cookie_that_is_named_takes_the_place_of_the_neighbours() {
        let folder = Folder::new(&[("c", "old"), ("c.next", "new"), ("named", "third")]);
        let cookies = folder.origins(Some("named")).read().unwrap();
        let (what, cookie) = cookies.second.unwrap();
        assert_eq!((what, cookie.reveal()), (Second::Given, &b"third"[..]));
    }
}
