//! What is typed for the commands that are no node. Nothing is checked here
//! beyond its form.

mod cookie;
mod kv;
mod settings;
mod tools;

use clap::Subcommand;

pub use cookie::{CookieCommand, NewCookie};
pub use kv::{InBucket, KvCommand, KvExport, KvGet, KvImport, KvLs, KvRm, KvSet};
pub use settings::{
    ChangeArgs, ConfigCommand, ConfigSet, ConfigUnset, EgressCommand, EgressRules, SettingsLs,
};
pub use tools::{
    Ask, KeyCommand, LogLevel, Logs, Push, ReleasesArgs, RollbackArgs, Rollout, WhichNode,
};

/// What a tool asks of a node, or does by itself.
#[derive(Clone, Debug, Subcommand)]
pub enum Tool {
    /// Says what the node of this machine is and does
    Status(Ask),
    /// Lists the members, and what each serves
    Nodes(Ask),
    /// Lists the releases, and what has become of each
    Releases(ReleasesArgs),
    /// Releases a component to every node, and follows it
    #[command(after_help = tools::AFTER_PUSH)]
    Push(Push),
    /// Goes back to an earlier release, on every node, and follows it
    Rollback(RollbackArgs),
    /// Sets config and secrets of the app, on every node
    #[command(disable_help_subcommand = true)]
    Config {
        /// What to do.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Says which other servers the app may reach; none by default
    #[command(disable_help_subcommand = true)]
    Egress {
        /// What to do.
        #[command(subcommand)]
        command: EgressCommand,
    },
    /// Shows and changes the key-value data of apps
    #[command(disable_help_subcommand = true)]
    Kv {
        /// What to do.
        #[command(subcommand)]
        command: KvCommand,
    },
    /// Shows the newest lines of the node's log
    Logs(Logs),
    /// Makes a deploy key: where nodes have one, only signed releases are taken
    #[command(after_help = tools::AFTER_KEY, disable_help_subcommand = true)]
    Key {
        /// What to do.
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Makes a cookie; its help says how a cluster changes its cookie
    #[command(after_help = cookie::AFTER, disable_help_subcommand = true)]
    Cookie {
        /// What to do.
        #[command(subcommand)]
        command: CookieCommand,
    },
}
