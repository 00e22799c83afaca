//! Files that have all of their old content or all of the new after a crash at any point. The
//! content is written under another name and synced to the disk; the file is renamed, and the
//! folder is synced too.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The fault points of a write, in their order.
pub struct Points {
    /// The temporary file exists.
    pub begun: &'static str,
    /// Its content is on the disk.
    pub synced: &'static str,
    /// The file has its final name.
    pub renamed: &'static str,
}

/// Gives a file this content, readable only by its user (mode 0600). `temporary` is a name in
/// the same folder that only this call uses. When it returns, the content is on the disk.
///
/// # Errors
/// The error of the system. `temporary` is removed then.
pub fn write(path: &Path, temporary: &Path, content: &[u8], points: &Points) -> io::Result<()> {
    let write = || {
        let mut file = create(temporary)?;
        fault::point(points.begun);
        file.write_all(content)?;
        file.sync_all()?;
        fault::point(points.synced);
        rename(temporary, path, points.renamed)
    };
    write().inspect_err(|_| {
        // On a full disk it would take space that others may need. If this fails too, the next
        // write or the next start removes it.
        let _ = fs::remove_file(temporary);
    })
}

/// Makes a file for this user only (mode 0600), or empties an existing one.
pub fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

/// Renames a file whose content is on the disk. When it returns, the new name is on the disk
/// too. `renamed` is the fault point in between.
pub fn rename(from: &Path, to: &Path, renamed: &'static str) -> io::Result<()> {
    fs::rename(from, to)?;
    fault::point(renamed);
    sync_folder_of(to)
}

/// Syncs the folder of this file to the disk: a rename changes the folder.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
