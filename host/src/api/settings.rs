//! Settings: shows what is set, and takes in changes.

use std::sync::Arc;

use cluster::{PAST_MAX, Setting, SettingChange, SettingError, SettingKind};
use data_encoding::HEXLOWER_PERMISSIVE;
use http::{Response, StatusCode};
use mesh::membership::SettingsLook;

use super::body::{Body, json};
use super::describe::now_ms;
use super::service::Asker;
use super::types::{
    self as api, API, Code, SettingInfo, SettingList, SettingRecords, SettingSort, SettingsWanted,
};
use super::{NodeApi, Refused};

/// The largest body of a request for settings, in bytes: all that can be set, signed, in hex.
pub(super) const REQUEST_MAX: u64 = 512 * 1024;

/// The most changes in one request.
const CHANGES_MAX: usize = 256;

/// What is set.
pub(super) async fn list(node: &dyn NodeApi) -> Result<Response<Body>, Refused> {
    let look = node.settings().await?;
    let list = describe(&look, node.status().node);
    Ok(json(StatusCode::OK, &list))
}

/// Changes something.
pub(super) async fn change(
    node: &dyn NodeApi,
    from: Asker,
    wanted: Result<SettingsWanted, Refused>,
) -> Result<Response<Body>, Refused> {
    let SettingsWanted { changes, by } = wanted?;
    bounded(changes.len())?;
    let changes = changes.into_iter().map(|wanted| SettingChange {
        kind: kind(wanted.kind),
        key: wanted.key,
        value: wanted.value,
    });
    let records = node.draft_settings(changes.collect(), by).await?;
    publish(node, from, records).await
}

/// Takes in records that were made elsewhere.
pub(super) async fn records(
    node: &dyn NodeApi,
    from: Asker,
    wanted: Result<SettingRecords, Refused>,
) -> Result<Response<Body>, Refused> {
    let wanted = wanted?.records;
    bounded(wanted.len())?;
    let records = wanted.iter().map(|hex| {
        let bytes = HEXLOWER_PERMISSIVE.decode(hex.as_bytes());
        let bytes = bytes.map_err(|_| Refused::new(Code::BadRequest, "a record is no hex"))?;
        Setting::read(&bytes).map_err(|error| Refused::new(Code::BadSetting, error))
    });
    let records = records.collect::<Result<_, _>>()?;
    publish(node, from, records).await
}

fn bounded(changes: usize) -> Result<(), Refused> {
    if changes <= CHANGES_MAX {
        return Ok(());
    }
    let why =
        format!("{changes} changes at once, and {CHANGES_MAX} are allowed; make two requests");
    Err(Refused::new(Code::BadRequest, why))
}

async fn publish(
    node: &dyn NodeApi,
    from: Asker,
    records: Vec<Arc<Setting>>,
) -> Result<Response<Body>, Refused> {
    let published = node.publish_settings(records).await;
    if let Err(refused) = &published
        && refused.code == Code::Unsigned
    {
        tracing::warn!("a change of settings from {from} is refused: {refused}");
    }
    published?;
    list(node).await
}

/// Turns an error of the core into a refusal.
pub fn refused(error: SettingError) -> Refused {
    let code = match &error {
        SettingError::TooMany(_) | SettingError::TooLarge(_) | SettingError::TooManyNames(_) => {
            Code::TooLarge
        }
        SettingError::NotSet { .. } => Code::NotSet,
        SettingError::Superseded(_) => Code::Unexpected,
        SettingError::Ahead(_) => Code::ClockAhead,
        SettingError::Unsigned | SettingError::Unaccepted(_) => Code::Unsigned,
        SettingError::Nothing
        | SettingError::Key(_)
        | SettingError::Egress(_)
        | SettingError::Kind(_)
        | SettingError::Twice(_)
        | SettingError::IsSecret(_)
        | SettingError::Record(_) => Code::BadSetting,
    };
    Refused::new(code, error)
}

fn kind(sort: SettingSort) -> SettingKind {
    match sort {
        SettingSort::Config => SettingKind::Config,
        SettingSort::Secret => SettingKind::Secret,
        SettingSort::Egress => SettingKind::Egress,
        SettingSort::Cron => SettingKind::Cron,
        SettingSort::Other => SettingKind::Other(u8::MAX),
    }
}

fn sort(kind: SettingKind) -> SettingSort {
    match kind {
        SettingKind::Config => SettingSort::Config,
        SettingKind::Secret => SettingSort::Secret,
        SettingKind::Egress => SettingSort::Egress,
        SettingKind::Cron => SettingSort::Cron,
        SettingKind::Other(_) => SettingSort::Other,
    }
}

/// Shows what is set in the terms of the API. Secrets are left out.
fn describe(look: &SettingsLook, node: String) -> SettingList {
    let settings = look.settings.live().iter();
    let mut settings: Vec<SettingInfo> = settings.map(|it| info(it, look)).collect();
    settings.sort_by(|one, other| (one.kind, &one.key).cmp(&(other.kind, &other.key)));
    let changes = look.settings.live().iter().chain(look.settings.past());
    let mut changes: Vec<&Arc<Setting>> = changes.collect();
    changes.sort_by_key(|it| std::cmp::Reverse(it.at()));
    let history = changes.into_iter().take(PAST_MAX).map(|it| SettingInfo {
        value: None,
        ..info(it, look)
    });
    SettingList {
        api: API,
        now_ms: now_ms(),
        node,
        next: look.next.number(),
        history: history.collect(),
        settings,
    }
}

fn info(setting: &Setting, look: &SettingsLook) -> api::SettingInfo {
    let is_secret = setting.kind() == SettingKind::Secret;
    let value = setting.value().filter(|_| !is_secret);
    let fingerprint = look.fingerprints.get(setting.key());
    let fingerprint = fingerprint.filter(|_| is_secret && setting.value().is_some());
    api::SettingInfo {
        kind: sort(setting.kind()),
        key: setting.key().to_owned(),
        value: value.map(str::to_owned),
        fingerprint: fingerprint.cloned(),
        removed: setting.is_removal(),
        at_ms: setting.at().ms(),
        node: setting.node().to_string(),
        by: setting.by().to_owned(),
        signed: setting.signature().is_some(),
    }
}
