//! What a request is for: the four forms of a target, and the path and the query
//! in it.

use super::fault::Fault;
use super::head::Method;
use super::octets::is_authority;

/// The form of a target (RFC 9112 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A path and perhaps a query: `/index?all`.
    Origin,
    /// A whole URI: `http://www.example/index?all`.
    Absolute,
    /// Host and port, of CONNECT alone: `www.example:443`.
    Authority,
    /// `*`, of OPTIONS alone.
    Asterisk,
}

/// A request target, as it was received: visible ASCII, nothing decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    text: String,
    form: Form,
    /// Octets before the authority.
    scheme: usize,
    /// Octets before the path.
    path: usize,
}

impl Target {
    /// Reads a target of a request with this method.
    ///
    /// # Errors
    /// [`Fault::Target`]: no form of RFC 9112 §3.2, or not the one that belongs to
    /// the method; an octet that is not visible ASCII, or a `#`, which begins a
    /// fragment (RFC 9110 §7.1); an absolute form of another scheme than `http` and
    /// `https`, or one with no host. Octets that RFC 3986 wants written as `%XX`
    /// but that browsers send bare, as `|` and `{`, are let through.
    pub fn parse(target: &[u8], method: &Method) -> Result<Target, Fault> {
        let is_visible = target.iter().all(|octet| octet.is_ascii_graphic() && *octet != b'#');
        let text = std::str::from_utf8(target).ok().filter(|_| is_visible).ok_or(Fault::Target)?;
        let (form, scheme, path) = match (text, method) {
            (_, Method::Connect) => {
                let has_port = text.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty());
                let is_host = has_port && !text.ends_with(']') && is_authority(target);
                (is_host.then_some(Form::Authority).ok_or(Fault::Target)?, 0, text.len())
            }
            ("*", Method::Options) => (Form::Asterisk, 0, 0),
            _ if text.starts_with('/') => (Form::Origin, 0, 0),
            _ => {
                let (scheme, path) = absolute(text).ok_or(Fault::Target)?;
                (Form::Absolute, scheme, path)
            }
        };
        Ok(Target { text: text.to_owned(), form, scheme, path })
    }

    /// The target as it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its form.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Host and port of the absolute and the authority form.
    pub fn authority(&self) -> Option<&str> {
        let has_authority = matches!(self.form, Form::Absolute | Form::Authority);
        self.text.get(self.scheme..self.path).filter(|_| has_authority)
    }

    /// The path, not decoded: `/` where the absolute form has none, `*` of the
    /// asterisk form, and empty of the authority form.
    pub fn path(&self) -> &str {
        match self.split() {
            ("", _) if self.form == Form::Absolute => "/",
            (path, _) => path,
        }
    }

    /// What stands behind the first `?`, not decoded.
    pub fn query(&self) -> Option<&str> {
        self.split().1
    }

    /// Path and query in the form that a request to the origin has (RFC 9112
    /// §3.2.1).
    pub fn origin_form(&self) -> String {
        match self.query() {
            Some(query) => format!("{}?{query}", self.path()),
            None => self.path().to_owned(),
        }
    }

    fn split(&self) -> (&str, Option<&str>) {
        let rest = self.text.get(self.path..).unwrap_or_default();
        rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)))
    }
}

/// Where authority and path of an absolute form begin (RFC 9112 §3.2.2).
fn absolute(text: &str) -> Option<(usize, usize)> {
    let (scheme, rest) = text.split_once("://")?;
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return None;
    }
    let length = rest.find(['/', '?']).unwrap_or(rest.len());
    let authority = rest.get(..length)?;
    let begin = scheme.len().checked_add(3)?;
    is_authority(authority.as_bytes()).then_some((begin, begin.checked_add(length)?))
}

/// `text` with its escapes `%XX` replaced by their octets (RFC 3986 §2.1);
/// `None` where a `%` stands before something else.
pub fn percent_decode(text: &str) -> Option<Vec<u8>> {
    decode(text.as_bytes(), false)
}

/// The same as text; `None` as well where that is not UTF-8, or has a control
/// character in it.
pub fn decode_text(text: &str) -> Option<String> {
    readable(percent_decode(text)?)
}

fn decode(mut rest: &[u8], plus_is_blank: bool) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(rest.len());
    while let [octet, tail @ ..] = rest {
        let (next, octet) = match (octet, tail) {
            (b'%', [one, two, tail @ ..]) => (tail, (digit(*one)? << 4) | digit(*two)?),
            (b'%', _) => return None,
            (b'+', tail) if plus_is_blank => (tail, b' '),
            (octet, tail) => (tail, *octet),
        };
        decoded.push(octet);
        rest = next;
    }
    Some(decoded)
}

