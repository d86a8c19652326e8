//! Who may ask, and who may order.
//!
//! The API speaks plain HTTP, so it listens on loopback unless the operator
//! says otherwise. But a browser on the same host is there as well, and runs
//! what strangers wrote. It must not drain a load balancer for them:
//!
//! - An order that carries an `Origin` comes from a page, and only one that we
//!   served ourselves may give it. Every browser sends the field with a POST,
//!   and no page can take it away.
//! - A stranger's name may point to a loopback address (DNS rebinding); then his
//!   page and we are the same to the browser. So on loopback the host has to be
//!   named by its address or as `localhost`, and everywhere a page's order has
//!   to. With credentials set this is needless, since a browser keeps them for the
//!   name for which they were given.

use super::request::{Request, is_own_name};

/// Basic authentication (RFC 7617). Does not show what it holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// What follows `Basic ` in a request that has them.
    encoded: String,
}

impl Credentials {
    /// The name must have no colon (RFC 7617 §2).
    pub fn new(username: &str, password: &str) -> Credentials {
        Credentials { encoded: base64(format!("{username}:{password}").as_bytes()) }
    }

    /// Whether `Authorization` has these. How long the answer takes says
    /// nothing of how much of it was right.
    fn are_in(&self, authorization: &str) -> bool {
        let Some((scheme, given)) = authorization.split_once(' ') else { return false };
        let given = given.trim_matches(' ');
        let mut differ = u8::from(given.len() != self.encoded.len());
        let expected = self.encoded.bytes().chain(std::iter::repeat(0));
        for (given, expected) in given.bytes().zip(expected) {
            differ = std::hint::black_box(differ | (given ^ expected));
        }
        scheme.eq_ignore_ascii_case("basic") && differ == 0
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(***)")
    }
}

/// Why somebody is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// 401: he did not say who he is.
    Unknown,
    /// 403, and why.
    Forbidden(&'static str),
    /// 421 (RFC 9110 §15.5.20): we are not who is asked.
    Misdirected,
}

/// Whether a request may be looked at.
pub(super) fn may_ask(
    credentials: Option<&Credentials>,
    request: &Request<'_>,
) -> Result<(), Denied> {
    // Who may open the unix socket is said by its owner and mode.
    let Some(local) = request.local else { return Ok(()) };
    match credentials {
        Some(credentials) => {
            let is_right = request.authorization().is_some_and(|it| credentials.are_in(it));
            if is_right { Ok(()) } else { Err(Denied::Unknown) }
        }
        None if !local.ip().to_canonical().is_loopback() => Ok(()),
        None => match request.host() {
            Some(host) if !is_own_name(host) => Err(Denied::Misdirected),
            _ => Ok(()),
        },
    }
}

/// Whether a request that may be looked at may also change something.
pub(super) fn may_order(
    credentials: Option<&Credentials>,
    read_only: bool,
    request: &Request<'_>,
) -> Result<(), Denied> {
    if read_only {
        return Err(Denied::Forbidden("ui.access is ro, which forbids changes"));
    }
    let Some(origin) = request.origin() else { return Ok(()) };
    let page = origin.split_once("://").map(|(_, authority)| authority);
    let host = request.host().unwrap_or_default();
    let is_own = page.is_some_and(|page| page.eq_ignore_ascii_case(host));
    if is_own && (credentials.is_some() || is_own_name(host)) {
        return Ok(());
    }
    Err(Denied::Forbidden("the order comes from a page of another site"))
}

