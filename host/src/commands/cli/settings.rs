//! The command lines of `host config` and `host egress`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::tools::Ask;

/// What to do with the config of the app.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Sets values, on every node, for the next callback
    #[command(after_help = AFTER_SET)]
    Set(ConfigSet),
    /// Removes names, on every node
    Unset(ConfigUnset),
    /// Lists what is set, and who set it when; of secrets only a fingerprint
    Ls(SettingsLs),
}

/// `host config set`.
#[derive(Args, Clone, Debug)]
pub struct ConfigSet {
    /// What to set; all of it holds, or nothing. With --secret: the name alone
    #[arg(value_name = "KEY=VALUE", required = true)]
    pub entries: Vec<String>,

    /// Set a secret: its value comes from standard input, and is never shown
    #[arg(long)]
    pub secret: bool,

    /// With --secret: take the value from this file
    #[arg(long, value_name = "FILE", requires = "secret")]
    pub from_file: Option<PathBuf>,

    /// How it is changed.
    #[command(flatten)]
    pub change: Change,
}

/// `host config unset`.
#[derive(Args, Clone, Debug)]
pub struct ConfigUnset {
    /// The names of config or secrets
    #[arg(value_name = "KEY", required = true)]
    pub keys: Vec<String>,

    /// How it is changed.
    #[command(flatten)]
    pub change: Change,
}

/// `host config ls` and `host egress ls`.
#[derive(Args, Clone, Debug)]
pub struct SettingsLs {
    /// List the newest changes instead, without values
    #[arg(long)]
    pub history: bool,

    /// The node.
    #[command(flatten)]
    pub ask: Ask,
}

/// What to do with the list of servers that the app may reach.
#[derive(Clone, Debug, Subcommand)]
pub enum EgressCommand {
    /// Lets the app reach more servers, from every node
    #[command(after_help = AFTER_EGRESS)]
    Add(EgressRules),
    /// Takes that back
    Rm(EgressRules),
    /// Lists which servers the app may reach, and who said so when
    Ls(SettingsLs),
}

/// `host egress add` and `host egress rm`.
#[derive(Args, Clone, Debug)]
pub struct EgressRules {
    /// The servers, such as https://api.example.com, 'https://*.example.com' or tcp://10.0.0.5:5432
    #[arg(value_name = "RULE", required = true)]
    pub rules: Vec<String>,

    /// How it is changed.
    #[command(flatten)]
    pub change: Change,
}

/// How settings are changed.
#[derive(Args, Clone, Debug)]
pub struct Change {
    /// Who changes it [default: USER@MACHINE]
    #[arg(long, value_name = "WHO")]
    pub by: Option<String>,

    /// The deploy key to sign it with: a file of `host key new`
    #[arg(long, value_name = "FILE")]
    pub sign_with: Option<PathBuf>,

    /// The node.
    #[command(flatten)]
    pub ask: Ask,
}

const AFTER_SET: &str = "\
  host config set GREETING=hello LIMIT=20
  host config set --secret API_TOKEN < token
  host config set --secret TLS_KEY --from-file key.pem

Apps read it by wasi:config/store and in their environment; names that are no names of
environment variables (letters, digits and _, no digit first) are in wasi:config only.
Apps of ace:raxx get it as `config` too, in lines KEY=VALUE. One line break at the end of a
secret is left out.

There can be 256 names, and 64 KiB of names and values together. The newest change of a
name counts, also where two sides of a network split have set it.";

const AFTER_EGRESS: &str = "\
An app reaches no other server unless a rule allows it. Private, loopback and link-local
addresses are reached only by rules that name them. docs/egress.md says more.";
