//! Compiling in a process of its own, with the program `host` as that process: what is
//! refused, what waits for what, and what is left when somebody dies.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::ComponentBytes;
use lab::{Launch, Process, Programs};
use runtime::capacity::PlaceLimits;
use runtime::compile::{CompileError, CompileLimits, CompilerConfig};
use runtime::component::NamedComponent;
use runtime::contract::{CallLimits, NodeInfo};
use runtime::engine::{Runtime, RuntimeConfig};
use runtime::generation::{ComponentError, validate};
use runtime::views::Views;
use rustix::process::{Pid, Signal, kill_process};
use support::{components, node, soon, until};
use tokio::sync::{Mutex, MutexGuard, watch};

/// How long a component may compile whose limits are to be met, also on a busy machine.
const LONG: Duration = Duration::from_secs(300);

/// The workers are children of this process, so one test at a time looks at them.
static ALONE: Mutex<()> = Mutex::const_new(());

/// A runtime whose components are compiled by the program.
struct Place {
    runtime: Arc<Runtime>,
    _alone: MutexGuard<'static, ()>,
}

impl Place {
    async fn new(limits: CompileLimits, cache: Option<&Path>) -> Place {
        let alone = ALONE.lock().await;
        until("the end of others' workers", || own_children().is_empty()).await;
        let config = RuntimeConfig {
            instances: Default::default(),
            places: PlaceLimits::few(),
            limits: CallLimits {
                cpu: Duration::from_secs(10),
                wall: Duration::from_secs(30),
                memory: 128 << 20,
                state: 64 << 10,
            },
            room: Default::default(),
            workers: 2,
            code_cache: cache.map(Into::into),
            compiler: CompilerConfig {
                program: Some(env!("CARGO_BIN_EXE_host").into()),
                limits,
            },
        };
        let views = watch::channel(Arc::new(node::view(1, &node::NAMES[..2]))).1;
        let views = Views::new(views, node::name(node::NAMES[0]));
        let runtime = Runtime::new(config, Arc::new(NodeInfo::closed(views)));
        Place {
            runtime: runtime.expect("an engine"),
            _alone: alone,
        }
    }

    async fn try_to_compile(&self, component: &ComponentBytes) -> Option<ComponentError> {
        let app = NamedComponent {
            path: "app.wasm".into(),
            component: component.clone(),
        };
        let validated = tokio::time::timeout(LONG, validate(&self.runtime, app)).await;
        validated.expect("it ends").err()
    }
}

fn usual() -> CompileLimits {
    CompileLimits::of_machine(8 << 30, Duration::from_secs(120))
}

fn guest() -> ComponentBytes {
    ComponentBytes::of(components::read_built("guest").into())
}

/// A component with so many functions of so many small additions and multiplications.
fn sums(functions: usize, operations: u32) -> ComponentBytes {
    ComponentBytes::of(lab::components::sums(functions, operations).into())
}

/// What takes 2.6 GB and 25 s without limits.
fn huge() -> ComponentBytes {
    ComponentBytes::of(lab::components::huge().into())
}

/// The processes that a process has started and that live.
fn children(of: u32) -> BTreeSet<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{of}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    let children = tasks.map(|task| std::fs::read_to_string(task.path().join("children")));
    let children: Vec<i32> = children
        .flat_map(|text| {
            let text = text.unwrap_or_default();
            text.split_whitespace()
                .map(|pid| pid.parse().expect("a process number"))
                .collect::<Vec<_>>()
        })
        .collect();
    children.into_iter().filter(|pid| lives(*pid)).collect()
}

fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    !state.is_empty() && !state.starts_with(['Z', 'X'])
}

fn own_children() -> BTreeSet<i32> {
    children(std::process::id())
}

/// Processor time that a process has used, in hundredths of a second.
fn used(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let fields: Vec<u64> = fields.map(|field| field.parse().unwrap_or(0)).collect();
    fields.get(11).unwrap_or(&0) + fields.get(12).unwrap_or(&0)
}

fn kill(pid: i32) {
    let pid = Pid::from_raw(pid).expect("a process number");
    kill_process(pid, Signal::KILL).expect("it is ours");
}

