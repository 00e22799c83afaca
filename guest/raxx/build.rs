//! Makes what a lean guest links in the place of WASI: `lean/lean.rs`, compiled to
//! one object in an archive that goes into the library of raxx.
//!
//! In: the target, the feature `wasi`. Out: `libraxx_lean.a`, for the two WASI
//! targets only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=lean");
    let edition = match variable("CARGO_CFG_TARGET_ENV").as_str() {
        edition @ ("p1" | "p2") => edition.to_owned(),
        _ => return,
    };
    if variable("CARGO_CFG_TARGET_OS") != "wasi" || env::var_os("CARGO_FEATURE_WASI").is_some() {
        return;
    }
    let out = PathBuf::from(variable("OUT_DIR"));
    write(
        &out.join("std_symbols.rs"),
        std_symbols(&edition).as_bytes(),
    );
    let object = compile(&out);
    write(&out.join("libraxx_lean.a"), &archive(&object));
    println!("cargo:rustc-link-search=native={}", out.display());
    println!("cargo:rustc-link-lib=static=raxx_lean");
}

/// Compiles `lean/lean.rs` for the target, and returns the object.
fn compile(out: &Path) -> Vec<u8> {
    let object = out.join("lean.o");
    let mut rustc = rustc();
    rustc
        .args([
            "--edition",
            "2024",
            "--crate-name",
            "raxx_lean",
            "--crate-type",
            "rlib",
        ])
        .args([
            "-C",
            "opt-level=s",
            "-C",
            "panic=abort",
            "-C",
            "codegen-units=1",
        ])
        .args(["--cap-lints", "warn"])
        .arg(format!("--emit=obj={}", object.display()))
        .arg("lean/lean.rs")
        .env("OUT_DIR", out);
    run(&mut rustc);
    read(&object)
}

/// The text of `std_symbol!`, which says what the linker calls a function that the
/// standard library imports by itself. These symbols have a hash of the toolchain in
/// them, so they are looked up in the library of the target.
fn std_symbols(edition: &str) -> String {
    let mut text = String::from("macro_rules! std_symbol {\n");
    for (name, symbol) in look_up(edition) {
        text += &format!("    ({name}) => {{ {symbol:?} }};\n");
    }
    // One that this toolchain does not have gets a symbol that nobody asks for.
    text + "    ($name:ident) => { concat!(\"raxx_lean_\", stringify!($name)) };\n}\n"
}

/// The functions that the crate `wasi` of the standard library imports, and their
/// symbols.
fn look_up(edition: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut print = rustc();
    let folder = run(print.args(["--print", "target-libdir"]));
    let folder = Path::new(folder.trim());
    let entries = fs::read_dir(folder);
    let entries =
        entries.unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()));
    for entry in entries.flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        if !file.starts_with("libwasi") || !file.ends_with(".rlib") {
            continue;
        }
        let bytes = read(&entry.path());
        for word in bytes.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_') {
            let word = String::from_utf8_lossy(word);
            // A byte of the length of the symbol may stand before it.
            let symbol = word.find("_R").map_or("", |start| &word[start..]);
            if let Some(name) = imported(edition, symbol) {
                found.insert(name.to_owned(), symbol.to_owned());
            }
        }
    }
    found
}

/// The function that this symbol imports, if it does. In a symbol, each part of a
/// path follows its length. The function is the last part; with WASI 0.2 the one
/// before it.
fn imported<'a>(edition: &str, symbol: &'a str) -> Option<&'a str> {
    let path = if edition == "p1" {
        symbol
    } else {
        let (path, number) = symbol.rsplit_once("11wit_import")?;
        number.parse::<u8>().ok()?;
        path
    };
    let start = path.rfind("22wasi_snapshot_preview1").map(|at| at + 24);
    let start = start.or_else(|| path.rfind(|c: char| c.is_ascii_digit()));
    let name = path
        .get(start?..)?
        .trim_start_matches(|c: char| c.is_ascii_digit());
    let part = format!("{}{name}", name.len());
    (!name.is_empty() && path.ends_with(&part)).then_some(name)
}

/// An archive of one object, in the format of `ar`. rustc makes its own of it, with
/// an index.
fn archive(object: &[u8]) -> Vec<u8> {
    let size = object.len();
    let mut bytes = b"!<arch>\n".to_vec();
    bytes.extend(
        format!(
            "{:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n",
            "raxx_lean.o/", 0, 0, 0, 644
        )
        .bytes(),
    );
    bytes.extend(object);
    if size % 2 == 1 {
        bytes.push(b'\n');
    }
    bytes
}

fn rustc() -> Command {
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args(["--target", &variable("TARGET")]);
    rustc
}

/// Runs a command, and returns its output.
fn run(command: &mut Command) -> String {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed; with the feature `raxx/wasi` nothing is compiled here, and the app imports WASI:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
