//! The laboratory's own promises: what the tests of the host rest on.

#![allow(clippy::unwrap_used)] // A panic is how a test fails, in its helpers too.

use anyhow::Result;
use lab::quality::Quality;
use lab::wire::{Capture, Datagram, Forge};
use lab::{Lan, Launch, Programs};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(5);
const PORT: u16 = 8383;

fn lan(machines: u8) -> Option<Lan> {
    // No host runs here, so any program does.
    let program = std::env::current_exe().unwrap();
    Lan::or_skip(Programs::new(&program, &program).unwrap(), machines)
}

/// A socket on machine `number` that hears broadcasts.
fn listener(lan: &Lan, number: u8) -> Result<UdpSocket> {
    lan.machine(number).netns().run(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
        socket.set_read_timeout(Some(BOUND))?;
        Ok(socket)
    })
}

fn broadcast(lan: &Lan, number: u8, payload: &[u8]) -> Result<()> {
    lan.machine(number).netns().run(|| {
        let socket = UdpSocket::bind((lan.machine(number).ip(), 0))?;
        socket.set_broadcast(true)?;
        socket.send_to(payload, (Ipv4Addr::new(10, 10, 10, 255), PORT))?;
        Ok(())
    })
}

fn heard(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 1500];
    let size = socket.recv(&mut buffer).unwrap();
    buffer[..size].to_vec()
}

#[test]
fn a_broadcast_reaches_every_machine_whose_cable_is_in() -> Result<()> {
    let Some(lan) = lan(4) else { return Ok(()) };
    let (third, fourth) = (listener(&lan, 3)?, listener(&lan, 4)?);
    broadcast(&lan, 2, b"first")?;
    assert_eq!(heard(&third), b"first");
    assert_eq!(heard(&fourth), b"first");

    lan.cut(3)?;
    broadcast(&lan, 2, b"second")?;
    assert_eq!(heard(&fourth), b"second");

    lan.mend(3)?;
    broadcast(&lan, 2, b"third")?;
    assert_eq!(
        heard(&third),
        b"third",
        "what was sent while the cable was out is lost"
    );
    Ok(())
}

#[test]
fn a_switch_that_loses_broadcasts_still_passes_what_is_sent_to_one() -> Result<()> {
    let Some(lan) = lan(2) else { return Ok(()) };
    let third = listener(&lan, 3)?;
    // So that the switch knows where 10.10.10.3 is.
    broadcast(&lan, 3, b"here I am")?;
    assert_eq!(heard(&third), b"here I am");
    lan.pass_broadcasts_to(3, false)?;
    broadcast(&lan, 2, b"lost")?;
    lan.machine(2).netns().run(|| {
        UdpSocket::bind((lan.machine(2).ip(), 0))?
            .send_to(b"passed", (lan.machine(3).ip(), PORT))?;
        Ok(())
    })?;
    assert_eq!(heard(&third), b"passed");
    Ok(())
}

#[test]
fn a_forged_datagram_arrives_from_whom_it_claims_to_be_from() -> Result<()> {
    let Some(lan) = lan(3) else { return Ok(()) };
    let mut capture = lan.machine(3).netns().run(Capture::begin)?;
    let third = listener(&lan, 3)?;
    let datagram = Datagram {
        from: SocketAddrV4::new(lan.machine(4).ip(), PORT),
        to: SocketAddrV4::new(lan.machine(3).ip(), PORT),
        payload: b"I am 4, says 2".to_vec(),
    };
    lan.machine(2)
        .netns()
        .run(|| Forge::begin()?.send(&datagram))?;
    let mut buffer = [0; 1500];
    let (size, from) = third.recv_from(&mut buffer)?;
    assert_eq!(
        (&buffer[..size], from),
        (&datagram.payload[..], datagram.from.into())
    );
    let seen = capture.collect(1, BOUND, |seen| seen.to.port() == PORT)?;
    assert_eq!(seen, [datagram]);
    Ok(())
}

