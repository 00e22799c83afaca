//! `host kv`: shows and changes key-value data.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};

use cluster::data::VALUE_MAX;
use data_encoding::BASE64;

use super::cli::{Ask, InBucket, KvCommand, KvExport, KvGet, KvImport, KvLs, KvSet};
use super::client::ApiClient;
use super::show::{self, PLAIN};
use super::{CommandError, Exit, json, print, tell};
use crate::api::types::{DataList, DataWanted, DataWriteWanted, DataWritten, of_app};

/// A batch of an import has no further write once it has so many, or so many characters of values.
const BATCH_WRITES: usize = 1000;
const BATCH_CHARS: usize = 2 * 1024 * 1024;
/// The longest line of an import: a value in base64, a key with escapes, and their names.
const LINE_MAX: u64 = 2 * 1024 * 1024;

/// Runs `host kv`.
pub(super) async fn run(command: KvCommand) -> Result<Exit, CommandError> {
    match command {
        KvCommand::Get(asked) => get(&asked).await,
        KvCommand::Set(asked) => {
            let value = match &asked.value {
                Some(value) => value.clone().into_bytes(),
                None => read_value(asked.from_file.as_deref())?,
            };
            set(&asked, &value).await
        }
        KvCommand::Rm(asked) => {
            let writes = asked.keys.iter().map(|key| write(&asked.of, key, None));
            let told = format!("deleted: {}", asked.keys.join(", "));
            change(&asked.ask, writes.collect(), &told).await
        }
        KvCommand::Ls(asked) => list(&asked).await,
        KvCommand::Export(asked) => export(&asked).await,
        KvCommand::Import(asked) => import(&asked).await,
    }
}

fn write(of: &InBucket, key: &str, value: Option<&[u8]>) -> DataWriteWanted {
    DataWriteWanted {
        bucket: of.bucket.clone(),
        key: key.to_owned(),
        value: value.map(|value| BASE64.encode(value)),
    }
}

async fn get(asked: &KvGet) -> Result<Exit, CommandError> {
    let client = ApiClient::find(&asked.ask).await?;
    let query = [
        ("bucket", &*asked.of.bucket),
        ("key", &*asked.key),
        ("values", "true"),
    ];
    let list = ask(&client, &query).await?;
    if asked.ask.json {
        print(&json(&list)?)?;
        return Ok(Exit::OK);
    }
    let value = list.entries.first().and_then(|it| it.value.as_deref());
    let value = BASE64.decode(value.unwrap_or_default().as_bytes());
    let value = value.map_err(|error| CommandError::Answer(error.to_string()))?;
    // As it is: it may be anything, and goes into a file or another program.
    let mut out = io::stdout().lock();
    let printed = out.write_all(&value).and_then(|()| out.flush());
    printed.map_err(CommandError::Print)?;
    Ok(Exit::OK)
}

async fn set(asked: &KvSet, value: &[u8]) -> Result<Exit, CommandError> {
    let writes = vec![write(&asked.of, &asked.key, Some(value))];
    change(&asked.ask, writes, &format!("set: {}", asked.key)).await
}

/// Writes, and says what was written.
async fn change(
    asked: &Ask,
    writes: Vec<DataWriteWanted>,
    told: &str,
) -> Result<Exit, CommandError> {
    let client = ApiClient::find(asked).await?;
    let written: DataWritten = client.post(&of_app("data"), &DataWanted { writes }).await?;
    match asked.json {
        true => print(&json(&written)?)?,
        false => tell(told),
    }
    Ok(Exit::OK)
}

/// Reads a value, and no more than one can have.
fn read_value(file: Option<&Path>) -> Result<Vec<u8>, CommandError> {
    let (mut bytes, most) = (Vec::new(), VALUE_MAX as u64 + 1);
    let (path, input) = open(file)?;
    let read = input.take(most).read_to_end(&mut bytes);
    read.map_err(|cause| CommandError::Read { path, cause })?;
    Ok(bytes)
}

/// A file, or standard input, and what it is called.
fn open(file: Option<&Path>) -> Result<(PathBuf, Box<dyn BufRead>), CommandError> {
    let path = file.unwrap_or(Path::new("standard input")).to_owned();
    let input: Box<dyn BufRead> = match file {
        None => Box::new(io::stdin().lock()),
        Some(file) => match File::open(file) {
            Ok(file) => Box::new(BufReader::new(file)),
            Err(cause) => return Err(CommandError::Read { path, cause }),
        },
    };
    Ok((path, input))
}

async fn ask(client: &ApiClient, query: &[(&str, &str)]) -> Result<DataList, CommandError> {
    let mut text = form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(query);
    client
        .get(&format!("{}?{}", of_app("data"), text.finish()))
        .await
}

/// Pages of keys, one behind the other.
struct Pages<'a> {
    client: &'a ApiClient,
    query: Vec<(&'static str, &'a str)>,
    /// The bucket and the key of the last one so far.
    last: Option<(String, String)>,
    is_over: bool,
}

