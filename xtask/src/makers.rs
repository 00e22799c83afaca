//! `cargo xtask makers`: builds the apps of `fixtures/makers` with what other
//! makers offer, to `target/makers/NAME.wasm`. All that is needed comes from
//! crates.io, PyPI and the npm registry, at versions that the fixtures pin, and is
//! kept in `target/makers`. What is unchanged is not built again.

use crate::command::{cargo, on_path, output, program, run, say, succeeds};
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How long one program may take that loads packages or builds an app: a mirror
/// that hangs must not hold up a test run for ever.
const SECONDS_MAX: &str = "900";

/// The WASI of the `wasip2` crate, from which all apps take the interfaces.
const WASI: &str = "0.2.12";

/// The WASI of the `wasip3` crate, from which the apps for it take the interfaces.
const WASI_03: &str = "0.3.2";

/// The WASI that componentize-js is built for.
const WASI_OF_JAVASCRIPT: &str = "0.2.10";

/// Builds the apps. Outside of CI, one that cannot be built is named and left out.
pub(crate) fn all() -> Result<()> {
    let interfaces = rust()?;
    for (name, build) in [
        ("python", python as fn(&Interfaces) -> Result<()>),
        ("python_03", python_03),
        ("javascript", javascript),
    ] {
        let Err(error) = build(&interfaces) else {
            continue;
        };
        // A component from an earlier run would pass for what could not be built.
        remove(&component(name))?;
        if workspace::is_ci() {
            return Err(error.context(format!("in CI the {name} app must be built")));
        }
        say(&format!("its tests will be skipped: {error:#}"));
    }
    Ok(())
}

/// The components that are there.
pub(crate) fn built() -> Vec<PathBuf> {
    let names = [
        "wasip2",
        "wasip3",
        "wstd",
        "axum",
        "spin",
        "composed",
        "python",
        "python_03",
        "javascript",
    ];
    let files = names.map(component).into_iter();
    files.filter(|file| file.is_file()).collect()
}

/// The folders with the interfaces of WASI.
struct Interfaces {
    /// Of 0.2, which the `wasip2` crate has.
    wasi_02: PathBuf,
    /// Of 0.3, which the `wasip3` crate has.
    wasi_03: PathBuf,
}

/// Builds the Rust apps and the composed one.
fn rust() -> Result<Interfaces> {
    let manifest = sources("rust").join("Cargo.toml");
    let interfaces = Interfaces {
        // `wstd` uses an older one beside it, with the same interfaces.
        wasi_02: interfaces(&manifest, "wasip2-2.", WASI)?,
        wasi_03: interfaces(&manifest, "wasip3-0.", WASI_03)?,
    };
    let out = folder().join("rust");
    let build = || {
        let mut build = cargo(&["build", "--locked", "--manifest-path"]);
        build.arg(&manifest).arg("--target-dir").arg(&out);
        build
    };
    run(build()
        .args(["--release", "--target", "wasm32-wasip2"])
        .args(["-p", "maker-wasip2", "-p", "maker-wstd"])
        .args(["-p", "maker-axum", "-p", "maker-layer"])
        .args(["-p", "maker-wasip3", "-p", "maker-spin"])
        .env("WASI_WIT", &interfaces.wasi_02))?;
    run(build().args(["-p", "compose"]))?;

    let built = out.join("wasm32-wasip2/release");
    for (file, name) in [
        ("maker_wasip2.wasm", "wasip2"),
        ("maker-wstd.wasm", "wstd"),
        ("maker-axum.wasm", "axum"),
        ("maker_wasip3.wasm", "wasip3"),
        ("maker_spin.wasm", "spin"),
    ] {
        copy(&built.join(file), &component(name))?;
    }
    run(Command::new(out.join("debug/compose"))
        .arg(component("axum"))
        .arg(built.join("maker_layer.wasm"))
        .arg(component("composed")))?;
    Ok(interfaces)
}