fn digit(octet: u8) -> Option<u8> {
    char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn readable(octets: Vec<u8>) -> Option<String> {
    String::from_utf8(octets).ok().filter(|text| !text.contains(char::is_control))
}

/// The segments of a path, each decoded after they were told apart, so that an
/// escaped slash is one in a name: `/a/b%2Fc` is `a`, `b/c`. `None` for one that
/// [`decode_text`] refuses, and for `.` and `..`, which lead elsewhere (RFC 3986
/// §5.2.4). A path that ends with a slash has an empty last segment.
pub fn segments(path: &str) -> impl Iterator<Item = Option<String>> {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.split('/').map(|segment| decode_text(segment).filter(|text| text != "." && text != ".."))
}

/// The pairs of a query as forms write it: `a=1&b` is `a` with `1` and `b` with
/// nothing, `+` is a blank. `None` for a pair that [`decode_text`] would refuse.
/// Empty pairs are left out.
pub fn query_pairs(query: &str) -> impl Iterator<Item = Option<(String, String)>> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = |text: &str| readable(decode(text.as_bytes(), true)?);
        Some((decoded(name)?, decoded(value)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Target {
        let method = if text == "*" { Method::Options } else { Method::Get };
        Target::parse(text.as_bytes(), &method).unwrap()
    }

    #[test]
    fn targets_come_apart() {
        for (text, form, authority, path, query) in [
            ("/", Form::Origin, None, "/", None),
            ("/a/b?c?d", Form::Origin, None, "/a/b", Some("c?d")),
            ("/a?", Form::Origin, None, "/a", Some("")),
            ("//a/b", Form::Origin, None, "//a/b", None),
            ("http://a", Form::Absolute, Some("a"), "/", None),
            ("http://a?b", Form::Absolute, Some("a"), "/", Some("b")),
            ("HTTP://[::1]:80/b?c", Form::Absolute, Some("[::1]:80"), "/b", Some("c")),
            ("*", Form::Asterisk, None, "*", None),
        ] {
            let target = parse(text);
            let found = (target.form(), target.authority(), target.path(), target.query());
            assert_eq!(found, (form, authority, path, query), "{text}");
            assert_eq!(target.as_str(), text);
        }
        let target = Target::parse(b"a.example:443", &Method::Connect).unwrap();
        assert_eq!((target.form(), target.authority()), (Form::Authority, Some("a.example:443")));
        assert_eq!((target.path(), target.query()), ("", None));
        assert_eq!(parse("http://a?b").origin_form(), "/?b");
        assert_eq!(parse("/a").origin_form(), "/a");
    }

    #[test]
    fn escapes_are_decoded_once() {
        for (text, expected) in [
            ("", Some("")),
            ("a+b", Some("a+b")),
            ("%41%7a%2F%2f", Some("Az//")),
            ("%2541", Some("%41")),
            ("%c3%a9", Some("\u{e9}")),
            ("%C0%AF", None),
            ("%e9", None),
            ("%00", None),
            ("%0a", None),
            ("%c2%85", None),
            ("%", None),
            ("%4", None),
            ("%4g", None),
            ("%+1", None),
            ("a%%41", None),
        ] {
            assert_eq!(decode_text(text).as_deref(), expected, "{text}");
        }
        assert_eq!(percent_decode("%00%ff"), Some(vec![0, 255]));
    }

    #[test]
    fn segments_are_told_apart_before_they_are_decoded() {
        let found = |path| segments(path).collect::<Option<Vec<String>>>();
        for (path, expected) in [
            ("/", Some(&[""][..])),
            ("/a/b", Some(&["a", "b"])),
            ("/a//b/", Some(&["a", "", "b", ""])),
            ("/192.0.2.0%2F24", Some(&["192.0.2.0/24"])),
            ("/2001:db8::%2f32", Some(&["2001:db8::/32"])),
            ("/...", Some(&["..."])),
            ("/a/../b", None),
            ("/a/%2e%2E/b", None),
            ("/./a", None),
            ("/%zz", None),
        ] {
            let expected = expected.map(|all| all.iter().map(|it| (*it).to_owned()).collect());
            assert_eq!(found(path), expected, "{path}");
        }
    }

    #[test]
    fn queries_are_pairs() {
        let found: Vec<_> = query_pairs("a=1&b&&c=d=e&f+%2B=%26&=g&h=%zz").collect();
        let pair = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        let expected = [
            pair("a", "1"),
            pair("b", ""),
            pair("c", "d=e"),
            pair("f +", "&"),
            pair("", "g"),
            None,
        ];
        assert_eq!(found, expected);
        assert_eq!(query_pairs("").count(), 0);
    }
}
