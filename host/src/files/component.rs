//! Finds and reads the file that `--app` names.

use std::io::Read;
use std::path::{Path, PathBuf};

use cluster::ComponentBytes;
use mesh::store::MAX_APP;
use runtime::component::NamedComponent;

use super::AppFileSearch;

/// Why the file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// There is no such file.
    #[error("there is no app file {path}; {hint}")]
    Missing {
        /// The value of `--app`.
        path: PathBuf,
        /// Where else the host looked for it, and what to do.
        hint: String,
    },
    /// It is there and cannot be read.
    #[error("cannot read the app file {path}: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        cause: std::io::Error,
    },
    /// It is not a regular file.
    #[error("{path} is not a file; --app takes a component, e.g. --app guest.wasm")]
    NotAFile {
        /// The value of `--app`.
        path: PathBuf,
    },
    /// It is larger than a component may be.
    #[error(
        "the app file {path} has {size} bytes, more than the {most} that an app may have; build it in release mode or strip it, or raise --max-component"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes, or more than the limit if it is still growing.
        size: u64,
        /// The limit, in bytes.
        most: u64,
    },
}

/// Finds the file that `--app` means. If a bare file name is not in the current
/// folder, the folders where `cargo` builds components are searched, and the
/// newest file is taken.
///
/// # Errors
/// [`IntakeError::Missing`] with the places that were searched.
pub fn locate(app: &Path) -> Result<PathBuf, IntakeError> {
    locate_in(&AppFileSearch::of(app), app)
}

/// Like [`locate`], in these places.
///
/// # Errors
/// See [`locate`].
pub(crate) fn locate_in(places: &AppFileSearch, app: &Path) -> Result<PathBuf, IntakeError> {
    let found = places.path();
    if found.exists() {
        return Ok(found.to_owned());
    }
    let hint = if places.is_bare() {
        "it is not in this folder, nor in target/wasm32-wasip{1,2}/{release,debug} below it; \
         build it with `cargo component build -p guest`, or give its path"
    } else {
        "check the path"
    };
    Err(IntakeError::Missing {
        path: app.to_owned(),
        hint: hint.to_owned(),
    })
}

/// Reads an app file, up to [`MAX_APP`] bytes.
///
/// # Errors
/// See [`IntakeError`].
pub fn read(path: &Path) -> Result<NamedComponent, IntakeError> {
    read_up_to(path, MAX_APP)
}

/// Like [`read`], up to `most` bytes.
///
/// # Errors
/// See [`IntakeError`].
pub fn read_up_to(path: &Path, most: u64) -> Result<NamedComponent, IntakeError> {
    let unreadable = |cause| IntakeError::Unreadable {
        path: path.to_owned(),
        cause,
    };
    let too_large = |size| IntakeError::TooLarge {
        path: path.to_owned(),
        size,
        most,
    };
    // Checked before it is opened, because opening a pipe would wait for a
    // writer.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(IntakeError::NotAFile {
            path: path.to_owned(),
        });
    }
    if metadata.len() > most {
        return Err(too_large(metadata.len()));
    }
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    // One byte more than allowed, so that a file that grows meanwhile is
    // noticed.
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > most {
        return Err(too_large(bytes.len() as u64));
    }
    let component = ComponentBytes::of(bytes.into());
    fault::point("intake: app read");
    Ok(NamedComponent {
        path: path.to_owned(),
        component,
    })
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    /// One of the build folders.
    const BUILD: &str = "target/wasm32-wasip1/release";

    fn workspace() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn locate_from(folder: &Path, app: &Path) -> Result<PathBuf, IntakeError> {
        locate_in(&AppFileSearch::seen_from(folder, app), app)
    }

    #[test]
    fn a_bare_name_is_found_in_the_build_folder_with_the_newest_file() {
        let folder = workspace();
        for (build, age) in [
            ("target/wasm32-wasip1/debug", 10),
            ("target/wasm32-wasip2/release", 5),
        ] {
            std::fs::create_dir_all(folder.path().join(build)).unwrap();
            let file = std::fs::File::create(folder.path().join(build).join("guest.wasm")).unwrap();
            file.set_modified(SystemTime::now() - std::time::Duration::from_secs(age))
                .unwrap();
        }
        let found = locate_from(folder.path(), Path::new("guest.wasm")).unwrap();
        assert!(
            found.ends_with("target/wasm32-wasip2/release/guest.wasm"),
            "{found:?}"
        );
    }

    #[test]
    fn a_file_in_the_current_folder_comes_before_any_build_folder() {
        let folder = workspace();
        std::fs::create_dir_all(folder.path().join(BUILD)).unwrap();
        std::fs::write(folder.path().join(BUILD).join("guest.wasm"), b"").unwrap();
        std::fs::write(folder.path().join("guest.wasm"), b"").unwrap();
        let found = locate_from(folder.path(), Path::new("guest.wasm")).unwrap();
        assert_eq!(found, folder.path().join("guest.wasm"));
    }

    #[test]
    fn a_path_with_a_folder_is_not_looked_for_elsewhere() {
        let folder = workspace();
        std::fs::create_dir_all(folder.path().join(BUILD)).unwrap();
        std::fs::write(folder.path().join(BUILD).join("guest.wasm"), b"").unwrap();
        let error = locate_from(folder.path(), Path::new("dist/guest.wasm")).unwrap_err();
        assert!(error.to_string().contains("check the path"), "{error}");
    }

    #[test]
    fn a_missing_app_says_where_it_was_looked_for_and_how_to_build_it() {
        let error = locate_from(workspace().path(), Path::new("guest.wasm"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("target/wasm32-wasip{1,2}/{release,debug}"),
            "{error}"
        );
        assert!(error.contains("cargo component build"), "{error}");
    }

    #[test]
    fn a_folder_and_a_file_over_the_limit_are_refused() {
        let folder = workspace();
        assert!(matches!(
            read(folder.path()),
            Err(IntakeError::NotAFile { .. })
        ));
        let path = folder.path().join("big.wasm");
        std::fs::File::create(&path)
            .unwrap()
            .set_len(MAX_APP + 1)
            .unwrap();
        assert!(matches!(read(&path), Err(IntakeError::TooLarge { .. })));
    }
}
