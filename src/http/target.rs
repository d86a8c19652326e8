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
