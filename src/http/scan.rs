//! Finds the end of a head in octets that come in pieces.
//!
//! Every octet is looked at once, however small the pieces are, and what is
//! wrong shows at the first octet that makes it so, however large they are.

use super::fault::Fault;
use super::limits::Limits;
use super::octets::is_blank;

/// Judges a start line, without its end.
type Judge = fn(&[u8]) -> Result<(), Fault>;

/// How far the head at the front of the input was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scan {
    /// Octets that were found to be fine.
    at: usize,
    /// Where the line that is open begins.
    line: usize,
}

/// What stands at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A part of a head.
    Part,
    /// An empty line before any start line, of two octets.
    EmptyLine,
    /// A whole head, with the empty line at its end, of this many octets.
    Head(usize),
}

impl Scan {
    /// Whether no octet of a head has come.
    pub(super) fn is_at_start(&self) -> bool {
        self.at == 0
    }

    /// Looks at `input`, which begins with what was given before. The end of a
    /// line is CR LF and nothing else: RFC 9112 §2.2 lets a recipient take a lone LF, and
    /// two that differ in it disagree about where a message ends.
    pub(super) fn advance(
        &mut self,
        input: &[u8],
        limits: &Limits,
        judge: Judge,
    ) -> Result<Found, Fault> {
        loop {
            let rest = input.get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|octet| is_control(*octet));
            let stop = self.at.saturating_add(plain.unwrap_or(rest.len()));
            self.check(input, stop, limits)?;
            let mut ahead = input.get(stop..).unwrap_or_default().iter();
            match (ahead.next(), ahead.next()) {
                (None, _) => {
                    self.at = stop;
                    return Ok(Found::Part);
                }
                (Some(b'\t'), _) => self.at = stop.saturating_add(1),
                // An end of line that does not fit, whatever comes behind the CR: a
                // buffer of the limit's size must never be full and want more.
                (Some(b'\r'), _) if stop.saturating_add(2) > limits.head => {
                    return Err(Fault::HeadTooLong);
                }
                (Some(b'\r'), None) => {
                    self.at = stop;
                    return Ok(Found::Part);
                }
                (Some(b'\r'), Some(b'\n')) => {
                    if let Some(found) = self.line_ends(input, stop, judge)? {
                        return Ok(found);
                    }
                }
                (Some(b'\r' | b'\n'), _) => return Err(Fault::LineEnd),
                _ => return Err(Fault::Control),
            }
        }
    }

    /// Judges the octets before `stop`, none of which ends a line.
    fn check(&self, input: &[u8], stop: usize, limits: &Limits) -> Result<(), Fault> {
        // Folding (RFC 9112 §5.2), and blanks before the first field (§2.2). Of
        // two faults the one that shows first is told, so this comes first.
        let has_begun = self.line > 0 && self.line < limits.head;
        if has_begun && input.get(self.line).is_some_and(|octet| is_blank(*octet)) {
            return Err(Fault::Folded);
        }
        if self.line == 0 && stop > limits.start_line && limits.start_line < limits.head {
            return Err(Fault::TargetTooLong);
        }
        if stop >= limits.head {
            return Err(Fault::HeadTooLong);
        }
        Ok(())
    }

    /// A line ends with the CR at `stop`.
    fn line_ends(
        &mut self,
        input: &[u8],
        stop: usize,
        judge: Judge,
    ) -> Result<Option<Found>, Fault> {
        let end = stop.saturating_add(2);
        match (self.line, stop) {
            (0, 0) => return Ok(Some(Found::EmptyLine)),
            (0, _) => judge(input.get(..stop).unwrap_or_default())?,
            (line, _) if line == stop => return Ok(Some(Found::Head(end))),
            _ => {}
        }
        (self.at, self.line) = (end, end);
        Ok(None)
    }
}

fn is_control(octet: u8) -> bool {
    octet < b' ' || octet == 0x7f
}
