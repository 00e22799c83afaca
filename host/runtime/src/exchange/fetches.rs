//! The requests of one exchange to other servers.
//!
//! ```text
//! effect fetch -> begin -> egress::EgressClient -> next -> message fetched
//! ```
//!
//! Each runs in a task of its own. The exchange waits for it as for other events, without an
//! instance, and whichever code it runs meanwhile.

use std::time::Duration;

use bytes::Bytes;
use egress::{EgressError, HeldMemory, WholeLimits};
use http::{Method, Request, Uri, header};
use tokio::task::JoinSet;

use super::event::never;
use crate::contract::fetch::{FetchError, FetchRequest, FetchResponse, Fetched};
use crate::contract::http::Method as ContractMethod;
use crate::generation::Lease;
use crate::http::response::{fields, header_map};

/// How long a fetch may take, if the exchange does not say. `fetch.wit` names this and the next.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How many bytes of body its answer may have.
const MAX_BODY: usize = 1 << 20;

/// The fetches of one exchange. Their number has a limit when they are asked for. They end when
/// this is dropped.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    /// None before the first, since most exchanges have none.
    running: Option<JoinSet<(Fetched, Option<HeldMemory>)>>,
}

impl Fetches {
    /// How many there are whose answer the exchange has not been told.
    pub(super) fn waiting(&self) -> usize {
        self.running.as_ref().map_or(0, JoinSet::len)
    }

    /// Begins one, for the code of this lease.
    pub(super) fn begin(&mut self, request: FetchRequest, lease: &Lease) {
        let (runtime, release) = (lease.runtime.clone(), lease.release());
        let running = self.running.get_or_insert_default();
        running.spawn(async move {
            let (token, client) = (request.token, &runtime.node.egress);
            let (outcome, held) = match fetch(client, request).await {
                Ok((response, held)) => (Ok(response), Some(held)),
                Err(error) => {
                    runtime.guest_log.refused(release, &error);
                    (Err(to_contract(error)), None)
                }
            };
            (Fetched { token, outcome }, held)
        });
    }

    /// Waits for the next answer. It may be dropped at any time without losing one.
    pub(super) async fn next(&mut self) -> Fetched {
        let Some(running) = &mut self.running else {
            return never().await;
        };
        while let Some(ended) = running.join_next().await {
            // From here on the answer counts as memory of the callback.
            if let Ok((fetched, _held)) = ended {
                return fetched;
            }
        }
        never().await
    }

    /// Ends all of them, for code that does not know their answers. Returns how many there were.
    pub(super) fn end(&mut self) -> u64 {
        let ended = self.waiting();
        self.running = None;
        ended as u64
    }
}

async fn fetch(
    client: &egress::EgressClient,
    request: FetchRequest,
) -> Result<(FetchResponse, HeldMemory), EgressError> {
    let milliseconds = request.timeout.map(u64::from);
    let limits = WholeLimits {
        timeout: milliseconds.map_or(TIMEOUT, Duration::from_millis),
        max_body: request.max_body.map_or(MAX_BODY, |bytes| bytes as usize),
    };
    let (response, held) = client.fetch(to_http(request)?, limits).await?.into_parts();
    let (head, body) = response.into_parts();
    let response = FetchResponse {
        status: head.status.as_u16(),
        headers: fields(&head.headers),
        body: body.into(),
    };
    Ok((response, held))
}

/// The request as it is sent. Fields that are the host's are left out.
fn to_http(request: FetchRequest) -> Result<Request<Bytes>, EgressError> {
    let url = |why: String| EgressError::Url(why);
    let uri: Uri = request
        .url
        .parse()
        .map_err(|error| url(format!("{error}")))?;
    let mut headers = header_map(&request.headers).map_err(|error| url(error.to_string()))?;
    headers.remove(header::HOST);
    headers.remove(header::CONTENT_LENGTH);
    let mut sent = Request::new(Bytes::from(request.body));
    *sent.method_mut() = method(request.method)?;
    *sent.uri_mut() = uri;
    *sent.headers_mut() = headers;
    Ok(sent)
}

fn method(method: ContractMethod) -> Result<Method, EgressError> {
    Ok(match method {
        ContractMethod::Get => Method::GET,
        ContractMethod::Head => Method::HEAD,
        ContractMethod::Post => Method::POST,
        ContractMethod::Put => Method::PUT,
        ContractMethod::Delete => Method::DELETE,
        ContractMethod::Connect => Method::CONNECT,
        ContractMethod::Options => Method::OPTIONS,
        ContractMethod::Trace => Method::TRACE,
        ContractMethod::Patch => Method::PATCH,
        ContractMethod::Other(name) => {
            Method::from_bytes(name.as_bytes()).map_err(|_| EgressError::Method(name))?
        }
    })
}

/// The error in the terms of the contract.
fn to_contract(error: EgressError) -> FetchError {
    match error {
        error if error.is_refusal() => FetchError::Denied,
        EgressError::Method(_) | EgressError::Url(_) => FetchError::BadRequest(error.to_string()),
        EgressError::Busy(_) => FetchError::TooMany,
        EgressError::Silent | EgressError::TotalTime => FetchError::TimedOut,
        EgressError::TooLarge(_) => FetchError::TooLarge,
        EgressError::Broken(why) => FetchError::Broken(why),
        error => FetchError::Unreachable(error.to_string()),
    }
}
