//! How HTTP writes a moment.

use std::fmt;
use std::time::Duration;

use crate::reactor::calendar::Utc;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The moment `wall` after the Unix epoch as an `IMF-fixdate` (RFC 9110 §5.6.7),
/// as in `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn imf_fixdate(wall: Duration) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        let Utc { year, month, day, hour, minute, second, .. } = Utc::at(wall);
        // The epoch was a Thursday.
        let weekday = name(&DAYS, wall.as_secs() / 86_400 % 7);
        let month = name(&MONTHS, month.saturating_sub(1));
        write!(f, "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
    })
}

fn name(names: &[&'static str], index: u64) -> &'static str {
    usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_the_rfc_shows() {
        for (seconds, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_868_799, "Tue, 29 Feb 2000 23:59:59 GMT"),
            (1_795_453_200, "Mon, 23 Nov 2026 17:00:00 GMT"),
        ] {
            assert_eq!(imf_fixdate(Duration::from_secs(seconds)).to_string(), expected);
        }
        assert!(imf_fixdate(Duration::MAX).to_string().ends_with(" GMT"));
    }
}
