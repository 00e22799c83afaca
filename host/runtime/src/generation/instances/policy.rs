//! How many calls an instance takes: `--instances`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// How many calls an instance takes if nothing else is said. An app that leaks a little with each
/// call is renewed long before that matters, and a new instance costs nothing beside so many calls.
const CALLS: u32 = 1000;
/// The most calls that may be asked for.
const CALLS_MAX: u32 = 1_000_000;

/// Whether calls share nothing, or live instances take further calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InstancePolicy {
    /// Each call has an instance of its own.
    #[default]
    Fresh,
    /// An instance takes this many calls, or up to a quarter fewer.
    Reuse(NonZeroU32),
}

/// Why a text is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not one of fresh, reuse and reuse=CALLS, where CALLS is from 1 to {CALLS_MAX}")]
pub struct NoPolicy(String);

impl FromStr for InstancePolicy {
    type Err = NoPolicy;

    fn from_str(text: &str) -> Result<InstancePolicy, NoPolicy> {
        let calls = match text {
            "fresh" => return Ok(InstancePolicy::Fresh),
            "reuse" => Some(CALLS),
            _ => text.strip_prefix("reuse=").and_then(|it| it.parse().ok()),
        };
        calls
            .filter(|calls| *calls <= CALLS_MAX)
            .and_then(NonZeroU32::new)
            .map(InstancePolicy::Reuse)
            .ok_or_else(|| NoPolicy(text.to_owned()))
    }
}

impl fmt::Display for InstancePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InstancePolicy::Fresh => write!(f, "fresh"),
            InstancePolicy::Reuse(calls) => write!(f, "reuse={calls}"),
        }
    }
}

impl InstancePolicy {
    /// How many calls the instance with this number takes. Instances that were made together are
    /// not renewed together: steps of the golden ratio spread them evenly, however many there are.
    pub(super) fn calls(self, number: u32) -> u32 {
        /// 2³² divided by the golden ratio.
        const STEP: u32 = 0x9E37_79B9;
        let InstancePolicy::Reuse(calls) = self else {
            return 1;
        };
        let spread = u64::from(calls.get() / 4);
        let fewer = (u64::from(number.wrapping_mul(STEP)) * (spread + 1)) >> 32;
        calls.get() - u32::try_from(fewer).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_written_as_it_is_read() {
        for text in ["fresh", "reuse=1", "reuse=1000", "reuse=1000000"] {
            let policy: InstancePolicy = text.parse().unwrap();
            assert_eq!(policy.to_string(), text);
        }
        let usual: InstancePolicy = "reuse".parse().unwrap();
        assert_eq!(usual.to_string(), "reuse=1000");
        for wrong in ["", "reuse=", "reuse=0", "reuse=-1", "reuse=1000001", "warm"] {
            let said = wrong.parse::<InstancePolicy>().unwrap_err().to_string();
            assert!(said.starts_with(&format!("`{wrong}` is not")), "{said}");
        }
    }

    #[test]
    fn instances_that_were_made_together_are_renewed_one_after_another() {
        let policy: InstancePolicy = "reuse=1000".parse().unwrap();
        let mut calls: Vec<u32> = (0..100).map(|number| policy.calls(number)).collect();
        calls.sort_unstable();
        assert!(calls.iter().all(|calls| (750..=1000).contains(calls)));
        // No two of a hundred are renewed at the same call.
        calls.dedup();
        assert_eq!(calls.len(), 100);
        assert_eq!(InstancePolicy::Fresh.calls(7), 1);
        assert_eq!("reuse=1".parse::<InstancePolicy>().unwrap().calls(7), 1);
    }
}
