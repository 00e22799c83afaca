//! What command lines mean, and which variables count.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Arg;
use clap::error::ErrorKind;

use super::variables::variable;
use super::*;

fn typed(line: &str) -> Result<super::CommandLine, Error> {
    parse(line.split_whitespace().map(OsString::from))
}

fn run_of(line: &str) -> Result<RunArgs, Error> {
    match typed(line)?.command {
        Command::Run(run) => Ok(*run),
        other => panic!("`{line}` is {other:?}"),
    }
}

/// The error for a command line that cannot be understood.
fn refused(line: &str) -> String {
    typed(line).expect_err(line).to_string()
}

/// Parses the line with these variables set, and returns which of them are
/// used.
fn heeded(line: &str, set: &[&str]) -> BTreeSet<String> {
    let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    let is_set = |name: &str| set.contains(&name);
    let command = variables::Typed::new(&words).with_variables(Cli::command(), &is_set);
    let of = command.find_subcommand(&words[1]).expect("a command");
    let variables = of.get_arguments().filter_map(Arg::get_env);
    let variables = variables.map(|name| name.to_string_lossy().into_owned());
    variables
        .filter(|name| set.contains(&name.as_str()))
        .collect()
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
    let bare = variables::Typed::new(&[]);
    bare.with_variables(Cli::command(), &|_| false)
        .debug_assert();
}

#[test]
fn the_line_of_the_readme_is_understood() {
    let run = run_of("host --name example@10.10.10.2 --cookie ace --app guest.wasm").unwrap();
    assert_eq!(run.name.as_deref(), Some("example@10.10.10.2"));
    assert_eq!(run.cookie.as_deref(), Some("ace"));
    assert_eq!(run.app, Some(PathBuf::from("guest.wasm")));
    assert_eq!(run.memory_limit.as_u64(), 128 << 20);
    assert_eq!(run.revert_on_errors.to_string(), "20%/1m");
    let long = run_of("host run --name example@10.10.10.2 --cookie ace --app guest.wasm").unwrap();
    assert_eq!(format!("{run:?}"), format!("{long:?}"));
}

#[test]
fn the_parts_that_a_component_may_have_are_documented_as_they_are() {
    let run = run_of("host --name example@10.10.10.2 --cookie ace").unwrap();
    let documented = include_str!("../../../docs/components.md");
    for (part, most, flag) in [
        ("core instances", "200", "--max-core-instances"),
        ("memories", "32", "--max-memories"),
        ("tables", "20", "--max-tables"),
        ("elements of a table", "100,000", "--max-table-elements"),
    ] {
        let row = format!("| {part} | {most} | `{flag}` |");
        assert!(documented.contains(&row), "{row}");
        assert!(refused("host run --help").contains(flag), "{flag}");
    }
    let parts = (run.max_core_instances, run.max_memories, run.max_tables);
    assert_eq!(parts, (200, 32, 20));
    assert_eq!(run.max_table_elements, 100_000);
}

#[test]
fn without_a_word_the_help_is_shown_and_every_help_names_the_variables() {
    let help = typed("host").unwrap_err();
    assert_eq!(help.kind(), ErrorKind::DisplayHelp);
    assert!(help.to_string().contains("rollback"), "{help}");
    assert!(typed("host run").is_ok(), "a node needs no flag");
    assert_eq!(
        typed("host --version").unwrap_err().kind(),
        ErrorKind::DisplayVersion
    );
    let help = refused("host run --help");
    assert!(help.contains("[env: HOST_DATA_DIR]"), "{help}");
    assert!(help.contains("[env: HOST_MEMBER_NET]"), "{help}");
    let help = refused("host status --help");
    assert!(help.contains("[env: HOST_COOKIE]"), "{help}");
}

#[test]
fn each_flag_of_each_command_has_its_variable() {
    fn look(command: &clap::Command, flags: &mut usize) {
        for arg in command.get_arguments() {
            if let Some(long) = arg
                .get_long()
                .filter(|long| !["help", "version"].contains(long))
            {
                let name = arg
                    .get_env()
                    .map(|name| name.to_string_lossy().into_owned());
                assert_eq!(
                    name,
                    Some(variable(long)),
                    "--{long} of {}",
                    command.get_name()
                );
                *flags += 1;
            }
        }
        for command in command.get_subcommands() {
            look(command, flags);
        }
    }
    let help = variables::Typed::new(&["host".into(), "--help".into()]);
    let mut flags = 0;
    look(&help.with_variables(Cli::command(), &|_| false), &mut flags);
    assert!(flags > 40, "{flags}");
}

