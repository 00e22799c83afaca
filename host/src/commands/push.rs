//! `host push` and `host rollback`: from an app file, or the wish to go back,
//! to a release; then it is followed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster::release::{BY_MAX, Component, Kind, Release};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use tokio::signal::unix::{SignalKind, signal};

use super::cli::{Push, Rollback, Rollout};
use super::client::ApiClient;
use super::follow::follow;
use super::key::SigningKey;
use super::progress::Show;
use super::{CommandError, Exit, progress};
use crate::api::types as api;
use crate::api::types::{API, Code, Draft, Problem, Record, Released, Wanted};
use crate::app;

/// How long canaries are watched unless it is said.
const BAKE: Duration = Duration::from_secs(30);

/// An app that can be uploaded.
struct File {
    bytes: Bytes,
    component: Component,
}

/// `host push`.
pub(super) async fn push(asked: Push) -> Result<Exit, CommandError> {
    let client = ApiClient::find(&asked.ask).await?;
    let file = File::read(&asked.component)?;
    let bake = match (asked.bake, asked.canary) {
        (Some(bake), _) => bake,
        (None, Some(_)) => BAKE,
        (None, None) => Duration::ZERO,
    };
    let mut show = progress::show(asked.ask.json);
    let wanted = Wanted {
        component: Some(file.component.digest.to_string()),
        canaries: asked.canary,
        bake_ms: u32::try_from(bake.as_millis()).unwrap_or(u32::MAX),
        ..wanted(&client, &asked.rollout, &mut *show).await?
    };
    let patience = asked.rollout.timeout.saturating_add(bake);
    release_and_follow(&client, &asked.rollout, wanted, Some(file), show, patience).await
}

/// `host rollback`.
pub(super) async fn rollback(asked: Rollback) -> Result<Exit, CommandError> {
    let client = ApiClient::find(&asked.ask).await?;
    let mut show = progress::show(asked.ask.json);
    let wanted = Wanted {
        rollback: Some(match asked.to {
            Some(key) => api::Rollback::To(key),
            None => api::Rollback::Previous,
        }),
        ..wanted(&client, &asked.rollout, &mut *show).await?
    };
    let patience = asked.rollout.timeout;
    release_and_follow(&client, &asked.rollout, wanted, None, show, patience).await
}

async fn release_and_follow(
    client: &ApiClient,
    rollout: &Rollout,
    wanted: Wanted,
    file: Option<File>,
    mut show: Box<dyn Show>,
    patience: Duration,
) -> Result<Exit, CommandError> {
    // From here on none is lost, whatever is waited for.
    let mut interrupts = signal(SignalKind::interrupt()).map_err(CommandError::Runtime)?;
    let key = rollout
        .sign_with
        .as_deref()
        .map(SigningKey::read)
        .transpose()?;
    let making = make(client, &wanted, file.as_ref(), key.as_ref(), &mut *show);
    let made = tokio::select! {
        made = making => made,
        _ = interrupts.recv() => {
            show.stopped("stopped; look at `host releases` whether it was released already");
            return Ok(Exit::INTERRUPTED);
        }
    };
    let release = match made {
        Ok(release) => {
            show.released(&release);
            release.id
        }
        Err(CommandError::Refused(problem)) => match (problem.code, &problem.release) {
            // It is released already: then it is to be seen that all serve it.
            (Code::Same, Some(release)) => {
                let release = release.clone();
                show.already(&release);
                release
            }
            _ => {
                show.refused(&problem);
                return Err(CommandError::Refused(problem));
            }
        },
        Err(error) => return Err(error),
    };
    follow(client, &release, &mut *show, patience, &mut interrupts).await
}

/// Makes the release.
async fn make(
    client: &ApiClient,
    wanted: &Wanted,
    file: Option<&File>,
    key: Option<&SigningKey>,
    show: &mut dyn Show,
) -> Result<api::Release, CommandError> {
    if let Some(file) = file
        && !has(client, file).await?
    {
        upload(client, file, show).await?;
    }
    let made = release(client, wanted, file, key).await;
    match (made, file) {
        // What no release has may be cleared away at any time.
        (Err(CommandError::Refused(problem)), Some(file)) if problem.code == Code::NoComponent => {
            upload(client, file, show).await?;
            release(client, wanted, Some(file), key).await
        }
        (made, _) => made,
    }
}

async fn has(client: &ApiClient, file: &File) -> Result<bool, CommandError> {
    let path = format!("/v1/components/{}", file.component.digest);
    match client.get::<api::Component>(&path).await {
        Ok(_) => Ok(true),
        Err(CommandError::Refused(problem)) if problem.code == Code::NoComponent => Ok(false),
        Err(error) => Err(error),
    }
}