#[test]
fn a_split_lan_carries_within_each_part_and_not_between_them() -> Result<()> {
    let Some(lan) = lan(4) else { return Ok(()) };
    let (third, fifth) = (listener(&lan, 3)?, listener(&lan, 5)?);
    lan.split_off(&[4, 5])?;
    broadcast(&lan, 2, b"here")?;
    broadcast(&lan, 4, b"there")?;
    assert_eq!(heard(&third), b"here");
    assert_eq!(heard(&fifth), b"there");

    lan.reunite(&[4, 5])?;
    broadcast(&lan, 2, b"everywhere")?;
    assert_eq!(heard(&third), b"everywhere");
    assert_eq!(
        heard(&fifth),
        b"everywhere",
        "what was said to the other part is lost"
    );
    Ok(())
}

/// Broadcasts of one byte each, numbered; returns those that came, in the order
/// in which they came.
fn numbered(lan: &Lan, count: u8) -> Result<Vec<u8>> {
    let third = listener(lan, 3)?;
    lan.machine(2).netns().run(|| {
        let socket = UdpSocket::bind((lan.machine(2).ip(), 0))?;
        socket.set_broadcast(true)?;
        for number in 0..count {
            socket.send_to(&[number], (Ipv4Addr::new(10, 10, 10, 255), PORT))?;
        }
        Ok(())
    })?;
    // What has not come when nothing more comes is lost.
    third.set_read_timeout(Some(Duration::from_millis(500)))?;
    let mut came = Vec::new();
    let mut buffer = [0; 1500];
    while third.recv(&mut buffer).is_ok() {
        came.push(buffer[0]);
    }
    Ok(came)
}

#[test]
fn poor_cables_lose_delay_and_double_and_are_good_again_afterwards() -> Result<()> {
    let Some(lan) = lan(2) else { return Ok(()) };
    let quality = Quality {
        loss: 0.2,
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(15),
        duplicates: 0.2,
    };
    let seed = 11;
    println!("seed {seed}");
    let poor = match lan.degrade(quality, seed) {
        Ok(poor) => poor,
        Err(error) => {
            lab::skip::skip(&format!("{error:#}"));
            return Ok(());
        }
    };
    let came = numbered(&lan, 200)?;
    let frames = poor.frames()?;
    println!("{frames:?}");
    let mut distinct = came.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert!((120..190).contains(&distinct.len()), "{came:?}");
    assert!(
        came.len() > distinct.len() + 10,
        "none came twice: {came:?}"
    );
    assert!(!came.is_sorted(), "none was overtaken");
    assert!(frames.lost >= 200 - distinct.len() as u64, "{frames:?}");
    // TCP, whose segments a card may leave unfinished, passes too.
    let server = lan
        .machine(3)
        .netns()
        .run(|| Ok(std::net::TcpListener::bind((lan.machine(3).ip(), 80))?))?;
    let sent = vec![7; 300_000];
    let received = std::thread::scope(|scope| {
        let reader = scope.spawn(|| -> Result<Vec<u8>> {
            let (mut stream, _) = server.accept()?;
            let mut all = Vec::new();
            std::io::Read::read_to_end(&mut stream, &mut all)?;
            Ok(all)
        });
        lan.machine(2).netns().run(|| {
            let mut stream = std::net::TcpStream::connect((lan.machine(3).ip(), 80))?;
            Ok(std::io::Write::write_all(&mut stream, &sent)?)
        })?;
        reader.join().unwrap()
    })?;
    assert!(received == sent, "{} bytes came", received.len());

    drop(poor);
    let came = numbered(&lan, 200)?;
    assert_eq!(came, (0..200).collect::<Vec<u8>>());
    Ok(())
}

#[test]
fn after_a_panic_no_namespace_and_no_process_is_left() -> Result<()> {
    let Some(lan) = lan(2) else { return Ok(()) };
    let names: Vec<String> = lan
        .machines()
        .iter()
        .map(|machine| machine.netns().name().to_owned())
        .collect();
    let is_there = |name: &String| Path::new("/run/netns").join(name).exists();
    assert!(names.iter().all(is_there));
    let poor = Quality::losing_percent(1.0);
    let scratch = lan.scratch().to_owned();
    let failed = catch_unwind(AssertUnwindSafe(move || -> Result<()> {
        let _poor = lan.degrade(poor, 1)?;
        let _process = Launch::new(Path::new("sleep"))
            .in_netns(lan.machine(2).netns().name())
            .arg("600")
            .spawn()?;
        panic!("a panic on purpose, and this is not its failure");
    }));
    assert!(failed.is_err(), "it was to panic");
    assert!(!names.iter().any(is_there), "{names:?}");
    assert!(!scratch.exists());
    Ok(())
}
