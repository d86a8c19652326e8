//! Single values: booleans, numbers, lists.
//!
//! Each function gives the value, or a sentence of the form `expected …`.

/// Go's spellings of a boolean.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err("expected true or false".to_string()),
    }
}

/// Go's integer literals: decimal, `0x`, `0o` or a leading `0`, `0b`, with
/// `_` between digits.
pub(super) fn integer(text: &str) -> Result<i64, String> {
    let expected = || "expected a whole number".to_string();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(digits) = lower.strip_prefix("0x") {
        (16, digits)
    } else if let Some(digits) = lower.strip_prefix("0b") {
        (2, digits)
    } else if let Some(digits) = lower.strip_prefix("0o") {
        (8, digits)
    } else if let Some(digits) = lower.strip_prefix('0').filter(|digits| !digits.is_empty()) {
        (8, digits)
    } else {
        (10, lower.as_str())
    };
    // An underscore stands between two digits, and the prefix counts as one.
    let after_prefix = if radix == 10 { digits } else { digits.trim_start_matches('_') };
    let doubled = digits.contains("__") || digits.ends_with('_');
    let plain: String = after_prefix.chars().filter(|c| *c != '_').collect();
    if doubled || after_prefix.starts_with('_') || plain.is_empty() {
        return Err(expected());
    }
    if !plain.chars().all(|c| c.is_digit(radix)) {
        return Err(expected());
    }
    let value = i64::from_str_radix(&plain, radix)
        .map_err(|_| "expected a whole number of at most 63 bits".to_string())?;
    Ok(if negative { value.saturating_neg() } else { value })
}

/// The numbers inside kv-lists: decimal digits only. A leading zero does not
/// make them octal, as `asn=065001` means what it looks like.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// A list with commas: elements are trimmed, and empty ones dropped.
pub(super) fn list(text: &str) -> Vec<&str> {
    text.split(',').map(str::trim).filter(|element| !element.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans() {
        for text in ["1", "t", "T", "TRUE", "true", "True"] {
            assert_eq!(boolean(text), Ok(true));
        }
        for text in ["0", "f", "F", "FALSE", "false", "False"] {
            assert_eq!(boolean(text), Ok(false));
        }
        for text in ["", "yes", "on", "tRUE", " true", "2"] {
            assert_eq!(boolean(text), Err("expected true or false".into()), "{text:?}");
        }
    }

    #[test]
    fn integers() {
        let golden = [
            ("0", 0),
            ("-0", 0),
            ("179", 179),
            ("+5", 5),
            ("-1", -1),
            ("0x1F", 31),
            ("0X1f", 31),
            ("0o17", 15),
            ("017", 15),
            ("00", 0),
            ("0b101", 5),
            ("1_000_000", 1_000_000),
            ("0x_1f", 31),
            ("0_7", 7),
            ("9223372036854775807", i64::MAX),
        ];
        for (text, value) in golden {
            assert_eq!(integer(text), Ok(value), "{text}");
        }
        let bad = [
            "", "-", "+", "x", "1x", "0x", "0o", "0b2", "08", "_1", "1_", "1__0", "0x__1", "1 ",
            " 1", "1.5", "--1", "+-1", "0x+1",
        ];
        for text in bad {
            assert_eq!(integer(text), Err("expected a whole number".into()), "{text:?}");
        }
        assert_eq!(
            integer("9223372036854775808"),
            Err("expected a whole number of at most 63 bits".into())
        );
    }

    #[test]
    fn decimals() {
        assert_eq!(decimal("065001"), Some(65001));
        assert_eq!(decimal("18446744073709551615"), Some(u64::MAX));
        for text in ["", "18446744073709551616", "+1", "-1", "0x1", "1 ", "1_0", "\u{661}"] {
            assert_eq!(decimal(text), None, "{text:?}");
        }
    }

    #[test]
    fn lists() {
        assert_eq!(list(""), Vec::<&str>::new());
        assert_eq!(list(" , ,"), Vec::<&str>::new());
        assert_eq!(list("a, b ,,c"), ["a", "b", "c"]);
    }
}
