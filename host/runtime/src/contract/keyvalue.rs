//! `wasi:keyvalue` in the drafts `0.2.0-draft` and `0.2.0-draft2`: the key-value data of the cluster, for
//! components of any maker.
//!
//! What a `wasi:http` component writes holds at once, and what a callback writes when it returns. There
//! is no compare-and-swap: no node owns a key, so none could keep what it promises.
//!
//! Functions of one shape in all drafts are typed. The others take what types a component gives.

use ::cluster::data::{DataKey, DataKeyError, DataWrite, KeyRange, WriteError};
use bytes::Bytes;
use wasmtime::StoreContextMut;
use wasmtime::component::types::{ComponentFunc, Type};
use wasmtime::component::{
    ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType, Val,
};

use super::HostState;
use super::call_data::CallData;

/// The versions of the key-value store.
const VERSIONS: [&str; 2] = ["0.2.0-draft", "0.2.0-draft2"];

/// The bucket that a component opens which names none.
const DEFAULT: &str = "default";

/// Why a compare-and-swap is refused.
const NO_SWAP: &str = "this cluster has no compare-and-swap, since no node owns a key: count with \
                       increment, or give each writer a key of its own";

/// An open bucket.
struct Bucket(KeyRange, String);

/// Stands for a handle of a compare-and-swap. There is never one.
enum Never {}

/// `wasi:keyvalue/store.error`.
#[derive(ComponentType, Lift, Lower, Debug)]
#[component(variant)]
enum KeyvalueError {
    #[component(name = "no-such-store")]
    NoSuchStore,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "other")]
    Other(String),
}

/// What a function of the interface answers.
type Answer<T> = wasmtime::Result<(Result<T, KeyvalueError>,)>;

type Context<'a> = StoreContextMut<'a, HostState>;

impl From<WriteError> for KeyvalueError {
    fn from(error: WriteError) -> Self {
        KeyvalueError::Other(error.to_string())
    }
}

impl From<DataKeyError> for KeyvalueError {
    fn from(error: DataKeyError) -> Self {
        KeyvalueError::Other(error.to_string())
    }
}

impl KeyvalueError {
    fn val(self) -> Val {
        match self {
            KeyvalueError::NoSuchStore => Val::Variant("no-such-store".to_owned(), None),
            KeyvalueError::AccessDenied => Val::Variant("access-denied".to_owned(), None),
            KeyvalueError::Other(text) => {
                Val::Variant("other".to_owned(), Some(Box::new(Val::String(text))))
            }
        }
    }
}

/// Links it.
///
/// # Errors
/// If it is linked already.
pub(crate) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    for version in VERSIONS {
        store(&mut linker.instance(&format!("wasi:keyvalue/store@{version}"))?)?;
        batch(&mut linker.instance(&format!("wasi:keyvalue/batch@{version}"))?)?;
        atomics(&mut linker.instance(&format!("wasi:keyvalue/atomics@{version}"))?)?;
    }
    Ok(())
}

fn store(store: &mut LinkerInstance<'_, HostState>) -> wasmtime::Result<()> {
    store.resource(
        "bucket",
        ResourceType::host::<Bucket>(),
        |mut context, bucket| {
            context
                .data_mut()
                .table()
                .delete(Resource::<Bucket>::new_own(bucket))?;
            Ok(())
        },
    )?;
    store.func_wrap("open", |context: Context<'_>, (name,): (String,)| {
        open(context, name)
    })?;
    type OfKey = (Resource<Bucket>, String);
    store.func_wrap(
        "[method]bucket.get",
        |mut context: Context<'_>, (bucket, name): OfKey| {
            let key = key(&mut context, &bucket, &name)?;
            let get = |key| data(&mut context).get(&key).map(|value| value.to_vec());
            answer(key.map(get))
        },
    )?;
    store.func_wrap(
        "[method]bucket.exists",
        |mut context: Context<'_>, (bucket, name): OfKey| {
            let key = key(&mut context, &bucket, &name)?;
            answer(key.map(|key| data(&mut context).get(&key).is_some()))
        },
    )?;
    store.func_wrap(
        "[method]bucket.set",
        |mut context: Context<'_>, (bucket, name, value): (Resource<Bucket>, String, Vec<u8>)| {
            let key = key(&mut context, &bucket, &name)?;
            let put = key.map(|key| DataWrite::Put(key, value.into()));
            answer(put.and_then(|put| write(&mut context, vec![put])))
        },
    )?;
    store.func_wrap(
        "[method]bucket.delete",
        |mut context: Context<'_>, (bucket, name): OfKey| {
            let key = key(&mut context, &bucket, &name)?;
            answer(key.and_then(|key| write(&mut context, vec![DataWrite::Delete(key)])))
        },
    )?;
    store.func_new(
        "[method]bucket.list-keys",
        |mut context, of, parameters, results| {
            let listed = list_keys(&mut context, &of, parameters)?;
            give(results, listed)
        },
    )
}

