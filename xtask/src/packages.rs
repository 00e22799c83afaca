//! The Debian packages that the tests need. As root on Debian, the missing ones
//! are installed. Otherwise the person reads what is missing, and which tests
//! will say `skipped`.

use crate::command::{on_path, program, run, say, succeeds};
use crate::workspace;
use anyhow::{Result, bail};
use std::path::Path;

struct Package {
    name: &'static str,
    /// The package is installed if this exists.
    shown_by: Shown,
    /// The tests that do not run without it.
    wanted_by: &'static str,
}

enum Shown {
    Program(&'static str),
    /// A path below `/usr/lib/ARCHITECTURE/`.
    Library(&'static str),
    /// A module that python3 can import.
    Python(&'static str),
}

const PACKAGES: [Package; 14] = [
    Package {
        name: "iproute2",
        shown_by: Shown::Program("ip"),
        wanted_by: "all tests in network namespaces",
    },
    Package {
        name: "chromium",
        shown_by: Shown::Program("chromium"),
        wanted_by: "the browser test",
    },
    Package {
        name: "chromium-driver",
        shown_by: Shown::Program("chromedriver"),
        wanted_by: "the browser test",
    },
    Package {
        name: "curl",
        shown_by: Shown::Program("curl"),
        wanted_by: "the walk through the README",
    },
    Package {
        name: "wrk",
        shown_by: Shown::Program("wrk"),
        wanted_by: "the throughput row of the lab",
    },
    Package {
        name: "libfaketime",
        shown_by: Shown::Library("faketime/libfaketime.so.1"),
        wanted_by: "the test that sets a clock back",
    },
    Package {
        name: "btrfs-progs",
        shown_by: Shown::Program("mkfs.btrfs"),
        wanted_by: "the tests of a disk quota that is used up",
    },
    Package {
        name: "e2fsprogs",
        shown_by: Shown::Program("mkfs.ext4"),
        wanted_by: "the test of a disk that is full too late",
    },
    Package {
        name: "shellcheck",
        shown_by: Shown::Program("shellcheck"),
        wanted_by: "the check of the provisioning script",
    },
    Package {
        name: "ruby",
        shown_by: Shown::Program("ruby"),
        wanted_by: "the check of the Vagrantfile",
    },
    Package {
        name: "systemd",
        shown_by: Shown::Program("systemd-analyze"),
        wanted_by: "the check of the systemd unit",
    },
    Package {
        name: "nodejs",
        shown_by: Shown::Program("node"),
        wanted_by: "the tests of a JavaScript app",
    },
    Package {
        name: "npm",
        shown_by: Shown::Program("npm"),
        wanted_by: "the tests of a JavaScript app",
    },
    Package {
        name: "python3-venv",
        shown_by: Shown::Python("ensurepip"),
        wanted_by: "the tests of a Python app",
    },
];

/// Installs what the tests need, or says what is missing.
pub(crate) fn for_tests() -> Result<()> {
    let missing: Vec<&Package> = PACKAGES
        .iter()
        .filter(|package| !package.is_there())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    let is_root = rustix::process::geteuid().is_root();
    if is_root && Path::new("/etc/debian_version").exists() {
        say(&format!(
            "installing what the tests want: {}",
            names.join(" ")
        ));
        return install(&names);
    }
    for package in &missing {
        say(&format!(
            "{} is missing: {} will be skipped",
            package.name, package.wanted_by
        ));
    }
    let remedy = format!("apt-get install {}", names.join(" "));
    if workspace::is_ci() {
        bail!("in CI nothing may be skipped; run `{remedy}` as root");
    }
    say(&format!("to run them too: `{remedy}` as root"));
    Ok(())
}

fn install(names: &[&str]) -> Result<()> {
    // Another apt may be running on a machine that has just started.
    let patient = ["-q", "-o", "DPkg::Lock::Timeout=300"];
    run(program("apt-get", &["update"]).args(patient))?;
    run(
        program("apt-get", &["install", "--yes", "--no-install-recommends"])
            .args(patient)
            .args(names)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

impl Package {
    fn is_there(&self) -> bool {
        match self.shown_by {
            Shown::Program(name) => on_path(name),
            Shown::Python(module) => {
                succeeds(program("python3", &["-c", &format!("import {module}")]))
            }
            Shown::Library(path) => Path::new("/usr/lib").read_dir().is_ok_and(|mut dirs| {
                dirs.any(|dir| dir.is_ok_and(|dir| dir.path().join(path).exists()))
            }),
        }
    }
}
