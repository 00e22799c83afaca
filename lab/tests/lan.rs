//! The laboratory's own promises: what the tests of the host rest on.

#![allow(clippy::unwrap_used)] // A panic is how a test fails, in its helpers too.

use anyhow::Result;
use lab::wire::{Capture, Datagram, Forge};
use lab::{Lan, Programs};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
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
