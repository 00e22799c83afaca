//! Components that tests serve: found where the build put them, compiled once
//! for all tests of a program.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use cluster::{ComponentBytes, Settings};
use host::files::read;
use parking_lot::Mutex;
use runtime::capacity::{MachineLimits, PlaceLimits};
use runtime::compile::CompilerConfig;
use runtime::component::NamedComponent;
use runtime::contract::{CallLimits, NodeInfo};
use runtime::engine::{ComponentRoom, Runtime, RuntimeConfig};
use runtime::generation::{Generation, InstancePolicy, validate};
use runtime::views::Views;
use tokio::sync::{OnceCell, watch};

use super::node;

/// What callbacks may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Limits {
    /// What a node allows if it is told nothing.
    Usual,
    /// 0.3 s of processor time, 16 MiB of memory.
    Tight,
    /// 0.3 s on the wall.
    Hurried,
    /// Four streams at a time.
    Crowded,
    /// The same, for another test: what is turned away is counted for all who share a runtime.
    CrowdedToo,
    /// As many instances as a node has room for.
    Roomy,
    /// Like [`Limits::Tight`], and instances take 750 calls or more.
    Reused,
    /// Instances take three calls.
    Thrice,
    /// So few that they take little of the address space.
    Few,
}

impl Limits {
    fn places(self) -> PlaceLimits {
        let streams = match self {
            Limits::Roomy => return PlaceLimits::of(MachineLimits::look(), None),
            Limits::Crowded | Limits::CrowdedToo => 4,
            Limits::Few => {
                return PlaceLimits {
                    calls: 4,
                    streams: 4,
                    tries: 4,
                    idle: 1,
                    budget: u64::MAX,
                };
            }
            _ => 500,
        };
        PlaceLimits {
            calls: 500,
            streams,
            tries: 4,
            idle: 32,
            budget: u64::MAX,
        }
    }

    fn config(self) -> RuntimeConfig {
        RuntimeConfig {
            limits: self.calls(),
            room: self.room(),
            places: self.places(),
            instances: self.instances(),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            code_cache: None,
            compiler: CompilerConfig::in_this_process(),
        }
    }

    fn instances(self) -> InstancePolicy {
        match self {
            Limits::Reused => "reuse=1000".parse().expect("a policy"),
            Limits::Thrice => "reuse=3".parse().expect("a policy"),
            _ => InstancePolicy::Fresh,
        }
    }

    fn room(self) -> ComponentRoom {
        let usual = ComponentRoom::default();
        match self {
            Limits::Few => ComponentRoom {
                memories: 4,
                ..usual
            },
            _ => usual,
        }
    }

    fn calls(self) -> CallLimits {
        let usual = CallLimits {
            cpu: Duration::from_secs(10),
            wall: Duration::from_secs(30),
            memory: 128 << 20,
            state: 64 << 10,
        };
        let short = Duration::from_millis(300);
        match self {
            Limits::Usual
            | Limits::Crowded
            | Limits::CrowdedToo
            | Limits::Roomy
            | Limits::Few
            | Limits::Thrice => usual,
            Limits::Tight | Limits::Reused => CallLimits {
                cpu: short,
                memory: 16 << 20,
                ..usual
            },
            Limits::Hurried => CallLimits {
                wall: short,
                ..usual
            },
        }
    }
}

/// The engine with these limits. Each reserves terabytes of addresses, so all
/// tests share them.
pub(crate) fn runtime(limits: Limits) -> Arc<Runtime> {
    static RUNTIMES: LazyLock<Mutex<HashMap<Limits, Arc<Runtime>>>> = LazyLock::new(Mutex::default);
    let mut runtimes = RUNTIMES.lock();
    let runtime = runtimes.entry(limits).or_insert_with(|| {
        let info = NodeInfo {
            egress: super::outside::client(),
            ..NodeInfo::closed(views())
        };
        Runtime::new(limits.config(), Arc::new(info)).expect("an engine")
    });
    runtime.clone()
}