/// The folder `wit` of the crate whose folder begins so and that is for this WASI, wherever cargo
/// has unpacked it.
fn interfaces(manifest: &Path, begins: &str, wasi: &str) -> Result<PathBuf> {
    let mut metadata = cargo(&["metadata", "--locked", "--format-version", "1"]);
    metadata
        .args(["--filter-platform", "wasm32-wasip2", "--manifest-path"])
        .arg(manifest);
    let metadata = output(metadata)?;
    let mut manifests = metadata
        .split(r#""manifest_path":""#)
        .filter_map(|part| part.split('"').next());
    let found = manifests.find(|path| {
        let dir = Path::new(path).parent().and_then(Path::file_name);
        let name = dir.and_then(OsStr::to_str).unwrap_or_default();
        name.starts_with(begins) && name.ends_with(&format!("+wasi-{wasi}"))
    });
    let found = found.with_context(|| {
        format!("no {begins}x with WASI {wasi} among the packages of fixtures/makers/rust")
    })?;
    Ok(Path::new(found).with_file_name("wit"))
}

fn python(interfaces: &Interfaces) -> Result<()> {
    componentize_py("python", &interfaces.wasi_02, "fixture:python/app")
}

fn python_03(interfaces: &Interfaces) -> Result<()> {
    componentize_py("python_03", &interfaces.wasi_03, "fixture:python-three/app")
}

/// Builds a Python app of this world.
fn componentize_py(name: &str, interfaces: &Path, world: &str) -> Result<()> {
    if !succeeds(program("python3", &["-c", "import ensurepip, venv"])) {
        bail!("the {name} app needs python3 with venv (on Debian: python3-venv)");
    }
    let dir = stage(name)?;
    let bin = dir.join("venv/bin");
    once(
        &format!("{name}-tools"),
        &read(&dir.join("requirements.txt"))?,
        || {
            run(bounded("python3", &dir).args(["-m", "venv", "--clear", "venv"]))?;
            run(bounded(bin.join("pip"), &dir)
                .args(["install", "--quiet", "--disable-pip-version-check"])
                .args(["--requirement", "requirements.txt"]))
        },
    )?;
    once(name, &texts(&dir)?, || {
        run(bounded(bin.join("componentize-py"), &dir)
            .arg("--wit-path")
            .arg(interfaces)
            .args(["--wit-path", "app.wit", "--world", world])
            .args(["componentize", "app", "--python-path", ".", "--output"])
            .arg(component(name)))
    })
}

fn javascript(interfaces: &Interfaces) -> Result<()> {
    for name in ["node", "npm"] {
        if !on_path(name) {
            bail!("the javascript app needs {name} (on Debian: nodejs and npm)");
        }
    }
    let dir = stage("javascript")?;
    let lock = read(&dir.join("package-lock.json"))?;
    once("javascript-tools", &lock, || {
        // No script of a package runs: they bring all they need.
        let quiet = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
        run(bounded("npm", &dir).args(quiet))
    })?;
    once("javascript", &texts(&dir)?, || {
        older_interfaces(&interfaces.wasi_02, &dir)?;
        run(bounded(dir.join("node_modules/.bin/componentize-js"), &dir)
            .args(["app.js", "--wit", "wit", "--world-name", "app", "--out"])
            .arg(component("javascript")))
    })
}

/// Writes a folder `wit` with the world of the app and the interfaces, with the
/// version that componentize-js asks for, and without what came later.
fn older_interfaces(interfaces: &Path, dir: &Path) -> Result<()> {
    let deps = dir.join("wit/deps");
    fs::create_dir_all(&deps).with_context(|| format!("cannot make {}", deps.display()))?;
    copy(&dir.join("app.wit"), &dir.join("wit/app.wit"))?;
    for file in files(&interfaces.join("deps"))? {
        let text = read(&file)?
            .replace(
                &format!("@since(version = {WASI})"),
                "@unstable(feature = later)",
            )
            .replace(&format!("@{WASI}"), &format!("@{WASI_OF_JAVASCRIPT}"));
        let name = file.file_name().unwrap_or_default();
        write(&deps.join(name), &text)?;
    }
    Ok(())
}

/// Copies the sources of an app to a folder where its tools may write.
fn stage(name: &str) -> Result<PathBuf> {
    let dir = folder().join(name);
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    for file in files(&sources(name))? {
        let to = dir.join(file.file_name().unwrap_or_default());
        copy(&file, &to)?;
    }
    Ok(dir)
}

/// Does something unless it was done with the same inputs, and nothing else since.
fn once(name: &str, inputs: &str, make: impl FnOnce() -> Result<()>) -> Result<()> {
    let stamp = folder().join(format!("{name}.stamp"));
    if fs::read_to_string(&stamp).is_ok_and(|done| done == inputs) {
        return Ok(());
    }
    remove(&stamp)?;
    make()?;
    write(&stamp, inputs)
}

/// A program that is stopped when it takes too long.
fn bounded(name: impl AsRef<OsStr>, dir: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.arg(SECONDS_MAX).arg(name).current_dir(dir);
    command
}

/// All text files of a folder in one, to compare.
fn texts(dir: &Path) -> Result<String> {
    let mut all = String::new();
    for file in files(dir)? {
        all.push_str(&format!("== {}\n{}", file.display(), read(&file)?));
    }
    Ok(all)
}

/// The files in a folder, in order, without those in folders below.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let cannot = || format!("cannot list {}", dir.display());
    let mut files = Vec::new();
    for entry in dir.read_dir().with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = fs::copy(from, to);
    copied.with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

fn sources(name: &str) -> PathBuf {
    workspace::root().join("fixtures/makers").join(name)
}

fn folder() -> PathBuf {
    workspace::target().join("makers")
}

/// Where the component of an app is put.
fn component(name: &str) -> PathBuf {
    folder().join(format!("{name}.wasm"))
}
