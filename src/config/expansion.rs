//! `${name}` in the values of a properties file.
//!
//! A name stands for the value of that key in the same file, or else for the
//! environment variable of that name, or else for nothing. What it stands for
//! is expanded in turn. A bare `$name` is ordinary text.

use std::collections::{BTreeSet, HashMap};

/// The longest value that an expansion may give, in bytes, and the most names
/// that it may look up. A few lines that name each other twice would otherwise
/// keep us busy without end.
const LONGEST: usize = 1 << 20;
const MOST_NAMES: usize = 10_000;

/// The names that are looked up, and what was looked up so far.
pub(super) struct Expander<'a> {
    file: HashMap<&'a str, &'a str>,
    environment: &'a [(String, String)],
    /// Keys of the file that a value has named.
    pub(super) used: BTreeSet<String>,
    /// Names that are in neither place, for the value that was expanded last.
    pub(super) unknown: BTreeSet<String>,
    names: usize,
}

impl<'a> Expander<'a> {
    /// `file` holds the entries; of two with one key the last one wins.
    pub(super) fn new(
        file: impl Iterator<Item = (&'a str, &'a str)>,
        environment: &'a [(String, String)],
    ) -> Expander<'a> {
        Expander {
            file: file.collect(),
            environment,
            used: BTreeSet::new(),
            unknown: BTreeSet::new(),
            names: 0,
        }
    }

    /// Expands `value`, which is the value of `key` (empty for none). The error
    /// is a sentence that names keys, and never a value.
    pub(super) fn expand(&mut self, key: &str, value: &str) -> Result<String, String> {
        self.unknown.clear();
        self.names = 0;
        let mut expanded = String::new();
        let mut path = Vec::new();
        if !key.is_empty() {
            path.push(key.to_string());
        }
        self.append(value, &mut path, &mut expanded)?;
        Ok(expanded)
    }

    /// `path` holds the names that led here, and so bounds the recursion: a
    /// name in it is not followed again.
    fn append(
        &mut self,
        value: &str,
        path: &mut Vec<String>,
        expanded: &mut String,
    ) -> Result<(), String> {
        const DEEPEST: usize = 64;
        let mut rest = value;
        while let Some((before, from_name)) = rest.split_once("${") {
            expanded.push_str(before);
            let Some((name, after)) = from_name.split_once('}') else {
                return Err("a \"${\" without a \"}\" after it".to_string());
            };
            rest = after;
            self.names = self.names.saturating_add(1);
            if self.names > MOST_NAMES {
                return Err(format!("${{}} names more than {MOST_NAMES} keys"));
            }
            if path.iter().any(|key| key == name) {
                path.push(name.to_string());
                return Err(format!("${{}} goes in a circle: {}", path.join(" -> ")));
            }
            if path.len() >= DEEPEST {
                return Err(format!("${{}} leads through more than {DEEPEST} keys"));
            }
            if let Some(inner) = self.look_up(name) {
                path.push(name.to_string());
                self.append(inner, path, expanded)?;
                path.pop();
            }
        }
        expanded.push_str(rest);
        if expanded.len() > LONGEST {
            return Err(format!("the value grows beyond {LONGEST} bytes when ${{}} is expanded"));
        }
        Ok(())
    }

    fn look_up(&mut self, name: &str) -> Option<&'a str> {
        if let Some(value) = self.file.get(name) {
            self.used.insert(name.to_string());
            return Some(value);
        }
        let variable = self.environment.iter().rev().find(|(variable, _)| variable == name);
        if variable.is_none() {
            self.unknown.insert(name.to_string());
        }
        variable.map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(file: &[(&str, &str)], key: &str) -> (Result<String, String>, Vec<String>) {
        let environment = [
            ("DC".to_string(), "fra1".to_string()),
            ("b".to_string(), "not from here".to_string()),
            ("LOOP".to_string(), "${a}".to_string()),
        ];
        let value = file.iter().rev().find(|(name, _)| *name == key).unwrap().1;
        let mut expander = Expander::new(file.iter().copied(), &environment);
        let result = expander.expand(key, value);
        (result, expander.unknown.into_iter().collect())
    }

    #[test]
    fn from_the_file_then_the_environment_then_nothing() {
        let golden = [
            ("plain", "plain"),
            ("$b $DC", "$b $DC"),
            ("${b}", "B"),
            ("x${b}y${b}z", "xByBz"),
            ("${DC}", "fra1"),
            ("${c}", "[B]"),
            ("${}", ""),
            ("}${b}}", "}B}"),
        ];
        for (value, expanded) in golden {
            let (result, _) = expand(&[("a", value), ("b", "B"), ("c", "[${b}]")], "a");
            assert_eq!(result, Ok(expanded.to_string()), "{value}");
        }
        let (result, unknown) = expand(&[("a", "<${nobody}>")], "a");
        assert_eq!((result, unknown), (Ok("<>".into()), vec!["nobody".into()]));
    }

    #[test]
    fn the_last_entry_of_a_key_is_meant() {
        let (result, _) = expand(&[("b", "1"), ("a", "${b}"), ("b", "2")], "a");
        assert_eq!(result, Ok("2".into()));
    }

    #[test]
    fn circles_and_open_braces_are_errors() {
        let golden: [(&[(&str, &str)], &str); 5] = [
            (&[("a", "${a}")], "${} goes in a circle: a -> a"),
            (
                &[("a", "${b}"), ("b", "${c}"), ("c", "${b}")],
                "${} goes in a circle: a -> b -> c -> b",
            ),
            (&[("a", "${LOOP}")], "${} goes in a circle: a -> LOOP -> a"),
            (&[("a", "x${b")], "a \"${\" without a \"}\" after it"),
            (&[("a", "${b}"), ("b", "${")], "a \"${\" without a \"}\" after it"),
        ];
        for (file, error) in golden {
            assert_eq!(expand(file, "a").0, Err(error.to_string()));
        }
    }

    #[test]
    fn growth_and_depth_are_bounded() {
        let names: Vec<String> = (0..70).map(|number| format!("k{number}")).collect();
        let twice: Vec<String> =
            (1..70).map(|number| format!("${{k{number}}}${{k{number}}}")).collect();
        let once: Vec<String> = (1..70).map(|number| format!("${{k{number}}}")).collect();
        let file = |values: &[String], length: usize, last: &str| {
            let mut file: Vec<(String, String)> =
                names.iter().cloned().zip(values.iter().take(length).cloned()).collect();
            file.push((format!("k{length}"), last.to_string()));
            file
        };
        let result = |file: &[(String, String)]| {
            let file: Vec<(&str, &str)> =
                file.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            expand(&file, "k0").0
        };
        assert_eq!(
            result(&file(&twice, 12, &"x".repeat(1000))),
            Err("the value grows beyond 1048576 bytes when ${} is expanded".into())
        );
        assert_eq!(result(&file(&twice, 40, "")), Err("${} names more than 10000 keys".into()));
        assert_eq!(result(&file(&once, 60, "x")), Ok("x".into()));
        assert_eq!(
            result(&file(&once, 69, "x")),
            Err("${} leads through more than 64 keys".into())
        );
    }
}
