//! A node that is pushed an app, is pushed the next release of it while clients ask,
//! goes back, and starts again with it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::client::{self, Sse};

use crate::apps::{App, next};
use crate::place::{BOUND, Node, Place};

/// Clients that ask all the time.
const CLIENTS: usize = 4;
/// Before each of their requests: compiling is to have a processor too.
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) fn under_load(app: App) -> Result<()> {
    let Some(file) = app.file() else {
        return Ok(());
    };
    let component = std::fs::read(file)?;
    let place = Place::new()?;
    let first = place.app("first.wasm", &component)?;
    let pushed = place.app("next.wasm", &next(&component))?;
    let node = Node::start(&place.launch(2))?;
    let said = place.run(2, &["push", &first])?;
    ensure!(said.code == Some(0), "{}", node.process.output());
    ensure!(node.serves()? == app.hello());
    let over = AtomicBool::new(false);
    let is_over = || {
        thread::sleep(PAUSE);
        over.load(Relaxed)
    };
    let ask = || client::get_repeatedly(&node.url("/"), BOUND, is_over);
    thread::scope(|scope| {
        let stream = Sse::open(&node.url("/endless"), BOUND)?;
        let load: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
        let changed = || -> Result<()> {
            let said = place.run(2, &["push", &pushed])?;
            ensure!(said.code == Some(0), "{}", node.process.output());
            ensure!(node.serves()? == app.next_hello());
            // What the old code streams, it goes on to stream.
            stream.next(BOUND).context("the stream has ended")?;
            let said = place.run(2, &["rollback"])?;
            ensure!(said.code == Some(0), "{}", node.process.output());
            ensure!(node.serves()? == app.hello());
            Ok(())
        };
        let changed = changed();
        over.store(true, Relaxed);
        let mut requests = 0;
        for each in load {
            requests += each.join().ok().context("it panicked")??.len();
        }
        changed?;
        println!("{requests} requests");
        ensure!(requests > CLIENTS, "there was no load");
        anyhow::Ok(())
    })?;

    // Whatever it needs at its start is there when it is started again.
    node.process.terminate()?;
    node.process.wait_for_end(BOUND)?;
    let node = Node::start(&place.launch(2))?;
    node.comes_to_serve(&app.hello()).map(drop)
}
