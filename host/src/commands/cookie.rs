//! `host cookie`: makes a cookie.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use cluster::Cookie;
use rand::TryRng as _;

use super::cli::{CookieCommand, NewCookie};
use super::make_secret;

/// Why no cookie was made.
#[derive(Debug, thiserror::Error)]
pub enum NewCookieError {
    /// The file is there already.
    #[error("{} is there already and was left alone; give another name: host cookie new FILE", .0.display())]
    Exists(PathBuf),
    /// The file cannot be made.
    #[error("cannot make {}: {cause}", path.display())]
    Make {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        cause: io::Error,
    },
    /// Standard output cannot be written.
    #[error("cannot print: {0}")]
    Print(io::Error),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
}

/// Runs `host cookie`.
pub(super) fn run(command: CookieCommand) -> Result<(), NewCookieError> {
    let CookieCommand::New(new) = command;
    let cookie = generate()?;
    let NewCookie { file, print } = new;
    let mut out = io::stdout().lock();
    if print {
        return out
            .write_all(cookie.reveal())
            .and_then(|()| out.write_all(b"\n"))
            .map_err(NewCookieError::Print);
    }
    make(&file, &cookie)?;
    writeln!(
        out,
        "made a strong cookie in {}, which only its owner can read\n\
         for a new cluster: start every node with --cookie-file and a copy of it\n\
         for a cluster that runs: host cookie --help",
        file.display()
    )
    .map_err(NewCookieError::Print)
}

fn generate() -> Result<Cookie, NewCookieError> {
    let mut random = [0; 20];
    rand::rngs::SysRng
        .try_fill_bytes(&mut random)
        .map_err(|error| NewCookieError::Random(error.to_string()))?;
    Ok(Cookie::generate(random))
}

fn make(path: &Path, cookie: &Cookie) -> Result<(), NewCookieError> {
    let made = make_secret(path, &[cookie.reveal(), b"\n"]);
    made.map_err(|cause| match cause.kind() {
        io::ErrorKind::AlreadyExists => NewCookieError::Exists(path.to_owned()),
        _ => NewCookieError::Make {
            path: path.to_owned(),
            cause,
        },
    })
}
