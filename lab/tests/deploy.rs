//! What the Vagrantfile brings cannot be run where tests run. What can be
//! checked of it without machines is.

#![allow(clippy::unwrap_used)] // A panic is how a test fails, in its helpers too.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Run the checker in the root of the workspace. It must find nothing to say.
fn passes(program: &str, package: &str, args: &[&str]) {
    let Ok(output) = Command::new(program)
        .args(args)
        .current_dir(root())
        .output()
    else {
        return lab::skip::skip(&format!(
            "`{program}` is missing (Debian: apt-get install {package})"
        ));
    };
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{program}: {said}");
    assert!(
        said.trim().is_empty() || said.trim() == "Syntax OK",
        "{program}: {said}"
    );
}

#[test]
fn the_vagrantfile_is_ruby() {
    passes("ruby", "ruby", &["-wc", "Vagrantfile"]);
}

#[test]
fn the_shell_scripts_pass_shellcheck() {
    passes(
        "shellcheck",
        "shellcheck",
        &["deploy/provision.sh", ".ci/run"],
    );
}

#[test]
fn the_systemd_unit_is_valid() {
    let unit = std::fs::read_to_string(root().join("deploy/host.service")).unwrap();
    // The program is there on the machines alone, and nothing else is looked
    // away from.
    assert!(unit.contains("ExecStart=/vagrant/dist/host "), "{unit}");
    let unit = unit.replace("ExecStart=/vagrant/dist/host ", "ExecStart=/bin/true ");
    let unit = unit.replace("file:/usr/local/share/doc/host/README.md", "man:true(1)");
    let dir = std::env::temp_dir().join(format!("ace-lab-unit-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("host.service");
    std::fs::write(&file, unit).unwrap();
    passes(
        "systemd-analyze",
        "systemd",
        &["verify", "--man=no", &file.to_string_lossy()],
    );
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn the_machines_and_their_addresses_are_those_of_the_readme() {
    let vagrantfile = std::fs::read_to_string(root().join("Vagrantfile")).unwrap();
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    assert!(
        vagrantfile.contains("define 'development'"),
        "{vagrantfile}"
    );
    assert!(
        vagrantfile.contains("10.10.10.#{number + 1}"),
        "{vagrantfile}"
    );
    for text in [
        "* 10.10.10.0/24",
        "/etc/vbox/networks.conf",
        "vagrant up development",
    ] {
        assert!(readme.contains(text), "the README does not say `{text}`");
    }
}
