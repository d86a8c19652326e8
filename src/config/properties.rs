//! The grammar of Java properties files, as fabio reads them.
//!
//! A line is `key = value`, `key: value` or `key value`. `#` and `!` begin a
//! comment line. Blanks around the separator are dropped, and blanks at the
//! end of a value are kept. A backslash at the end of a line continues it. The
//! escapes are `\n \r \t \f`, `\uXXXX`, and a backslash before any other
//! character for that character. What a `${name}` in a value stands for is
//! the matter of [`super::expansion`].

/// One `key = value` with the line on which it begins, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) line: usize,
}

/// A line that cannot be read. The text never quotes the line, which may
/// hold a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) line: usize,
    pub(super) text: &'static str,
}

/// Reads a whole file: every entry in its order, duplicates too, and every
/// line that cannot be read. A byte order mark at the front is skipped.
pub(super) fn parse(text: &str) -> (Vec<Entry>, Vec<SyntaxError>) {
    let rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { rest, line: 1, errors: Vec::new() };
    let mut entries = Vec::new();
    loop {
        reader.skip_blanks();
        match reader.peek() {
            None => break,
            Some('\r' | '\n') => {
                reader.end_of_line();
            }
            Some('#' | '!') => reader.skip_comment(),
            Some(_) => entries.extend(reader.entry()),
        }
    }
    (entries, reader.errors)
}

/// Writes `key = value` lines that [`parse`] reads back. Lines inside the
/// value are continued on lines of their own.
pub(super) fn print(key: &str, value: &str) -> String {
    let mut line = format!("{key} =");
    if !value.is_empty() {
        line.push(' ');
    }
    let mut at_start = true;
    if value.trim_end_matches('\n').contains('\n') {
        line.push_str("\\\n    ");
    }
    let mut characters = value.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\n' if characters.peek().is_some() => line.push_str("\\n\\\n    "),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            '\u{c}' => line.push_str("\\f"),
            '\\' => line.push_str("\\\\"),
            ' ' if at_start => line.push_str("\\ "),
            c if c.is_control() => line.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => line.push(c),
        }
        at_start = c == '\n';
    }
    line
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    errors: Vec<SyntaxError>,
}

