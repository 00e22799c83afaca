//! The name of an app: what people reach, whichever component serves it now.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest name of an app, in bytes.
pub const APP_NAME_MAX: usize = 32;

/// The name of an app: 1 to 32 characters of `a-z`, `0-9` and `-`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppName(Arc<str>);

/// Why a text is not the name of an app.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot be the name of an app; use 1 to 32 lower-case letters, digits and `-`")]
pub struct AppNameError(String);

impl AppName {
    /// The one app of a cluster. Support for several apps would begin at the callers of this.
    pub fn the_only() -> Self {
        Self("app".into())
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AppName {
    type Err = AppNameError;

    fn from_str(text: &str) -> Result<Self, AppNameError> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if text.is_empty() || text.len() > APP_NAME_MAX || !text.bytes().all(legal) {
            return Err(AppNameError(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for AppName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AppName {
    /// A name from the network is checked like one that a person typed.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_1_to_32_lower_case_letters_digits_and_hyphens() {
        let most = "a".repeat(APP_NAME_MAX);
        for text in ["a", "shop-2", &most, AppName::the_only().as_str()] {
            assert_eq!(text.parse::<AppName>().expect("a name").as_str(), text);
        }
        let longer = "a".repeat(APP_NAME_MAX + 1);
        for text in ["", "Shop", "a b", "a/b", "a.b", "ä", &longer] {
            assert!(text.parse::<AppName>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_from_the_network_is_checked_too() {
        let name = AppName::the_only();
        let bytes = postcard::to_allocvec(&name).expect("written");
        assert_eq!(postcard::from_bytes(&bytes), Ok(name));
        let bytes = postcard::to_allocvec("../app").expect("written");
        assert!(postcard::from_bytes::<AppName>(&bytes).is_err());
    }
}