fn batch(batch: &mut LinkerInstance<'_, HostState>) -> wasmtime::Result<()> {
    batch.func_new("get-many", |mut context, of, parameters, results| {
        let got = get_many(&mut context, &of, parameters)?;
        give(results, got)
    })?;
    type Pairs = Vec<(String, Vec<u8>)>;
    batch.func_wrap(
        "set-many",
        |mut context: Context<'_>, (bucket, pairs): (Resource<Bucket>, Pairs)| {
            let mut writes = Vec::with_capacity(pairs.len());
            for (name, value) in pairs {
                match key(&mut context, &bucket, &name)? {
                    Ok(key) => writes.push(DataWrite::Put(key, value.into())),
                    Err(error) => return answer(Err(error)),
                }
            }
            answer(write(&mut context, writes))
        },
    )?;
    batch.func_wrap(
        "delete-many",
        |mut context: Context<'_>, (bucket, names): (Resource<Bucket>, Vec<String>)| {
            let mut writes = Vec::with_capacity(names.len());
            for name in names {
                match key(&mut context, &bucket, &name)? {
                    Ok(key) => writes.push(DataWrite::Delete(key)),
                    Err(error) => return answer(Err(error)),
                }
            }
            answer(write(&mut context, writes))
        },
    )
}

fn atomics(atomics: &mut LinkerInstance<'_, HostState>) -> wasmtime::Result<()> {
    atomics.resource("cas", ResourceType::host::<Never>(), |_, _| Ok(()))?;
    atomics.func_new("increment", |mut context, _, parameters, results| {
        let counted = increment(&mut context, parameters)?;
        give(results, counted)
    })?;
    for function in ["[static]cas.new", "[method]cas.current"] {
        atomics.func_new(function, |_, _, _, results| {
            give(results, Err(KeyvalueError::Other(NO_SWAP.to_owned())))
        })?;
    }
    atomics.func_new("swap", |_, _, _, results| {
        let error = KeyvalueError::Other(NO_SWAP.to_owned()).val();
        let error = Val::Variant("store-error".to_owned(), Some(Box::new(error)));
        if let [result] = results {
            *result = Val::Result(Err(Some(Box::new(error))));
        }
        Ok(())
    })
}

fn answer<T>(result: Result<T, KeyvalueError>) -> Answer<T> {
    Ok((result,))
}

/// Gives the result of a function without types.
fn give(results: &mut [Val], result: Result<Val, KeyvalueError>) -> wasmtime::Result<()> {
    if let [to] = results {
        *to = Val::Result(match result {
            Ok(value) => Ok(Some(Box::new(value))),
            Err(error) => Err(Some(Box::new(error.val()))),
        });
    }
    Ok(())
}

fn data<'a>(context: &'a mut Context<'_>) -> &'a mut CallData {
    &mut context.data_mut().call.effects.data
}

fn open(mut context: Context<'_>, name: String) -> Answer<Resource<Bucket>> {
    let name = match &name[..] {
        "" => DEFAULT.to_owned(),
        _ => name,
    };
    let Ok(all) = KeyRange::new(&name, "") else {
        return answer(Err(KeyvalueError::NoSuchStore));
    };
    let bucket = context.data_mut().table().push(Bucket(all, name))?;
    answer(Ok(bucket))
}

fn key(
    context: &mut Context<'_>,
    bucket: &Resource<Bucket>,
    name: &str,
) -> wasmtime::Result<Result<DataKey, KeyvalueError>> {
    let Bucket(_, of) = context.data_mut().table().get(bucket)?;
    Ok(DataKey::new(of, name).map_err(KeyvalueError::from))
}

fn write(context: &mut Context<'_>, writes: Vec<DataWrite>) -> Result<(), KeyvalueError> {
    data(context).write(writes)?;
    Ok(())
}

fn wrong() -> wasmtime::Error {
    wasmtime::Error::msg("a function of wasi:keyvalue was called with other types than it has")
}

/// The bucket among the parameters of a function without types, and the others.
fn bucket_and_rest<'a>(
    context: &mut Context<'_>,
    parameters: &'a [Val],
) -> wasmtime::Result<(Resource<Bucket>, &'a [Val])> {
    match parameters {
        [Val::Resource(bucket), rest @ ..] => Ok((bucket.try_into_resource(&mut *context)?, rest)),
        _ => Err(wrong()),
    }
}

/// The type of the value in the result of a function.
fn ok_type(of: &ComponentFunc) -> Option<Type> {
    match of.results().next()? {
        Type::Result(result) => result.ok(),
        _ => None,
    }
}

