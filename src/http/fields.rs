//! The fields of a head: names and values in the order in which they came.

use std::fmt;

use super::fault::Misuse;
use super::limits::ROOM;
use super::octets::{is_token, is_value_octet, list, trim};

/// Fields that concern one connection alone, whether Connection names them or
/// not (RFC 9110 §7.6.1).
const HOP_BY_HOP: [&str; 7] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields that a machine writes itself, as the message and the connection need
/// them, whatever it is given.
pub(super) const OWN: [&str; 4] =
    ["connection", "content-length", "keep-alive", "transfer-encoding"];

/// An ordered list of fields: names are tokens, compared without regard to
/// case; values are octets without blanks around them (RFC 9110 §5). At most
/// [`MAX_FIELDS`](super::MAX_FIELDS) that were received, and some more.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// All names and values, one behind the other.
    octets: Vec<u8>,
    spans: Vec<Span>,
}

/// Where one field lies; its value follows its name.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    name: u16,
    value: u16,
}

impl Fields {
    /// None.
    pub fn new() -> Fields {
        Fields::default()
    }

    /// None, with room for so many whose names and values are so many octets.
    pub(super) fn with_capacity(count: usize, octets: usize) -> Fields {
        Fields { octets: Vec::with_capacity(octets), spans: Vec::with_capacity(count) }
    }

    /// Adds a field behind the others; blanks around its value go.
    ///
    /// # Errors
    /// [`Misuse::Field`] where the name is no token, the value has an octet that
    /// would end it or begin another field, or there is no more room. So what comes
    /// from elsewhere cannot smuggle in a line of its own.
    pub fn push(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Misuse> {
        self.insert(name, trim(value.as_ref())).ok_or(Misuse::Field)
    }

    /// Replaces all fields of this name by one, behind the others.
    ///
    /// # Errors
    /// As [`Fields::push`]; the old ones are gone then as well.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Misuse> {
        self.remove(name);
        self.push(name, value)
    }

    fn insert(&mut self, name: &str, value: &[u8]) -> Option<()> {
        if self.spans.len() >= ROOM || !is_token(name.as_bytes()) {
            return None;
        }
        if !value.iter().all(|octet| is_value_octet(*octet)) {
            return None;
        }
        let span = Span {
            start: u32::try_from(self.octets.len()).ok()?,
            name: u16::try_from(name.len()).ok()?,
            value: u16::try_from(value.len()).ok()?,
        };
        self.octets.extend_from_slice(name.as_bytes());
        self.octets.extend_from_slice(value);
        self.spans.push(span);
        Some(())
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.spans.iter().map(|span| {
            let start = usize::try_from(span.start).unwrap_or(usize::MAX);
            let rest = self.octets.get(start..).unwrap_or_default();
            let (name, rest) = rest.split_at_checked(span.name.into()).unwrap_or_default();
            let value = rest.get(..usize::from(span.value)).unwrap_or_default();
            (std::str::from_utf8(name).unwrap_or_default(), value)
        })
    }

    /// The values of all fields of this name, in order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, it)| it)
    }

    /// The value of the first field of this name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// The same as text; `None` as well where it is not UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Whether there is a field of this name.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether a list, over all fields of this name, has this element (RFC 9110
    /// §5.6.1), without regard to case.
    pub fn lists(&self, name: &str, element: &str) -> bool {
        let element = element.as_bytes();
        self.all(name).flat_map(list).any(|other| other.eq_ignore_ascii_case(element))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Leaves out all fields of this name.
    pub fn remove(&mut self, name: &str) {
        if self.has(name) {
            self.retain(|other, _| !other.eq_ignore_ascii_case(name));
        }
    }

    /// Keeps those that `keep` wants, in order.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &[u8]) -> bool) {
        let mut kept = Fields::new();
        for (name, value) in self.iter().filter(|(name, value)| keep(name, value)) {
            // What was taken once is taken again.
            let _ = kept.insert(name, value);
        }
        *self = kept;
    }

    /// Leaves out what concerns this connection alone: the fields that
    /// Connection names, and those that should be named there (RFC 9110 §7.6.1).
    /// What is left may go on to another connection, whose machine writes its own.
    pub fn retain_end_to_end(&mut self) {
        let all = std::mem::take(self);
        for (name, value) in all.iter() {
            let is_hop_by_hop = HOP_BY_HOP.iter().any(|other| name.eq_ignore_ascii_case(other));
            if !is_hop_by_hop && !all.lists("connection", name) {
                let _ = self.insert(name, value);
            }
        }
    }

    /// Writes each as a line (RFC 9112 §5), but for those that `skip` names.
    pub(super) fn write(&self, out: &mut Vec<u8>, skip: &[&str]) {
        for (name, value) in self.iter() {
            if !skip.iter().any(|other| name.eq_ignore_ascii_case(other)) {
                line(out, name, value);
            }
        }
    }
}

