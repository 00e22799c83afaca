//! Key-value data: shows what this node has, and takes in writes.

use std::fmt::Display;

use bytes::Bytes;
use cluster::data::{DataKey, DataKeyError, DataStore, DataWrite, KeyRange, WriteError};
use data_encoding::BASE64;
use http::{Response, StatusCode};

use super::body::{Body, json};
use super::describe::now_ms;
use super::service::{Asker, Limits};
use super::types::{API, Code, DataInfo, DataList, DataWanted, DataWriteWanted, DataWritten};
use super::{NodeApi, Refused, releasing};

/// The largest body of a request, in bytes: a batch in base64.
const REQUEST_MAX: u64 = 8 * 1024 * 1024;
/// The most keys in an answer.
const KEYS_MAX: usize = 1000;
/// An answer has no further value once those before it have so many bytes.
const VALUES_MAX: usize = 4 * 1024 * 1024;

/// What the caller asks for.
struct Asked {
    keys: Keys,
    after: Option<DataKey>,
    values: bool,
    limit: usize,
}

enum Keys {
    One(DataKey),
    Range(KeyRange),
}

/// Some keys, with their values if those are asked for.
pub(super) fn list(node: &dyn NodeApi, query: &str) -> Result<Response<Body>, Refused> {
    let asked = Asked::read(query)?;
    let store = node.data();
    let (entries, more) = match &asked.keys {
        Keys::One(key) => {
            let value = store.get(key).ok_or_else(|| {
                let why = format!("there is no key {key} on this node");
                Refused::new(Code::NotSet, why)
            })?;
            (vec![describe(key, &value, asked.values)], false)
        }
        Keys::Range(range) => page(store, range, &asked),
    };
    let list = DataList {
        api: API,
        now_ms: now_ms(),
        node: node.status().node,
        entries,
        more,
    };
    Ok(json(StatusCode::OK, &list))
}

fn page(store: &DataStore, range: &KeyRange, asked: &Asked) -> (Vec<DataInfo>, bool) {
    let page = store.page(range, asked.after.as_ref(), asked.limit);
    let there = page.entries.len();
    let mut bytes = 0;
    let fits = page.entries.iter().take_while(|(_, value)| {
        let fits = !asked.values || bytes < VALUES_MAX;
        bytes += value.len();
        fits
    });
    let entries: Vec<DataInfo> = fits
        .map(|(key, value)| describe(key, value, asked.values))
        .collect();
    let more = page.more || entries.len() < there;
    (entries, more)
}

fn describe(key: &DataKey, value: &Bytes, with_value: bool) -> DataInfo {
    DataInfo {
        bucket: key.bucket().to_owned(),
        key: key.name().to_owned(),
        size: value.len() as u64,
        value: with_value.then(|| BASE64.encode(value)),
    }
}

/// Writes, all of it or nothing.
pub(super) async fn write<B>(
    node: &dyn NodeApi,
    from: Asker,
    body: B,
    limits: Limits,
) -> Result<Response<Body>, Refused>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin,
    B::Error: Display,
{
    let DataWanted { writes: wanted } = releasing::read_up_to(body, REQUEST_MAX, limits).await?;
    let writes = wanted.into_iter().map(read_write);
    let writes = writes.collect::<Result<Vec<_>, _>>()?;
    node.data().write(now_ms(), &writes).map_err(refused)?;
    tracing::info!(
        writes = writes.len(),
        "key-value data was written from {from}"
    );
    let written = DataWritten {
        api: API,
        now_ms: now_ms(),
        node: node.status().node,
        writes: writes.len() as u64,
    };
    Ok(json(StatusCode::OK, &written))
}

fn read_write(wanted: DataWriteWanted) -> Result<DataWrite, Refused> {
    let key = DataKey::new(&wanted.bucket, &wanted.key).map_err(bad_key)?;
    let Some(value) = wanted.value else {
        return Ok(DataWrite::Delete(key));
    };
    let value = BASE64.decode(value.as_bytes()).map_err(|_| {
        let why = format!("the value of {key} is no base64");
        Refused::new(Code::BadRequest, why)
    })?;
    Ok(DataWrite::Put(key, value.into()))
}

fn bad_key(error: DataKeyError) -> Refused {
    Refused::new(Code::BadRequest, error)
}

fn refused(error: WriteError) -> Refused {
    let code = match &error {
        WriteError::Full { .. } => Code::Storage,
        WriteError::Value { .. } | WriteError::Batch { .. } => Code::TooLarge,
        WriteError::Time => Code::ClockAhead,
        WriteError::NoNumber(_) | WriteError::Overflow(_) | WriteError::Counts(_) => {
            Code::BadRequest
        }
    };
    Refused::new(code, error)
}

impl Asked {
    fn read(query: &str) -> Result<Asked, Refused> {
        let bad = |why: String| Refused::new(Code::BadRequest, why);
        let (mut bucket, mut prefix, mut key) = (None, None, None);
        let (mut after, mut after_bucket) = (None, None);
        let (mut values, mut limit) = (false, KEYS_MAX);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let wrong = || bad(format!("`{name}={value}` is not to be understood"));
            let text = || Some(value.to_string());
            match &*name {
                "bucket" => bucket = text(),
                "prefix" => prefix = text(),
                "key" => key = text(),
                "after" => after = text(),
                "after-bucket" => after_bucket = text(),
                "values" => values = value.parse().map_err(|_| wrong())?,
                "limit" => limit = value.parse().map_err(|_| wrong())?,
                _ => {
                    return Err(bad(format!(
                        "`{name}` is not to be understood; bucket, prefix, key, after, after-bucket, values and limit are"
                    )));
                }
            }
        }
        let keys = match (&bucket, key) {
            (Some(bucket), Some(key)) => Keys::One(DataKey::new(bucket, &key).map_err(bad_key)?),
            (Some(bucket), None) => {
                let prefix = prefix.unwrap_or_default();
                Keys::Range(KeyRange::new(bucket, &prefix).map_err(bad_key)?)
            }
            (None, None) if prefix.is_none() => Keys::Range(KeyRange::all()),
            (None, _) => {
                return Err(bad("name the bucket too; `default` is usual".to_owned()));
            }
        };
        let after = match (after_bucket.or(bucket), after) {
            (_, None) => None,
            (Some(bucket), Some(after)) => Some(DataKey::new(&bucket, &after).map_err(bad_key)?),
            (None, Some(_)) => {
                return Err(bad("`after` needs `bucket` or `after-bucket`".to_owned()));
            }
        };
        Ok(Asked {
            keys,
            after,
            values,
            limit: limit.clamp(1, KEYS_MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_to_the_letter() {
        let asked = Asked::read("bucket=default&prefix=a%2Fb&after=a%2Fb1&values=true&limit=3");
        let asked = asked.unwrap();
        let key = |name| DataKey::new("default", name).unwrap();
        assert!(matches!(asked.keys, Keys::Range(range) if range.contains(&key("a/b2"))));
        assert_eq!(asked.after, Some(key("a/b1")));
        assert!(asked.values && asked.limit == 3);
        assert!(Asked::read("").is_ok_and(|asked| !asked.values && asked.limit == KEYS_MAX));
        for bad in [
            "key=a", "prefix=a", "after=a", "bucket=", "limit=x", "values=1", "tail=3",
        ] {
            assert!(Asked::read(bad).is_err(), "{bad}");
        }
    }
}