/// Lists keys. The cursor is the last key that was listed; in the first draft, a number: how many were
/// listed so far.
fn list_keys(
    context: &mut Context<'_>,
    of: &ComponentFunc,
    parameters: &[Val],
) -> wasmtime::Result<Result<Val, KeyvalueError>> {
    let (bucket, rest) = bucket_and_rest(context, parameters)?;
    let Bucket(all, bucket) = context.data_mut().table().get(&bucket)?;
    let (all, bucket) = (all.clone(), bucket.clone());
    let by_number = match ok_type(of) {
        Some(Type::Record(record)) => record.fields().any(|field| {
            field.name == "cursor"
                && matches!(field.ty, Type::Option(option) if option.ty() == Type::U64)
        }),
        _ => return Err(wrong()),
    };
    let (mut after, mut skip) = (None, 0);
    match rest {
        [Val::Option(None)] => {}
        [Val::Option(Some(cursor))] => match &**cursor {
            Val::U64(listed) => skip = *listed,
            Val::String(name) => match DataKey::new(&bucket, name) {
                Ok(key) => after = Some(key),
                Err(error) => return Ok(Err(error.into())),
            },
            _ => return Err(wrong()),
        },
        _ => return Err(wrong()),
    }
    let listed = skip;
    let names = loop {
        let mut names = data(context).names(&all, after.as_ref());
        let count = names.names.len() as u64;
        if skip < count || !names.more {
            names.names.drain(..skip.min(count) as usize);
            break names;
        }
        skip -= count;
        after = names.last;
    };
    let cursor = names
        .last
        .filter(|_| names.more)
        .map(|last| match by_number {
            true => Val::U64(listed + names.names.len() as u64),
            false => Val::String(last.name().to_owned()),
        });
    let keys = names.names.into_iter().map(Val::String).collect();
    Ok(Ok(Val::Record(vec![
        ("keys".to_owned(), Val::List(keys)),
        ("cursor".to_owned(), Val::Option(cursor.map(Box::new))),
    ])))
}

/// The most bytes of values that are got at once: on their way they take much more.
const MANY_MAX: usize = 2 * 1024 * 1024;

/// Gets several values. A key without one is `none`, as a whole pair or in its pair.
fn get_many(
    context: &mut Context<'_>,
    of: &ComponentFunc,
    parameters: &[Val],
) -> wasmtime::Result<Result<Val, KeyvalueError>> {
    let (bucket, rest) = bucket_and_rest(context, parameters)?;
    let [Val::List(names)] = rest else {
        return Err(wrong());
    };
    let whole_pair = match ok_type(of) {
        Some(Type::List(list)) => matches!(list.ty(), Type::Option(_)),
        _ => return Err(wrong()),
    };
    let mut got = Vec::with_capacity(names.len());
    let mut size = 0;
    for name in names {
        let Val::String(name) = name else {
            return Err(wrong());
        };
        let value = match key(context, &bucket, name)? {
            Ok(key) => data(context).get(&key),
            Err(error) => return Ok(Err(error)),
        };
        size += value.as_ref().map_or(0, Bytes::len);
        if size > MANY_MAX {
            let why =
                format!("the values are more than {MANY_MAX} bytes; ask for fewer keys at once");
            return Ok(Err(KeyvalueError::Other(why)));
        }
        let value = value.map(|it| Val::List(it.iter().map(|byte| Val::U8(*byte)).collect()));
        let name = Val::String(name.clone());
        got.push(match whole_pair {
            true => Val::Option(value.map(|value| Box::new(Val::Tuple(vec![name, value])))),
            false => Val::Tuple(vec![name, Val::Option(value.map(Box::new))]),
        });
    }
    Ok(Ok(Val::List(got)))
}

/// Counts. In the first draft the numbers have no sign.
fn increment(
    context: &mut Context<'_>,
    parameters: &[Val],
) -> wasmtime::Result<Result<Val, KeyvalueError>> {
    let (bucket, rest) = bucket_and_rest(context, parameters)?;
    let [Val::String(name), delta] = rest else {
        return Err(wrong());
    };
    let key = match key(context, &bucket, name)? {
        Ok(key) => key,
        Err(error) => return Ok(Err(error)),
    };
    let amount = match delta {
        Val::S64(delta) => Some(*delta),
        Val::U64(delta) => i64::try_from(*delta).ok(),
        _ => return Err(wrong()),
    };
    let Some(amount) = amount else {
        return Ok(Err(WriteError::Overflow(key).into()));
    };
    let numbers = match data(context).write(vec![DataWrite::Increment(key, amount)]) {
        Ok(numbers) => numbers,
        Err(error) => return Ok(Err(error.into())),
    };
    let number = numbers.first().copied().unwrap_or_default();
    Ok(match delta {
        Val::S64(_) => Ok(Val::S64(number)),
        _ => u64::try_from(number).map(Val::U64).map_err(|_| {
            KeyvalueError::Other(format!(
                "the key is {number} now, and has no place in a u64"
            ))
        }),
    })
}
