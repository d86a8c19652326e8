//! Which octets may stand where (RFC 9110 §5, RFC 3986 §2 and §3).

/// `tchar` of a token (RFC 9110 §5.6.2).
pub(super) const fn is_token_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric()
        || matches!(
            octet,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Whether this is a token (RFC 9110 §5.6.2).
pub(super) fn is_token(octets: &[u8]) -> bool {
    !octets.is_empty() && octets.iter().all(|octet| is_token_octet(*octet))
}

/// What may stand inside a field value, blanks included: visible ASCII, blanks
/// and `obs-text` (RFC 9110 §5.5).
pub(super) const fn is_value_octet(octet: u8) -> bool {
    octet == b'\t' || (octet >= b' ' && octet != 0x7f)
}

/// A blank (`OWS`, RFC 9110 §5.6.3).
pub(super) const fn is_blank(octet: u8) -> bool {
    octet == b' ' || octet == b'\t'
}

/// `octets` without the blanks around them.
pub(super) fn trim(octets: &[u8]) -> &[u8] {
    let Some(start) = octets.iter().position(|octet| !is_blank(*octet)) else { return &[] };
    let end = octets.iter().rposition(|octet| !is_blank(*octet)).unwrap_or(start);
    octets.get(start..=end).unwrap_or_default()
}

/// The elements of a list (RFC 9110 §5.6.1), the empty ones as well.
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|octet| *octet == b',').map(trim)
}

/// A number written in digits alone; `None` where there is none, another
/// octet, or more than fits.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, octet| {
        let digit = octet.is_ascii_digit().then(|| u64::from(octet & 0x0f))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// `host [ ":" port ]` of an `http` URI (RFC 9110 §7.2, RFC 3986 §3.2.2): never
/// empty, without user information, which has no place there (RFC 9110 §4.2.4).
pub(super) fn is_authority(authority: &[u8]) -> bool {
    let (host, port) = match authority.iter().rposition(|octet| *octet == b':') {
        // A colon inside the brackets belongs to the address.
        Some(colon) if !authority.ends_with(b"]") => {
            let (host, port) = authority.split_at_checked(colon).unwrap_or_default();
            (host, port.get(1..).unwrap_or_default())
        }
        _ => (authority, &[][..]),
    };
    let is_port = port.is_empty() || number(port).is_some_and(|port| port <= 65_535);
    is_port && is_host(host)
}

/// `uri-host`, not empty.
fn is_host(host: &[u8]) -> bool {
    match host.strip_prefix(b"[").map(|rest| rest.strip_suffix(b"]")) {
        // Only IPv6 addresses are literals in use; no IPvFuture was ever defined.
        Some(literal) => literal
            .and_then(|literal| std::str::from_utf8(literal).ok())
            .is_some_and(|literal| literal.parse::<std::net::Ipv6Addr>().is_ok()),
        None => !host.is_empty() && is_registered_name(host),
    }
}

/// A name, which an IPv4 address is as well. Of `reg-name` (RFC 3986 §3.2.2)
/// this leaves out `%XX` and the delimiters: no host has such a name, and it could
/// be read in more than one way.
fn is_registered_name(host: &[u8]) -> bool {
    host.iter().all(|octet| octet.is_ascii_alphanumeric() || b"-._~".contains(octet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_those_of_the_grammar() {
        let separators = b"\"(),/:;<=>?@[\\]{} \t";
        for octet in 0..=255_u8 {
            let expected = octet.is_ascii_graphic() && !separators.contains(&octet);
            assert_eq!(is_token_octet(octet), expected, "{octet:#x}");
            let expected = octet == b'\t' || (octet >= 0x20 && octet != 0x7f);
            assert_eq!(is_value_octet(octet), expected, "{octet:#x}");
        }
        assert!(is_token(b"GET") && !is_token(b"") && !is_token(b"GE T"));
    }

    #[test]
    fn blanks_go_and_lists_come_apart() {
        for (octets, expected) in
            [("", ""), (" \t ", ""), (" a b\t", "a b"), ("a", "a"), ("\x0ba", "\x0ba")]
        {
            assert_eq!(trim(octets.as_bytes()), expected.as_bytes());
        }
        let elements: Vec<&[u8]> = list(b"a ,b,, \tc d").collect();
        assert_eq!(elements, [&b"a"[..], b"b", b"", b"c d"]);
    }

    #[test]
    fn numbers_are_digits_and_fit() {
        for (digits, expected) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("+1", None),
            ("-1", None),
            ("0x1", None),
            ("1 ", None),
            ("1_0", None),
        ] {
            assert_eq!(number(digits.as_bytes()), expected, "{digits}");
        }
    }

    #[test]
    fn hosts_are_names_and_addresses_with_ports() {
        for good in [
            "a",
            "a:80",
            "a:",
            "192.0.2.1:8080",
            "[2001:db8::1]",
            "[2001:db8::1]:443",
            "[::ffff:192.0.2.1]:",
            "a_b.example",
            "a:65535",
        ] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a:65536",
            "a:8a",
            "a:-1",
            "a b",
            "a/b",
            "a@b",
            "a?b",
            "a#b",
            "a\\b",
            "a,b:x",
            "[::1",
            "::1",
            "[::1]80",
            "[::g]",
            "[v1.a]",
            "[]",
            "[::1%25eth0]",
            "a%4",
            "a%zz",
            "a\"b",
            "a:1:2",
            "\u{e9}",
            "a\tb",
            "<a>",
            "[127.0.0.1]",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }
}
