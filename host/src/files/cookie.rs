//! The cookies of a node, from flags and files to checked ones.
//!
//! A node sends with one cookie and may accept a second one besides, so that a cluster can change its cookie
//! node by node. The second cookie is in the file of `--also-cookie-file`, or else in `FILE.also` beside the
//! cookie file `FILE`, if there is such a file. docs/operations.md has the steps of a change.
//!
//! ```text
//! flags, files, SIGHUP -> Origins -> Cookies -> CookieWatcher -> cluster::Keys -> membership
//! ```

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use cluster::{COOKIE_MAX, Cookie, CookieError};
use zeroize::Zeroizing;

/// The source of a cookie that is not in a file.
pub const COOKIE: &str = "--cookie or HOST_COOKIE";

/// The suffix of the second cookie's file, after the name of the first cookie's file.
const ALSO: &str = ".also";

/// Why a cookie cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CookieFileError {
    /// The file cannot be read.
    #[error("{flag}: cannot read {}: {cause}", path.display())]
    File {
        /// The flag or variable that named it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What the file system said.
        cause: io::Error,
    },
    /// The text is no cookie.
    #[error("{from}: {cause}")]
    Cookie {
        /// Where it came from.
        from: String,
        /// What is wrong.
        cause: CookieError,
    },
    /// The two cookies are equal.
    #[error(
        "the cookie of {main} and the second cookie of {second} are the same; \
         remove the second one, or give another one there"
    )]
    Same {
        /// Where the first cookie came from.
        main: String,
        /// Where the second cookie came from.
        second: String,
    },
}

/// Where a cookie comes from.
#[derive(Debug)]
pub enum Origin {
    /// It was given directly.
    Given {
        /// The flag or variable that gave it.
        from: &'static str,
        /// The cookie.
        cookie: Cookie,
    },
    /// It is in a file.
    File {
        /// The flag or variable that named it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
    },
}

/// Where the cookies of a node come from.
#[derive(Debug)]
pub struct Origins {
    /// The cookie that the node sends with.
    pub main: Origin,
    /// The second cookie, which the node only accepts, if a flag or the environment named it. Otherwise it
    /// is in the file `FILE.also` beside the first cookie's file, if there is such a file.
    pub second: Option<Origin>,
}

/// The cookies of a node.
#[derive(Debug)]
pub struct Cookies {
    /// The cookie that the node sends with.
    pub main: Cookie,
    /// The second cookie, which the node only accepts.
    pub second: Option<Cookie>,
}

impl Cookies {
    /// Whether these are the same cookies in the same roles.
    pub(crate) fn equal(&self, other: &Cookies) -> bool {
        fn second_of(cookies: &Cookies) -> Option<&[u8]> {
            cookies.second.as_ref().map(Cookie::reveal)
        }
        self.main.reveal() == other.main.reveal() && second_of(self) == second_of(other)
    }
}

impl Origin {
    /// Checks a cookie that was given directly.
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

    /// A cookie in a file. The file is read here once, so that an error shows at once.
    ///
    /// # Errors
    /// [`CookieFileError::File`] and [`CookieFileError::Cookie`].
    pub fn file(flag: &'static str, path: PathBuf) -> Result<Self, CookieFileError> {
        read(flag, &path)?;
        Ok(Self::File { flag, path })
    }

    /// Reads the cookie as it is now.
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

    /// Describes the source for people.
    pub fn shown(&self) -> String {
        match self {
            Self::Given { from, .. } => (*from).to_owned(),
            Self::File { path, .. } => path.display().to_string(),
        }
    }

    /// The second cookie's file, beside the file of this cookie.
    fn beside(&self) -> Option<Origin> {
        let Self::File { path, .. } = self else {
            return None;
        };
        let mut name = path.as_os_str().to_owned();
        name.push(ALSO);
        Some(Self::File {
            flag: "the second cookie",
            path: name.into(),
        })
    }
}

impl Origins {
    /// Reads both cookies as they are now.
    ///
    /// # Errors
    /// [`CookieFileError`]. The cookies that were read before stay valid then.
    pub fn read(&self) -> Result<Cookies, CookieFileError> {
        let main = self.main.read()?;
        let (origin, second) = match (&self.second, self.main.beside()) {
            (Some(origin), _) => (origin.shown(), Some(origin.read()?)),
            (None, Some(origin)) => (origin.shown(), if_there(origin.read())?),
            (None, None) => (String::new(), None),
        };
        if second.as_ref().map(Cookie::reveal) == Some(main.reveal()) {
            return Err(CookieFileError::Same {
                main: self.main.shown(),
                second: origin,
            });
        }
        Ok(Cookies { main, second })
    }
}

/// Turns the error for a missing file into none.
fn if_there(read: Result<Cookie, CookieFileError>) -> Result<Option<Cookie>, CookieFileError> {
    match read {
        Err(CookieFileError::File { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// Reads a cookie file.
fn read(flag: &'static str, path: &Path) -> Result<Cookie, CookieFileError> {
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

fn read_bytes(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    // There is room for a line end. With one more byte, the text is too long in any case.
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

        /// Reads the first cookie and the second one.
        fn read(&self) -> (String, Option<String>) {
            let text = |cookie: &Cookie| String::from_utf8(cookie.reveal().to_vec()).unwrap();
            let cookies = self.origins(None).read().unwrap();
            (text(&cookies.main), cookies.second.as_ref().map(text))
        }
    }

    #[test]
    fn the_file_beside_the_cookie_file_holds_the_second_cookie() {
        let folder = Folder::new(&[("c", "old\n")]);
        assert_eq!(folder.read(), ("old".into(), None));
        folder.write("c.also", "new\n");
        assert_eq!(folder.read(), ("old".into(), Some("new".into())));
    }

    #[test]
    fn each_part_of_the_swap_leaves_files_that_a_node_starts_with() {
        let folder = Folder::new(&[("c", "old\n"), ("c.also", "new\n")]);
        let path = |name: &str| folder.0.path().join(name);
        // These are the steps of docs/operations.md.
        std::fs::copy(path("c"), path("c.old")).unwrap();
        assert_eq!(folder.read(), ("old".into(), Some("new".into())));
        std::fs::rename(path("c.also"), path("c")).unwrap();
        assert_eq!(folder.read(), ("new".into(), None));
        std::fs::rename(path("c.old"), path("c.also")).unwrap();
        assert_eq!(folder.read(), ("new".into(), Some("old".into())));
    }

    #[test]
    fn a_second_cookie_that_cannot_be_is_an_error_that_names_its_file() {
        let folder = Folder::new(&[("c", "old"), ("c.also", "\n"), ("same", "old\n")]);
        let error = |second| {
            let read = folder.origins(second).read();
            read.unwrap_err().to_string()
        };
        let said = error(None);
        assert!(said.contains("c.also: the cookie is empty"), "{said}");
        let said = error(Some("same"));
        assert!(
            said.contains("same") && said.contains("are the same"),
            "{said}"
        );
        let said = error(Some("none"));
        assert!(
            said.contains("cannot read") && said.contains("none"),
            "{said}"
        );
        folder.write("c.also", "old\n");
        let said = error(None);
        assert!(said.contains("c.also are the same"), "{said}");
    }

    #[test]
    fn a_second_cookie_that_is_named_takes_the_place_of_the_one_beside_the_file() {
        let folder = Folder::new(&[("c", "old"), ("c.also", "new"), ("named", "third")]);
        let cookies = folder.origins(Some("named")).read().unwrap();
        assert_eq!(cookies.second.unwrap().reveal(), b"third");
    }
}
