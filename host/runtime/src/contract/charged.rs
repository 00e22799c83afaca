//! Functions of `wasi:http` that do something beside what the engine's own do. Those by which what
//! the host keeps for an instance grows charge the quota of the instance first. Those that set and
//! end a response note how its body was left.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, LinkerInstance, Resource};
use wasmtime_wasi_http::p2::HeaderResult;
use wasmtime_wasi_http::p2::bindings::http::types::{
    ErrorCode, HeaderError, HostFields, HostOutgoingBody, HostOutgoingRequest,
    HostOutgoingResponse, HostResponseOutparam, Method, OutgoingBody, OutgoingRequest,
    OutgoingResponse, ResponseOutparam, Scheme,
};
use wasmtime_wasi_http::p2::body::{HostOutgoingBody as NewBody, StreamContext};
use wasmtime_wasi_http::{FieldMap, WasiHttpCtxView, WasiHttpView as _};

use super::HostState;
use super::quota::{BODY, BODY_CHUNK, FIELD, map_bytes};

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
    add_ends(&mut types)?;
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
            let body = response_body(&mut caller, response)?;
            Ok((body,)) as wasmtime::Result<(Body,)>
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.body",
        |mut caller: Caller<'_>, (request,): (Request,)| {
            let body = HostOutgoingRequest::body(&mut charged(&mut caller, BODY)?, request)?;
            if let Ok(body) = &body {
                caller.data_mut().instance.bodies.forget(body.rep());
            }
            Ok((body,)) as wasmtime::Result<(Body,)>
        },
    )
}

fn add_ends(types: &mut LinkerInstance<'_, HostState>) -> wasmtime::Result<()> {
    types.func_wrap(
        "[static]outgoing-body.finish",
        |mut caller: Caller<'_>, (body, trailers): (Resource<OutgoingBody>, Option<Fields>)| {
            let state = caller.data_mut();
            let is_short = state.instance.bodies.finish(&body);
            let finished = HostOutgoingBody::finish(&mut state.http(), body, trailers);
            let finished = match finished {
                Ok(()) => Ok(()),
                Err(error) => Err(error.downcast()?),
            };
            if let Err(ErrorCode::HttpResponseBodySize(written)) = &finished {
                is_short(written.unwrap_or(0));
            }
            Ok((finished,)) as wasmtime::Result<(Result<(), ErrorCode>,)>
        },
    )?;
    types.func_wrap(
        "[static]response-outparam.set",
        |mut caller: Caller<'_>,
         (out, response): (Resource<ResponseOutparam>, Result<Response, ErrorCode>)| {
            let state = caller.data_mut();
            if let (Some(set), Ok(response)) = (&state.call.response, &response) {
                let has_body = state.instance.has_body(response)?;
                let mark = state.instance.bodies.of(response).filter(|_| has_body);
                set.body(mark);
            }
            HostResponseOutparam::set(&mut state.http(), out, response)
        },
    )
}

/// Takes the body of a response. The answer to `HEAD` has none, whatever its `content-length`
/// says: so its bytes are not counted.
fn response_body(caller: &mut Caller<'_>, response: Response) -> wasmtime::Result<Body> {
    let (number, to_head) = (response.rep(), caller.data().call.to_head);
    let mut http = charged(caller, BODY)?;
    let body = match http.table.get_mut(&response)? {
        set if to_head && set.body.is_none() => {
            let (body, ours) = NewBody::new(StreamContext::Response, None, 1, BODY_CHUNK);
            set.body = Some(ours);
            Ok(http.table.push(body)?)
        }
        _ => HostOutgoingResponse::body(&mut http, response)?,
    };
    if let Ok(body) = &body {
        let response = Resource::new_borrow(number);
        caller.data_mut().instance.note_body(&response, body)?;
    }
    Ok(body)
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
pub(super) fn charged<'a>(
    caller: &'a mut Caller<'_>,
    bytes: usize,
) -> wasmtime::Result<WasiHttpCtxView<'a>> {
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
