//! The functions of `wasi:http` by which what the host keeps for an instance grows. Each charges
//! the quota of the instance, and then does what the engine's own function does.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, LinkerInstance, Resource};
use wasmtime_wasi_http::p2::HeaderResult;
use wasmtime_wasi_http::p2::bindings::http::types::{
    HeaderError, HostFields, HostOutgoingRequest, HostOutgoingResponse, Method, OutgoingBody,
    OutgoingRequest, OutgoingResponse, Scheme,
};
use wasmtime_wasi_http::{FieldMap, WasiHttpCtxView, WasiHttpView as _};

use super::HostState;
use super::quota::{BODY, FIELD, map_bytes};

/// The interface, in the version in which the engine has it. Older versions are served by it too.
const TYPES: &str = "wasi:http/types@0.2.12";

type Caller<'a> = StoreContextMut<'a, HostState>;
type Fields = Resource<FieldMap>;
type Request = Resource<OutgoingRequest>;
type Response = Resource<OutgoingResponse>;
type Refusable = Result<(), HeaderError>;
type Body = Result<Resource<OutgoingBody>, ()>;

/// Puts the functions in the place of the engine's own, which must be linked already.
///
/// # Errors
/// If the engine has them in another version, or with other types.
pub(crate) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance(TYPES)?;
    add_fields(&mut types)?;
    add_bodies(&mut types)?;
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
            let set = charged(&mut caller, name.len() + bytes)?.set(fields, name, values);
            Ok((refusable(set)?,)) as wasmtime::Result<(Refusable,)>
        },
    )?;
    types.func_wrap(
        "[method]fields.append",
        |mut caller: Caller<'_>, (fields, name, value): (Fields, String, Vec<u8>)| {
            let bytes = FIELD + name.len() + value.len();
            let appended = charged(&mut caller, bytes)?.append(fields, name, value);
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

fn add_bodies(types: &mut LinkerInstance<'_, HostState>) -> wasmtime::Result<()> {
    types.func_wrap(
        "[method]outgoing-response.body",
        |mut caller: Caller<'_>, (response,): (Response,)| {
            let body = HostOutgoingResponse::body(&mut charged(&mut caller, BODY)?, response)?;
            Ok((body,)) as wasmtime::Result<(Body,)>
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.body",
        |mut caller: Caller<'_>, (request,): (Request,)| {
            let body = HostOutgoingRequest::body(&mut charged(&mut caller, BODY)?, request)?;
            Ok((body,)) as wasmtime::Result<(Body,)>
        },
    )
}

fn add_requests(types: &mut LinkerInstance<'_, HostState>) -> wasmtime::Result<()> {
    types.func_wrap(
        "[method]outgoing-request.set-method",
        |mut caller: Caller<'_>, (request, method): (Request, Method)| {
            let bytes = match &method {
                Method::Other(name) => name.len(),
                _ => 0,
            };
            let set = charged(&mut caller, bytes)?.set_method(request, method)?;
            Ok((set,)) as wasmtime::Result<(Result<(), ()>,)>
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-path-with-query",
        |mut caller: Caller<'_>, (request, path): (Request, Option<String>)| {
            let bytes = path.as_ref().map_or(0, String::len);
            let set = charged(&mut caller, bytes)?.set_path_with_query(request, path)?;
            Ok((set,)) as wasmtime::Result<(Result<(), ()>,)>
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-scheme",
        |mut caller: Caller<'_>, (request, scheme): (Request, Option<Scheme>)| {
            let bytes = match &scheme {
                Some(Scheme::Other(name)) => name.len(),
                _ => 0,
            };
            let set = charged(&mut caller, bytes)?.set_scheme(request, scheme)?;
            Ok((set,)) as wasmtime::Result<(Result<(), ()>,)>
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut caller: Caller<'_>, (request, authority): (Request, Option<String>)| {
            let bytes = authority.as_ref().map_or(0, String::len);
            let set = charged(&mut caller, bytes)?.set_authority(request, authority)?;
            Ok((set,)) as wasmtime::Result<(Result<(), ()>,)>
        },
    )
}

/// The engine's side of `wasi:http`, once the quota has been charged.
fn charged<'a>(caller: &'a mut Caller<'_>, bytes: usize) -> wasmtime::Result<WasiHttpCtxView<'a>> {
    let state = caller.data_mut();
    state.instance.charge(bytes)?;
    Ok(state.http())
}

/// What a function of fields returns: the guest is told of an error, unless it is a trap.
fn refusable<T>(result: HeaderResult<T>) -> wasmtime::Result<Result<T, HeaderError>> {
    match result {
        Ok(done) => Ok(Ok(done)),
        Err(error) => error.downcast().map(Err),
    }
}
