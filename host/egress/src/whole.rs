//! Answers that are read as a whole. All of them together, and all bodies of their requests, take
//! a bounded part of the node's memory.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::{EgressClient, EgressError, ResponseBody, SendLimits};

/// What all bodies of requests that are waiting may take together, and what all answers may: 64
/// MiB and 128 MiB, in units of 1 KiB.
const UNIT: usize = 1 << 10;
const REQUEST_UNITS: usize = 64 << 10;
const ANSWER_UNITS: usize = 128 << 10;

/// What bounds one answer.
#[derive(Clone, Copy, Debug)]
pub struct WholeLimits {
    /// How long all of it may take.
    pub timeout: Duration,
    /// How many bytes of body the answer may have.
    pub max_body: usize,
}

/// A whole answer, and the memory that it takes.
#[derive(Debug)]
pub struct WholeResponse {
    /// The answer.
    pub response: Response<Bytes>,
    held: HeldMemory,
}

/// A part of the memory for whole answers. It is given back when this is dropped.
#[derive(Debug)]
pub struct HeldMemory(
    #[expect(dead_code, reason = "its drop gives it back")] Option<OwnedSemaphorePermit>,
);

impl WholeResponse {
    /// The answer, and what to keep as long as it is there.
    pub fn into_parts(self) -> (Response<Bytes>, HeldMemory) {
        (self.response, self.held)
    }
}

/// The memory for whole answers, and for bodies of their requests.
#[derive(Debug)]
pub(crate) struct WholeBudget {
    requests: Arc<Semaphore>,
    answers: Arc<Semaphore>,
}

impl Default for WholeBudget {
    fn default() -> Self {
        Self {
            requests: Arc::new(Semaphore::new(REQUEST_UNITS)),
            answers: Arc::new(Semaphore::new(ANSWER_UNITS)),
        }
    }
}

fn units(bytes: usize, most: usize) -> u32 {
    bytes.div_ceil(UNIT).min(most) as u32
}

impl EgressClient {
    /// Sends a request, and reads the whole answer.
    ///
    /// # Errors
    /// No answer came in time, it is too large, or none is allowed.
    pub async fn fetch(
        &self,
        request: Request<Bytes>,
        limits: WholeLimits,
    ) -> Result<WholeResponse, EgressError> {
        self.check(&request)?;
        let room = units(request.body().len(), REQUEST_UNITS);
        let budget = self.whole();
        let _room = match budget.requests.clone().try_acquire_many_owned(room) {
            Ok(room) => room,
            Err(_) => return Err(EgressError::Busy("all memory for requests")),
        };
        let request = request.map(|body| {
            Full::new(body)
                .map_err(|never| match never {})
                .boxed_unsync()
        });
        let send = SendLimits {
            first_byte: limits.timeout,
            between_bytes: limits.timeout,
            total: limits.timeout,
            ..SendLimits::default()
        };
        let whole = async {
            let (head, body) = self.send(request, send).await?.into_parts();
            let (body, held) = budget.read(body, limits.max_body).await?;
            let response = Response::from_parts(head, body);
            Ok(WholeResponse { response, held })
        };
        match timeout(limits.timeout, whole).await {
            Ok(whole) => whole,
            Err(_) => Err(EgressError::TotalTime),
        }
    }
}

impl WholeBudget {
    /// Reads a body, once there is room for it. Until then the server has to wait.
    async fn read(
        &self,
        mut body: ResponseBody,
        most: usize,
    ) -> Result<(Bytes, HeldMemory), EgressError> {
        if body.is_end_stream() {
            return Ok((Bytes::new(), HeldMemory(None)));
        }
        let too_large = EgressError::TooLarge(most as u64);
        let promised = body.size_hint().exact();
        let room = promised.map_or(most, |it| usize::try_from(it).unwrap_or(usize::MAX));
        if room > most {
            return Err(too_large);
        }
        let permit = self
            .answers
            .clone()
            .acquire_many_owned(units(room, ANSWER_UNITS))
            .await;
        let permit = permit.map_err(|_| EgressError::Busy("all memory for answers"))?;
        let mut whole = BytesMut::with_capacity(promised.map_or(0, |_| room));
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            if whole.len() + data.len() > most {
                return Err(too_large);
            }
            whole.extend_from_slice(&data);
        }
        Ok((whole.freeze(), HeldMemory(Some(permit))))
    }
}
