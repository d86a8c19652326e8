//! The name of a host, as it can be asked for over DNS.

use std::fmt;

/// Most octets of a name in text, without the dot at its end: 255 octets in a
/// message (RFC 1035 §2.3.4), of which the first length and the root are two.
const MAX_NAME: usize = 253;

/// Most octets of a label (RFC 1035 §2.3.4).
const MAX_LABEL: usize = 63;

/// A host's name of letters, digits, `-` and `_`, in lower case. The underscore
/// is in no host's name by the book (RFC 952), and in many by custom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    text: String,
    is_absolute: bool,
}

impl Name {
    /// Reads a name; a dot at its end says that it is absolute.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Name, String> {
        let (text, is_absolute) = match text.strip_suffix('.') {
            Some(text) => (text, true),
            None => (text, false),
        };
        if text.is_empty() {
            return Err("an empty name".to_owned());
        }
        if text.len() > MAX_NAME {
            return Err(format!("a name of {} octets, {MAX_NAME} is the most", text.len()));
        }
        for label in text.split('.') {
            check_label(label)?;
        }
        // RFC 1123 §2.1: the last label tells a name from an address.
        if text.rsplit('.').next().is_some_and(|last| last.bytes().all(|c| c.is_ascii_digit())) {
            return Err("a name whose last part is a number".to_owned());
        }
        Ok(Name { text: text.to_ascii_lowercase(), is_absolute })
    }

    /// The name without a dot at its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it was written with a dot at its end: no search list applies.
    pub fn is_absolute(&self) -> bool {
        self.is_absolute
    }

    /// Its labels, at least one.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.text.split('.')
    }

    /// `localhost`, or a name below it (RFC 6761 §6.3).
    pub fn is_localhost(&self) -> bool {
        self.text.rsplit('.').next() == Some("localhost")
    }

    /// This name below `suffix`; `None` when that is too long.
    fn below(&self, suffix: &Name) -> Option<Name> {
        let text = format!("{}.{}", self.text, suffix.text);
        (text.len() <= MAX_NAME).then_some(Name { text, is_absolute: true })
    }

    /// The names to ask for, in order (resolv.conf(5), `search` and `ndots`):
    /// one that is absolute as it is, one with at least `ndots` dots as it is
    /// and then below each domain of the list, any other one the other way
    /// round.
    pub fn candidates(&self, ndots: usize, search: &[Name]) -> Vec<Name> {
        let itself = Name { text: self.text.clone(), is_absolute: true };
        if self.is_absolute {
            return vec![itself];
        }
        let searched = search.iter().filter_map(|domain| self.below(domain));
        let has_dots = self.text.bytes().filter(|octet| *octet == b'.').count() >= ndots;
        match has_dots {
            true => std::iter::once(itself).chain(searched).collect(),
            false => searched.chain(std::iter::once(itself.clone())).collect(),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        f.write_str(if self.is_absolute { "." } else { "" })
    }
}

fn check_label(label: &str) -> Result<(), String> {
    if label.is_empty() {
        return Err("a name with two dots in a row, or one at its start".to_owned());
    }
    if label.len() > MAX_LABEL {
        return Err(format!("a part of {} octets, {MAX_LABEL} is the most", label.len()));
    }
    if !label.is_ascii() {
        return Err("a name that is not ASCII; write it as xn--…".to_owned());
    }
    match label.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))) {
        Some(other) => Err(format!("{other:?} in a name")),
        None if label.starts_with('-') || label.ends_with('-') => {
            Err("a part of the name that begins or ends with -".to_owned())
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn names_are_read_in_lower_case() {
        assert_eq!(name("Back-End_1.Example.COM").as_str(), "back-end_1.example.com");
        assert_eq!(name("a.b.").to_string(), "a.b.");
        assert!(name("a.b.").is_absolute() && !name("a.b").is_absolute());
        assert_eq!(name("a.b.c").labels().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(name("LOCALHOST").is_localhost() && name("a.localhost.").is_localhost());
        assert!(!name("localhost.example").is_localhost());
    }

    #[test]
    fn what_is_no_name_is_said() {
        let label = "a".repeat(64);
        let long = format!("{}a", "a.".repeat(127));
        for (text, part) in [
            ("", "empty"),
            (".", "empty"),
            ("a..b", "two dots"),
            (".a", "at its start"),
            ("a b", "' ' in a name"),
            ("$host", "'$' in a name"),
            ("bücher.example", "xn--"),
            ("-a.example", "begins or ends"),
            ("a-.example", "begins or ends"),
            ("192.0.2.256", "is a number"),
            ("10", "is a number"),
            (label.as_str(), "63 is the most"),
            (long.as_str(), "253 is the most"),
        ] {
            let problem = Name::parse(text).unwrap_err();
            assert!(problem.contains(part), "{text}: {problem}");
        }
        assert!(Name::parse(&long[2..]).is_ok());
        assert!(Name::parse(&label[1..]).is_ok());
    }

    #[test]
    fn the_search_list_applies_by_the_number_of_dots() {
        let search = [name("one.test"), name("two.test")];
        let tried = |text: &str, ndots| {
            let tried = name(text).candidates(ndots, &search);
            assert!(tried.iter().all(Name::is_absolute));
            tried.iter().map(|n| n.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(tried("a", 1), ["a.one.test", "a.two.test", "a"]);
        assert_eq!(tried("a.b", 1), ["a.b", "a.b.one.test", "a.b.two.test"]);
        assert_eq!(tried("a.b", 5), ["a.b.one.test", "a.b.two.test", "a.b"]);
        assert_eq!(tried("a.", 5), ["a"]);
        let long = format!("{}a", "a.".repeat(125));
        assert_eq!(tried(&long, 1), [long], "what would be too long is left out");
    }
}
