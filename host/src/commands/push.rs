//! `host push` and `host rollback`: make a release from an app file or from an earlier
//! release, and follow it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use cluster::release::{BY_MAX, Component, DraftError, Release, ReleaseKind};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use tokio::signal::unix::{SignalKind, signal};

use super::cli::{Push, RollbackArgs, Rollout};
use super::client::ApiClient;
use super::follow::{Following, follow};
use super::key::SigningKey;
use super::progress::Show;
use super::{CommandError, Exit, progress};
use crate::api::describe;
use crate::api::types as api;
use crate::api::types::{
    API, Code, Draft, Problem, Record, ReleaseList, Released, Until, Wanted, of_app,
};
use crate::files;

/// How long canaries are watched by default.
const BAKE: Duration = Duration::from_secs(30);

/// How far the time of a draft may be from the clock of this machine.
pub(super) const DRAFT_APART_MS: u64 = 10 * 60 * 1000;

/// A component that can be uploaded.
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
    let until = match asked.wait || (asked.bake.is_some() && asked.canary.is_none()) {
        true => Until::Verdict,
        false => Until::Served,
    };
    let wanted = Wanted {
        component: Some(file.component.digest.to_string()),
        canaries: asked.canary,
        again: asked.again,
        drop_streams: asked.drop_streams,
        bake_ms: u32::try_from(bake.as_millis()).unwrap_or(u32::MAX),
        ..wanted(&client, &asked.rollout, &mut *show).await?
    };
    release_and_follow(&client, &asked.rollout, wanted, Some(file), show, until).await
}

/// `host rollback`.
pub(super) async fn rollback(asked: RollbackArgs) -> Result<Exit, CommandError> {
    let client = ApiClient::find(&asked.ask).await?;
    let mut show = progress::show(asked.ask.json);
    let wanted = Wanted {
        rollback: Some(match asked.to {
            Some(key) => api::RollbackWanted::To(key),
            None => api::RollbackWanted::Previous,
        }),
        ..wanted(&client, &asked.rollout, &mut *show).await?
    };
    release_and_follow(&client, &asked.rollout, wanted, None, show, Until::Served).await
}

async fn release_and_follow(
    client: &ApiClient,
    rollout: &Rollout,
    wanted: Wanted,
    file: Option<File>,
    mut show: Box<dyn Show>,
    until: Until,
) -> Result<Exit, CommandError> {
    // From here on no interrupt is lost.
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
            // It is released already. So the command follows until all nodes serve it.
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
    let followed = Following {
        release: &release,
        until,
        patience: rollout.timeout,
    };
    follow(client, followed, &mut *show, &mut interrupts).await
}

/// Makes the release.
async fn make(
    client: &ApiClient,
    wanted: &Wanted,
    file: Option<&File>,
    key: Option<&SigningKey>,
    show: &mut dyn Show,
) -> Result<api::ReleaseInfo, CommandError> {
    let mut is_there = match file {
        Some(file) => has(client, file).await?,
        None => true,
    };
    loop {
        let to_upload = file.filter(|_| !is_there);
        let made = match key {
            None => {
                if let Some(file) = to_upload {
                    needs_no_signature(client).await?;
                    upload(client, file, None, show).await?;
                }
                client.post(&of_app("releases"), wanted).await
            }
            Some(key) => {
                let record = sign(client, wanted, file, to_upload.is_some(), key).await?;
                if let Some(file) = to_upload {
                    upload(client, file, Some(&record), show).await?;
                }
                client.post(&of_app("records"), &Record { record }).await
            }
        };
        match made {
            // A node may at any time remove a component that no release has.
            Err(CommandError::Refused(problem))
                if problem.code == Code::NoComponent && file.is_some() && is_there =>
            {
                is_there = false;
            }
            made => return made.map(|released: Released| released.release),
        }
    }
}

/// Refuses to upload what the node would refuse, before anything is sent.
async fn needs_no_signature(client: &ApiClient) -> Result<(), CommandError> {
    let status: api::Status = client.get("/v1/status").await?;
    match status.deploy_key {
        None => Ok(()),
        Some(_) => Err(CommandError::Refused(Box::new(Problem {
            api: API,
            code: Code::Unsigned,
            reason: DraftError::Unsigned.to_string(),
            release: None,
        }))),
    }
}

async fn has(client: &ApiClient, file: &File) -> Result<bool, CommandError> {
    let path = format!("/v1/components/{}", file.component.digest);
    match client.get::<api::StoredComponent>(&path).await {
        Ok(_) => Ok(true),
        Err(CommandError::Refused(problem)) if problem.code == Code::NoComponent => Ok(false),
        Err(error) => Err(error),
    }
}

