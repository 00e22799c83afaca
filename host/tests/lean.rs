//! What components of the SDK are made of: one core module each, and no import but
//! the contract's. Those of this workspace, and an app outside of it that is made as
//! the guide of the SDK says.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::components::read_built;
use wasmparser::{Encoding, Parser, Payload};

/// What a component is made of.
#[derive(Debug)]
struct Makeup {
    core_modules: usize,
    imports: Vec<String>,
}

fn makeup(component: &[u8]) -> Makeup {
    let mut found = Makeup {
        core_modules: 0,
        imports: Vec::new(),
    };
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(component) {
        match payload.expect("a component") {
            Payload::Version { encoding, .. } => {
                depth += 1;
                found.core_modules += usize::from(encoding == Encoding::Module);
            }
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(imports) if depth == 1 => {
                for import in imports {
                    let name = import.expect("an import").name.name;
                    found.imports.push(name.to_owned());
                }
            }
            _ => {}
        }
    }
    found
}

fn assert_no_wasi(what: &str, found: &Makeup) {
    let other = found
        .imports
        .iter()
        .find(|name| !name.starts_with("ace:raxx/"));
    assert_eq!(other, None, "{what} imports more than the contract");
}

#[track_caller]
fn assert_lean(what: &str, component: &[u8]) {
    let found = makeup(component);
    assert_eq!(found.core_modules, 1, "{what}: {found:?}");
    assert_no_wasi(what, &found);
}

#[test]
fn apps_of_the_sdk_are_one_core_module_and_import_no_wasi() {
    for package in [
        "fixture-simple",
        "fixture-counter-v1",
        "fixture-counter-v2",
        "fixture-counter-v3",
    ] {
        assert_lean(package, &read_built(package));
    }
}

/// It asks for the members with a function that returns a list, which takes two small
/// modules more.
#[test]
fn the_example_imports_no_wasi() {
    let found = makeup(&read_built("guest"));
    assert_eq!(found.core_modules, 3, "{found:?}");
    assert_no_wasi("guest", &found);
}

/// An app in a folder of its own, with a path to the SDK.
struct Outside {
    folder: tempfile::TempDir,
    target: PathBuf,
    guide: String,
}

impl Outside {
    /// The manifest and the build script are those of the guide.
    fn new() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("the workspace");
        let sdk = root.join("guest/raxx");
        let guide = fs::read_to_string(sdk.join("README.md")).expect("the guide");
        let host = Path::new(env!("CARGO_BIN_EXE_host"));
        let outside = Self {
            folder: tempfile::tempdir().expect("a folder"),
            target: host
                .ancestors()
                .nth(2)
                .expect("target/release/host")
                .join("outside"),
            guide,
        };
        let sdk = format!("path = {:?}", sdk.display().to_string());
        let manifest = outside.block("toml", "[package]");
        assert!(manifest.contains("path = \"../raxx\""), "{manifest}");
        outside.write("Cargo.toml", &manifest.replace("path = \"../raxx\"", &sdk));
        outside.write("build.rs", &outside.block("rust", "rustc-link-arg"));
        // What is tested is not which versions are the newest today.
        fs::copy(
            root.join("Cargo.lock"),
            outside.folder.path().join("Cargo.lock"),
        )
        .expect("the lock file");
        outside
    }

    /// The block of the guide in this language that has this text in it, without the
    /// lines that readers do not see.
    fn block(&self, language: &str, with: &str) -> String {
        let fence = format!("```{language}\n");
        let mut blocks = self.guide.split(&fence).skip(1).map(|block| {
            let (block, _) = block.split_once("```").expect("the block ends");
            block
        });
        let block = blocks.find(|block| block.contains(with));
        let block = block.unwrap_or_else(|| panic!("the guide has no {with:?}"));
        let seen = block
            .lines()
            .filter(|line| language != "rust" || !(line.starts_with("# ") || *line == "#"));
        seen.map(|line| format!("{line}\n")).collect()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("the file is written");
    }

    /// Builds it, and returns the component.
    fn build(&self, arguments: &[&str], built: &str) -> Vec<u8> {
        self.build_with(&[], arguments, built)
    }

    fn build_with(&self, environment: &[(&str, &str)], arguments: &[&str], built: &str) -> Vec<u8> {
        let output = Command::new(env!("CARGO"))
            .args(arguments)
            .envs(environment.iter().copied())
            .arg("--offline")
            .current_dir(self.folder.path())
            .env("CARGO_TARGET_DIR", &self.target)
            // Neither flags of this workspace nor of the test program.
            .env("CARGO_ENCODED_RUSTFLAGS", "")
            .env_remove("CARGO_MANIFEST_DIR")
            .output()
            .expect("cargo runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo {arguments:?}: {errors}");
        fs::read(self.target.join(built).join("app.wasm")).expect("the component is built")
    }
}

