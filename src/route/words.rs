//! The words of a line of the route language, and errors that show them.

use std::fmt;

/// Most characters of the operator's text that an error repeats.
const EXCERPT: usize = 160;

/// Why a line was skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// The line's number, from 1.
    pub line: usize,
    /// The line, shortened and with control characters replaced by U+FFFD.
    pub text: String,
    /// What was found and what was expected.
    pub problem: String,
}

impl LineError {
    pub(super) fn new(line: usize, text: &str, problem: String) -> LineError {
        let visible = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        LineError { line, text: shortened(text).chars().map(visible).collect(), problem }
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: {}", self.line, self.text, self.problem)
    }
}

/// The words of one line, from left to right.
pub(super) struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    pub(super) fn new(line: &'a str) -> Words<'a> {
        Words { rest: line.trim_start() }
    }

    /// The next word and what follows it.
    pub(super) fn peek(&self) -> Option<(&'a str, &'a str)> {
        let end = self.rest.find(char::is_whitespace).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end)?;
        (!word.is_empty()).then(|| (word, rest.trim_start()))
    }

    pub(super) fn next(&mut self) -> Option<&'a str> {
        let (word, rest) = self.peek()?;
        self.rest = rest;
        Some(word)
    }

    /// Nothing may be left; `after` says what stood before, `expected` what
    /// may come.
    pub(super) fn expect_end(&self, after: &str, expected: &str) -> Result<(), String> {
        if self.rest.is_empty() {
            return Ok(());
        }
        let found = self.found();
        Err(format!(
            "unexpected {found}; {after} is followed by {expected}, in this order and once each"
        ))
    }

    /// Whether the next word is this one, and a text in quotes comes after it.
    pub(super) fn text_follows(&self, keyword: &str) -> bool {
        self.peek().is_some_and(|(word, rest)| word == keyword && rest.starts_with('"'))
    }

    /// Whether the next word is this one, and the one after it is not `other`.
    pub(super) fn is_before(&self, keyword: &str, other: &str) -> bool {
        let Some((word, rest)) = self.peek() else { return false };
        word == keyword && Words { rest }.peek().is_none_or(|(next, _)| next != other)
    }

    /// Takes the next word if it is this one.
    pub(super) fn take(&mut self, keyword: &str) -> bool {
        match self.peek() {
            Some((word, rest)) if word == keyword => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// The next word, or an error that says what should stand there.
    pub(super) fn expect(&mut self, what: &str) -> Result<&'a str, String> {
        self.next().ok_or_else(|| format!("expected {what}, found the end of the line"))
    }

    /// The text in double quotes that follows the keyword `clause`.
    pub(super) fn text(&mut self, clause: &str) -> Result<&'a str, String> {
        let Some(body) = self.rest.strip_prefix('"') else {
            return Err(format!(
                "expected a text in double quotes after {}, found {}",
                quoted(clause),
                self.found()
            ));
        };
        let Some((text, rest)) = body.split_once('"') else {
            return Err(format!("the text after {} has no closing quote", quoted(clause)));
        };
        if !rest.is_empty() && !rest.starts_with(char::is_whitespace) {
            return Err(format!(
                "expected a space after the closing quote of {}, found {}",
                quoted(clause),
                quoted(rest)
            ));
        }
        self.rest = rest.trim_start();
        Ok(text)
    }

    /// What an error says stands here.
    pub(super) fn found(&self) -> String {
        self.peek().map_or_else(|| "the end of the line".to_owned(), |(word, _)| quoted(word))
    }
}

/// A piece of the operator's text for an error: shortened, in quotes, and
/// with control characters escaped.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text))
}

fn shortened(text: &str) -> &str {
    let end = text.char_indices().nth(EXCERPT).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text)
}
