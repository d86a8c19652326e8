//! Durations as Go writes them: `300ms`, `1.5h`, `2m30s`.
//!
//! fabio reads every duration in this form, in its configuration and in its
//! routes. Unlike fabio, which takes a bad value from a file for zero, a bad
//! value is an error here; see [`parse`].

use std::time::Duration;

/// Nanoseconds of each unit, longest names first so that `ms` is not read as
/// `m` followed by an `s`.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Digits after the point that are counted. More than enough for a nanosecond
/// of an hour; the rest is read and dropped.
const FRACTION_DIGITS: usize = 18;

/// Reads a duration: one or more decimal numbers, each with a unit (`ns us ms
/// s m h`), or a plain `0`. The error is a sentence for the operator, of the
/// form `expected …`.
pub fn parse(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "expected a duration such as 30s or 1m30s";
    let reason = match parse_nanoseconds(text) {
        Ok(nanoseconds) => return Ok(Duration::from_nanos(nanoseconds)),
        Err(reason) => reason,
    };
    Err(match reason {
        Reason::Malformed if text.trim().contains(char::is_whitespace) => {
            format!("{EXPECTED} (there is a space in it)")
        }
        Reason::Malformed => EXPECTED.to_string(),
        Reason::Negative => format!("{EXPECTED} (it cannot be negative)"),
        Reason::NoUnit => format!("{EXPECTED} (the unit is missing)"),
        Reason::UnknownUnit => format!("{EXPECTED} (the units are ns us ms s m h)"),
        Reason::TooLong => format!("{EXPECTED} (it is longer than 292 years)"),
    })
}

/// Why a text is not a duration.
enum Reason {
    Malformed,
    Negative,
    NoUnit,
    UnknownUnit,
    TooLong,
}

fn parse_nanoseconds(text: &str) -> Result<u64, Reason> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(Reason::Malformed);
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (nanoseconds, after) = parse_term(rest)?;
        total = total.checked_add(nanoseconds).ok_or(Reason::TooLong)?;
        rest = after;
    }
    if negative && total > 0 {
        return Err(Reason::Negative);
    }
    // Go counts in signed 64-bit nanoseconds.
    let total = u64::try_from(total).map_err(|_| Reason::TooLong)?;
    if i64::try_from(total).is_err() { Err(Reason::TooLong) } else { Ok(total) }
}

/// Reads one number with its unit; gives nanoseconds and what follows.
fn parse_term(text: &str) -> Result<(u128, &str), Reason> {
    let (whole, rest) = split_digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(after_point) => split_digits(after_point),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(Reason::Malformed);
    }
    let unit_end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at_checked(unit_end).unwrap_or((rest, ""));
    if unit.is_empty() {
        return Err(Reason::NoUnit);
    }
    let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        let blank = unit.chars().any(char::is_whitespace);
        return Err(if blank { Reason::Malformed } else { Reason::UnknownUnit });
    };
    let scale = u128::from(*scale);
    let whole: u128 = if whole.is_empty() {
        0
    } else {
        // Only digits are left, so the one way to fail is to be too large.
        whole.parse().map_err(|_| Reason::TooLong)?
    };
    let whole = whole.checked_mul(scale).ok_or(Reason::TooLong)?;
    let kept = fraction.get(..FRACTION_DIGITS).unwrap_or(fraction);
    let tens = kept.bytes().fold(1_u128, |tens, _| tens.saturating_mul(10));
    let part = kept.parse::<u128>().unwrap_or(0).saturating_mul(scale);
    let part = part.checked_div(tens).unwrap_or(0);
    let nanoseconds = whole.checked_add(part).ok_or(Reason::TooLong)?;
    Ok((nanoseconds, rest))
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// Writes a duration as Go prints it: `1m30s`, `1h0m0s`, `1.5s`, `250ms`, `0s`.
/// [`parse`] reads it back to the same value.
pub fn print(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    if nanoseconds == 0 {
        return "0s".to_string();
    }
    if nanoseconds < 1_000 {
        return format!("{nanoseconds}ns");
    }
    if nanoseconds < 1_000_000 {
        return decimal(nanoseconds, 1_000) + "\u{b5}s";
    }
    if nanoseconds < 1_000_000_000 {
        return decimal(nanoseconds, 1_000_000) + "ms";
    }
    const MINUTE: u128 = 60_000_000_000;
    let (minutes, rest) = (nanoseconds / MINUTE, nanoseconds % MINUTE);
    let seconds = decimal(rest, 1_000_000_000) + "s";
    match (minutes / 60, minutes % 60) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

/// `value` in units of `unit` (a power of ten) without trailing zeros.
fn decimal(value: u128, unit: u128) -> String {
    let whole = value.checked_div(unit).unwrap_or(0);
    let rest = value.checked_rem(unit).unwrap_or(0);
    if rest == 0 {
        return whole.to_string();
    }
    let width = unit.to_string().len().saturating_sub(1);
    let fraction = format!("{rest:0width$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_forms_are_read() {
        let golden: &[(&str, u64)] = &[
            ("0", 0),
            ("+0", 0),
            ("-0", 0),
            ("0s", 0),
            ("-0s", 0),
            ("300ms", 300_000_000),
            ("30s", 30_000_000_000),
            ("+5s", 5_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("2m30s", 150_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("1h2m3s4ms5us6ns", 3_723_004_005_006),
            ("7\u{b5}s", 7_000),
            ("7\u{3bc}s", 7_000),
            ("0.000000001s", 1),
            ("0.3333333333333333333h", 1_199_999_999_999),
            ("0.1us", 100),
            ("9223372036854775807ns", 9_223_372_036_854_775_807),
        ];
        for (text, nanoseconds) in golden {
            assert_eq!(parse(text), Ok(Duration::from_nanos(*nanoseconds)), "{text}");
        }
    }

    #[test]
    fn the_error_says_what_is_wrong() {
        let golden = [
            ("", ""),
            ("abc", ""),
            (".", ""),
            ("s", ""),
            (".s", ""),
            ("+", ""),
            ("--1s", ""),
            ("1s m", " (there is a space in it)"),
            ("5 s", " (there is a space in it)"),
            ("30s ", ""),
            (" 30s", ""),
            ("-5s", " (it cannot be negative)"),
            ("30", " (the unit is missing)"),
            ("1m30", " (the unit is missing)"),
            ("3d", " (the units are ns us ms s m h)"),
            ("3S", " (the units are ns us ms s m h)"),
            ("9223372036854775808ns", " (it is longer than 292 years)"),
            ("99999999999999999999999999999999999999999h", " (it is longer than 292 years)"),
        ];
        for (text, detail) in golden {
            let expected = format!("expected a duration such as 30s or 1m30s{detail}");
            assert_eq!(parse(text), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn printed_as_go_prints_and_read_back() {
        let golden: &[(u64, &str)] = &[
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1\u{b5}s"),
            (250_000_000, "250ms"),
            (1_500_000_000, "1.5s"),
            (30_000_000_000, "30s"),
            (90_000_000_000, "1m30s"),
            (60_000_000_000, "1m0s"),
            (3_600_000_000_000, "1h0m0s"),
            (5_430_001_000_000, "1h30m30.001s"),
            (9_223_372_036_854_775_807, "2562047h47m16.854775807s"),
        ];
        for (nanoseconds, text) in golden {
            let duration = Duration::from_nanos(*nanoseconds);
            assert_eq!(print(duration), *text);
            assert_eq!(parse(text), Ok(duration));
        }
    }
}
