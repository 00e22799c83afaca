//! Tells the members at once what was written here. Each member has a line of its own.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster::data::{DataLine, DataStore, TOLD_MAX, told_by};
use cluster::{Boot, NodeName, View};
use http::StatusCode;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use crate::control::Client;
use crate::control::routes::DATA;

/// How many bytes of writes go into one message, if they are small.
const MESSAGE: usize = 512 * 1024;
const _: () = assert!(MESSAGE < TOLD_MAX);

/// How long a line waits before it tries an unreachable member again. The time doubles each time.
const AGAIN: Duration = Duration::from_millis(20);
const AGAIN_MAX: Duration = Duration::from_secs(1);

/// Tells the members what is written, until there are no more views.
pub async fn tell(store: DataStore, mut members: watch::Receiver<Arc<View>>, client: Client) {
    let mut tasks = JoinSet::new();
    let mut lines: HashMap<NodeName, (Boot, AbortHandle)> = HashMap::new();
    loop {
        let view = members.borrow_and_update().clone();
        let told = told_by(&view, client.me());
        lines.retain(|name, (boot, line)| {
            let is_told = told.iter().any(|it| it.name == *name && it.boot == *boot);
            if !is_told {
                line.abort();
            }
            is_told
        });
        for member in told {
            if !lines.contains_key(&member.name) {
                let line = run_line(store.line(), member.name.clone(), client.clone());
                let task = tasks.spawn(line);
                lines.insert(member.name.clone(), (member.boot, task));
            }
        }
        // Tasks that have ended are removed.
        while tasks.try_join_next().is_some() {}
        if members.changed().await.is_err() {
            return;
        }
    }
}

/// The line to one member. It is aborted when the member goes.
async fn run_line(mut line: DataLine, member: NodeName, client: Client) {
    loop {
        let (message, lost) = poll_fn(|context| line.poll_next(context, MESSAGE)).await;
        if lost > 0 {
            // The exchange of state brings them.
            tracing::debug!(%member, lost, "a member takes writes too slowly");
        }
        send(&member, &client, message).await;
    }
}

/// Sends a message until the member has it, or says that it will not take it.
async fn send(member: &NodeName, client: &Client, message: Bytes) {
    let mut wait = AGAIN;
    loop {
        match client.call(member, &DATA, message.clone()).await {
            Ok((StatusCode::OK, _)) => return,
            // It does not count this node as a member yet, or is only just starting.
            Ok((StatusCode::FORBIDDEN | StatusCode::SERVICE_UNAVAILABLE, _)) => {}
            Ok((status, _)) => {
                tracing::debug!(%member, %status, "a member takes no writes");
                return sleep(AGAIN_MAX).await;
            }
            Err(error) => tracing::debug!(%member, %error, "writes not told"),
        }
        sleep(wait).await;
        wait = AGAIN_MAX.min(wait * 2);
    }
}
