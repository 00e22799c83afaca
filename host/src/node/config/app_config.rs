//! The file of `--app-config`.

use std::path::PathBuf;

use bytes::Bytes;
use cluster::ConfigLines;

use super::NodeConfigError;

/// The largest config of an app, in bytes.
const MAX_CONFIG: u64 = 64 * 1024;

/// The config of this node: as it is, or if it is in lines `KEY=VALUE`, by its names.
pub(super) fn read(file: Option<PathBuf>) -> Result<(Bytes, ConfigLines), NodeConfigError> {
    let Some(path) = file else {
        return Ok(Default::default());
    };
    match read_file(&path, MAX_CONFIG) {
        Ok(bytes) => {
            let text = std::str::from_utf8(&bytes).ok();
            match text.and_then(|text| ConfigLines::read(text).ok()) {
                Some(lines) => Ok((Bytes::new(), lines)),
                None => Ok((bytes.into(), ConfigLines::default())),
            }
        }
        Err(cause) => Err(NodeConfigError::File {
            flag: "--app-config",
            path,
            cause,
        }),
    }
}

/// Reads a small file, and no more than `most` bytes of it.
fn read_file(path: &std::path::Path, most: u64) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(most + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(std::io::Error::other(format!(
            "it has more than {most} bytes"
        )));
    }
    Ok(bytes)
}
