//! What a running node tells the commands about its cookies: a small file in
//! its data folder, which holds no secret.

use std::fmt;
use std::path::PathBuf;

use super::Second;
use crate::node::config::CLUSTER_PORT;

/// Its name.
pub(crate) const FILE: &str = "cookie-state";

/// What the file says, one word and its value on each line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Who the node is.
    pub(crate) node: String,
    /// The port of the cluster, which is the same on every node.
    pub(crate) port: u16,
    /// The file of the cookie that is sent with; none if it was given as it is.
    pub(crate) file: Option<PathBuf>,
    /// Where the cookie comes from, for people.
    pub(crate) from: String,
    /// The key id of the cookie that is sent with.
    pub(crate) sends: String,
    /// What the second cookie is, and its key id.
    pub(crate) second: Option<(Second, String)>,
    /// How often the cookies were read in this run.
    pub(crate) reads: u64,
    /// What was wrong the last time.
    pub(crate) problem: Option<String>,
    /// The members that do not send with the first cookie yet.
    pub(crate) waiting: Vec<String>,
}

impl Second {
    fn word(self) -> &'static str {
        match self {
            Second::Next => "next",
            Second::Previous => "previous",
            Second::Given => "given",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "node {}", self.node)?;
        writeln!(f, "port {}", self.port)?;
        if let Some(file) = &self.file {
            writeln!(f, "file {}", file.display())?;
        }
        writeln!(f, "from {}", self.from)?;
        writeln!(f, "sends {}", self.sends)?;
        if let Some((second, id)) = &self.second {
            writeln!(f, "{} {id}", second.word())?;
        }
        writeln!(f, "reads {}", self.reads)?;
        if let Some(problem) = &self.problem {
            writeln!(f, "problem {}", problem.replace('\n', " "))?;
        }
        self.waiting
            .iter()
            .try_for_each(|member| writeln!(f, "waiting {member}"))
    }
}

impl State {
    /// Reads the file; none if it is no such file.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // An earlier version does not say the port.
        let mut state = Self {
            port: CLUSTER_PORT,
            ..Self::default()
        };
        for line in text.lines() {
            let (word, value) = line.split_once(' ')?;
            let value = value.to_owned();
            match word {
                "node" => state.node = value,
                "port" => state.port = value.parse().ok()?,
                "file" => state.file = Some(value.into()),
                "from" => state.from = value,
                "sends" => state.sends = value,
                "next" => state.second = Some((Second::Next, value)),
                "previous" => state.second = Some((Second::Previous, value)),
                "given" => state.second = Some((Second::Given, value)),
                "reads" => state.reads = value.parse().ok()?,
                "problem" => state.problem = Some(value),
                "waiting" => state.waiting.push(value),
                // A later version may say more.
                _ => {}
            }
        }
        (!state.sends.is_empty()).then_some(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let full = State {
            node: "example@10.10.10.2".into(),
            port: 8383,
            file: Some("/etc/a folder/cookie".into()),
            from: "/etc/a folder/cookie".into(),
            sends: "5f".into(),
            second: Some((Second::Previous, "c2".into())),
            reads: 3,
            problem: Some("it is empty".into()),
            waiting: vec!["example@10.10.10.3".into(), "example@10.10.10.4".into()],
        };
        assert_eq!(State::parse(&full.to_string()), Some(full));
        let least = State {
            from: "--cookie".into(),
            node: "n@10.0.0.1".into(),
            sends: "00".into(),
            ..State::default()
        };
        assert_eq!(State::parse(&least.to_string()), Some(least));
        assert_eq!(State::parse("half a li"), None);
        assert_eq!(State::parse(""), None);
    }
}
