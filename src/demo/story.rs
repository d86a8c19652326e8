//! The story as it is told on standard output: what happened with its time and
//! who did it, and remarks for readers who have not seen BGP before.

use std::fmt::Display;
use std::io::{self, Write as _};

use crate::reactor::Time;

/// The teller, who notices when nobody listens any more.
#[derive(Debug, Default)]
pub(super) struct Story {
    unheard: bool,
}

impl Story {
    /// Tells that `who` did `text`.
    pub(super) fn say(&mut self, now: Time, who: &str, text: impl Display) {
        let millis = now.as_millis();
        self.line(format_args!("{:>4}.{:03} s  {who:<7} {text}", millis / 1000, millis % 1000));
    }

    /// Explains, in lines set apart from what happens.
    pub(super) fn remark(&mut self, lines: &[&str]) {
        for line in lines {
            self.line(format_args!("            | {line}"));
        }
    }

    /// One line as it is.
    pub(super) fn line(&mut self, line: impl Display) {
        // A write to a terminal or a pipe fails only when its reader is gone.
        if writeln!(io::stdout(), "{line}").is_err() {
            self.unheard = true;
        }
    }

    /// Whether the reader is gone, as with `burgee demo | head`.
    pub(super) fn is_unheard(&self) -> bool {
        self.unheard
    }
}