#[test]
fn an_app_made_as_the_guide_says_is_lean_with_either_command_in_either_profile() {
    let outside = Outside::new();
    let wasip2 = ["build", "--target", "wasm32-wasip2"];
    for (kind, code) in [
        ("simple", "export_simple!"),
        ("streaming", "subscribe_nodes"),
    ] {
        outside.write("src/lib.rs", &outside.block("rust", code));
        let built = outside.build(&wasip2, "wasm32-wasip2/debug");
        assert_lean(&format!("{kind}, cargo build"), &built);
        assert_eq!(stack(&built), 131_072, "the build script sets the stack");
        if has_cargo_component() {
            let built = outside.build(&["component", "build"], "wasm32-wasip1/debug");
            assert_lean(&format!("{kind}, cargo component build"), &built);
            assert_eq!(stack(&built), 131_072, "the build script sets the stack");
        }
    }
    // Also where the linker gets objects, and not what LTO has made of them.
    let without_lto = [
        ("CARGO_PROFILE_RELEASE_LTO", "off"),
        ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ];
    let release = [&wasip2[..], &["--release"]].concat();
    let built = outside.build_with(&without_lto, &release, "wasm32-wasip2/release");
    assert_lean("cargo build --release without LTO", &built);
}

/// An app that asks for WASI gets it.
#[test]
fn an_app_with_the_feature_wasi_imports_wasi() {
    let outside = Outside::new();
    let manifest = outside.folder.path().join("Cargo.toml");
    let text = fs::read_to_string(&manifest).expect("the manifest");
    let (before, after) = text.split_once("/raxx\" }").expect("the SDK is named");
    let text = format!("{before}/raxx\", features = [\"wasi\"] }}{after}");
    fs::write(&manifest, text).expect("the manifest is written");
    outside.write("src/lib.rs", &outside.block("rust", "export_simple!"));
    let built = outside.build(
        &["build", "--target", "wasm32-wasip2"],
        "wasm32-wasip2/debug",
    );
    let found = makeup(&built);
    assert!(found.core_modules > 1, "{found:?}");
    assert!(
        found
            .imports
            .iter()
            .any(|name| name.starts_with("wasi:cli/")),
        "{found:?}"
    );
}

fn has_cargo_component() -> bool {
    let asked = Command::new(env!("CARGO"))
        .args(["component", "--version"])
        .output();
    let has = asked.is_ok_and(|output| output.status.success());
    if !has {
        eprintln!("skipped: cargo component build of an app outside: cargo-component is missing");
    }
    has
}

/// The size of the stack: the first global of the first module is where it begins, and
/// it grows down to 0.
fn stack(component: &[u8]) -> i32 {
    for payload in Parser::new(0).parse_all(component) {
        if let Payload::GlobalSection(globals) = payload.expect("a component") {
            let global = globals
                .into_iter()
                .next()
                .expect("a global")
                .expect("a global");
            let mut code = global.init_expr.get_operators_reader();
            match code.read().expect("an operator") {
                wasmparser::Operator::I32Const { value } => return value,
                other => panic!("{other:?}"),
            }
        }
    }
    panic!("no module has globals");
}
