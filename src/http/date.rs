//! How HTTP writes a moment.

use std::fmt;
use std::time::Duration;

use crate::reactor::calendar::Utc;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// The moment `wall` after the Unix epoch as an `IMF-fixdate` (RFC 9110 §5.6.7),
/// as in `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn imf_fixdate(wall: Duration) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        let utc = Utc::at(wall);
        let Utc { year, day, hour, minute, second, .. } = utc;
        // The epoch was a Thursday.
        let weekday = usize::try_from(wall.as_secs() / 86_400 % 7).ok();
        let weekday = weekday.and_then(|day| DAYS.get(day)).copied().unwrap_or_default();
        let month = utc.month_name();
        write!(f, "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
    })
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
