//! The command line of `host kv`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::tools::Ask;

/// What to do with key-value data.
#[derive(Clone, Debug, Subcommand)]
pub enum KvCommand {
    /// Prints the value of a key, as it is
    Get(KvGet),
    /// Sets a key, to VALUE or to what comes from standard input
    Set(KvSet),
    /// Deletes keys; one that is not there is no error
    Rm(KvRm),
    /// Lists keys, and how large their values are
    Ls(KvLs),
    /// Prints all keys with their values, in lines for `host kv import`
    #[command(after_help = AFTER_EXPORT)]
    Export(KvExport),
    /// Sets the keys of lines that `host kv export` has printed
    Import(KvImport),
}

/// `host kv get`.
#[derive(Args, Clone, Debug)]
pub struct KvGet {
    /// The key
    pub key: String,

    /// The bucket.
    #[command(flatten)]
    pub of: InBucket,

    /// The node.
    #[command(flatten)]
    pub ask: Ask,
}

/// `host kv set`.
#[derive(Args, Clone, Debug)]
pub struct KvSet {
    /// The key
    pub key: String,

    /// The value; if it is left out, it comes from standard input, as it is
    pub value: Option<String>,

    /// Take the value from this file, as it is
    #[arg(long, value_name = "FILE", conflicts_with = "value")]
    pub from_file: Option<PathBuf>,

    /// The bucket.
    #[command(flatten)]
    pub of: InBucket,

    /// The node.
    #[command(flatten)]
    pub ask: Ask,
}

/// `host kv rm`.
#[derive(Args, Clone, Debug)]
pub struct KvRm {
    /// The keys
    #[arg(value_name = "KEY", required = true)]
    pub keys: Vec<String>,

    /// The bucket.
    #[command(flatten)]
    pub of: InBucket,

    /// The node.
    #[command(flatten)]
    pub ask: Ask,
}

/// `host kv ls`.
#[derive(Args, Clone, Debug)]
pub struct KvLs {
    /// Only keys that begin with this
    #[arg(default_value = "", hide_default_value = true)]
    pub prefix: String,

    /// The bucket.
    #[command(flatten)]
    pub of: InBucket,

    /// List the keys of all buckets
    #[arg(long, conflicts_with_all = ["bucket", "prefix"])]
    pub all: bool,

    /// The node.
    #[command(flatten)]
    pub ask: Ask,
}

/// `host kv export`.
#[derive(Args, Clone, Debug)]
pub struct KvExport {
    /// Only keys of this bucket
    #[arg(long, value_name = "BUCKET")]
    pub bucket: Option<String>,

    /// The node.
    #[command(flatten)]
    pub ask: Ask,
}

/// `host kv import`.
#[derive(Args, Clone, Debug)]
pub struct KvImport {
    /// The file with the lines; standard input if it is left out
    pub file: Option<PathBuf>,

    /// The node.
    #[command(flatten)]
    pub ask: Ask,
}

/// Which bucket is meant.
#[derive(Args, Clone, Debug)]
pub struct InBucket {
    /// The bucket
    #[arg(long, value_name = "BUCKET", default_value = "default")]
    pub bucket: String,
}

const AFTER_EXPORT: &str = "\
  host kv export > data.jsonl
  host kv import data.jsonl

Each line is a JSON object: bucket, key, and the value in base64. The data may change while it is
printed. A counter is printed, and set again, with the number that it has on this node. Keys that live only as
long as an exchange are printed too, and an import would make them stay.";
