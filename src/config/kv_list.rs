//! fabio's kv-lists: the syntax of `proxy.addr` and `bgp.peers`.
//!
//! A list of maps: maps are separated by `,`, the pairs in a map by `;`, key
//! and value by `=`. The first item of a map may be a bare value, as in
//! `:8080;proto=tcp`; it has the empty key. A token that starts with `"` is
//! quoted with Go's escapes. Keys and bare values are trimmed, values are not.
//! Empty maps and pairs are skipped.
//!
//! One deviation: a last key without `=` is an error. fabio drops it silently.

/// One map of a list: never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Map {
    pub(super) pairs: Vec<Pair>,
}

/// One pair, or the bare first value of a map, which has the empty key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) value: String,
}

/// Where a list cannot be read and why. It holds nothing of the list itself,
/// which may hold secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    /// The character of the list, counted from 1.
    pub(super) character: usize,
    pub(super) text: &'static str,
}

impl Map {
    /// The value of a key; the last one, where it is there twice.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|pair| pair.key == key).map(|pair| pair.value.as_str())
    }
}

/// Reads a list.
pub(super) fn parse(text: &str) -> Result<Vec<Map>, SyntaxError> {
    Parser { whole: text, rest: text }.list()
}

/// Writes a list such that [`parse`] gives the same list.
pub(super) fn print(maps: &[Map]) -> String {
    let print_pair = |pair: &Pair| match pair.key.is_empty() {
        true => quote(&pair.value, true),
        false => format!("{}={}", quote(&pair.key, true), quote(&pair.value, false)),
    };
    let print_map = |map: &Map| map.pairs.iter().map(print_pair).collect::<Vec<String>>().join(";");
    maps.iter().map(print_map).collect::<Vec<String>>().join(",")
}

