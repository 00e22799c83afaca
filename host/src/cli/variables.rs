//! Each flag as an environment variable: `--data-dir` is `HOST_DATA_DIR`.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::builder::FalseyValueParser;
use clap::error::{ContextKind, ContextValue, Error};
use clap::{Arg, ArgAction, Command};

/// Flags whose variables count only together with another flag: the cookie of a
/// command is for a node on another machine.
const WITH: [(&str, &str); 2] = [("cookie", "node"), ("cookie-file", "node")];

/// The long flags on the command line.
#[derive(Debug)]
pub(super) struct Typed {
    flags: BTreeSet<String>,
    /// If the help is asked for, it shows all variables, and none is used.
    asks_for_help: bool,
}

/// The name of the variable of a flag.
pub(super) fn variable(long: &str) -> String {
    format!("HOST_{}", long.replace('-', "_").to_uppercase())
}

impl Typed {
    pub(super) fn new(words: &[OsString]) -> Typed {
        let words = words.iter().filter_map(|word| word.to_str());
        let words: Vec<&str> = words.take_while(|word| *word != "--").collect();
        let flags = words.iter().filter_map(|word| word.strip_prefix("--"));
        let flags = flags.map(|flag| flag.split('=').next().unwrap_or(flag).to_owned());
        Typed {
            flags: flags.collect(),
            asks_for_help: words.iter().any(|word| ["-h", "--help"].contains(word)),
        }
    }

    /// Returns the command with a variable for each flag, also in its
    /// subcommands. `is_set` says which variables are set. A variable does not
    /// count if a flag was typed that excludes its flag, or if such a flag is
    /// declared earlier and its variable is set.
    pub(super) fn with_variables(
        &self,
        command: Command,
        is_set: &impl Fn(&str) -> bool,
    ) -> Command {
        let typed = |long: &str| self.flags.contains(long);
        let set = |long: &str| is_set(&variable(long));
        let flags: Vec<&Arg> = command
            .get_arguments()
            .filter(|arg| arg.get_long().is_some())
            .collect();
        let conflict = |a: &Arg, b: &Arg| {
            let against = |a, b: &Arg| {
                command
                    .get_arg_conflicts_with(a)
                    .iter()
                    .any(|arg| arg.get_id() == b.get_id())
            };
            against(a, b) || against(b, a)
        };
        let mut takes = BTreeSet::new();
        for (at, flag) in flags.iter().enumerate() {
            let mut others = flags
                .iter()
                .enumerate()
                .filter(|(_, other)| conflict(flag, other));
            let loses = others.any(|(place, other)| {
                let long = other.get_long().unwrap_or_default();
                typed(long) || (place < at && set(long))
            });
            let long = flag.get_long().unwrap_or_default();
            let lacks = |with: &str| !typed(with) && !set(with);
            let known = |with: &str| flags.iter().any(|flag| flag.get_long() == Some(with));
            let alone = WITH
                .iter()
                .any(|(flag, with)| *flag == long && known(with) && lacks(with));
            if self.asks_for_help || !(loses || alone) {
                takes.insert(long.to_owned());
            }
        }
        command
            .mut_args(|arg| match arg.get_long() {
                Some(long) if takes.contains(long) => {
                    let variable = variable(long);
                    let arg = arg.env(variable).hide_env_values(true);
                    match arg.get_action() {
                        ArgAction::SetTrue => arg.value_parser(FalseyValueParser::new()),
                        _ => arg,
                    }
                }
                _ => arg,
            })
            .mut_subcommands(|command| self.with_variables(command, is_set))
    }

    /// If an error is about a value from a variable, adds the name of the
    /// variable to the error.
    pub(super) fn name_the_variable(&self, mut error: Error) -> Error {
        let long = match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(arg)) => arg.strip_prefix("--"),
            _ => None,
        };
        let long = long.and_then(|long| long.split([' ', '=']).next());
        let Some(long) = long.filter(|long| !self.flags.contains(*long)) else {
            return error;
        };
        let says = format!(
            "the value comes from the environment variable {}",
            variable(long)
        );
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![says.into()]),
        );
        error
    }
}
