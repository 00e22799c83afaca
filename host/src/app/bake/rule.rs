//! The value of `--revert-on-errors`: from which share of failed requests the
//! node leaves a new release, and how long it watches the release.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The shares that make sense, in hundredths of a percent.
const SHARES: std::ops::RangeInclusive<u16> = 10..=9_900;
/// The windows that make sense. The longest bake is an hour as well.
const WINDOWS: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(3600);

/// When the node leaves a new release for the release before.
///
/// It does so if, in a window of this length, the share of failed requests is
/// greater than this share plus that of the release before: of all requests, or of
/// those to one part of the app that the release before served well. The default of
/// 20 % within a minute is for a release that is broken, and not for one with a new
/// fault in a corner. No release fails before 20 requests, of which five must
/// have failed. Code that fails at one request in a hundred (a rate that people
/// live with) fails at five in twenty once in 700,000 times. If it fails at one
/// in ten, and so did the release before, seven must have failed: that happens
/// once in 400 times. Within a minute, rare requests have come too. A fault
/// that shows later is one for `host rollback`.
///
/// It also does so if, of the answers of one class, more than one in a hundred and at
/// least ten take several times as long as 99 in a hundred did before.
///
/// The failures of one client count at most half of what this needs (`weigh`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The share, in hundredths of a percent.
    pub share: u16,
    /// The length of the window.
    pub window: Duration,
}

impl Default for Rule {
    fn default() -> Rule {
        Rule {
            share: 2_000,
            window: Duration::from_secs(60),
        }
    }
}

impl Rule {
    /// The share as a number between 0 and 1.
    pub(super) fn part(&self) -> f64 {
        f64::from(self.share) / 10_000.0
    }
}

/// The value of `--revert-on-errors`: a rule, or none for `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevertOnErrors(pub Option<Rule>);

/// Why a text is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// It has another form.
    #[error("give RATE%/TIME, such as 20%/60s, or off")]
    Form,
    /// The share is out of range.
    #[error("{0} is no rate; give one of 0.1% to 99%")]
    Share(String),
    /// The window is out of range.
    #[error("{0} is no time; give one of 1s to 1h")]
    Window(String),
}

impl FromStr for RevertOnErrors {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<RevertOnErrors, RuleError> {
        if text == "off" {
            return Ok(RevertOnErrors(None));
        }
        let (share, window) = text.split_once('/').ok_or(RuleError::Form)?;
        let percent = share.strip_suffix('%').ok_or(RuleError::Form)?;
        let hundredths = percent.parse::<f64>().map(|percent| percent * 100.0);
        let share = match hundredths {
            // The number is rounded, and the range says that it fits u16.
            Ok(share)
                if (f64::from(*SHARES.start())..=f64::from(*SHARES.end())).contains(&share) =>
            {
                share.round() as u16
            }
            _ => return Err(RuleError::Share(share.to_owned())),
        };
        let window = match humantime::parse_duration(window) {
            Ok(time) if WINDOWS.contains(&time) => time,
            _ => return Err(RuleError::Window(window.to_owned())),
        };
        Ok(RevertOnErrors(Some(Rule { share, window })))
    }
}

impl fmt::Display for RevertOnErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("off"),
            Some(rule) => {
                let percent = f64::from(rule.share) / 100.0;
                write!(f, "{percent}%/{}", humantime::format_duration(rule.window))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RevertOnErrors, RuleError> {
        text.parse()
    }

    #[test]
    fn a_rule_is_a_rate_and_a_time_or_off() {
        let rule = |share, seconds| {
            let window = Duration::from_secs(seconds);
            Ok(RevertOnErrors(Some(Rule { share, window })))
        };
        assert_eq!(parse("20%/60s"), rule(2000, 60));
        assert_eq!(parse("20%/1m"), Ok(RevertOnErrors(Some(Rule::default()))));
        assert_eq!(parse("0.5%/2m 30s"), rule(50, 150));
        assert_eq!(parse("off"), Ok(RevertOnErrors(None)));
        assert_eq!(
            parse("12.5%/5s").map(|rule| rule.to_string()),
            Ok("12.5%/5s".to_owned())
        );
    }

    #[test]
    fn what_is_none_is_refused_with_what_to_give_instead() {
        for (text, says) in [
            ("20", "20%/60s"),
            ("20/60s", "20%/60s"),
            ("", "or off"),
            ("0%/60s", "0.1% to 99%"),
            ("100%/60s", "0.1% to 99%"),
            ("NaN%/60s", "0.1% to 99%"),
            ("-3%/60s", "0.1% to 99%"),
            ("20%/", "1s to 1h"),
            ("20%/2h", "1s to 1h"),
            ("20%/10ms", "1s to 1h"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
