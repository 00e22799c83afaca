//! `host config` and `host egress`: show and change what is set for the app.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::SystemTime;

use cluster::release::Hlc;
use cluster::{
    AppName, LIVE_BYTES_MAX, NodeName, Setting, SettingChange, SettingError, SettingKind,
    SettingParts,
};
use data_encoding::HEXLOWER;
use rand::TryRng as _;
use zeroize::Zeroizing;

use super::cli::{Change, ConfigCommand, ConfigSet, EgressCommand, SettingsLs};
use super::client::ApiClient;
use super::key::SigningKey;
use super::push::{DRAFT_APART_MS, who};
use super::{CommandError, Exit, json, print, show, tables, tell};
use crate::api::types::{
    SettingList, SettingRecords, SettingSort, SettingWanted, SettingsWanted, of_app,
};

/// Runs `host config`.
pub(super) async fn config(command: ConfigCommand) -> Result<Exit, CommandError> {
    match command {
        ConfigCommand::Set(asked) => {
            let wanted = entries(&asked)?;
            change(&asked.change, wanted, "set").await
        }
        ConfigCommand::Unset(asked) => {
            let wanted = asked
                .keys
                .iter()
                .map(|key| removal(SettingSort::Config, key));
            change(&asked.change, wanted.collect(), "unset").await
        }
        ConfigCommand::Ls(asked) => list(&asked, &[SettingSort::Config, SettingSort::Secret]).await,
    }
}

/// Runs `host egress`.
pub(super) async fn egress(command: EgressCommand) -> Result<Exit, CommandError> {
    match command {
        EgressCommand::Add(asked) => {
            let wanted = asked.rules.iter().map(|rule| SettingWanted {
                value: Some(String::new()),
                ..removal(SettingSort::Egress, rule)
            });
            change(&asked.change, wanted.collect(), "allowed").await
        }
        EgressCommand::Rm(asked) => {
            let wanted = asked
                .rules
                .iter()
                .map(|rule| removal(SettingSort::Egress, rule));
            change(&asked.change, wanted.collect(), "no longer allowed").await
        }
        EgressCommand::Ls(asked) => list(&asked, &[SettingSort::Egress]).await,
    }
}

fn removal(kind: SettingSort, key: &str) -> SettingWanted {
    let (key, value) = (key.to_owned(), None);
    SettingWanted { kind, key, value }
}

/// What is to be set.
fn entries(asked: &ConfigSet) -> Result<Vec<SettingWanted>, CommandError> {
    if asked.secret {
        let [key] = &asked.entries[..] else {
            return Err(CommandError::ManySecrets);
        };
        // What was typed is in the list of processes already.
        if key.contains('=') {
            return Err(CommandError::SecretTyped);
        }
        let value = Some(secret(asked.from_file.as_deref())?);
        let (kind, key) = (SettingSort::Secret, key.clone());
        return Ok(vec![SettingWanted { kind, key, value }]);
    }
    let entry = |entry: &String| {
        let (key, value) = entry
            .split_once('=')
            .ok_or_else(|| CommandError::NoEntry(entry.clone()))?;
        Ok(SettingWanted {
            kind: SettingSort::Config,
            key: key.to_owned(),
            value: Some(value.to_owned()),
        })
    };
    asked.entries.iter().map(entry).collect()
}

/// Reads the value of a secret, without the line break at its end.
fn secret(file: Option<&Path>) -> Result<String, CommandError> {
    let source = file.unwrap_or(Path::new("standard input"));
    let failed = |cause| CommandError::Read {
        path: source.to_owned(),
        cause,
    };
    let most = LIVE_BYTES_MAX as u64 + 3;
    let mut bytes = Zeroizing::new(Vec::new());
    match file {
        Some(path) => File::open(path)
            .map_err(failed)?
            .take(most)
            .read_to_end(&mut bytes),
        None => io::stdin().lock().take(most).read_to_end(&mut bytes),
    }
    .map_err(failed)?;
    let text = std::str::from_utf8(&bytes);
    let text = text.map_err(|_| CommandError::NoText(source.to_owned()))?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// Changes something, and says what.
async fn change(
    asked: &Change,
    wanted: Vec<SettingWanted>,
    done: &str,
) -> Result<Exit, CommandError> {
    let client = ApiClient::find(&asked.ask).await?;
    let by = asked.by.clone().unwrap_or_else(who);
    let keys: Vec<String> = wanted.iter().map(|it| it.key.clone()).collect();
    let path = of_app("settings");
    let list: SettingList = match &asked.sign_with {
        None => {
            let changes = SettingsWanted {
                changes: wanted,
                by,
            };
            client.post(&path, &changes).await?
        }
        Some(file) => {
            let key = SigningKey::read(file)?;
            let list: SettingList = client.get(&path).await?;
            let records = sign(&key, &list, wanted, &by)?;
            client.post(&of_app("settings/records"), &records).await?
        }
    };
    match asked.ask.json {
        true => print(&json(&list)?)?,
        false => tell(&format!("{done}: {}", keys.join(", "))),
    }
    Ok(Exit::OK)
}

/// Makes the records of some changes here, and signs them.
fn sign(
    key: &SigningKey,
    list: &SettingList,
    wanted: Vec<SettingWanted>,
    by: &str,
) -> Result<SettingRecords, CommandError> {
    let at = Hlc::from_number(list.next);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
    if at.ms().abs_diff(now) > DRAFT_APART_MS {
        return Err(CommandError::Apart);
    }
    let node: NodeName = list.node.parse().map_err(CommandError::Name)?;
    let record = |wanted: SettingWanted| {
        let kind = match wanted.kind {
            SettingSort::Secret => SettingKind::Secret,
            SettingSort::Egress => SettingKind::Egress,
            SettingSort::Config | SettingSort::Cron | SettingSort::Other => SettingKind::Config,
        };
        let SettingWanted {
            key: name, value, ..
        } = wanted;
        let change = SettingChange {
            kind,
            key: name,
            value,
        };
        let change = change.check()?;
        let mut salt = [0; 16];
        rand::rngs::SysRng
            .try_fill_bytes(&mut salt)
            .map_err(|error| CommandError::Random(error.to_string()))?;
        let parts = SettingParts {
            app: AppName::the_only(),
            cluster: Some(key.cluster().clone()),
            kind,
            key: change.key,
            salt,
            value: None,
            at,
            node: NodeName::clone(&node),
            by: by.to_owned(),
        };
        let setting = Setting::new(parts, change.value.as_deref()).map_err(SettingError::from)?;
        Ok(HEXLOWER.encode(key.sign_setting(&setting)?.bytes()))
    };
    let records = wanted.into_iter().map(record);
    Ok(SettingRecords {
        records: records.collect::<Result<_, CommandError>>()?,
    })
}

/// Lists settings of these kinds.
async fn list(asked: &SettingsLs, kinds: &[SettingSort]) -> Result<Exit, CommandError> {
    let table = |list: &SettingList| match asked.history {
        true => tables::setting_history(list, kinds),
        false => tables::settings(list, kinds),
    };
    show(&asked.ask, &of_app("settings"), table).await
}
