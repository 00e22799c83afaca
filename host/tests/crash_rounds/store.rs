//! The store in a process of its own that puts, fetches, finishes and collects
//! until it dies. What it had said to be there is there afterwards, and
//! whatever is there is whole.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use cluster::release::{CHUNK, Component};
use cluster::{ComponentBytes, Digest};
use fault::POINTS;
use mesh::data_dir::DataDir;
use mesh::store::{Store, StoreLimits};
use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use super::{Deaths, ROUNDS, moments, opening, seed, starting};

/// Where the process that dies has its data folder, and the seed of what it does.
const FOLDER: &str = "CRASH_TEST_STORE";
const STEPS: &str = "CRASH_TEST_STEPS";

/// Apps are numbered, and a number says all of their bytes.
const APPS: u64 = 12;

fn app(number: u64) -> Bytes {
    let len = CHUNK * (number % 4) as usize + 1000;
    let bytes = (0..len as u64).map(|at| (at ^ (at >> 8) ^ (number << 3)) as u8);
    bytes.collect::<Vec<u8>>().into()
}

fn open(folder: &Path) -> Store {
    let folder = DataDir::open(folder).expect("a data folder");
    Store::open(Arc::new(folder), StoreLimits::default()).expect("a store")
}

fn points() -> impl Iterator<Item = &'static str> {
    POINTS
        .into_iter()
        .filter(|point| point.starts_with("store: "))
}

/// What the process that died had said.
#[derive(Default)]
struct Said {
    /// These apps were whole and cannot have been collected since.
    whole: BTreeSet<u64>,
    /// These were damaged, and may not have been put aside yet.
    damaged: BTreeSet<u64>,
    /// What must be kept, once it was said.
    keep: Option<Vec<u64>>,
    /// It came to its end, and not to the point.
    outlived: bool,
    /// What it fetched last.
    fetched: Option<u64>,
}

impl Said {
    fn read(output: &str) -> Said {
        let mut said = Said::default();
        for line in output.lines() {
            let Some(line) = line.strip_prefix("store> ") else {
                continue;
            };
            let mut words = line.split(' ');
            let what = words.next().expect("a word");
            let numbers: Vec<u64> = words.map(|word| word.parse().expect("a number")).collect();
            match (what, &numbers[..]) {
                ("whole", [app]) => {
                    // Each one that comes may make another one go.
                    said.collect();
                    said.whole.insert(*app);
                    said.damaged.remove(app);
                }
                ("collects", keep) => {
                    said.keep = Some(keep.to_vec());
                    said.collect();
                }
                ("damages", [app]) => {
                    said.whole.remove(app);
                    said.damaged.insert(*app);
                }
                ("fetches", [app]) => said.fetched = Some(*app),
                ("outlives", []) => said.outlived = true,
                other => panic!("{other:?}"),
            }
        }
        said
    }

    fn collect(&mut self) {
        if let Some(keep) = &self.keep {
            self.whole.retain(|app| keep.contains(app));
        }
    }
}

fn say(what: &str, numbers: &[u64]) {
    let numbers: String = numbers.iter().map(|number| format!(" {number}")).collect();
    let mut out = std::io::stdout().lock();
    writeln!(out, "store> {what}{numbers}").expect("a pipe");
    out.flush().expect("a pipe");
}

/// The process that dies: it goes on until it does, for some hundred steps at most.
#[test]
fn it_works_until_it_dies() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        // On its own it is no test: the one below runs it.
        return;
    };
    let seed = std::env::var(STEPS).expect("a seed").parse();
    let mut steps = moments(seed.expect("a number"), 0);
    let store = open(Path::new(&folder));
    println!();
    for _ in 0..100 {
        step(&store, Path::new(&folder), &mut steps);
    }
    // The point was not on its way, not so often.
    say("outlives", &[]);
    let this = std::process::id().to_string();
    let _ = Command::new("kill").args(["-9", &this]).status();
}