async fn upload(client: &ApiClient, file: &File, show: &mut dyn Show) -> Result<(), CommandError> {
    let gone = show.uploading(file.component.size);
    let path = format!("/v1/components/{}", file.component.digest);
    let taken = client
        .put::<api::Component>(&path, file.bytes.clone(), gone)
        .await;
    show.uploaded();
    taken.map(|_| ())
}

async fn release(
    client: &ApiClient,
    wanted: &Wanted,
    file: Option<&File>,
    key: Option<&SigningKey>,
) -> Result<api::Release, CommandError> {
    let released: Released = match key {
        None => client.post("/v1/releases", wanted).await?,
        Some(key) => {
            let draft: Draft = client.post("/v1/drafts", wanted).await?;
            let record = HEXLOWER_PERMISSIVE.decode(draft.record.as_bytes());
            let record = record.map_err(|_| CommandError::Draft("it is no hex"))?;
            let record = Release::read(&record).map_err(CommandError::Sign)?;
            is_wanted(&record, wanted, file)?;
            let record = Record {
                record: HEXLOWER.encode(key.sign(&record)?.bytes()),
            };
            client.post("/v1/records", &record).await?
        }
    };
    Ok(released.release)
}

/// Whether a record is what was asked for. Who signs answers for it.
fn is_wanted(
    record: &Arc<Release>,
    wanted: &Wanted,
    file: Option<&File>,
) -> Result<(), CommandError> {
    let staged = record.plan().is_staged() == wanted.canaries.is_some();
    match file {
        Some(file) if record.component() != file.component => {
            Err(CommandError::Draft("it has another app"))
        }
        Some(_) if record.kind() != Kind::Push => Err(CommandError::Draft("it is no push")),
        None if record.kind() != Kind::Rollback => Err(CommandError::Draft("it is no rollback")),
        _ if record.note() != wanted.note || record.by() != wanted.by => {
            Err(CommandError::Draft("it has another note or name"))
        }
        _ if !staged || record.plan().bake_ms != wanted.bake_ms => {
            Err(CommandError::Draft("it is rolled out in another way"))
        }
        _ => Ok(()),
    }
}

impl File {
    fn read(path: &Path) -> Result<File, CommandError> {
        // What the nodes take is for them to say.
        let read = app::read_up_to(&app::locate(path)?, mesh::store::LARGEST_APP)?;
        Ok(File {
            component: read.component.app(),
            bytes: read.component.bytes().clone(),
        })
    }
}

/// What a push and a rollback have in common.
async fn wanted(
    client: &ApiClient,
    rollout: &Rollout,
    show: &mut dyn Show,
) -> Result<Wanted, CommandError> {
    let expect = match &rollout.expect {
        None => None,
        Some(begins) => Some(expected(client, begins).await.inspect_err(|error| {
            if let CommandError::Refused(problem) = error {
                show.refused(problem);
            }
        })?),
    };
    Ok(Wanted {
        by: rollout.by.clone().unwrap_or_else(who),
        note: rollout.note.clone(),
        expect,
        min_nodes: rollout.min_nodes,
        ..Wanted::default()
    })
}

/// The whole digest that begins so, if it is the target; the node looks again.
async fn expected(client: &ApiClient, begins: &str) -> Result<String, CommandError> {
    let status: api::Status = client.get("/v1/status").await?;
    match status.target {
        Some(target) if target.digest.starts_with(begins) => Ok(target.digest),
        Some(target) => Err(unexpected(&target.digest)),
        None => Err(unexpected("none yet, since nothing was released")),
    }
}

/// What the node would say.
fn unexpected(serves: &str) -> CommandError {
    CommandError::Refused(Box::new(Problem {
        api: API,
        code: Code::Unexpected,
        reason: format!("the target is not the expected component: it is {serves}"),
        release: None,
    }))
}

/// `USER@MACHINE`, as far as it is known and fits.
fn who() -> String {
    let mut user = ["SUDO_USER", "USER", "LOGNAME"].into_iter();
    let user = user.find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    let user = user.unwrap_or_else(|| match rustix::process::geteuid() {
        root if root.is_root() => "root".to_owned(),
        other => format!("user-{}", other.as_raw()),
    });
    let machine = rustix::system::uname();
    let machine = machine.nodename().to_string_lossy();
    let mut text = format!("{user}@{machine}");
    text.retain(|c| !c.is_control());
    text.truncate(text.floor_char_boundary(BY_MAX));
    text
}