#[test]
fn a_variable_does_not_count_against_what_was_typed() {
    let set = [
        "HOST_COOKIE",
        "HOST_COOKIE_FILE",
        "HOST_DATA_DIR",
        "HOST_NAME",
        "HOST_NODE",
    ];
    let counts = |line: &str, set: &[&str], which: &[&str]| {
        let which = which.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(heeded(line, set), which, "{line} with {set:?}");
    };
    // Of two flags that exclude each other, one counts.
    counts("host run", &set[..2], &["HOST_COOKIE"]);
    counts("host run --cookie-file f", &set[..1], &[]);
    counts("host run --cookie=c", &set[1..2], &[]);
    counts("host run", &set[2..4], &["HOST_DATA_DIR", "HOST_NAME"]);
    counts("host status", &set[2..4], &["HOST_DATA_DIR"]);
    counts("host status --name n@10.0.0.1", &set[2..], &[]);
    counts("host status --node n", &set[2..4], &[]);
    // The cookie of a node that runs here does not help a command that asks it.
    counts("host status", &set[..1], &[]);
    counts("host status --node n", &set[..1], &["HOST_COOKIE"]);
    counts(
        "host status",
        &["HOST_NODE", "HOST_COOKIE"],
        &["HOST_NODE", "HOST_COOKIE"],
    );
}

#[test]
fn old_names_work_with_a_hint() {
    let line = "host --allow 10.1.0.0/16,10.2.0.0/16 --config=c --max-app 1MiB --keep-apps 3";
    let old = typed(line).unwrap();
    assert_eq!(old.hints.len(), 4, "{:?}", old.hints);
    let Command::Run(run) = old.command else {
        panic!("{:?}", old.command);
    };
    assert_eq!(run.member_net, ["10.1.0.0/16", "10.2.0.0/16"]);
    assert_eq!(run.app_config, Some(PathBuf::from("c")));
    assert_eq!(run.max_component.as_u64(), 1 << 20);
    assert_eq!(run.keep_components, 3);
    let old = typed("host push app.wasm --key k").unwrap();
    assert!(
        old.hints[0].contains("`--key` is now called `--sign-with`"),
        "{:?}",
        old.hints
    );
    let Command::Tool(tool) = old.command else {
        panic!("{:?}", old.command);
    };
    assert!(matches!(*tool, Tool::Push(push)
        if push.rollout.sign_with == Some(PathBuf::from("k"))));
    assert_eq!(typed("host rollback --key k").unwrap().hints.len(), 1);
    assert_eq!(
        typed("host key generate --cluster berlin")
            .unwrap()
            .hints
            .len(),
        1
    );
    assert_eq!(
        typed("host cookie generate --print").unwrap().hints.len(),
        1
    );
    assert!(
        typed("host key new --cluster berlin")
            .unwrap()
            .hints
            .is_empty()
    );
    for (command, hidden) in [
        ("run", "--allow"),
        ("run", "--max-app"),
        ("push", "--key"),
        ("key", "generate"),
        ("cookie", "generate"),
    ] {
        let help = refused(&format!("host {command} --help"));
        assert!(!help.contains(hidden), "{hidden} in {help}");
    }
}

#[test]
fn what_excludes_each_other_is_refused_where_both_were_typed() {
    assert!(refused("host --cookie c --cookie-file f").contains("cannot be used with"));
    assert!(refused("host status --name n --data-dir d").contains("cannot be used with"));
    assert!(refused("host status --node n --name n").contains("cannot be used with"));
    assert!(refused("host status --cookie c").contains("--node"));
}

#[test]
fn a_rate_that_is_none_is_refused_with_one_that_is() {
    let parse = |rate: &str| run_of(&format!("host --app a --revert-on-errors {rate}"));
    let error = parse("20").unwrap_err().to_string();
    assert!(error.contains("20%/60s, or off"), "{error}");
    assert_eq!(parse("off").unwrap().revert_on_errors.0, None);
}

#[test]
fn fewer_components_than_the_one_that_serves_and_the_one_before_it_are_never_kept() {
    let error = refused("host --keep-components 1");
    assert!(error.contains("2..=100"), "{error}");
    assert_eq!(
        run_of("host --keep-components 2").unwrap().keep_components,
        2
    );
}

#[test]
fn a_command_takes_no_flag_of_a_node() {
    assert!(typed("host --cookie ace").is_ok());
    assert!(typed("host cookie").is_err());
    assert!(typed("host cookie new").is_ok());
    assert!(typed("host cookie new --print").is_ok());
    assert!(typed("host --app a cookie new").is_err());
    assert!(typed("host --app a status").is_err());
    assert!(typed("host status --app a").is_err());
}
