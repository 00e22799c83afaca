//! A control group with little memory, for one process: as on a machine that has no more.
//! It is made beside or below the group of this process, and removed on drop.

use crate::process::Launch;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the groups of each version are mounted.
const ROOT: &str = "/sys/fs/cgroup";
const ROOT_OF_FIRST: &str = "/sys/fs/cgroup/memory";

/// A group whose processes have so much memory together.
#[derive(Debug)]
pub struct LittleMemory {
    folder: PathBuf,
}

impl LittleMemory {
    /// A group with so many bytes, or why there can be none.
    ///
    /// # Errors
    ///
    /// What stands in the way, as the end of a sentence.
    pub fn new(bytes: u64) -> Result<Self, String> {
        let groups = fs::read_to_string("/proc/self/cgroup")
            .map_err(|error| format!("cannot read /proc/self/cgroup: {error}"))?;
        let (parent, limits) = place(&groups)?;
        let folder = parent.join(format!("lab-{}", std::process::id()));
        let cannot = |what: &Path, error| format!("cannot write {}: {error}", what.display());
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(cannot(&folder, error));
            }
            Ok(()) | Err(_) => {}
        }
        let group = Self { folder };
        let [limit, swap] = limits.map(|file| group.folder.join(file));
        fs::write(&limit, bytes.to_string()).map_err(|error| cannot(&limit, error))?;
        // Many kernels do not count swap; where there is none, nothing is swapped.
        let _ = fs::write(
            swap,
            if limits == FIRST {
                bytes.to_string()
            } else {
                "0".into()
            },
        );
        Ok(group)
    }

    /// This program, in the group from its first moment.
    #[must_use]
    pub fn around(&self, launch: Launch, program: &Path) -> Launch {
        let procs = self.folder.join("cgroup.procs");
        let script = format!("echo $$ > '{}' && exec \"$0\" \"$@\"", procs.display());
        launch.through(Path::new("/bin/sh"), &["-c", &script], program)
    }
}

impl Drop for LittleMemory {
    fn drop(&mut self) {
        // Its processes are gone; if not, whoever finds the folder knows by its name.
        let _ = fs::remove_dir(&self.folder);
    }
}

/// The files of a limit, and of the one with swap, in each version.
const FIRST: [&str; 2] = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"];
const SECOND: [&str; 2] = ["memory.max", "memory.swap.max"];

/// The folder in which a group can be made, and the files of its limits.
fn place(groups: &str) -> Result<(PathBuf, [&'static str; 2]), String> {
    let path_of = |controllers: &str| {
        groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let path = (parts.next() == Some(controllers)).then(|| parts.next())?;
            path.map(|path| path.trim_start_matches('/').to_owned())
        })
    };
    if let Some(own) = path_of("memory") {
        return Ok((Path::new(ROOT_OF_FIRST).join(own), FIRST));
    }
    let own = path_of("").ok_or("this process is in no control group")?;
    // A group that has processes of its own can give no memory to groups in it, but the
    // root.
    let own = Path::new(ROOT).join(own);
    let gives = |folder: &&Path| {
        let given = fs::read_to_string(folder.join("cgroup.subtree_control"));
        given.is_ok_and(|given| given.split_whitespace().any(|it| it == "memory"))
    };
    let around = own.ancestors().take_while(|it| it.starts_with(ROOT));
    let parent = around.into_iter().find(gives);
    let parent = parent.ok_or("no control group around this process shares out memory")?;
    Ok((parent.to_owned(), SECOND))
}
