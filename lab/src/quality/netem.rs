//! Poor cables by the kernel's own network emulator, on each machine's card.

use super::{Frames, Quality};
use crate::lan::{CABLE, Lan};
use anyhow::{Context, Result, bail};
use std::process::Command;

/// Whether this kernel has netem; if not, the error says what `tc` says.
pub(super) fn is_there(lan: &Lan) -> Result<()> {
    let switch = lan.switch().name();
    tc(switch, &["qdisc", "replace", "dev", "lo", "root", "netem"])?;
    tc(switch, &["qdisc", "delete", "dev", "lo", "root"])?;
    Ok(())
}

/// Make the cables poor.
pub(super) fn begin(lan: &Lan, quality: &Quality) -> Result<()> {
    let words = words(quality);
    let mut args = vec!["qdisc", "replace", "dev", CABLE, "root", "netem"];
    args.extend(words.iter().map(String::as_str));
    for machine in lan.machines() {
        tc(machine.netns().name(), &args)?;
    }
    Ok(())
}

/// Make them good again.
pub(super) fn end(lan: &Lan) -> Result<()> {
    for machine in lan.machines() {
        let args = ["qdisc", "delete", "dev", CABLE, "root"];
        tc(machine.netns().name(), &args)?;
    }
    Ok(())
}

/// What they saw.
pub(super) fn frames(lan: &Lan) -> Result<Frames> {
    let mut frames = Frames::default();
    for machine in lan.machines() {
        let args = ["-s", "qdisc", "show", "dev", CABLE, "root"];
        let said = tc(machine.netns().name(), &args)?;
        let (carried, lost) =
            counts(&said).with_context(|| format!("`tc` counts nothing: {said}"))?;
        frames.carried += carried;
        frames.lost += lost;
    }
    Ok(frames)
}

/// The arguments of netem.
fn words(quality: &Quality) -> Vec<String> {
    let micros = |time: std::time::Duration| format!("{}us", time.as_micros());
    let percent = |share: f64| format!("{}%", share * 100.0);
    let mut words = Vec::new();
    if !quality.delay.is_zero() {
        words.extend(["delay".into(), micros(quality.delay)]);
        if !quality.jitter.is_zero() {
            words.push(micros(quality.jitter));
        }
    }
    if quality.loss > 0.0 {
        words.extend(["loss".into(), percent(quality.loss)]);
    }
    if quality.duplicates > 0.0 {
        words.extend(["duplicate".into(), percent(quality.duplicates)]);
    }
    words
}

/// Those sent and those dropped, of `Sent 420 bytes 5 pkt (dropped 1, …`.
fn counts(said: &str) -> Option<(u64, u64)> {
    let before = |word: &str| said.split(word).next()?.split_whitespace().last();
    let sent = before(" pkt")?.parse().ok()?;
    let dropped = said.split("(dropped ").nth(1)?.split(',').next()?;
    Some((sent, dropped.parse().ok()?))
}

fn tc(netns: &str, args: &[&str]) -> Result<String> {
    let output = Command::new("tc")
        .args(["-n", netns])
        .args(args)
        .output()
        .context("cannot start `tc`")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`tc {}` failed: {}", args.join(" "), said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::{Quality, counts, words};
    use std::time::Duration;

    #[test]
    fn netem_is_told_what_was_asked() {
        let quality = Quality {
            loss: 0.01,
            delay: Duration::from_millis(20),
            jitter: Duration::from_millis(10),
            duplicates: 0.5,
        };
        assert_eq!(
            words(&quality).join(" "),
            "delay 20000us 10000us loss 1% duplicate 50%"
        );
    }

    #[test]
    fn what_tc_counts_is_read() {
        let said = "qdisc netem 8001: root refcnt 2 limit 1000 loss 1%\n \
                    Sent 4213 bytes 57 pkt (dropped 3, overlimits 0 requeues 0)\n";
        assert_eq!(counts(said), Some((57, 3)));
        assert_eq!(counts("qdisc noqueue 0: root refcnt 2\n"), None);
    }
}
