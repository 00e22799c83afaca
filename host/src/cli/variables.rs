//! Each flag as an environment variable: `--data-dir` is `HOST_DATA_DIR`.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::builder::FalseyValueParser;
use clap::error::{ContextKind, ContextValue, Error};
use clap::{Arg, ArgAction, Command};

/// Flags whose variables count only with the flag that they belong to: the
/// cookie is for a node of another machine where a node is asked.
const WITH: [(&str, &str); 2] = [("cookie", "node"), ("cookie-file", "node")];

/// The long flags that were typed.
#[derive(Debug)]
pub(super) struct Typed {
    flags: BTreeSet<String>,
    /// All variables are shown then, and none is heeded.
    asks_for_help: bool,
}

/// The variable of a flag.
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

    /// The same command, whose flags take their variables, as do those of its
    /// subcommands. `is_set` says which variables there are. A variable does
    /// not count where a flag is typed that its own conflicts with, nor where
    /// such a flag that is declared earlier has its variable set.
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

    /// Says in an error about a value that it comes from a variable, if it does.
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
