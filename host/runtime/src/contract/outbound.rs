//! Outgoing requests of a `wasi:http` component, in both versions of WASI. What the cluster
//! allows goes out; what it does not is refused in the terms of `wasi:http`, and the log says
//! what would allow it.

use std::future::Future;
use std::sync::Arc;

use ::cluster::release::ReleaseId;
use egress::{EgressError, SendLimits};
use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::output::GuestLog;

/// Sends the outgoing requests of one instance.
#[derive(Debug)]
pub(super) struct Outbound {
    pub(super) client: egress::EgressClient,
    pub(super) log: Arc<GuestLog>,
    pub(super) release: ReleaseId,
    /// The places for requests of this instance: it must not take all of the node.
    pub(super) places: Arc<Semaphore>,
}

/// The most requests of one instance at a time, with the answers that it has not read to their end.
pub(super) const PLACES: usize = 32;

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answer = Result<(http::Response<WasiBody>, Io), Error>;

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _transmitted: Io,
    ) -> Box<dyn Future<Output = Answer> + Send> {
        let (client, log, release) = (self.client.clone(), self.log.clone(), self.release);
        let place = self.places.clone().try_acquire_owned();
        Box::new(async move {
            let place = place.map_err(|_| Error::ConnectionLimitReached)?;
            let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
            match client.send(request, limits(options)).await {
                Ok(response) => {
                    let response = response.map(|body| {
                        let held = move |error| {
                            let _held = &place;
                            to_wasi(error)
                        };
                        body.map_err(held).boxed_unsync()
                    });
                    // The client reads and writes in tasks of its own.
                    let io: Io = Box::new(async { Ok(()) });
                    Ok((response, io))
                }
                Err(error) => {
                    log.refused(release, &error);
                    Err(to_wasi(error))
                }
            }
        })
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        super::quota::BODY_CHUNK
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        super::quota::BODY_CHUNK
    }
}

/// What the guest has set, or else what is usual.
fn limits(options: Option<RequestOptions>) -> SendLimits {
    let usual = SendLimits::default();
    let options = options.unwrap_or_default();
    SendLimits {
        connect: options.connect_timeout.unwrap_or(usual.connect),
        first_byte: options.first_byte_timeout.unwrap_or(usual.first_byte),
        between_bytes: options.between_bytes_timeout.unwrap_or(usual.between_bytes),
        ..usual
    }
}

/// The error in the terms of `wasi:http`.
fn to_wasi(error: EgressError) -> Error {
    match error {
        EgressError::Denied(_) | EgressError::Name(_) | EgressError::NoTcp => {
            Error::HttpRequestDenied
        }
        EgressError::Prohibited { .. } => Error::DestinationIpProhibited,
        EgressError::Method(_) => Error::HttpRequestMethodInvalid,
        EgressError::Url(_) => Error::HttpRequestUriInvalid,
        EgressError::Busy(_) => Error::ConnectionLimitReached,
        EgressError::NoName(_, why) => Error::DnsError {
            rcode: Some(why),
            info_code: None,
        },
        EgressError::LookupTime(_) => Error::DnsTimeout,
        EgressError::ConnectTime(_) => Error::ConnectionTimeout,
        EgressError::Refused(_) => Error::ConnectionRefused,
        EgressError::Unreachable(..) => Error::DestinationUnavailable,
        EgressError::Certificate(..) => Error::TlsCertificateError,
        EgressError::Tls(..) => Error::TlsProtocolError,
        EgressError::Silent => Error::ConnectionReadTimeout,
        EgressError::TotalTime => Error::HttpResponseTimeout,
        EgressError::TooLarge(most) => Error::HttpResponseBodySize(Some(most)),
        EgressError::Broken(_) => Error::HttpProtocolError,
    }
}
