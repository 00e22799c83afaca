//! Uploads of apps: bytes in, an app that the node has stored and checked out.

use std::fmt::Display;

use bytes::{Bytes, BytesMut};
use cluster::Digest;
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use super::body::{Body, json};
use super::service::Limits;
use super::types::{API, App, Code};
use super::{Node, Refused};

/// How much memory is taken at once on the word of the caller, in bytes.
const BEFOREHAND: u64 = 1024 * 1024;

/// Takes in an app that is to have this digest.
pub(super) async fn take<B>(
    node: &dyn Node,
    digest: &str,
    limits: Limits,
    body: B,
) -> Result<Response<Body>, Refused>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin,
    B::Error: Display,
{
    let digest = parse(digest)?;
    let (bytes, found) = read(body, limits.app, limits).await?;
    if found != digest {
        let why = format!("these bytes have the digest {found}, not {digest}");
        return Err(Refused::new(Code::WrongDigest, why));
    }
    let app = node.keep(bytes).await?;
    Ok(json(StatusCode::CREATED, &told(&app)))
}

/// Says whether the node has an app.
pub(super) async fn stored(node: &dyn Node, digest: &str) -> Result<Response<Body>, Refused> {
    match node.kept(parse(digest)?).await? {
        Some(app) => Ok(json(StatusCode::OK, &told(&app))),
        None => Err(Refused::new(Code::NoApp, "the node does not have this app")),
    }
}

fn told(app: &cluster::release::App) -> App {
    App {
        api: API,
        digest: app.digest.to_string(),
        size: app.size,
    }
}

/// A digest that a caller gave.
pub(super) fn parse(digest: &str) -> Result<Digest, Refused> {
    let bad = |error| Refused::new(Code::BadRequest, format!("`{digest}`: {error}"));
    digest.parse().map_err(bad)
}

/// Reads a body of so many bytes at most, and its digest.
pub(super) async fn read<B>(
    mut body: B,
    most: u64,
    limits: Limits,
) -> Result<(Bytes, Digest), Refused>
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
    let said = body.size_hint().lower();
    if said > most {
        return Err(too_large());
    }
    let beforehand = usize::try_from(said.min(BEFOREHAND)).unwrap_or_default();
    let mut bytes = BytesMut::with_capacity(beforehand);
    let mut hash = Sha256::new();
    loop {
        let frame = match timeout(limits.silence, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                let why = format!("the request was cut off: {error}");
                return Err(Refused::new(Code::BadRequest, why));
            }
            Ok(None) => break,
            Err(_) => {
                let why = format!(
                    "nothing more of the request came for {} s",
                    limits.silence.as_secs_f32()
                );
                return Err(Refused::new(Code::BadRequest, why));
            }
        };
        if let Ok(data) = frame.into_data() {
            if (bytes.len() + data.len()) as u64 > most {
                return Err(too_large());
            }
            hash.update(&data);
            bytes.extend_from_slice(&data);
        }
    }
    Ok((bytes.freeze(), Digest::from_bytes(hash.finalize().into())))
}