/// An engine of its own, for an app for which this is set.
pub(crate) fn runtime_with(
    limits: Limits,
    settings: watch::Receiver<Arc<Settings>>,
) -> Arc<Runtime> {
    let info = NodeInfo {
        settings,
        egress: super::outside::client(),
        ..NodeInfo::closed(views())
    };
    Runtime::new(limits.config(), Arc::new(info)).expect("an engine")
}

fn views() -> Views {
    // The sender may go: this view is what callbacks see for ever.
    let views = watch::channel(Arc::new(node::view(1, &node::NAMES[..2]))).1;
    Views::new(views, node::name(node::NAMES[0]))
}

/// Where `cargo xtask test` puts the component of a package of this workspace.
pub(crate) fn built(package: &str) -> PathBuf {
    let host = Path::new(env!("CARGO_BIN_EXE_host"));
    let target = host.ancestors().nth(2).expect("target/release/host");
    let file = format!("{}.wasm", package.replace('-', "_"));
    let path = target.join("wasm32-wasip2/debug").join(file);
    assert!(
        path.is_file(),
        "{} is not built; run `cargo xtask test`, or \
         `cargo build -p {package} --target wasm32-wasip2`",
        path.display()
    );
    path
}

/// The bytes of it.
pub(crate) fn read_built(package: &str) -> Vec<u8> {
    let read = read(&built(package)).expect("the component can be read");
    read.component.bytes().to_vec()
}

/// A component that is kept from an earlier version.
pub(crate) fn kept(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/kept")
        .join(file)
}

/// A file of `fixtures/` in text form, as bytes.
pub(crate) fn written(file: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures")
        .join(file);
    wat::parse_file(path).expect("a fixture in text form")
}

/// Bytes as if they had been read from `app.wasm`.
pub(crate) fn bytes(bytes: Vec<u8>) -> NamedComponent {
    NamedComponent {
        path: "app.wasm".into(),
        component: ComponentBytes::of(bytes.into()),
    }
}

/// The component of a package, compiled for this caller alone, so that it can
/// be freed.
pub(crate) async fn fresh(limits: Limits, package: &str) -> Arc<Generation> {
    alone(limits, &built(package)).await
}

/// The component in this file, compiled for this caller alone.
pub(crate) async fn alone(limits: Limits, path: &Path) -> Arc<Generation> {
    let app = read(path).expect("the component can be read");
    let generation = validate(&runtime(limits), app).await;
    Arc::new(generation.expect("the component is an app"))
}

type Compiled = HashMap<(Limits, PathBuf), Arc<OnceCell<Arc<Generation>>>>;

/// The component in this file, ready to serve.
pub(crate) async fn generation(limits: Limits, path: &Path) -> Arc<Generation> {
    static COMPILED: LazyLock<Mutex<Compiled>> = LazyLock::new(Mutex::default);
    let cell = {
        let mut compiled = COMPILED.lock();
        compiled
            .entry((limits, path.to_owned()))
            .or_default()
            .clone()
    };
    cell.get_or_init(|| alone(limits, path)).await.clone()
}

/// A component that runs this when it is instantiated.
pub(crate) fn starts_with(code: &str) -> Vec<u8> {
    wat(&format!(
        r#"(component
            (core module $m
              (memory 1)
              (func $start {code})
              (start $start)
              (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $handler (export "handle" (func $f)))
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#
    ))
}

/// The types of a handler of `wasi:http`, `$request` and `$out`, in the text of a component.
pub(crate) const HANDLER_TYPES: &str = r#"
    (import "wasi:http/types@0.2.0" (instance $types
      (export "incoming-request" (type (sub resource)))
      (export "response-outparam" (type (sub resource)))))
    (alias export $types "incoming-request" (type $request))
    (alias export $types "response-outparam" (type $out))"#;

/// The bytes of a component in text form.
pub(crate) fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the text is WebAssembly")
}

/// A component that wants so many pages of 64 KiB.
pub(crate) fn wants_memory(pages: u32) -> Vec<u8> {
    wat(&format!(
        r#"(component
            (core module $m (memory {pages}) (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $handler (export "handle" (func $f)))
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#
    ))
}
