//! The Debian packages that the tests and the benchmarks need. As root on Debian, the missing ones
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

const PACKAGES: [Package; 16] = [
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
        name: "valgrind",
        shown_by: Shown::Program("valgrind"),
        wanted_by: "the test that counts the instructions of a request",
    },
    Package {
        name: "redis-server",
        shown_by: Shown::Program("redis-server"),
        wanted_by: "the test of an app that speaks to Redis",
    },
    Package {
        name: "python3-venv",
        shown_by: Shown::Python("ensurepip"),
        wanted_by: "the tests of a Python app",
    },
];

/// What `cargo xtask bench http` needs besides.
const COMPARED: [Package; 3] = [
    Package {
        name: "wrk",
        shown_by: Shown::Program("wrk"),
        wanted_by: "all of it",
    },
    Package {
        name: "nghttp2-client",
        shown_by: Shown::Program("h2load"),
        wanted_by: "all of it",
    },
    Package {
        name: "nginx-light",
        shown_by: Shown::Program("nginx"),
        wanted_by: "the row of nginx",
    },
];

/// Installs what the tests need, or says what is missing.
pub(crate) fn for_tests() -> Result<()> {
    let Some(missing) = installed(&PACKAGES, "the tests")? else {
        return Ok(());
    };
    for package in &missing {
        say(&format!(
            "{} is missing: {} will be skipped",
            package.name, package.wanted_by
        ));
    }
    let remedy = remedy(&missing);
    if workspace::is_ci() {
        bail!("in CI nothing may be skipped; run `{remedy}` as root");
    }
    say(&format!("to run them too: `{remedy}` as root"));
    Ok(())
}

/// Installs what `cargo xtask bench http` needs, or says what is missing.
pub(crate) fn for_comparison() -> Result<()> {
    let Some(missing) = installed(&COMPARED, "the servers to compare with")? else {
        return Ok(());
    };
    for package in &missing {
        say(&format!(
            "{} is missing, which {} needs",
            package.name, package.wanted_by
        ));
    }
    bail!("run `{}` as root", remedy(&missing))
}

/// Installs those of these packages that are missing. Returns them if they cannot be
/// installed from here.
fn installed<'a>(packages: &'a [Package], for_what: &str) -> Result<Option<Vec<&'a Package>>> {
    let missing: Vec<&Package> = packages
        .iter()
        .filter(|package| !package.is_there())
        .collect();
    if missing.is_empty() {
        return Ok(None);
    }
    let is_root = rustix::process::geteuid().is_root();
    if is_root && Path::new("/etc/debian_version").exists() {
        let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
        say(&format!(
            "installing what {for_what} need: {}",
            names.join(" ")
        ));
        return install(&names).map(|()| None);
    }
    Ok(Some(missing))
}

fn remedy(missing: &[&Package]) -> String {
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    format!("apt-get install {}", names.join(" "))
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
