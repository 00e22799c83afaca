//! HTTP requests to other servers. Connections are kept for the next request, but never longer
//! than the rules under which they were made.

use std::error::Error as StdError;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster::{Destination, EgressRule};
use http::header::HOST;
use http::{Method, Request, Response, Version};
use http_body_util::combinators::UnsyncBoxBody;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use crate::connector::{Connector, destination};
use crate::whole::WholeBudget;
use crate::{
    BETWEEN_BYTES_TIME, CONNECTION_WINDOW, EgressConfig, EgressError, FIRST_BYTE_TIME, Gate,
    HEAD_MAX, IDLE_PER_SERVER, IDLE_TIME, REQUESTS_MAX, ResponseBody, STREAM_WINDOW, TIME_MAX,
    TOTAL_TIME,
};

/// The body of a request.
pub type RequestBody = UnsyncBoxBody<Bytes, Box<dyn StdError + Send + Sync>>;

type Pooled = legacy::Client<Connector, RequestBody>;

/// How long the steps of one request may take. What is longer than allowed is cut.
#[derive(Clone, Copy, Debug)]
pub struct SendLimits {
    /// To the connection.
    pub connect: Duration,
    /// From there to the head of the answer.
    pub first_byte: Duration,
    /// Between two pieces of its body.
    pub between_bytes: Duration,
    /// From the beginning to the end of the body.
    pub total: Duration,
}

impl Default for SendLimits {
    fn default() -> Self {
        Self {
            connect: crate::CONNECT_TIME,
            first_byte: FIRST_BYTE_TIME,
            between_bytes: BETWEEN_BYTES_TIME,
            total: TOTAL_TIME,
        }
    }
}

/// Sends requests to other servers, as far as the rules allow. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EgressClient(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    gate: Arc<Gate>,
    pool: Mutex<Pool>,
    /// What is left of [`REQUESTS_MAX`].
    requests: Arc<Semaphore>,
    whole: WholeBudget,
}

/// Connections, and the rules under which they were made.
#[derive(Debug)]
struct Pool {
    rules: Arc<[EgressRule]>,
    client: Pooled,
}

impl EgressClient {
    /// A client for these rules. It must be used within a tokio runtime.
    pub fn new(config: EgressConfig) -> Self {
        let gate = Arc::new(Gate::new(config));
        let pool = Pool {
            rules: gate.rules(),
            client: pooled(&gate),
        };
        Self(Arc::new(Shared {
            gate,
            pool: Mutex::new(pool),
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            whole: WholeBudget::default(),
        }))
    }

    /// A client that may reach nothing.
    pub fn closed() -> Self {
        let none = || Arc::from([]);
        Self::new(EgressConfig::new(Arc::new(none), Arc::new(|_| true)))
    }

    /// The gate, for connections that are not HTTP.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.0.gate
    }

    pub(crate) fn whole(&self) -> &WholeBudget {
        &self.0.whole
    }

    /// The server that a request goes to, if a rule allows it.
    ///
    /// # Errors
    /// [`EgressError::Denied`], or the request names no server that could be reached.
    pub fn check<B>(&self, request: &Request<B>) -> Result<Destination, EgressError> {
        if request.method() == Method::CONNECT {
            return Err(EgressError::Method(request.method().to_string()));
        }
        let to = destination(request.uri())?;
        self.0.gate.check(&to)?;
        Ok(to)
    }

    /// Sends a request. Redirects are answers like others.
    ///
    /// # Errors
    /// No answer came, or none is allowed.
    pub async fn send(
        &self,
        mut request: Request<RequestBody>,
        limits: SendLimits,
    ) -> Result<Response<ResponseBody>, EgressError> {
        let to = self.check(&request)?;
        let place = self.0.requests.clone().try_acquire_owned();
        let place = place.map_err(|_| EgressError::Busy("all requests"))?;
        let due = Instant::now() + limits.total.min(TOTAL_TIME);
        // The client writes it from the URL.
        request.headers_mut().remove(HOST);
        *request.version_mut() = Version::HTTP_11;
        let response = self.head(&to, request, limits);
        let response = match tokio::time::timeout_at(due, response).await {
            Ok(response) => response?,
            Err(_) => return Err(EgressError::TotalTime),
        };
        let pause = limits.between_bytes.min(TIME_MAX);
        Ok(response.map(|body| ResponseBody::new(body, pause, due, place)))
    }

    /// Waits for a connection, and then for the head of the answer.
    async fn head(
        &self,
        to: &Destination,
        mut request: Request<RequestBody>,
        limits: SendLimits,
    ) -> Result<Response<hyper::body::Incoming>, EgressError> {
        let mut connection = capture_connection(&mut request);
        let mut answer = pin!(self.pool().request(request));
        let of_hyper = |error: legacy::Error| EgressError::of_hyper(&error);
        let connected = async {
            let is_there = connection.wait_for_connection_metadata().await.is_some();
            if !is_there {
                // It failed, which the answer says.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            answer = &mut answer => return answer.map_err(of_hyper),
            () = connected => {}
            () = sleep(limits.connect) => return Err(EgressError::ConnectTime(to.clone())),
        }
        match timeout(limits.first_byte.min(TIME_MAX), answer).await {
            Ok(answer) => answer.map_err(of_hyper),
            Err(_) => Err(EgressError::Silent),
        }
    }

    /// The connections of the rules that stand now. Those of older rules are closed, as soon as the
    /// requests that use them have ended.
    fn pool(&self) -> Pooled {
        let rules = self.0.gate.rules();
        let mut pool = self.0.pool.lock();
        // If all connections are taken, those that wait for a next request are given up too.
        if *pool.rules != *rules || self.0.gate.connections_left() == 0 {
            let client = pooled(&self.0.gate);
            *pool = Pool { rules, client };
        }
        pool.client.clone()
    }
}

fn pooled(gate: &Arc<Gate>) -> Pooled {
    legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIME)
        .pool_max_idle_per_host(IDLE_PER_SERVER)
        .http1_max_buf_size(HEAD_MAX)
        .http2_max_header_list_size(HEAD_MAX as u32)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_send_buf_size(STREAM_WINDOW as usize)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .build(Connector(gate.clone()))
}