fn step(store: &Store, folder: &Path, steps: &mut StdRng) {
    let number = steps.random_range(0..APPS);
    let bytes = app(number);
    match steps.random_range(0..10) {
        0..4 => {
            store
                .store(&ComponentBytes::of(bytes))
                .expect("there is room");
            say("whole", &[number]);
        }
        4..8 => fetch(store, number, &bytes, steps),
        8 => {
            let keep: Vec<u64> = (0..2).map(|_| steps.random_range(0..APPS)).collect();
            say("collects", &keep);
            let keep: Vec<Digest> = keep.iter().map(|keep| Digest::of(&app(*keep))).collect();
            store.collect(&keep).expect("it can be written");
        }
        _ => {
            let digest = Digest::of(&bytes);
            if store.has(&digest) {
                say("damages", &[number]);
                std::fs::write(folder.join("components").join(digest.to_string()), "damage")
                    .expect("it can be written");
                assert_eq!(store.find(&digest).expect("readable"), None);
            }
        }
    }
}

fn fetch(store: &Store, number: u64, bytes: &Bytes, steps: &mut StdRng) {
    say("fetches", &[number]);
    let manifest = Component::manifest(bytes).into();
    let download = store.begin(&Component::of(bytes), &manifest).expect("room");
    let mut missing = download.missing();
    missing.shuffle(steps);
    for index in missing {
        let chunk = bytes.chunks(CHUNK).nth(index).expect("a chunk");
        download.store_chunk(index, chunk).expect("it is right");
        if steps.random_bool(0.2) {
            return;
        }
    }
    let component = download.component().expect("all is there");
    download.finish(&component).expect("there is room");
    say("whole", &[number]);
}

/// What is in the folder after a death, against what had been said.
fn look(folder: &Path, said: &Said) {
    let _opening = opening();
    let store = open(folder);
    let kept = |number: u64| {
        let found = store.find(&Digest::of(&app(number))).expect("readable");
        found.map(|component| component.bytes().clone())
    };
    for number in &said.whole {
        assert!(
            kept(*number) == Some(app(*number)),
            "app {number} is not there"
        );
    }
    // And of what is there without a word, nothing is half.
    let known = |digest: &Digest| (0..APPS).find(|number| Digest::of(&app(*number)) == *digest);
    for digest in store.components() {
        let number = known(&digest).expect("an app of these");
        let whole = kept(number) == Some(app(number));
        assert!(
            whole || said.damaged.contains(&number),
            "app {number} is half"
        );
    }
    let apps = folder.join("components");
    let count = |folder: &Path| std::fs::read_dir(folder).expect("a folder").count();
    assert_eq!(count(&apps.join("partial")), 0, "half a download is left");
    if let Some(number) = said.fetched {
        let bytes = app(number);
        let manifest = Component::manifest(&bytes).into();
        let download = store
            .begin(&Component::of(&bytes), &manifest)
            .expect("room");
        for (index, chunk) in bytes.chunks(CHUNK).enumerate() {
            download.store_chunk(index, chunk).expect("it is right");
        }
        let component = download.component().expect("all is there");
        download.finish(&component).expect("there is room");
        assert!(*component.bytes() == bytes);
    }
    assert!(!apps.join(".new").exists(), "half an app is left");
    assert!(
        count(&apps.join("quarantine")) <= 3 + 1,
        "too many put aside"
    );
}

#[test]
fn what_the_store_said_to_be_there_outlives_its_process_whole() {
    let seed = seed();
    let mut moments = moments(seed, 99);
    let deaths = Deaths::default();
    let folder = tempfile::tempdir().expect("a folder");
    let points: Vec<&str> = points().collect();
    let mut before = BTreeSet::new();
    for round in 0..ROUNDS {
        let point = points[round % points.len()];
        let fault = format!("{point}:{}", moments.random_range(1..=4));
        let child = {
            let _starting = starting();
            Command::new(std::env::current_exe().expect("this program"))
                .args(["store::it_works_until_it_dies", "--exact", "--nocapture"])
                .env(FOLDER, folder.path())
                .env(STEPS, moments.random::<u64>().to_string())
                .env("HOST_FAULT", &fault)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("it starts")
        };
        let output = child.wait_with_output().expect("it ends");
        let printed = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.signal(),
            Some(9),
            "CRASH_SEED={seed}, round {round}, {fault}: {printed}{complained}"
        );
        let said = Said::read(&printed);
        println!("round {round}, {fault}: {} whole", said.whole.len());
        look(folder.path(), &said);
        deaths.count(if said.outlived {
            "past its point"
        } else {
            point
        });
        before.extend(said.whole);
    }
    assert!(
        before.len() as u64 == APPS,
        "not all apps came up: {before:?}"
    );
    deaths.at_each_of(points.into_iter());
}
