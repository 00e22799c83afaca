//! Rules as people write them, and what they allow.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn rule(text: &str) -> EgressRule {
    text.parse().expect(text)
}

fn rules(texts: &[&str]) -> Vec<EgressRule> {
    texts.iter().map(|text| rule(text)).collect()
}

fn to(text: &str) -> Destination {
    let (protocol, authority) = text.split_once("://").expect("a protocol");
    let protocol = EgressProtocol::of_scheme(protocol).expect("a protocol");
    Destination::new(protocol, authority).expect(text)
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

#[test]
fn a_rule_is_shown_in_one_way_however_it_was_written() {
    for (text, shown) in [
        ("https://api.example.com", "https://api.example.com"),
        ("HTTPS://API.Example.com.:443/", "https://api.example.com"),
        (
            "https://api.example.com:8443",
            "https://api.example.com:8443",
        ),
        ("http://host:8080", "http://host:8080"),
        ("http://host:80", "http://host"),
        ("*.example.com", "https://*.example.com"),
        ("*.example.com:8443", "https://*.example.com:8443"),
        ("tcp://*.db.example.com:5432", "tcp://*.db.example.com:5432"),
        ("https://*", "https://*"),
        ("tcp://10.0.0.5:5432", "tcp://10.0.0.5:5432"),
        ("tcp://10.0.0.7/24:5432", "tcp://10.0.0.0/24:5432"),
        ("tcp://10.0.0.5/32:5432", "tcp://10.0.0.5:5432"),
        ("http://[FD00::2]:8080", "http://[fd00::2]:8080"),
        ("https://[fd00::2/64]", "https://[fd00::/64]"),
        ("http://[::ffff:10.0.0.5]", "http://10.0.0.5"),
        ("http://[::ffff:10.0.0.5/104]", "http://10.0.0.0/8"),
        ("http://[64:ff9b::a00:5]", "http://10.0.0.5"),
    ] {
        assert_eq!(rule(text).to_string(), shown, "{text}");
        assert_eq!(rule(shown), rule(text), "{text}");
    }
}

#[test]
fn what_is_no_rule_is_refused_and_the_error_says_why() {
    use EgressRuleError as E;
    let kind = |text: &str| text.parse::<EgressRule>().expect_err(text);
    for text in ["", "api.example.com", "10.0.0.5:5432", "*"] {
        assert_eq!(kind(text), E::NoProtocol(text.to_owned()));
    }
    for text in ["ftp://a.example", "://a.example"] {
        assert_eq!(kind(text), E::Protocol(text.to_owned()));
    }
    for text in ["tcp://10.0.0.5", "tcp://db.example.com", "tcp://[fd00::2]"] {
        assert_eq!(kind(text), E::NoPort(text.to_owned()));
    }
    for text in [
        "http://a:0",
        "http://a:65536",
        "http://a:+80",
        "http://a:",
        "http://a:b",
    ] {
        assert_eq!(kind(text), E::Port(text.to_owned()));
    }
    for text in [
        "https://api.example.com/v1",
        "https://api.example.com:443/v1",
        "https://me@api.example.com",
        "https://api.example.com?x",
    ] {
        assert_eq!(kind(text), E::MoreThanServer(text.to_owned()));
    }
    let long = format!("https://{}example", "a.".repeat(130));
    for text in [
        "https://",
        "https://a..b",
        "https://a.*.example",
        "https://**.example",
        "https://*example.com",
        "https://bücher.example",
        "https://a b",
        "http://127.1",
        "http://0x7f000001",
        "http://2130706433",
        "http://fd00::2",
        "http://[10.0.0.5]",
        "http://[fd00::2",
        "http://10.0.0.0/33",
        &long,
    ] {
        assert_eq!(kind(text), E::Host(text.to_owned()));
    }
    for text in [
        "tcp://0.0.0.0:80",
        "tcp://224.0.0.1:80",
        "http://[::]",
        "http://[ff02::1]",
    ] {
        assert!(matches!(kind(text), E::NoServer(it, _) if it == text));
    }
}

#[test]
fn a_name_allows_itself_with_its_protocol_and_port_and_nothing_else() {
    let rules = rules(&["https://api.example.com"]);
    assert!(allows(&rules, &to("https://api.example.com")));
    assert!(allows(&rules, &to("https://API.example.com.:443")));
    for other in [
        "http://api.example.com",
        "http://api.example.com:443",
        "tcp://api.example.com:443",
        "https://api.example.com:8443",
        "https://a.api.example.com",
        "https://example.com",
        "https://93.184.215.14",
    ] {
        assert!(!allows(&rules, &to(other)), "{other}");
    }
    assert!(!allows(&[], &to("https://api.example.com")));
}

#[test]
fn a_star_allows_names_below_the_domain_at_any_depth_and_not_the_domain() {
    let below = rules(&["*.example.com"]);
    for name in ["https://a.example.com", "https://a.b.example.com"] {
        assert!(allows(&below, &to(name)), "{name}");
    }
    for name in [
        "https://example.com",
        "https://notexample.com",
        "https://a.example.com.evil.test",
        "http://a.example.com",
    ] {
        assert!(!allows(&below, &to(name)), "{name}");
    }
    let any = rules(&["https://*"]);
    assert!(allows(&any, &to("https://whatever.example")));
    assert!(!allows(&any, &to("https://93.184.215.14")));
}

#[test]
fn an_allowed_name_does_not_open_an_address_that_is_not_public() {
    let name = rules(&[
        "https://api.example.com",
        "https://*",
        "https://0.0.0.0/0",
        "https://[::/0]",
    ]);
    let api = to("https://api.example.com");
    for public in [
        "93.184.215.14",
        "2606:2800:21f::1",
        "::ffff:93.184.215.14",
        "64:ff9b::5db8:d70e",
    ] {
        assert!(may_connect(&name, &api, ip(public), false), "{public}");
        assert!(!may_connect(&[], &api, ip(public), false), "{public}");
        assert_eq!(address_kind(ip(public)), "a public address");
    }
    for special in [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.5",
        "100.64.0.1",
        "127.0.0.1",
        "127.9.9.9",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.251",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.5",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:5",
        "64:ff9b:1::a00:5",
        "2001:db8::1",
        "2001:0:4136:e378::1",
        "2002:7f00:1::1",
        "fd00::2",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "4000::1",
    ] {
        assert!(!may_connect(&name, &api, ip(special), false), "{special}");
        assert_ne!(address_kind(ip(special)), "a public address");
    }
}

#[test]
fn an_address_or_range_opens_itself_for_its_protocol_and_port() {
    let api = to("https://api.example.com");
    for (range, address) in [
        ("https://10.0.0.5", "10.0.0.5"),
        ("https://10.0.0.0/8", "10.0.0.5"),
        ("https://127.0.0.1", "::ffff:127.0.0.1"),
        ("https://169.254.169.254", "64:ff9b::a9fe:a9fe"),
        ("https://[fd00::/8]", "fd00::2"),
        ("https://[::1]", "::1"),
    ] {
        let both = rules(&["https://api.example.com", range]);
        assert!(may_connect(&both, &api, ip(address), false), "{range}");
        // The name must be allowed too, and an address in the place of a name is judged alike.
        assert!(
            !may_connect(&both[1..], &api, ip(address), false),
            "{range}"
        );
        let literal = Destination::at(EgressProtocol::Https, ip(address), 443).expect("a port");
        assert!(
            may_connect(&both[1..], &literal, ip(address), false),
            "{range}"
        );
        assert!(
            !may_connect(&both[1..], &literal, ip("10.0.0.77"), false),
            "{range}"
        );
    }
    for range in [
        "http://10.0.0.5:443",
        "tcp://10.0.0.5:443",
        "https://10.0.0.5:8443",
        "https://10.0.0.0/7",
    ] {
        let both = rules(&["https://api.example.com", range]);
        assert!(!may_connect(&both, &api, ip("10.0.0.5"), false), "{range}");
    }
}

#[test]
fn localhost_as_a_name_opens_loopback_for_that_name_alone() {
    let local = rules(&["http://localhost:8080", "http://api.example.com:8080"]);
    assert!(may_connect(
        &local,
        &to("http://localhost:8080"),
        ip("127.0.0.1"),
        false
    ));
    assert!(may_connect(
        &local,
        &to("http://localhost:8080"),
        ip("::1"),
        false
    ));
    assert!(!may_connect(
        &local,
        &to("http://localhost:8080"),
        ip("10.0.0.5"),
        false
    ));
    assert!(!may_connect(
        &local,
        &to("http://api.example.com:8080"),
        ip("127.0.0.1"),
        false
    ));
    assert!(!allows(&local, &to("http://localhost:8081")));
}

#[test]
fn the_address_of_a_node_must_be_named_itself() {
    let api = to("https://api.example.com");
    let node = ip("93.184.215.14");
    let wide = rules(&["https://api.example.com", "https://93.184.215.0/24"]);
    assert!(may_connect(&wide, &api, node, false));
    assert!(!may_connect(&wide, &api, node, true));
    let exact = rules(&["https://api.example.com", "https://93.184.215.14"]);
    assert!(may_connect(&exact, &api, node, true));
    let private = rules(&["https://api.example.com", "https://10.0.0.0/24"]);
    assert!(may_connect(&private, &api, ip("10.0.0.2"), true));
}

#[test]
fn a_name_without_a_port_is_allowed_with_the_ports_of_its_rules_for_tcp() {
    let rules = rules(&[
        "tcp://db.example.com:5432",
        "tcp://*.example.com:6379",
        "tcp://other.example:1",
        "https://db.example.com",
    ]);
    let ways = tcp_destinations(&rules, "DB.example.com.").expect("a name");
    let ways: Vec<String> = ways.iter().map(ToString::to_string).collect();
    assert_eq!(
        ways,
        ["tcp://db.example.com:5432", "tcp://db.example.com:6379"]
    );
    assert_eq!(tcp_destinations(&rules, "example.com"), Ok(Vec::new()));
    assert!(tcp_destinations(&[], "127.1").is_err());
}

#[test]
fn what_a_destination_shows_is_the_rule_that_allows_it() {
    for (text, shown) in [
        ("https://API.example.com:443", "https://api.example.com"),
        ("http://10.0.0.5:8080", "http://10.0.0.5:8080"),
        ("tcp://[fd00::2]:5432", "tcp://[fd00::2]:5432"),
        ("http://[::1]", "http://[::1]"),
    ] {
        let to = to(text);
        assert_eq!(to.to_string(), shown);
        let rule: EgressRule = shown.parse().expect(shown);
        assert_eq!(rule, EgressRule::from(&to));
        assert!(rule.allows(&to));
    }
}

#[test]
fn a_text_that_elsewhere_could_be_read_as_an_address_is_no_destination() {
    for text in [
        "127.1",
        "0x7f.1",
        "0x",
        "2130706433",
        "1.2.3.4.",
        "a.0x10",
        "::1",
        "[::1",
        "[127.0.0.1]",
        "",
        "a b",
        "a/b",
        "u@a",
        "a..b",
    ] {
        assert!(
            Destination::new(EgressProtocol::Https, text).is_err(),
            "{text}"
        );
    }
    for text in ["a:0", "a:65536", "a:"] {
        assert!(
            Destination::new(EgressProtocol::Https, text).is_err(),
            "{text}"
        );
    }
    assert!(Destination::new(EgressProtocol::Tcp, "a").is_err());
}

#[test]
fn a_rule_from_the_network_is_checked_too() {
    let rule = rule("tcp://10.0.0.0/24:5432");
    let bytes = postcard::to_allocvec(&rule).expect("written");
    assert_eq!(postcard::from_bytes(&bytes), Ok(rule));
    let bytes = postcard::to_allocvec("tcp://0.0.0.0:80").expect("written");
    assert!(postcard::from_bytes::<EgressRule>(&bytes).is_err());
}

fn any_rule() -> impl Strategy<Value = String> {
    let protocol = prop::sample::select(vec!["https", "http", "tcp"]);
    let label = "[a-z0-9_]([a-z0-9_-]{0,20})?";
    let host = prop_oneof![
        prop::collection::vec(label, 1..4).prop_map(|it| it.join(".") + ".x"),
        prop::collection::vec(label, 1..4).prop_map(|it| format!("*.{}.x", it.join("."))),
        (any::<u32>(), 0u8..=32).prop_map(|(a, n)| format!("{}/{n}", Ipv4Addr::from(a))),
        (any::<u128>(), 0u8..=128).prop_map(|(a, n)| format!("[{}/{n}]", Ipv6Addr::from(a))),
    ];
    (protocol, host, 1u16..)
        .prop_map(|(protocol, host, port)| format!("{protocol}://{host}:{port}"))
}

proptest! {
    #[test]
    fn a_rule_reads_back_what_it_shows(text in any_rule()) {
        if let Ok(rule) = text.parse::<EgressRule>() {
            let shown = rule.to_string();
            prop_assert!(shown.len() <= EGRESS_RULE_MAX);
            prop_assert_eq!(shown.parse::<EgressRule>(), Ok(rule));
        }
    }

    #[test]
    fn any_text_is_a_rule_or_an_error(text in ".{0,64}") {
        let _ = text.parse::<EgressRule>();
        let _ = Destination::new(EgressProtocol::Https, &text);
    }

    #[test]
    fn nothing_but_ranges_opens_what_is_not_public(text in any_rule(), address: u32, six: u128) {
        let Ok(rule) = text.parse::<EgressRule>() else { return Ok(()) };
        if let Pattern::Range(_) = rule.host { return Ok(()) }
        let rules = [rule.clone(), EgressRule { host: Pattern::AnyName, ..rule }];
        let to = Destination::of_host(rules[0].protocol, "api.example.x", rules[0].port).expect("a name");
        for ip in [IpAddr::from(Ipv4Addr::from(address)), Ipv6Addr::from(six).into()] {
            prop_assert_eq!(may_connect(&rules, &to, ip, false), address_kind(ip) == "a public address");
        }
    }

    #[test]
    fn the_notations_of_one_address_are_judged_alike(address: u32) {
        let v4 = Ipv4Addr::from(address);
        let api = to("https://api.example.com");
        let rules = rules(&["https://api.example.com", "https://10.0.0.0/8"]);
        let [a, b, c, d] = v4.octets().map(u16::from);
        let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a << 8 | b, c << 8 | d);
        let plain = may_connect(&rules, &api, v4.into(), false);
        prop_assert_eq!(may_connect(&rules, &api, v4.to_ipv6_mapped().into(), false), plain);
        prop_assert_eq!(may_connect(&rules, &api, nat64.into(), false), plain);
    }
}