async fn upload(
    client: &ApiClient,
    file: &File,
    record: Option<&str>,
    show: &mut dyn Show,
) -> Result<(), CommandError> {
    let gone = show.uploading(file.component.size);
    let path = format!("/v1/components/{}", file.component.digest);
    let taken = client
        .put::<api::StoredComponent>(&path, record, file.bytes.clone(), gone)
        .await;
    show.uploaded();
    taken.map(|_| ())
}

/// Has a record drafted, checks it, and signs it. Returns it in hex. If the node does not
/// have the component, it is told what will be uploaded.
async fn sign(
    client: &ApiClient,
    wanted: &Wanted,
    file: Option<&File>,
    is_uploaded_later: bool,
    key: &SigningKey,
) -> Result<String, CommandError> {
    let known: ReleaseList = client.get(&of_app("releases")).await?;
    let component = file.filter(|_| is_uploaded_later).map(|it| it.component);
    let upload = component.map(|component| api::ToUpload {
        size: component.size,
        manifest: component.manifest.to_string(),
    });
    let asked = Wanted {
        upload,
        ..wanted.clone()
    };
    let draft: Draft = client.post(&of_app("drafts"), &asked).await?;
    let record = HEXLOWER_PERMISSIVE.decode(draft.record.as_bytes());
    let record = record.map_err(|_| CommandError::Draft("it is no hex"))?;
    let record = Release::read(&record).map_err(CommandError::Sign)?;
    is_wanted(&record, wanted, file)?;
    is_next(&record, wanted, &known.releases)?;
    Ok(HEXLOWER.encode(key.sign(&record)?.bytes()))
}

/// Checks that a record is what the user asked for, because whoever signs it is
/// responsible for it.
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
        Some(_) if record.kind() != ReleaseKind::Push => Err(CommandError::Draft("it is no push")),
        None if record.kind() != ReleaseKind::Rollback => {
            Err(CommandError::Draft("it is no rollback"))
        }
        _ if record.note() != wanted.note || record.by() != wanted.by => {
            Err(CommandError::Draft("it has another note or name"))
        }
        _ if !staged
            || record.plan().bake_ms != wanted.bake_ms
            || record.plan().drop_streams != wanted.drop_streams =>
        {
            Err(CommandError::Draft("it is rolled out in another way"))
        }
        _ => Ok(()),
    }
}

/// Checks that a record follows the newest release that the node listed, goes back to
/// the release that was asked for, and has the time of now.
fn is_next(
    record: &Release,
    wanted: &Wanted,
    known: &[api::ReleaseInfo],
) -> Result<(), CommandError> {
    let parent = record.parent().map(|parent| describe::id(&parent.id));
    if parent.as_ref() != known.first().map(|head| &head.id) {
        return Err(CommandError::Draft(
            "it does not follow the newest release that the node listed; try again",
        ));
    }
    let digest = record.component().digest.to_string();
    let goes_back_to = |release: &api::ReleaseInfo| match &wanted.rollback {
        Some(api::RollbackWanted::To(begins)) => {
            release.digest == digest && release.id.starts_with(&begins.to_ascii_lowercase())
        }
        _ => release.digest == digest,
    };
    if wanted.rollback.is_some() && !known.iter().any(goes_back_to) {
        return Err(CommandError::Draft("it goes back to another release"));
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
    if record.stamp().at.ms().abs_diff(now) > DRAFT_APART_MS {
        return Err(CommandError::Draft(
            "its time is more than ten minutes from that of this machine; set the clocks",
        ));
    }
    Ok(())
}

impl File {
    fn read(path: &Path) -> Result<File, CommandError> {
        // The nodes decide which size they accept.
        let read = files::read_up_to(&files::locate(path)?, mesh::store::LARGEST_APP)?;
        Ok(File {
            component: read.component.app(),
            bytes: read.component.bytes().clone(),
        })
    }
}

/// The part of the request that a push and a rollback have in common.
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

/// The whole digest that begins with this, if it is the target. The node checks it
/// again.
async fn expected(client: &ApiClient, begins: &str) -> Result<String, CommandError> {
    let status: api::Status = client.get("/v1/status").await?;
    match status.target {
        Some(target) if target.digest.starts_with(begins) => Ok(target.digest),
        Some(target) => Err(unexpected(&target.digest)),
        None => Err(unexpected("none yet, since nothing was released")),
    }
}

/// The refusal that the node would send.
fn unexpected(serves: &str) -> CommandError {
    CommandError::Refused(Box::new(Problem {
        api: API,
        code: Code::Unexpected,
        reason: format!("the target is not the expected component: it is {serves}"),
        release: None,
    }))
}

/// `USER@MACHINE`, as far as it is known, cut to the limit.
pub(super) fn who() -> String {
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
