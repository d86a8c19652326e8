//! Wall-clock time as people read it: dates and times of day in UTC.

use std::fmt;
use std::time::Duration;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A moment in UTC: a Gregorian date and a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc {
    /// The year, in four digits until 9999.
    pub year: u64,
    /// 1 to 12.
    pub month: u64,
    /// 1 to 31.
    pub day: u64,
    /// 0 to 23.
    pub hour: u64,
    /// 0 to 59.
    pub minute: u64,
    /// 0 to 59: leap seconds are not told apart.
    pub second: u64,
    /// Below 1,000,000,000.
    pub nanos: u32,
}

/// How many digits of a second's fraction are written; the rest is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fraction {
    /// None.
    Seconds,
    /// Three.
    Millis,
    /// Six.
    Micros,
    /// Nine.
    Nanos,
}

impl Fraction {
    /// Writes `nanos` nanoseconds, less than a second of them, as a fraction.
    ///
    /// # Errors
    /// Those of the formatter.
    pub fn write(self, out: &mut dyn fmt::Write, nanos: u32) -> fmt::Result {
        match self {
            Fraction::Seconds => Ok(()),
            Fraction::Millis => write!(out, ".{:03}", nanos / 1_000_000),
            Fraction::Micros => write!(out, ".{:06}", nanos / 1000),
            Fraction::Nanos => write!(out, ".{nanos:09}"),
        }
    }
}

impl Utc {
    /// The moment `wall` after the Unix epoch.
    pub fn at(wall: Duration) -> Utc {
        let seconds = wall.as_secs();
        let (year, month, day) = civil_date(seconds / 86_400);
        Utc {
            year,
            month,
            day,
            hour: seconds / 3600 % 24,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            nanos: wall.subsec_nanos(),
        }
    }

    /// As in `2026-11-23T17:00:00.123Z` (RFC 3339 §5.6).
    pub fn rfc3339(self, fraction: Fraction) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            let Utc { year, month, day, hour, minute, second, nanos } = self;
            write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
            fraction.write(f, nanos)?;
            f.write_str("Z")
        })
    }

    /// `Jan` to `Dec`.
    pub fn month_name(self) -> &'static str {
        let month = self.month.checked_sub(1).and_then(|month| usize::try_from(month).ok());
        month.and_then(|month| MONTHS.get(month)).copied().unwrap_or_default()
    }

    /// As in `23/Nov/2026:17:00:00 +0000`, the form of the Common Log Format.
    pub fn common(self) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            let Utc { year, day, hour, minute, second, .. } = self;
            let month = self.month_name();
            write!(f, "{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000")
        })
    }
}

/// The Gregorian date that lies `days` days after 1970-01-01.
///
/// Counted in years that begin in March, so that the leap day is the last of
/// its year, within a cycle of 400 years, which has 146,097 days.
fn civil_date(days: u64) -> (u64, u64, u64) {
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    let days = days.saturating_add(719_468);
    let (cycle, day_of_cycle) = (days / 146_097, days % 146_097);
    // Taking the leap days out makes all years 365 days long: one in 1,461
    // days, but for one in 36,524, and again one on the cycle's last day.
    let leap_days = day_of_cycle / 1460 + day_of_cycle / 146_096 - day_of_cycle / 36_524;
    let year_of_cycle = (day_of_cycle - leap_days) / 365;
    let day_of_year =
        day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    // From March on, five months have 153 days, over and over.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = cycle * 400 + year_of_cycle + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_gregorian() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (58, (1970, 2, 28)),
            (59, (1970, 3, 1)),
            (789, (1972, 2, 29)),
            (10_957, (2000, 1, 1)),
            (11_016, (2000, 2, 29)),
            (11_322, (2000, 12, 31)),
            (20_780, (2026, 11, 23)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
            (157_113, (2400, 2, 29)),
        ] {
            assert_eq!(civil_date(days), date, "{days} days");
        }
        // Every day follows the one before it.
        let mut last = civil_date(0);
        for days in 1..200_000 {
            let date = civil_date(days);
            let next_day = date == (last.0, last.1, last.2 + 1);
            let next_month = date == (last.0, last.1 + 1, 1) && last.2 >= 28;
            let next_year = date == (last.0 + 1, 1, 1) && (last.1, last.2) == (12, 31);
            assert!(next_day || next_month || next_year, "{last:?} {date:?}");
            last = date;
        }
    }

    #[test]
    fn times_are_written_in_utc() {
        let moment = Utc::at(Duration::new(1_795_453_200, 123_456_789));
        for (fraction, expected) in [
            (Fraction::Seconds, "2026-11-23T17:00:00Z"),
            (Fraction::Millis, "2026-11-23T17:00:00.123Z"),
            (Fraction::Micros, "2026-11-23T17:00:00.123456Z"),
            (Fraction::Nanos, "2026-11-23T17:00:00.123456789Z"),
        ] {
            assert_eq!(moment.rfc3339(fraction).to_string(), expected);
        }
        assert_eq!(moment.common().to_string(), "23/Nov/2026:17:00:00 +0000");
        let last = Utc::at(Duration::new(951_868_799, 999_999_999));
        assert_eq!(last.rfc3339(Fraction::Millis).to_string(), "2000-02-29T23:59:59.999Z");
        let small = Utc::at(Duration::from_nanos(1_002_003));
        assert_eq!(small.rfc3339(Fraction::Nanos).to_string(), "1970-01-01T00:00:00.001002003Z");
        // No moment that a duration can hold stops it.
        assert!(Utc::at(Duration::MAX).common().to_string().ends_with(" +0000"));
    }
}