impl Reader<'_> {
    fn entry(&mut self) -> Option<Entry> {
        let line = self.line;
        let key = self.text(true);
        self.skip_blanks();
        if let Some(rest) = self.rest.strip_prefix(['=', ':']) {
            self.rest = rest;
            self.skip_blanks();
        }
        let value = self.text(false);
        if key.is_empty() {
            self.errors.push(SyntaxError { line, text: "a value without a key" });
            return None;
        }
        Some(Entry { key, value, line })
    }

    /// Reads to the end of the logical line, or of the key.
    fn text(&mut self, is_key: bool) -> String {
        let mut text = String::new();
        while let Some(c) = self.peek() {
            match c {
                '\r' | '\n' => break,
                ' ' | '\t' | '\u{c}' | '=' | ':' if is_key => break,
                '\\' => {
                    if !self.continuation() {
                        self.next();
                        text.extend(self.escape());
                    }
                }
                c => {
                    self.next();
                    text.push(c);
                }
            }
        }
        text
    }

    /// Reads what follows a backslash that does not end its line.
    fn escape(&mut self) -> Option<char> {
        match self.next()? {
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'f' => Some('\u{c}'),
            'u' => {
                let line = self.line;
                let c = self.unicode();
                if c.is_none() {
                    let text = "\\u needs exactly four hexadecimal digits that name a character";
                    self.errors.push(SyntaxError { line, text });
                }
                c
            }
            c => Some(c),
        }
    }

    /// Reads the digits of `\uXXXX`. Java's two escapes for one character
    /// beyond 16 bits (a surrogate pair) are one character.
    fn unicode(&mut self) -> Option<char> {
        let high = self.unicode_digits()?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high);
        }
        self.rest = self.rest.strip_prefix("\\u")?;
        let low = self.unicode_digits()?;
        let pair = char::decode_utf16([u16::try_from(high).ok()?, u16::try_from(low).ok()?]).next();
        pair?.ok()
    }

    fn unicode_digits(&mut self) -> Option<u32> {
        let (digits, rest) = self.rest.split_at_checked(4)?;
        if !digits.chars().all(|c| c.is_ascii_hexdigit()) {
            return None;
        }
        self.rest = rest;
        u32::from_str_radix(digits, 16).ok()
    }

    /// Skips blanks, also across a line that is continued.
    fn skip_blanks(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\u{c}']);
            if !self.continuation() {
                return;
            }
        }
    }

    /// Takes a backslash at the end of a line, and the blanks that begin the
    /// next one.
    fn continuation(&mut self) -> bool {
        let Some(after) = self.rest.strip_prefix('\\') else { return false };
        if !after.starts_with(['\r', '\n']) {
            return false;
        }
        self.rest = after;
        self.end_of_line();
        self.rest = self.rest.trim_start_matches([' ', '\t', '\u{c}']);
        true
    }

    fn skip_comment(&mut self) {
        let end = self.rest.find(['\r', '\n']).unwrap_or(self.rest.len());
        self.rest = self.rest.get(end..).unwrap_or_default();
    }

    /// Takes CR LF, CR or LF.
    fn end_of_line(&mut self) {
        let after = self.rest.strip_prefix("\r\n").or(self.rest.strip_prefix(['\r', '\n']));
        if let Some(after) = after {
            self.rest = after;
            self.line = self.line.saturating_add(1);
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let c = characters.next();
        self.rest = characters.as_str();
        c
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<(String, String, usize)> {
        let (entries, errors) = parse(text);
        assert_eq!(errors, [], "{text:?}");
        entries.into_iter().map(|entry| (entry.key, entry.value, entry.line)).collect()
    }

    #[test]
    fn every_form_of_a_line() {
        let golden: &[(&str, &str, &str)] = &[
            ("a=b", "a", "b"),
            ("a = b", "a", "b"),
            ("a:b", "a", "b"),
            ("a : b", "a", "b"),
            ("a b", "a", "b"),
            ("a\tb", "a", "b"),
            ("a\u{c}b", "a", "b"),
            (" \t a=b", "a", "b"),
            ("a", "a", ""),
            ("a=", "a", ""),
            ("a = = b", "a", "= b"),
            ("a b = c", "a", "b = c"),
            ("a==b", "a", "=b"),
            ("a=b # no comment", "a", "b # no comment"),
            ("proxy.strategy = rr ", "proxy.strategy", "rr "),
            ("a\\=b=c", "a=b", "c"),
            ("a\\ b c", "a b", "c"),
            ("a=\\ b", "a", " b"),
            ("a=\\n\\r\\t\\f\\\\\\\"\\q", "a", "\n\r\t\u{c}\\\"q"),
            ("a=\\u00e4\\u20AC", "a", "\u{e4}\u{20ac}"),
            ("a=\\ud83d\\ude00", "a", "\u{1f600}"),
            ("a=b\\", "a", "b"),
            ("a=b\\\n  c", "a", "bc"),
            ("a=b\\\r\n\tc", "a", "bc"),
            ("a=b,\\\n  c,\\\n  d", "a", "b,c,d"),
            ("a=b\\\n", "a", "b"),
            ("a=b\\\n# no comment", "a", "b# no comment"),
            ("a \\\n = \\\n b", "a", "b"),
            ("a\\\nb=c", "ab", "c"),
            ("\u{feff}a=b", "a", "b"),
            ("a=${b}", "a", "${b}"),
        ];
        for (text, key, value) in golden {
            assert_eq!(entries(text), [((*key).into(), (*value).into(), 1)], "{text:?}");
        }
    }

    #[test]
    fn lines_are_counted() {
        let text = "# one\n! two\r\n\r  \na=b\\\n  c\nd=e\rf=g\n\\\n h=i\n#x\\\nk=l";
        let golden = [("a", "bc", 5), ("d", "e", 7), ("f", "g", 8), ("h", "i", 10), ("k", "l", 12)];
        let golden = golden.map(|(key, value, line)| (key.into(), value.into(), line));
        assert_eq!(entries(text), golden);
    }

    #[test]
    fn nothing_is_no_entry() {
        for text in ["", "\n", "  ", "#", "! a=b", "\\\n", "\u{feff}"] {
            assert_eq!(entries(text), [], "{text:?}");
        }
    }

    #[test]
    fn duplicates_are_kept_in_order() {
        assert_eq!(
            entries("a=1\nb=2\na=3"),
            [("a".into(), "1".into(), 1), ("b".into(), "2".into(), 2), ("a".into(), "3".into(), 3)]
        );
    }

    #[test]
    fn errors_name_their_line_and_the_rest_is_read() {
        let unicode = "\\u needs exactly four hexadecimal digits that name a character";
        for bad in ["\\u12", "\\u12g4", "\\u", "\\ud800", "\\ud800x", "\\ud800\\u0041", "\\u+123"] {
            let (entries, errors) = parse(&format!("a=b\n\nc=\\\n{bad}\nd=e"));
            assert_eq!(errors, [SyntaxError { line: 4, text: unicode }], "{bad}");
            assert_eq!(entries.last().unwrap().key, "d", "{bad}");
        }
        let (entries, errors) = parse("= b\na=b");
        assert_eq!(errors, [SyntaxError { line: 1, text: "a value without a key" }]);
        assert_eq!(entries, [Entry { key: "a".into(), value: "b".into(), line: 2 }]);
    }

    #[test]
    fn printing_is_the_inverse_of_reading() {
        let golden = [
            ("", "a ="),
            ("b", "a = b"),
            ("  b ", "a = \\  b "),
            ("b\\c", "a = b\\\\c"),
            ("b\tc\r\u{c}\u{1}", "a = b\\tc\\r\\f\\u0001"),
            ("b\n", "a = b\\n"),
            ("\n", "a = \\n"),
            ("b\nc", "a = \\\n    b\\n\\\n    c"),
            ("b\n\n c\n", "a = \\\n    b\\n\\\n    \\n\\\n    \\ c\\n"),
            ("= ", "a = = "),
            ("# b", "a = # b"),
            ("\u{1f600}", "a = \u{1f600}"),
        ];
        for (value, printed) in golden {
            assert_eq!(print("a", value), printed, "{value:?}");
            assert_eq!(entries(printed), [("a".into(), value.into(), 1)], "{printed:?}");
        }
    }
}
