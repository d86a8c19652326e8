//! JSON: values as text, and text with indentation.

use serde::Serialize;

/// Blanks for each level, as fabio has them.
const INDENT: &str = "    ";

/// A value and the end of its line.
pub(super) fn whole(value: &impl Serialize, pretty: bool) -> Vec<u8> {
    let mut text = compact(value);
    text.push(b'\n');
    if !pretty {
        return text;
    }
    let mut indented = Vec::new();
    Indenter::default().push(&text, &mut indented);
    indented
}

/// A value without blanks.
pub(super) fn compact(value: &impl Serialize) -> Vec<u8> {
    // Our values have names for keys and write to memory, so there is no error.
    serde_json::to_vec(value).unwrap_or_else(|_| b"null".to_vec())
}

/// Puts the parts of compact JSON on lines of their own. The text may come in
/// pieces, cut anywhere.
#[derive(Debug, Default)]
pub(super) struct Indenter {
    depth: usize,
    in_text: bool,
    escaped: bool,
    /// A bracket was opened, and it is not known yet whether it stays empty.
    opened: bool,
}

impl Indenter {
    /// Appends a piece.
    pub(super) fn push(&mut self, json: &[u8], out: &mut Vec<u8>) {
        json.iter().for_each(|octet| self.push_octet(*octet, out));
    }

    fn push_octet(&mut self, octet: u8, out: &mut Vec<u8>) {
        if self.in_text {
            out.push(octet);
            self.in_text = octet != b'"' || self.escaped;
            self.escaped = octet == b'\\' && !self.escaped;
            return;
        }
        let closes = matches!(octet, b']' | b'}');
        let was_opened = std::mem::take(&mut self.opened);
        if closes {
            self.depth = self.depth.saturating_sub(1);
        }
        if was_opened != closes {
            self.new_line(out);
        }
        out.push(octet);
        match octet {
            b'"' => self.in_text = true,
            b'[' | b'{' => {
                self.depth = self.depth.saturating_add(1);
                self.opened = true;
            }
            b',' => self.new_line(out),
            b':' => out.push(b' '),
            _ => {}
        }
    }

    fn new_line(&self, out: &mut Vec<u8>) {
        out.push(b'\n');
        for _ in 0..self.depth {
            out.extend_from_slice(INDENT.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn indented_json_is_that_of_a_library() {
        let values = [
            json!(null),
            json!([]),
            json!({}),
            json!([[], {}, [1], {"a": []}]),
            json!({"a": {"b": [1, -2.5, true, null, "x"], "c": "a\\\"b{[,:]}\n"}, "d": "\\"}),
            json!(["ä", "\u{1}", "\\\\\""]),
        ];
        for value in values {
            let mut expected = Vec::new();
            let formatter = serde_json::ser::PrettyFormatter::with_indent(INDENT.as_bytes());
            let mut serializer = serde_json::Serializer::with_formatter(&mut expected, formatter);
            value.serialize(&mut serializer).unwrap();
            expected.push(b'\n');
            let pretty = whole(&value, true);
            assert_eq!(String::from_utf8(pretty.clone()), String::from_utf8(expected));
            assert_eq!(serde_json::from_slice::<Value>(&pretty).unwrap(), value);
            let (mut indenter, mut pieces) = (Indenter::default(), Vec::new());
            whole(&value, false).chunks(1).for_each(|it| indenter.push(it, &mut pieces));
            assert_eq!(pieces, pretty, "in pieces");
        }
    }
}
