//! A moment as text, for browsers that run no script. With a script the page
//! shows the reader's own time.

/// The moment in UTC to the second, as the `datetime` of a time element:
/// `2026-01-01T00:00:00Z`.
pub(crate) fn push_iso(out: &mut String, milliseconds: u64) {
    push_minutes(out, milliseconds, 'T');
    out.push(':');
    push_two(out, milliseconds / 1000 % 60);
    out.push('Z');
}

/// The moment as people read it: `2026-01-01 00:00 UTC`.
pub(crate) fn push_text(out: &mut String, milliseconds: u64) {
    push_minutes(out, milliseconds, ' ');
    out.push_str(" UTC");
}

fn push_minutes(out: &mut String, milliseconds: u64, between: char) {
    let minutes = milliseconds / 60_000;
    let (year, month, day) = civil(minutes / (24 * 60));
    raxx::json::push_number(out, year);
    out.push('-');
    push_two(out, month);
    out.push('-');
    push_two(out, day);
    out.push(between);
    push_two(out, minutes / 60 % 24);
    out.push(':');
    push_two(out, minutes % 60);
}

fn push_two(out: &mut String, number: u64) {
    if number < 10 {
        out.push('0');
    }
    raxx::json::push_number(out, number);
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian
/// calendar. Years are counted from March here, so that the leap day ends
/// them; 400 of them are always 146,097 days.
fn civil(days_since_1970: u64) -> (u64, u64, u64) {
    let days = days_since_1970 + 719_468; // since 0000-03-01
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(seconds: u64) -> String {
        let mut out = String::new();
        push_iso(&mut out, seconds * 1000 + 999);
        out.push('|');
        push_text(&mut out, seconds * 1000);
        out
    }

    #[test]
    fn moments_are_the_dates_that_the_calendar_has() {
        assert_eq!(both(0), "1970-01-01T00:00:00Z|1970-01-01 00:00 UTC");
        assert_eq!(
            both(951_782_399),
            "2000-02-28T23:59:59Z|2000-02-28 23:59 UTC"
        );
        assert_eq!(
            both(951_782_400),
            "2000-02-29T00:00:00Z|2000-02-29 00:00 UTC"
        );
        assert_eq!(
            both(4_107_542_400),
            "2100-03-01T00:00:00Z|2100-03-01 00:00 UTC"
        );
        assert_eq!(
            both(1_798_761_599),
            "2026-12-31T23:59:59Z|2026-12-31 23:59 UTC"
        );
    }

    #[test]
    fn no_moment_is_too_far() {
        assert!(both(u64::MAX / 1000 - 1).ends_with("UTC"));
    }
}
