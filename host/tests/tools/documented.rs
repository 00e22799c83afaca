//! docs/api.md is held to the code: each example is read and written again, and
//! each code is in its table.

use std::collections::BTreeMap;

use host::api::types::{
    Code, DataList, DataWanted, DataWritten, Draft, LogLine, Nodes, Problem, Progress, Record,
    ReleaseList, Released, SettingList, SettingRecords, SettingsWanted, Status, StoredComponent,
    Wanted,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const DOCUMENT: &str = include_str!("../../../docs/api.md");

/// The block of code below each heading.
fn examples() -> BTreeMap<&'static str, String> {
    let mut examples = BTreeMap::new();
    let (mut heading, mut block) = ("", None::<String>);
    for line in DOCUMENT.lines() {
        match (&mut block, line) {
            (None, line) if line.starts_with('#') => heading = line.trim_start_matches(['#', ' ']),
            (None, "```json" | "```jsonl") => block = Some(String::new()),
            (Some(_), "```") => {
                let text = block.take().unwrap_or_default();
                assert!(
                    examples.insert(heading, text).is_none(),
                    "two below {heading}"
                );
            }
            (Some(text), line) => *text += &format!("{line}\n"),
            (None, _) => {}
        }
    }
    examples
}

/// The example is one of these, and says nothing that is not one.
fn is<T: DeserializeOwned + Serialize>(example: &str) {
    let value: Value = serde_json::from_str(example).expect("it is JSON");
    let read: T = serde_json::from_str(example).expect("it is one of these");
    assert_eq!(
        serde_json::to_value(read).expect("it is written again"),
        value
    );
}

#[test]
fn every_example_is_what_the_code_reads_and_writes() {
    let mut examples = examples();
    let mut check = |name: &str, is: fn(&str)| is(&examples.remove(name).unwrap());
    check("Status", is::<Status>);
    check("Nodes", is::<Nodes>);
    check("Releases", is::<ReleaseList>);
    check("LogLine", is::<LogLine>);
    check("Component", is::<StoredComponent>);
    check("Released", is::<Released>);
    check("Draft", is::<Draft>);
    check("Problem", is::<Problem>);
    check("Wanted", is::<Wanted>);
    check("Record", is::<Record>);
    check("Settings", is::<SettingList>);
    check("SettingsWanted", is::<SettingsWanted>);
    check("SettingRecords", is::<SettingRecords>);
    check("Data", is::<DataList>);
    check("DataWanted", is::<DataWanted>);
    check("DataWritten", is::<DataWritten>);
    check("Progress", |lines| lines.lines().for_each(is::<Progress>));
    assert_eq!(examples.into_keys().collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn every_code_is_in_the_table() {
    let codes = [
        Code::BadRequest,
        Code::NotFound,
        Code::BadMethod,
        Code::TooLarge,
        Code::WrongDigest,
        Code::NoComponent,
        Code::BadComponent,
        Code::Same,
        Code::OtherPlan,
        Code::VotedDown,
        Code::OpenStreams,
        Code::Unexpected,
        Code::ClockAhead,
        Code::Unsigned,
        Code::UnknownRelease,
        Code::Ambiguous,
        Code::NothingBefore,
        Code::TooFewNodes,
        Code::BadRelease,
        Code::BadSetting,
        Code::NotSet,
        Code::Storage,
        Code::Busy,
        Code::Stopping,
        Code::Other,
    ];
    let table = DOCUMENT.split("| code | status |").nth(1).unwrap();
    let table = table.split("\n\n").next().unwrap();
    for code in codes {
        let name = serde_json::to_value(code).unwrap();
        let name = format!("`{}`", name.as_str().unwrap());
        assert!(table.contains(&name), "{name} is not in the table");
    }
    let named = table.matches('`').count() / 2 - table.matches("`reason`").count();
    assert_eq!(named, codes.len(), "the table has other codes");
}
