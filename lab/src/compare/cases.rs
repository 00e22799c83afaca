//! What is asked of the servers.

use std::fmt;

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Case {
    /// 13 bytes come back.
    Hello,
    /// The page of the example app, or as many bytes.
    Page,
    /// 64 KiB come back.
    Out,
    /// 1 MiB is sent, and its length comes back.
    Up,
    /// An order of 1.5 KB in JSON is sent, and a bill comes back.
    Json,
    /// 1000 streams, with one event on each.
    Events,
    /// Hello, in JavaScript.
    Javascript,
    /// Hello, in Python.
    Python,
    /// Hello, in JavaScript, on 400 connections.
    Crowd,
}

/// How many streams are open in [`Case::Events`].
pub(super) const STREAMS: usize = 1000;

impl Case {
    /// All of them, in the order of the table.
    pub const ALL: [Case; 9] = [
        Case::Hello,
        Case::Page,
        Case::Out,
        Case::Up,
        Case::Json,
        Case::Events,
        Case::Javascript,
        Case::Python,
        Case::Crowd,
    ];

    /// The path that is asked for.
    pub(super) fn path(self) -> &'static str {
        match self {
            Case::Hello => "/hello",
            Case::Out => "/64k",
            Case::Up => "/up",
            Case::Json => "/json",
            Case::Events => "/events?3000",
            Case::Page | Case::Javascript | Case::Python | Case::Crowd => "/",
        }
    }

    /// What is sent, and its type; none for a `GET`.
    pub(super) fn body(self) -> Option<(Vec<u8>, &'static str)> {
        match self {
            Case::Up => Some((vec![b'x'; 1 << 20], "application/octet-stream")),
            Case::Json => Some((order().into_bytes(), "application/json")),
            _ => None,
        }
    }

    /// On how many connections.
    pub(super) fn connections(self) -> u32 {
        match self {
            Case::Up => 8,
            Case::Crowd => 400,
            _ => 32,
        }
    }

    /// The name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Case::Hello => "hello",
            Case::Page => "page",
            Case::Out => "out",
            Case::Up => "up",
            Case::Json => "json",
            Case::Events => "events",
            Case::Javascript => "javascript",
            Case::Python => "python",
            Case::Crowd => "crowd",
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Case::Hello => "hello, 13 bytes",
            Case::Page => "the page of the example",
            Case::Out => "64 KiB out",
            Case::Up => "1 MiB up",
            Case::Json => "JSON in and out",
            Case::Events => "1000 streams, an event on each",
            Case::Javascript => "hello in JavaScript",
            Case::Python => "hello in Python",
            Case::Crowd => "hello in JavaScript, 400 connections",
        })
    }
}

/// An order with 24 items.
fn order() -> String {
    let items: Vec<String> = (1..=24)
        .map(|item| {
            let price = 100 + 37 * item;
            format!(r#"{{"name":"item number {item}","count":{item},"price":{price}}}"#)
        })
        .collect();
    let items = items.join(",");
    format!(r#"{{"customer":"somebody","items":[{items}]}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_among_all_of_them_under_its_name() {
        use clap::ValueEnum as _;
        for case in Case::value_variants() {
            assert!(Case::ALL.contains(case));
            let value = case.to_possible_value().expect("none is hidden");
            assert_eq!(value.get_name(), case.name());
        }
    }

    #[test]
    fn the_order_is_json() {
        let order: serde_json::Value = serde_json::from_str(&order()).expect("JSON");
        assert_eq!(order["items"].as_array().map(Vec::len), Some(24));
    }
}