impl<'a> Pages<'a> {
    fn new(client: &'a ApiClient, query: Vec<(&'static str, &'a str)>) -> Pages<'a> {
        Pages {
            client,
            query,
            last: None,
            is_over: false,
        }
    }

    async fn next(&mut self) -> Result<Option<DataList>, CommandError> {
        if self.is_over {
            return Ok(None);
        }
        let mut query = self.query.clone();
        if let Some((bucket, key)) = &self.last {
            query.extend([("after-bucket", bucket.as_str()), ("after", key.as_str())]);
        }
        let list = ask(self.client, &query).await?;
        let last = list.entries.last();
        self.last = last.map(|it| (it.bucket.clone(), it.key.clone()));
        self.is_over = !list.more || self.last.is_none();
        Ok(Some(list))
    }
}

async fn list(asked: &KvLs) -> Result<Exit, CommandError> {
    let client = ApiClient::find(&asked.ask).await?;
    let query = match asked.all {
        true => Vec::new(),
        false => vec![
            ("bucket", asked.of.bucket.as_str()),
            ("prefix", asked.prefix.as_str()),
        ],
    };
    let mut pages = Pages::new(&client, query);
    let mut all: Option<DataList> = None;
    while let Some(page) = pages.next().await? {
        match &mut all {
            None => all = Some(page),
            Some(all) => {
                all.entries.extend(page.entries);
                all.more = page.more;
            }
        }
    }
    let Some(all) = all else { return Ok(Exit::OK) };
    let text = match asked.ask.json {
        true => json(&all)?,
        false => table(&all, asked.all),
    };
    print(&text)?;
    Ok(Exit::OK)
}

fn table(list: &DataList, has_buckets: bool) -> String {
    if list.entries.is_empty() {
        return "there are no keys\n".to_owned();
    }
    let rows = list.entries.iter().map(|it| {
        let mut cells = vec![it.key.clone(), show::size(it.size)];
        if has_buckets {
            cells.insert(0, it.bucket.clone());
        }
        (PLAIN, cells)
    });
    let header: &[&str] = match has_buckets {
        true => &["BUCKET", "KEY", "SIZE"],
        false => &["KEY", "SIZE"],
    };
    show::table(header, rows.collect())
}

async fn export(asked: &KvExport) -> Result<Exit, CommandError> {
    let client = ApiClient::find(&asked.ask).await?;
    let mut query = vec![("values", "true")];
    if let Some(bucket) = &asked.bucket {
        query.push(("bucket", bucket));
    }
    let mut pages = Pages::new(&client, query);
    while let Some(page) = pages.next().await? {
        for entry in page.entries {
            let line = DataWriteWanted {
                bucket: entry.bucket,
                key: entry.key,
                value: entry.value,
            };
            print(&json(&line)?)?;
        }
    }
    Ok(Exit::OK)
}

async fn import(asked: &KvImport) -> Result<Exit, CommandError> {
    let client = ApiClient::find(&asked.ask).await?;
    let (path, mut input) = open(asked.file.as_deref())?;
    let mut batch = Batch::default();
    for number in 1.. {
        let mut line = String::new();
        let read = input.by_ref().take(LINE_MAX).read_line(&mut line);
        let read = read.map_err(|cause| CommandError::Read {
            path: path.clone(),
            cause,
        })?;
        if read == 0 {
            break;
        }
        if line.trim().is_empty() {
            continue;
        }
        let write: DataWriteWanted =
            serde_json::from_str(&line).map_err(|error| CommandError::NoKeyLine {
                path: path.clone(),
                number,
                done: batch.done,
                error: error.to_string(),
            })?;
        batch.add(write);
        if batch.is_full() {
            batch.send(&client).await?;
        }
    }
    batch.send(&client).await?;
    tell(&format!("set: {}", show::count(batch.done, "key", "keys")));
    Ok(Exit::OK)
}

/// The next writes of an import.
#[derive(Default)]
struct Batch {
    writes: Vec<DataWriteWanted>,
    chars: usize,
    /// How many writes were sent before.
    done: usize,
}

impl Batch {
    fn add(&mut self, write: DataWriteWanted) {
        self.chars += write.key.len() + write.value.as_ref().map_or(0, String::len);
        self.writes.push(write);
    }

    fn is_full(&self) -> bool {
        self.writes.len() >= BATCH_WRITES || self.chars >= BATCH_CHARS
    }

    async fn send(&mut self, client: &ApiClient) -> Result<(), CommandError> {
        let writes = std::mem::take(&mut self.writes);
        self.chars = 0;
        if writes.is_empty() {
            return Ok(());
        }
        self.done += writes.len();
        let _: DataWritten = client.post(&of_app("data"), &DataWanted { writes }).await?;
        Ok(())
    }
}
