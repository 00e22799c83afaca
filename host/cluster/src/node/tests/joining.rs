//! A node that is told to join another one.

use super::*;

#[test]
fn a_seed_that_does_not_answer_is_sent_three_beacons_a_try_for_ever() {
    let seed = SocketAddrV4::new(Ipv4Addr::new(192, 168, 7, 1), 8383);
    let mut bench = Bench::with(|config| {
        config.allow = vec![Cidr::new(*seed.ip(), 24).expect("a range")];
        config.join = vec![seed];
    });
    let (step, mut tries) = (Duration::from_millis(50), Vec::<Vec<Time>>::new());
    for _ in 0..2400 {
        bench.pass(step);
        for message in bench.effects() {
            match message {
                Effect::Send { to, .. } if to == seed => match tries.last_mut() {
                    // An attempt sends one beacon per upkeep.
                    Some(now) if bench.now.since(now[now.len() - 1]) < step * 7 => {
                        now.push(bench.now);
                    }
                    _ => tries.push(vec![bench.now]),
                },
                _ => {}
            }
        }
    }
    let (first, rest) = tries.split_first().expect("it tried");
    assert!(first[0] <= Time::ZERO + step * 6, "at once: {first:?}");
    assert!(rest.len() >= 120 / 11, "{tries:?}");
    for pair in rest.windows(2) {
        assert_eq!(pair[0].len(), 3, "{tries:?}");
        let wait = pair[1][0].since(pair[0][0]);
        assert!(wait <= Duration::from_millis(10_300), "{tries:?}");
    }
}
