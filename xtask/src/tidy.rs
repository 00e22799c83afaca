//! `cargo xtask tidy`: checks rules for the code that no compiler checks.
//!
//! The input is the files that git knows; the output is one line for each place
//! that breaks a rule. Each rule is a pure function of the files.
//! `exceptions.txt` lists what breaks a rule today. It may only become shorter:
//! an exception that is not needed any more is an error too.

mod arrows;
mod exceptions;
mod glossary;
mod lines;
mod names;
mod shape;
mod sources;
mod tokens;
mod words;

use crate::command::{output, program, say};
use crate::workspace;
use anyhow::{Context, Result, bail};
use sources::Source;

/// The arguments of `cargo xtask tidy`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print the lines of product code of each crate, and check nothing.
    #[arg(long)]
    lines: bool,
}

/// One place where a rule is broken.
struct Finding {
    /// The rule, as `exceptions.txt` names it.
    rule: &'static str,
    /// What breaks the rule, as `exceptions.txt` names it. It has no line
    /// number, so that it stays the same while the code around it changes.
    subject: String,
    /// The text for the person at the terminal: where, what, and what to do.
    message: String,
}

/// A rule: it gets the files, and returns what breaks it.
type Rule = fn(&[Source]) -> Vec<Finding>;

/// All rules.
const RULES: [Rule; 8] = [
    arrows::between_crates,
    arrows::inside_host,
    shape::opens_with_its_purpose,
    shape::file_length,
    shape::function_length,
    words::no_old_word,
    names::one_meaning,
    glossary::is_true,
];

/// Checks the rules, or counts the lines.
pub(crate) fn run(args: &Args) -> Result<()> {
    let files = files()?;
    if args.lines {
        print!("{}", lines::table(&files));
        return Ok(());
    }
    let found = RULES.iter().flat_map(|rule| rule(&files)).collect();
    let errors = exceptions::apply(exceptions::LIST, found);
    for error in &errors {
        say(error);
    }
    if !errors.is_empty() {
        bail!("tidy found {} errors", errors.len());
    }
    Ok(())
}

/// All text files of the project that a rule looks at.
fn files() -> Result<Vec<Source>> {
    let listed = output(program(
        "git",
        &["ls-files", "--cached", "--others", "--exclude-standard"],
    ))?;
    let mut files = Vec::new();
    for path in listed.lines().filter(|path| sources::is_looked_at(path)) {
        let full = workspace::root().join(path);
        // The file was deleted, but git does not know it yet.
        if !full.exists() {
            continue;
        }
        let text = std::fs::read_to_string(&full)
            .with_context(|| format!("cannot read {}", full.display()))?;
        files.push(Source::new(path, text));
    }
    Ok(files)
}