fn quote(text: &str, is_key: bool) -> String {
    let plain = !text.starts_with(['"', '\''])
        && !text.contains([',', ';'])
        && !(is_key && (text.contains('=') || text.is_empty()));
    if plain {
        return text.to_string();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

struct Parser<'a> {
    whole: &'a str,
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn list(mut self) -> Result<Vec<Map>, SyntaxError> {
        let mut maps = Vec::new();
        let mut pairs: Vec<Pair> = Vec::new();
        // Whether the next item is the first one of its map that is not empty.
        let mut first = true;
        loop {
            if self.take(';') {
                continue;
            }
            if self.take(',') || self.rest.is_empty() {
                if !pairs.is_empty() {
                    maps.push(Map { pairs: std::mem::take(&mut pairs) });
                }
                if self.rest.is_empty() {
                    return Ok(maps);
                }
                first = true;
                continue;
            }
            // Neither at the end nor at a separator, so this takes a character.
            if let Some(pair) = self.pair(first)? {
                pairs.push(pair);
                first = false;
            }
        }
    }

    /// Reads one pair or bare value up to the separator after it; `None` for
    /// one of nothing but blanks.
    fn pair(&mut self, first: bool) -> Result<Option<Pair>, SyntaxError> {
        let start = self.rest;
        let key = self.token(&['=', ',', ';'])?.trim().to_string();
        if self.take('=') {
            if key.is_empty() {
                return Err(self.error(start, "a value without a key before the \"=\""));
            }
            return Ok(Some(Pair { key, value: self.token(&[',', ';'])? }));
        }
        if key.is_empty() {
            return Ok(None);
        }
        if !first {
            return Err(self.error(
                start,
                "a key without \"=\"; expected key=value, and a value that contains , or ; in \
                 double quotes",
            ));
        }
        Ok(Some(Pair { key: String::new(), value: key }))
    }

    /// Reads up to one of the separators, or a quoted text and what is
    /// appended to it.
    fn token(&mut self, separators: &[char]) -> Result<String, SyntaxError> {
        let mut token = match self.rest.chars().next() {
            Some('"') => self.quoted()?,
            Some('\'') => self.quoted_character()?,
            _ => String::new(),
        };
        let end = self.rest.find(separators).unwrap_or(self.rest.len());
        let (plain, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        token.push_str(plain);
        self.rest = rest;
        Ok(token)
    }

    fn quoted(&mut self) -> Result<String, SyntaxError> {
        let start = self.rest;
        self.take('"');
        // Bytes, because `\xff` is one byte and not a character.
        let mut bytes = Vec::new();
        loop {
            let at = self.rest;
            match self.next() {
                None => return Err(self.error(start, "unbalanced quotes")),
                Some('"') => break,
                Some('\\') => self.escape(at, '"', &mut bytes)?,
                Some(c) => push(&mut bytes, c),
            }
        }
        String::from_utf8(bytes).map_err(|_| self.error(start, "the quoted text is not UTF-8"))
    }

    /// Go's rune literal: exactly one character between single quotes.
    fn quoted_character(&mut self) -> Result<String, SyntaxError> {
        const EXPECTED: &str = "single quotes hold exactly one character; use double quotes";
        let start = self.rest;
        self.take('\'');
        let mut bytes = Vec::new();
        let at = self.rest;
        match self.next() {
            None | Some('\'') => return Err(self.error(start, EXPECTED)),
            Some('\\') => self.escape(at, '\'', &mut bytes)?,
            Some(c) => push(&mut bytes, c),
        }
        if !self.take('\'') {
            return Err(self.error(start, EXPECTED));
        }
        String::from_utf8(bytes).map_err(|_| self.error(start, "the quoted text is not UTF-8"))
    }

    /// Reads what follows a backslash. `at` is where the backslash is.
    fn escape(&mut self, at: &'a str, quote: char, bytes: &mut Vec<u8>) -> Result<(), SyntaxError> {
        let invalid = "invalid escape sequence";
        let Some(c) = self.next() else {
            return Err(self.error(at, "unterminated escape sequence"));
        };
        let byte = match c {
            'a' => 0x07,
            'b' => 0x08,
            'f' => 0x0c,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 0x0b,
            '\\' => b'\\',
            '"' | '\'' if c == quote => quote as u8,
            'x' => match self.digits(2, 16).map(u8::try_from) {
                Some(Ok(byte)) => byte,
                _ => return Err(self.error(at, invalid)),
            },
            '0'..='7' => {
                // The first digit was the one that announced the escape.
                self.rest = at.get(1..).unwrap_or_default();
                match self.digits(3, 8).map(u8::try_from) {
                    Some(Ok(byte)) => byte,
                    _ => return Err(self.error(at, invalid)),
                }
            }
            'u' | 'U' => {
                let count = if c == 'u' { 4 } else { 8 };
                let c = self.digits(count, 16).and_then(char::from_u32);
                push(bytes, c.ok_or_else(|| self.error(at, invalid))?);
                return Ok(());
            }
            _ => return Err(self.error(at, invalid)),
        };
        bytes.push(byte);
        Ok(())
    }

    /// Exactly `count` digits.
    fn digits(&mut self, count: usize, radix: u32) -> Option<u32> {
        let (digits, rest) = self.rest.split_at_checked(count)?;
        if !digits.chars().all(|c| c.is_digit(radix)) {
            return None;
        }
        self.rest = rest;
        u32::from_str_radix(digits, radix).ok()
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let c = characters.next();
        self.rest = characters.as_str();
        c
    }

    fn take(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// An error at `at`, which is an end of the whole list.
    fn error(&self, at: &str, text: &'static str) -> SyntaxError {
        let bytes = self.whole.len().saturating_sub(at.len());
        let before = self.whole.get(..bytes).unwrap_or_default();
        SyntaxError { character: before.chars().count().saturating_add(1), text }
    }
}

fn push(bytes: &mut Vec<u8>, c: char) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(maps: &[&[(&str, &str)]]) -> Vec<Map> {
        let pair = |(key, value): &(&str, &str)| Pair {
            key: (*key).to_string(),
            value: (*value).to_string(),
        };
        maps.iter().map(|pairs| Map { pairs: pairs.iter().map(pair).collect() }).collect()
    }

    #[test]
    fn lists_are_read() {
        type Golden<'a> = (&'a str, &'a [&'a [(&'a str, &'a str)]]);
        let golden: &[Golden] = &[
            ("", &[]),
            (" ", &[]),
            (",;,;", &[]),
            (":9999", &[&[("", ":9999")]]),
            (" :9999 ;rt=3s", &[&[("", ":9999"), ("rt", "3s")]]),
            (";:9999", &[&[("", ":9999")]]),
            ("a=b", &[&[("a", "b")]]),
            ("a=b;c=d,e=f", &[&[("a", "b"), ("c", "d")], &[("e", "f")]]),
            (",,a=b,;,c=d;;", &[&[("a", "b")], &[("c", "d")]]),
            (" a = b , c=d ", &[&[("a", " b ")], &[("c", "d ")]]),
            ("cert=http://x/y?token=abc", &[&[("cert", "http://x/y?token=abc")]]),
            ("a=", &[&[("a", "")]]),
            ("a=;b=,c=", &[&[("a", ""), ("b", "")], &[("c", "")]]),
            ("tlsciphers=\"a,b;c\";d=e", &[&[("tlsciphers", "a,b;c"), ("d", "e")]]),
            ("a=\"b\"c=d", &[&[("a", "bc=d")]]),
            ("a=b\"c\"", &[&[("a", "b\"c\"")]]),
            ("\"a=b\"=c", &[&[("a=b", "c")]]),
            ("\":1,2\";a=b", &[&[("", ":1,2"), ("a", "b")]]),
            (r#"a="\a\b\f\n\r\t\v\\\"""#, &[&[("a", "\x07\x08\x0c\n\r\t\x0b\\\"")]]),
            (r#"a="\x41\101\u00e4\U0001F6A9\xc3\xa4""#, &[&[("a", "AA\u{e4}\u{1f6a9}\u{e4}")]]),
            (r"a='b'", &[&[("a", "b")]]),
            (r"a='\''", &[&[("a", "'")]]),
            (r"a='b'c", &[&[("a", "bc")]]),
            ("a=b;a=c", &[&[("a", "b"), ("a", "c")]]),
            (
                "{{ GetInterfaceIP \"eth0\" }}:9999",
                &[&[("", "{{ GetInterfaceIP \"eth0\" }}:9999")]],
            ),
        ];
        for (text, maps) in golden {
            assert_eq!(parse(text), Ok(list(maps)), "{text:?}");
        }
    }

    #[test]
    fn the_last_of_two_values_wins() {
        let maps = parse("a=b;a=c").unwrap();
        assert_eq!(maps[0].get("a"), Some("c"));
        assert_eq!(maps[0].get("b"), None);
    }

    #[test]
    fn errors_name_the_place() {
        let key_without = "a key without \"=\"; expected key=value, and a value that contains , \
                           or ; in double quotes";
        let one = "single quotes hold exactly one character; use double quotes";
        let golden = [
            ("=b", 1, "a value without a key before the \"=\""),
            ("a=b; =c", 5, "a value without a key before the \"=\""),
            ("a=b;c", 5, key_without),
            ("\u{e4}=b;c;d=e", 5, key_without),
            ("a=\"b", 3, "unbalanced quotes"),
            ("a=\"b\\", 5, "unterminated escape sequence"),
            ("a=\"\\q\"", 4, "invalid escape sequence"),
            ("a=\"\\'\"", 4, "invalid escape sequence"),
            ("a=\"\\x4\"", 4, "invalid escape sequence"),
            ("a=\"\\x+4\"", 4, "invalid escape sequence"),
            ("a=\"\\400\"", 4, "invalid escape sequence"),
            ("a=\"\\ud800\"", 4, "invalid escape sequence"),
            ("a=\"\\xff\"", 3, "the quoted text is not UTF-8"),
            ("a='foo'", 3, one),
            ("a=''", 3, one),
            ("a='", 3, one),
        ];
        for (text, character, what) in golden {
            assert_eq!(parse(text), Err(SyntaxError { character, text: what }), "{text:?}");
        }
    }

    #[test]
    fn printing_is_the_inverse_of_reading() {
        let golden = [
            ("", ""),
            (" :9999 ; rt=3s,, a= b", ":9999;rt=3s,a= b"),
            ("a=\"b,c\";\"d=e\"=f", "a=\"b,c\";\"d=e\"=f"),
            ("a=\"\\\"x\"", "a=\"\\\"x\""),
            ("a=b\\c", "a=b\\c"),
            ("\"a=b\"", "\"a=b\""),
            ("a=\"'\"", "a=\"'\""),
        ];
        for (text, printed) in golden {
            let maps = parse(text).unwrap();
            assert_eq!(print(&maps), printed, "{text:?}");
            assert_eq!(parse(printed), Ok(maps), "{printed:?}");
        }
    }
}
