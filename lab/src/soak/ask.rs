//! Clients that a trouble needs: many connections at once, in the namespace of a machine.

use super::BOUND;
use crate::lan::Machine;
use anyhow::{Context, Result};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

/// Opens so many connections to the node of this machine, sends this on each, reads
/// the beginning of what is answered, and holds them for so long.
pub(super) fn talk(machine: &Machine, count: usize, text: &str, lasting: Duration) -> Result<()> {
    machine.netns().run(|| {
        let mut open = Vec::new();
        for _ in 0..count {
            // A node that refuses or closes does what it may.
            let Ok(mut stream) = TcpStream::connect((machine.ip(), 8080)) else {
                continue;
            };
            let _ = stream.write_all(text.as_bytes());
            open.push(stream);
        }
        for stream in &mut open {
            stream.set_read_timeout(Some(Duration::from_millis(20)))?;
            let mut beginning = [0; 64];
            match stream.read(&mut beginning) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                _ => {}
            }
        }
        sleep(lasting);
        Ok(())
    })
}

/// Makes so many requests at once to the node of this machine, each over a connection of
/// its own. Returns what was answered to each.
pub(super) fn at_once(machine: &Machine, count: usize, path: &str) -> Result<Vec<String>> {
    machine.netns().run(|| {
        let ask = |_| -> Result<TcpStream> {
            let mut stream = TcpStream::connect((machine.ip(), 8080))?;
            stream.set_read_timeout(Some(BOUND))?;
            write!(
                stream,
                "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
            )?;
            Ok(stream)
        };
        let open = (0..count).map(ask).collect::<Result<Vec<_>>>()?;
        let read = |mut stream: TcpStream| {
            let mut said = String::new();
            let read = stream.read_to_string(&mut said);
            read.map(|_| said).context("no answer")
        };
        open.into_iter().map(read).collect()
    })
}
