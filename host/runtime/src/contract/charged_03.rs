//! Functions of `wasi:http` 0.3 by which what the host keeps for an instance grows. As in 0.2, they
//! charge the quota of the instance first.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, LinkerInstance, Resource};
use wasmtime_wasi_http::p3::Request as OutgoingRequest;
use wasmtime_wasi_http::p3::bindings::http::types::{
    HeaderError, HostFields, HostRequest, Method, Scheme,
};
use wasmtime_wasi_http::{FieldMap, WasiHttpView as _};

use super::HostState;
use super::charged::charged;
use super::quota::{FIELD, map_bytes};

/// The interface, in the version in which the engine has it. Later versions are served by it too.
const TYPES: &str = "wasi:http/types@0.3.0";

type Caller<'a> = StoreContextMut<'a, HostState>;
type Fields = Resource<FieldMap>;
type Request = Resource<OutgoingRequest>;
type Refusable = Result<(), HeaderError>;
type Settable = Result<(), ()>;

/// Puts the functions in the place of the engine's own, which must be linked already.
///
/// # Errors
/// If the engine has them in another version, or with other types.
pub(crate) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance(TYPES)?;
    add_fields(&mut types)?;
    add_requests(&mut types)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn add_fields(types: &mut LinkerInstance<'_, HostState>) -> wasmtime::Result<()> {
    types.func_wrap(
        "[static]fields.from-list",
        |mut caller: Caller<'_>, (list,): (Vec<(String, Vec<u8>)>,)| {
            let bytes = list
                .iter()
                .map(|(name, value)| FIELD + name.len() + value.len());
            let made = charged(&mut caller, bytes.sum())?.from_list(list);
            Ok((refusable(made)?,)) as wasmtime::Result<(Result<Fields, HeaderError>,)>
        },
    )?;
    types.func_wrap(
        "[method]fields.set",
        |mut caller: Caller<'_>, (fields, name, values): (Fields, String, Vec<Vec<u8>>)| {
            let bytes: usize = values.iter().map(|value| FIELD + value.len()).sum();
            let mut http = charged(&mut caller, name.len() + bytes)?;
            let set = HostFields::set(&mut http, fields, name, values);
            Ok((refusable(set)?,)) as wasmtime::Result<(Refusable,)>
        },
    )?;
    types.func_wrap(
        "[method]fields.append",
        |mut caller: Caller<'_>, (fields, name, value): (Fields, String, Vec<u8>)| {
            let bytes = FIELD + name.len() + value.len();
            let mut http = charged(&mut caller, bytes)?;
            let appended = HostFields::append(&mut http, fields, name, value);
            Ok((refusable(appended)?,)) as wasmtime::Result<(Refusable,)>
        },
    )?;
    types.func_wrap(
        "[method]fields.clone",
        |mut caller: Caller<'_>, (fields,): (Fields,)| {
            let bytes = map_bytes(caller.data_mut().http().table.get(&fields)?);
            let clone = HostFields::clone(&mut charged(&mut caller, bytes)?, fields)?;
            Ok((clone,)) as wasmtime::Result<(Fields,)>
        },
    )
}

fn add_requests(types: &mut LinkerInstance<'_, HostState>) -> wasmtime::Result<()> {
    types.func_wrap(
        "[method]request.set-method",
        |mut caller: Caller<'_>, (request, method): (Request, Method)| {
            let bytes = match &method {
                Method::Other(name) => name.len(),
                _ => 0,
            };
            let mut http = charged(&mut caller, bytes)?;
            let set = HostRequest::set_method(&mut http, request, method)?;
            Ok((set,)) as wasmtime::Result<(Settable,)>
        },
    )?;
    types.func_wrap(
        "[method]request.set-path-with-query",
        |mut caller: Caller<'_>, (request, path): (Request, Option<String>)| {
            let mut http = charged(&mut caller, path.as_ref().map_or(0, String::len))?;
            let set = HostRequest::set_path_with_query(&mut http, request, path)?;
            Ok((set,)) as wasmtime::Result<(Settable,)>
        },
    )?;
    types.func_wrap(
        "[method]request.set-scheme",
        |mut caller: Caller<'_>, (request, scheme): (Request, Option<Scheme>)| {
            let bytes = match &scheme {
                Some(Scheme::Other(name)) => name.len(),
                _ => 0,
            };
            let mut http = charged(&mut caller, bytes)?;
            let set = HostRequest::set_scheme(&mut http, request, scheme)?;
            Ok((set,)) as wasmtime::Result<(Settable,)>
        },
    )?;
    types.func_wrap(
        "[method]request.set-authority",
        |mut caller: Caller<'_>, (request, authority): (Request, Option<String>)| {
            let mut http = charged(&mut caller, authority.as_ref().map_or(0, String::len))?;
            let set = HostRequest::set_authority(&mut http, request, authority)?;
            Ok((set,)) as wasmtime::Result<(Settable,)>
        },
    )
}

/// What a function of fields returns: the guest is told of an error, unless it is a trap.
fn refusable<T>(
    result: Result<T, wasmtime_wasi::TrappableError<HeaderError>>,
) -> wasmtime::Result<Result<T, HeaderError>> {
    match result {
        Ok(done) => Ok(Ok(done)),
        Err(error) => error.downcast().map(Err),
    }
}
