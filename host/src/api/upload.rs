//! Uploads: bytes come in, and a component that the node has checked and stored comes
//! out. It is hashed here, as it comes, and nowhere else.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use cluster::{ComponentBuilder, Digest};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout};

use super::body::{Body, json};
use super::service::{Asker, Limits};
use super::types::{API, Code, StoredComponent};
use super::{NodeApi, Refused, releasing};

/// How much memory an upload gets at once by its declared length, at most, in bytes.
const BEFOREHAND: u64 = 1024 * 1024;

/// After this time a body must have come at the least rate, in bytes per second.
const SLOW_FROM: Duration = Duration::from_secs(60);
const LEAST_RATE: u64 = 8 * 1024;

/// The header of an upload with the signed record of its release, in hex.
pub const RECORD: &str = "release-record";

/// Stores a component that must have this digest. Where a deploy key is set, it must be
/// what the signed record in the headers releases.
pub(super) async fn store<B>(
    node: &dyn NodeApi,
    from: Asker,
    digest: &str,
    limits: Limits,
    headers: &HeaderMap,
    body: B,
) -> Result<Response<Body>, Refused>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin,
    B::Error: Display,
{
    let digest = parse(digest)?;
    let record = headers.get(RECORD).map(HeaderValue::as_bytes);
    let signed = releasing::authorize(node, from, record, digest)?;
    let most = signed.map_or(limits.component, |app| app.size.min(limits.component));
    let beforehand = body.size_hint().lower().min(BEFOREHAND);
    let mut builder = ComponentBuilder::with_capacity(usize::try_from(beforehand).unwrap_or(0));
    read(body, most, limits, |piece| builder.push(piece)).await?;
    let component = builder.finish();
    if component.digest() != digest {
        let found = component.digest();
        let why = format!("these bytes have the digest {found}, not {digest}");
        return Err(Refused::new(Code::WrongDigest, why));
    }
    let app = component.app();
    if signed.is_some_and(|signed| signed != app) {
        let why = "the size or the manifest of this component is not the one in the signed record";
        return Err(Refused::new(Code::BadRelease, why));
    }
    node.store(component).await?;
    Ok(json(StatusCode::CREATED, &told(&app)))
}

/// Says whether the node has a component.
pub(super) async fn find(node: &dyn NodeApi, digest: &str) -> Result<Response<Body>, Refused> {
    match node.find(parse(digest)?).await? {
        Some(app) => Ok(json(StatusCode::OK, &told(&app))),
        None => Err(Refused::new(
            Code::NoComponent,
            "the node does not have this component",
        )),
    }
}

fn told(app: &cluster::release::Component) -> StoredComponent {
    StoredComponent {
        api: API,
        digest: app.digest.to_string(),
        size: app.size,
    }
}

/// Parses a digest that a caller gave.
pub(super) fn parse(digest: &str) -> Result<Digest, Refused> {
    let bad = |error| Refused::new(Code::BadRequest, format!("`{digest}`: {error}"));
    digest.parse().map_err(bad)
}

/// Reads a body up to a limit, and hands on each piece of it.
pub(super) async fn read<B>(
    mut body: B,
    most: u64,
    limits: Limits,
    mut push: impl FnMut(&[u8]),
) -> Result<(), Refused>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin,
    B::Error: Display,
{
    let too_large = || {
        let most = bytesize::ByteSize(most);
        Refused::new(
            Code::TooLarge,
            format!("it is larger than the {most} that may be"),
        )
    };
    if body.size_hint().lower() > most {
        return Err(too_large());
    }
    let (mut length, began) = (0, Instant::now());
    loop {
        // At first it may take its time. Else two slow callers would keep all others from uploading.
        let slowest = began + SLOW_FROM + Duration::from_millis(length * 1000 / LEAST_RATE);
        let within = slowest.saturating_duration_since(Instant::now());
        let frame = match timeout(limits.silence.min(within), body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                let why = format!("the request was cut off: {error}");
                return Err(Refused::new(Code::BadRequest, why));
            }
            Ok(None) => return Ok(()),
            Err(_) => {
                let why = format!(
                    "nothing more of the request came for {} s, or less than {LEAST_RATE} bytes a \
                     second over more than {} s",
                    limits.silence.as_secs_f32(),
                    SLOW_FROM.as_secs(),
                );
                return Err(Refused::new(Code::BadRequest, why));
            }
        };
        if let Ok(data) = frame.into_data() {
            length += data.len() as u64;
            if length > most {
                return Err(too_large());
            }
            push(&data);
        }
    }
}
