//! The nodes of one machine, where there are several.

use super::super::local::AskedNode;
use super::super::show::{BAD, GOOD, digest, lasted, table};
use super::NONE;
use crate::api::types::Status;
use crate::terminal;

/// `host status` where several nodes run.
pub(in super::super) fn local(nodes: &[AskedNode]) -> String {
    let row = |asked: &AskedNode| {
        let up = |it: &Status| lasted(it.now_ms.saturating_sub(it.started_ms));
        let (style, known) = match &asked.says {
            Ok(it) => {
                let serves = it.serving.as_ref().map_or(NONE, |it| digest(&it.digest));
                let known = [&it.url, serves, &it.members.to_string(), &up(it)].map(str::to_owned);
                (GOOD, known)
            }
            Err(why) => {
                let why = terminal::one_line(super::cut(why));
                (BAD, [why, NONE.into(), NONE.into(), NONE.into()])
            }
        };
        let mut cells = vec![terminal::one_line(asked.name())];
        cells.extend(known);
        cells.extend([
            asked.node.pid.to_string(),
            asked.node.user.clone().unwrap_or_else(|| NONE.to_owned()),
            terminal::one_line(asked.node.folder.display()),
        ]);
        (style, cells)
    };
    let header = [
        "NODE",
        "HTTP",
        "SERVES",
        "MEMBERS",
        "UP",
        "PROCESS",
        "USER",
        "DATA FOLDER",
    ];
    let rows = nodes.iter().map(row).collect();
    table(&header, rows) + "say which one is meant with --name or --data-dir\n"
}
