//! Everything that is wrong with a configuration, not only the first of it.

use std::fmt;

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Nowhere: it is the default.
    Default,
    /// On the command line, by the flag of the key.
    Flag(&'static str),
    /// In the environment, by the variable of this name.
    Environment(String),
    /// In a properties file.
    File {
        /// The path, as it was given.
        path: String,
        /// The line on which the entry begins, counted from 1.
        line: usize,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::Flag(key) => write!(f, "flag -{key}"),
            Source::Environment(name) => write!(f, "environment variable {name}"),
            Source::File { path, line } => write!(f, "{path}:{line}"),
        }
    }
}

impl Source {
    /// Messages are put in this order: the command line, the environment, the
    /// file by its lines, and then what is said of the whole.
    fn rank(&self) -> (u8, usize) {
        match self {
            Source::Flag(_) => (1, 0),
            Source::Environment(_) => (2, 0),
            Source::File { line, .. } => (3, *line),
            Source::Default => (4, 0),
        }
    }
}

/// Errors and warnings, each one line of text.
#[derive(Default)]
pub(super) struct Report {
    errors: Vec<((u8, usize), String)>,
    warnings: Vec<((u8, usize), String)>,
    flag_error: bool,
    notes: Vec<(&'static str, String)>,
}

impl Report {
    /// An error about something at `source`, which is put before the text.
    pub(super) fn error(&mut self, source: &Source, text: &str) {
        self.flag_error |= matches!(source, Source::Flag(_));
        self.errors.push((source.rank(), with_source(source, text)));
    }

    /// A warning about something at `source`.
    pub(super) fn warn(&mut self, source: &Source, text: &str) {
        self.warnings.push((source.rank(), with_source(source, text)));
    }

    /// An error in the arguments that belongs to no key.
    pub(super) fn command_line(&mut self, text: &str) {
        self.flag_error = true;
        self.errors.push(((0, 0), one_line(text)));
    }

    /// Something to say of the value of a key where it is printed.
    pub(super) fn note(&mut self, key: &'static str, text: &str) {
        self.notes.push((key, one_line(text)));
    }

    /// All that is to be said of the values of keys, in the order in which it
    /// was noted.
    pub(super) fn notes(&self) -> &[(&'static str, String)] {
        &self.notes
    }

    /// Whether anything is wrong.
    pub(super) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Whether anything on the command line is wrong.
    pub(super) fn flag_error(&self) -> bool {
        self.flag_error
    }

    /// Errors and warnings in the order to print them.
    pub(super) fn finish(mut self) -> (Vec<String>, Vec<String>) {
        // Stable, so that what has one place stays in the order of the checks.
        self.errors.sort_by_key(|(rank, _)| *rank);
        self.warnings.sort_by_key(|(rank, _)| *rank);
        let texts = |list: Vec<((u8, usize), String)>| list.into_iter().map(|(_, text)| text);
        (texts(self.errors).collect(), texts(self.warnings).collect())
    }
}

fn with_source(source: &Source, text: &str) -> String {
    match source {
        Source::Default => one_line(text),
        source => one_line(&format!("{source}: {text}")),
    }
}

/// A message is one line, whatever the operator wrote into a name.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A value for a message: in quotes, with escapes, and not endless.
pub(super) fn quoted(value: &str) -> String {
    const LONGEST: usize = 80;
    match value.char_indices().nth(LONGEST) {
        None => format!("{value:?}"),
        Some((end, _)) => format!("{:?}...", value.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_in_the_order_of_their_places() {
        let line = |line| Source::File { path: "f".into(), line };
        let mut report = Report::default();
        report.error(&Source::Default, "whole");
        report.error(&line(10), "ten");
        report.error(&line(2), "two");
        report.error(&line(2), "two again");
        report.error(&Source::Environment("E".into()), "e");
        assert!(!report.flag_error());
        report.error(&Source::Flag("a.b"), "flag");
        assert!(report.flag_error());
        report.warn(&line(3), "a\nb");
        let (errors, warnings) = report.finish();
        assert_eq!(
            errors,
            [
                "flag -a.b: flag",
                "environment variable E: e",
                "f:2: two",
                "f:2: two again",
                "f:10: ten",
                "whole"
            ]
        );
        assert_eq!(warnings, ["f:3: a\u{fffd}b"]);
    }

    #[test]
    fn arguments_without_a_key_are_flag_errors_and_first() {
        let mut report = Report::default();
        report.error(&Source::Flag("a.b"), "flag");
        report.command_line("first");
        assert!(report.flag_error());
        assert_eq!(report.finish().0, ["first", "flag -a.b: flag"]);
    }

    #[test]
    fn quoted_values_are_short_and_escaped() {
        assert_eq!(quoted("a\"b\n"), "\"a\\\"b\\n\"");
        assert_eq!(quoted(&"\u{e4}".repeat(80)), format!("\"{}\"", "\u{e4}".repeat(80)));
        assert_eq!(quoted(&"x".repeat(81)), format!("\"{}\"...", "x".repeat(80)));
    }
}