/// The one worker that has begun to compile something large.
async fn at_work(not: &BTreeSet<i32>) -> i32 {
    let found = || {
        own_children()
            .into_iter()
            .find(|pid| !not.contains(pid) && used(*pid) > 20)
    };
    until("a worker at work", || found().is_some()).await;
    found().expect("it was there")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_takes_too_much_memory_is_refused_with_figures_and_others_are_not() {
    // As on a machine with 1 GB.
    let limits = CompileLimits::of_machine(1 << 30, Duration::from_secs(120));
    let place = Place::new(limits, None).await;
    let huge = huge();
    let began = Instant::now();
    let error = place.try_to_compile(&huge).await.expect("a refusal");
    eprintln!("refused after {:?}: {error}", began.elapsed());
    assert!(!error.is_local(), "{error}");
    let size = format!("its {} MiB", huge.bytes().len() >> 20);
    for word in [&size[..], "640 MiB", "--compile-memory", "app.wasm"] {
        assert!(error.to_string().contains(word), "no `{word}` in: {error}");
    }
    assert!(place.try_to_compile(&guest()).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_takes_too_much_processor_time_is_refused_with_figures() {
    let limits = CompileLimits {
        cpu: Duration::from_secs(2),
        ..usual()
    };
    let place = Place::new(limits, None).await;
    let error = place.try_to_compile(&huge()).await.expect("a refusal");
    let CompileError::Cpu { .. } = cause(&error) else {
        panic!("{error}");
    };
    for word in ["2 s of processor time", "--compile-time"] {
        assert!(error.to_string().contains(word), "no `{word}` in: {error}");
    }
    assert!(!error.is_local(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_whose_compiled_code_is_too_large_is_refused_with_figures() {
    let limits = CompileLimits {
        memory: 240 << 20,
        ..usual()
    };
    let place = Place::new(limits, None).await;
    let component = ComponentBytes::of(lab::components::holding(&[], 61 << 20).into());
    let error = place.try_to_compile(&component).await.expect("a refusal");
    let CompileError::Code {
        size,
        limit,
        memory,
    } = cause(&error)
    else {
        panic!("{error}");
    };
    assert!(*size > *limit && (*limit, *memory) == (60 << 20, 240 << 20));
    for word in [
        "has 61 MiB, more than the 60 MiB",
        "--compile-memory (240 MiB)",
    ] {
        assert!(error.to_string().contains(word), "no `{word}` in: {error}");
    }
    assert!(!error.is_local(), "{error}");
    // Others go on being compiled.
    assert!(place.try_to_compile(&guest()).await.is_none());
}

fn cause(error: &ComponentError) -> &CompileError {
    match error {
        ComponentError::Compile { cause, .. } => cause,
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_for_a_large_component_and_its_worker_dies_when_nobody_wants_it() {
    let place = Place::new(usual(), None).await;
    until("a worker", || own_children().len() == 1).await;
    let ready = own_children();
    let (runtime, huge) = (place.runtime.clone(), huge());
    let large = tokio::spawn(async move {
        let app = NamedComponent {
            path: "huge.wasm".into(),
            component: huge,
        };
        validate(&runtime, app).await.is_ok()
    });
    let busy = at_work(&BTreeSet::new()).await;
    assert!(ready.contains(&busy), "one was kept ready");
    let compiled = soon("another component", place.try_to_compile(&guest())).await;
    assert!(compiled.is_none() && !large.is_finished());
    large.abort();
    until("the end of the worker", || !lives(busy)).await;
    assert_eq!(own_children().len(), 1, "one is ready again");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_functions_of_a_large_component_are_kept_for_the_next_version_of_it() {
    let place = Place::new(usual(), None).await;
    until("a worker", || own_children().len() == 1).await;
    let worker = *own_children().first().expect("it was there");
    let large = components::read_built("guest");
    let large = lab::components::with_code(&large, 8 << 20, 1);
    let mut took = Vec::new();
    for mark in [1, 2, 3] {
        let before = used(worker);
        let version = lab::components::marked(&large, &[mark]);
        let version = ComponentBytes::of(version.into());
        assert!(place.try_to_compile(&version).await.is_none());
        assert!(lives(worker), "it ended after version {mark}");
        took.push(used(worker) - before);
    }
    println!("processor time of three versions: {took:?} hundredths of a second");
    // Others on the machine can only make it longer.
    let next = took[1].min(took[2]);
    assert!(next * 2 < took[0], "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_is_replaced_and_the_component_is_tried_again() {
    let place = Place::new(usual(), None).await;
    // While it waits for work, …
    until("a worker", || own_children().len() == 1).await;
    own_children().into_iter().for_each(kill);
    assert!(place.try_to_compile(&guest()).await.is_none());
    // … and while it works.
    let large = sums(6, 100_000);
    let killed = async { kill(at_work(&BTreeSet::new()).await) };
    let (error, ()) = tokio::join!(place.try_to_compile(&large), killed);
    let error = error.expect("it has no handler").to_string();
    assert!(error.contains("has no handler"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_are_killed_again_and_again_say_nothing_about_the_component() {
    let place = Place::new(usual(), None).await;
    let killing = tokio::spawn(async {
        let mut killed = BTreeSet::new();
        for _ in 0..3 {
            let worker = at_work(&killed).await;
            kill(worker);
            killed.insert(worker);
        }
    });
    let error = place.try_to_compile(&huge()).await.expect("a failure");
    killing.await.expect("three workers");
    assert!(error.is_local(), "{error}");
    for word in ["killed 3 times", "memory to spare"] {
        assert!(error.to_string().contains(word), "no `{word}` in: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_compiled_before_is_loaded_without_a_worker() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::new(usual(), Some(folder.path())).await;
    assert!(place.try_to_compile(&guest()).await.is_none());
    let kept = folder.path().join(guest().digest().to_string());
    until("the kept code", || kept.exists()).await;
    drop(place);
    let nobody = Place::new(
        CompileLimits {
            // No worker can start in so little.
            memory: 1 << 20,
            ..usual()
        },
        Some(folder.path()),
    );
    let place = nobody.await;
    assert!(place.try_to_compile(&guest()).await.is_none());
    // Code that was changed on the disk is not run: it is compiled again.
    let mut bytes = std::fs::read(&kept).expect("the file");
    *bytes.last_mut().expect("it has bytes") ^= 1;
    std::fs::write(&kept, bytes).expect("it can be written");
    let error = place.try_to_compile(&guest()).await;
    assert!(error.is_some(), "it has no worker to compile it");
}

/// A node as a process of its own, with this app.
fn start(folder: &Path, app: &Path) -> Process {
    let programs = Programs::of_test(env!("CARGO_BIN_EXE_host")).expect("the program");
    let launch = Launch::new(programs.host())
        .dir(folder)
        .flag("--name", "example@127.0.0.1")
        .flag("--http", "127.0.0.1:0")
        .flag("--cluster-port", "0")
        .flag("--app", app)
        .flag("--data-dir", folder.join("data"))
        .flag("--compile-memory", "8GiB")
        .env("HOST_COOKIE", "a cookie of the tests");
    launch.spawn().expect("it starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_worker_outlives_its_node() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().expect("a folder");
    let large = folder.path().join("large.wasm");
    std::fs::write(&large, huge().bytes()).expect("it can be written");
    let host = start(folder.path(), &large);
    let id = u32::try_from(host.id()).expect("a process number");
    let worker = || children(id).into_iter().find(|pid| used(*pid) > 20);
    until("a worker at work", || worker().is_some()).await;
    let worker = worker().expect("it was there");
    let variables = std::fs::read(format!("/proc/{worker}/environ")).expect("its variables");
    assert_eq!(variables, b"", "the cookie is none of its business");
    host.kill().expect("it can be killed");
    until("the end of the worker", || !lives(worker)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_and_a_rollback_do_not_wait_for_an_upload_that_takes_long() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().expect("a folder");
    let host = start(folder.path(), &components::built("guest"));
    let ready = host.wait_until_ready(support::PATIENCE);
    ready.expect("it is ready");
    // A lone node looks at its file after two seconds. What is pushed is to follow that release.
    let released = host.wait_for_line(&["new target"], support::PATIENCE);
    released.expect("it has released its file");
    let command = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_host"));
        command
            .args(words)
            .arg("--data-dir")
            .arg(folder.path().join("data"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    };
    let push = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("it can be written");
        command(&["push", path.to_str().expect("a path in text")])
    };
    let mut large = push("huge.wasm", huge().bytes())
        .spawn()
        .expect("it starts");
    let id = u32::try_from(host.id()).expect("a process number");
    let busy = || children(id).into_iter().find(|pid| used(*pid) > 100);
    until("the upload is compiled", || busy().is_some()).await;
    let worker = busy().expect("it was there");
    let simple = push("simple.wasm", &components::read_built("fixture-simple")).status();
    assert!(simple.expect("it runs").success());
    let back = command(&["rollback"]).status();
    assert!(back.expect("it runs").success());
    assert!(large.try_wait().expect("it is a child").is_none());
    // Whoever wanted it goes away.
    large.kill().expect("it can be killed");
    large.wait().expect("it is a child");
    until("the end of the worker", || !lives(worker)).await;
}