/// Writes one field line.
pub(super) fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value| String::from_utf8_lossy(value).into_owned();
        f.debug_list().entries(self.iter().map(|(name, value)| (name, text(value)))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(list: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        list.iter().for_each(|(name, value)| fields.push(name, value).unwrap());
        fields
    }

    #[test]
    fn names_are_found_in_any_case_and_order_is_kept() {
        let mut all = fields(&[("A", "1"), ("b", " 2\t"), ("a", "3"), ("C", "")]);
        assert_eq!(all.all("a").collect::<Vec<_>>(), [b"1", b"3"]);
        assert_eq!((all.get("B"), all.text("c"), all.get("d")), (Some(&b"2"[..]), Some(""), None));
        all.set("A", "4").unwrap();
        let names: Vec<&str> = all.iter().map(|(name, _)| name).collect();
        assert_eq!((names, all.len()), (vec!["b", "C", "A"], 3));
        all.remove("x");
        all.remove("B");
        assert_eq!(format!("{all:?}"), r#"[("C", ""), ("A", "4")]"#);
        assert_eq!(all, fields(&[("C", ""), ("A", "4")]));
        assert!(!all.is_empty() && Fields::new().is_empty());
        let latin = {
            let mut it = Fields::new();
            it.push("a", [0xe9]).unwrap();
            it
        };
        assert_eq!((latin.get("a"), latin.text("a")), (Some(&[0xe9][..]), None));
    }

    #[test]
    fn lists_go_over_all_fields_of_a_name() {
        let all = fields(&[("Connection", "a, ,Close"), ("connection", "keep-alive")]);
        assert!(all.lists("CONNECTION", "close") && all.lists("connection", "Keep-Alive"));
        assert!(!all.lists("connection", "b") && !all.lists("connection", "clos"));
    }

    #[test]
    fn nothing_gets_in_that_would_be_another_line() {
        let mut all = Fields::new();
        for (name, value) in [
            ("", "a"),
            ("a b", "c"),
            ("a:", "b"),
            ("\u{e9}", "a"),
            ("a", "b\r\nc: d"),
            ("a", "b\nc"),
            ("a", "b\rc"),
            ("a", "b\0"),
            ("a", "\x7f"),
        ] {
            assert_eq!(all.push(name, value), Err(Misuse::Field), "{name:?} {value:?}");
        }
        assert_eq!(all.push("a", vec![b'b'; 65_536]), Err(Misuse::Field));
        assert!(all.is_empty());
        (0..ROOM).for_each(|_| all.push("a", "b").unwrap());
        assert_eq!((all.push("a", "b"), all.len()), (Err(Misuse::Field), ROOM));
    }

    /// RFC 9110 §7.6.1.
    #[test]
    fn what_concerns_one_connection_goes_no_further() {
        let mut all = fields(&[
            ("Host", "a"),
            ("connection", "X-One, upgrade, close"),
            ("x-one", "1"),
            ("X-Two", "2"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "keep-alive"),
            ("TE", "trailers"),
            ("Trailer", "b"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "h2c"),
            ("Content-Length", "3"),
            ("Connection", "HTTP2-Settings"),
            ("HTTP2-Settings", "c"),
        ]);
        all.retain_end_to_end();
        assert_eq!(all, fields(&[("Host", "a"), ("X-Two", "2"), ("Content-Length", "3")]));
    }
}
