//! A short soak of three real nodes on a LAN of network namespaces: under load,
//! with pushes all along and random troubles. `cargo xtask lab soak` runs a long one.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use lab::soak::{self, SoakPlan};
use lab::{Lan, Programs};

/// For how long troubles come.
const SHORT: Duration = Duration::from_secs(40);
/// These dice throw many different troubles in this time.
const SEED: u64 = 3;

#[test]
fn no_request_is_lost_that_no_trouble_explains_and_nothing_is_left_over() -> Result<()> {
    let programs = Programs::of_test(env!("CARGO_BIN_EXE_host"))?;
    let Some(lan) = Lan::or_skip(programs.clone(), 3) else {
        return Ok(());
    };
    let made = Path::new(env!("CARGO_BIN_EXE_host"))
        .ancestors()
        .nth(2)
        .map(|target| target.join("makers"));
    // Small ones: compiling is not what is looked at here.
    let apps = ["wasip2", "axum", "composed"].map(|name| format!("{name}.wasm"));
    let apps = apps.iter().filter_map(|app| Some(made.as_ref()?.join(app)));
    let mut apps: Vec<_> = apps.filter(|app| app.is_file()).collect();
    apps.push(programs.component("fixture-plain"));
    let plan = SoakPlan {
        programs,
        apps,
        lasting: SHORT,
        seed: SEED,
    };
    let soaked = soak::run(&lan, &plan)?;
    println!("{soaked}");
    Ok(())
}
