//! Names of hosts, as targets and server names have them.

use super::words::quoted;

/// Longest name and longest label, in octets (RFC 1035 §2.3.4). On the wire a
/// name has two octets more.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// Reads a host name (RFC 952, RFC 1123 §2.1) in lower case. A dot at its end
/// stays, because it says that no search list applies (resolv.conf(5)).
///
/// # Errors
/// What was found and what was expected.
pub(super) fn host_name(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.len() > LONGEST_NAME {
        return Err(format!("the name {} is longer than {LONGEST_NAME} characters", quoted(text)));
    }
    if let Some(label) = name.split('.').find(|label| !is_label(label)) {
        return Err(format!(
            "{} is no host name: a part of a name is 1 to {LONGEST_LABEL} letters, digits and \
             hyphens, with no hyphen first or last; found {}",
            quoted(text),
            quoted(label)
        ));
    }
    // RFC 1123 §2.1: so that no name looks like an address.
    let last = name.rsplit('.').next().unwrap_or(name);
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{} is no host name: its last part is a number", quoted(text)));
    }
    Ok(text.to_ascii_lowercase())
}

fn is_label(label: &str) -> bool {
    (1..=LONGEST_LABEL).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case_and_with_a_dot_at_the_end() {
        for (text, name) in [
            ("db.example.com", "db.example.com"),
            ("DB.Example.COM.", "db.example.com."),
            ("localhost", "localhost"),
            ("3com.com", "3com.com"),
            ("a--b.xn--bcher-kva", "a--b.xn--bcher-kva"),
            ("10.0.0.x1", "10.0.0.x1"),
        ] {
            assert_eq!(host_name(text), Ok(name.to_owned()));
        }
    }

    #[test]
    fn what_is_no_name_says_why() {
        for text in ["", ".", "a..b", ".a", "a..", "-a.com", "a-.com", "a_b", "b\u{fc}cher", "a b"]
        {
            assert!(host_name(text).unwrap_err().contains("is no host name: a part"), "{text}");
        }
        for text in ["1", "a.1", "0x7f.1."] {
            assert!(host_name(text).unwrap_err().contains("is a number"), "{text}");
        }
    }

    #[test]
    fn names_and_labels_have_a_longest_length() {
        let label = |length: usize| "a".repeat(length);
        assert!(host_name(&label(63)).is_ok());
        assert!(host_name(&label(64)).unwrap_err().contains("1 to 63"));
        let name = |last: usize| [label(63), label(63), label(63), label(last)].join(".");
        assert_eq!(host_name(&name(61)).map(|name| name.len()), Ok(253));
        assert!(host_name(&format!("{}.", name(61))).is_ok());
        assert!(host_name(&name(62)).unwrap_err().contains("longer than 253"));
    }
}