/// RFC 4648 §4
fn base64(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in octets.chunks(3) {
        let octet = |at: usize| u32::from(group.get(at).copied().unwrap_or_default());
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        for (place, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = DIGITS.get((bits >> shift & 63) as usize).copied().unwrap_or(b'=');
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Method, RequestHead};

    #[test]
    fn base64_is_that_of_the_rfc() {
        // RFC 4648 §10
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn credentials_are_compared_as_a_whole() {
        // RFC 7617 §2
        let credentials = Credentials::new("Aladdin", "open sesame");
        for right in [
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "basic  QWxhZGRpbjpvcGVuIHNlc2FtZQ== ",
            "BASIC QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ] {
            assert!(credentials.are_in(right), "{right}");
        }
        for wrong in [
            "",
            "Basic",
            "Basic ",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ===",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZR==",
            "Basic qWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ] {
            assert!(!credentials.are_in(wrong), "{wrong}");
        }
        let shown = format!("{credentials:?}");
        assert!(!shown.contains("sesame") && !shown.contains("QWx"), "{shown}");
    }

    fn asking(host: &str) -> RequestHead {
        RequestHead::new(Method::Get, "/", host).unwrap()
    }

    fn with(head: &RequestHead, name: &str, value: impl AsRef<[u8]>) -> RequestHead {
        let mut head = head.clone();
        head.fields.set(name, value).unwrap();
        head
    }

    fn at<'a>(local: &str, head: &'a RequestHead) -> Request<'a> {
        Request { head, local: (!local.is_empty()).then(|| local.parse().unwrap()) }
    }

    #[test]
    fn a_name_that_may_be_a_strangers_is_refused_on_loopback() {
        let asked = |local: &str, host: &str| may_ask(None, &at(local, &asking(host)));
        for local in ["127.0.0.1:9998", "127.9.9.9:9998", "[::1]:9998", "[::ffff:127.0.0.1]:9998"] {
            assert_eq!(asked(local, "localhost:9998"), Ok(()));
            assert_eq!(asked(local, "127.0.0.1:9998"), Ok(()));
            assert_eq!(asked(local, "evil.example:9998"), Err(Denied::Misdirected), "{local}");
            assert_eq!(asked(local, ""), Err(Denied::Misdirected));
        }
        assert_eq!(asked("192.0.2.1:9998", "lb.example:9998"), Ok(()));
        assert_eq!(asked("", "burgee"), Ok(()), "the unix socket");
        let mut none = asking("x");
        none.fields.remove("host");
        assert_eq!(may_ask(None, &at("127.0.0.1:1", &none)), Ok(()), "HTTP/1.0 knows no Host");
    }

    #[test]
    fn with_credentials_they_decide() {
        let credentials = Credentials::new("a", "b");
        let asked = |head: &RequestHead| may_ask(Some(&credentials), &at("127.0.0.1:9998", head));
        let head = asking("lb.example");
        assert_eq!(asked(&head), Err(Denied::Unknown));
        assert_eq!(asked(&with(&head, "authorization", "Basic YTpj")), Err(Denied::Unknown));
        assert_eq!(asked(&with(&head, "authorization", "Basic YTpi")), Ok(()));
        assert_eq!(may_ask(Some(&credentials), &at("", &head)), Ok(()), "the unix socket");
    }

    #[test]
    fn orders_of_pages_of_other_sites_are_refused() {
        let foreign = Err(Denied::Forbidden("the order comes from a page of another site"));
        let ordered = |host, origin: &str| {
            let head = with(&asking(host), "origin", origin);
            may_order(None, false, &at("192.0.2.1:1", &head))
        };
        let by_program = asking("lb.example:9998");
        assert_eq!(may_order(None, false, &at("192.0.2.1:1", &by_program)), Ok(()), "no browser");
        assert_eq!(ordered("127.0.0.1:9998", "http://127.0.0.1:9998"), Ok(()));
        assert_eq!(ordered("LOCALHOST:9998", "https://localhost:9998"), Ok(()));
        assert_eq!(ordered("127.0.0.1:9998", "http://127.0.0.1:80"), foreign);
        assert_eq!(ordered("127.0.0.1:9998", "http://evil.example"), foreign);
        assert_eq!(ordered("127.0.0.1:9998", "null"), foreign, "a sandboxed page");
        assert_eq!(ordered("127.0.0.1:9998", ""), foreign);
        let unreadable = with(&asking("localhost"), "origin", b"http://localhost\xff");
        assert_eq!(may_order(None, false, &at("127.0.0.1:1", &unreadable)), foreign);
        // A stranger's name that points to us.
        assert_eq!(ordered("evil.example:9998", "http://evil.example:9998"), foreign);
        let own = with(&asking("lb.example"), "origin", "https://lb.example");
        let own = at("192.0.2.1:1", &own);
        let credentials = Credentials::new("a", "b");
        assert_eq!(may_order(Some(&credentials), false, &own), Ok(()));
        assert!(may_order(Some(&credentials), true, &own).is_err(), "ro");
        assert!(may_order(None, true, &at("", &by_program)).is_err(), "ro, unix socket");
    }
}
