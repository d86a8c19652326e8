//! What the pages are made of: aligned columns, durations, and a little colour.

/// Columns that a page has at most.
const WIDTH: usize = 100;

/// Blanks before what did not fit into the line above.
const INDENT: usize = 6;

/// How a page may look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Style {
    /// Problems are red, what passes by itself is yellow, headings are bold.
    pub(super) colours: bool,
    /// Lines are as long as what they say, and nothing is cut.
    pub(super) wide: bool,
}

impl Style {
    /// Colours are for terminals that can show them, and for people who want
    /// them (no-color.org).
    pub(super) fn of_terminal(
        is_terminal: bool,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Style {
        let refused = environment("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = environment("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        Style { colours: is_terminal && !refused && !is_dumb, wide: false }
    }
}

/// What a word means to whoever reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    Heading,
    /// It passes by itself, or was ordered.
    Notice,
    Problem,
}

impl Tone {
    /// ECMA-48 §8.3.117
    fn code(self) -> Option<&'static str> {
        match self {
            Tone::Plain => None,
            Tone::Heading => Some("\x1b[1m"),
            Tone::Notice => Some("\x1b[33m"),
            Tone::Problem => Some("\x1b[31m"),
        }
    }
}

/// One word or phrase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

/// Some text in a tone. Control characters would speak to the terminal, and
/// some texts come from targets and neighbours.
pub(super) fn cell(text: impl AsRef<str>, tone: Tone) -> Cell {
    let plain = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    Cell { text: text.as_ref().chars().map(plain).collect(), tone }
}

/// Some text.
pub(super) fn plain(text: impl AsRef<str>) -> Cell {
    cell(text, Tone::Plain)
}

/// Rows under each other, their columns aligned.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<(bool, Vec<Cell>)>,
}

impl Table {
    /// Adds a row, with a mark before it if it is a problem.
    pub(super) fn row(&mut self, is_marked: bool, cells: Vec<Cell>) {
        self.rows.push((is_marked, cells));
    }

    /// Writes the rows. The last cell of a row belongs to no column; where it
    /// does not fit into the line it is on the next one, and cut if need be.
    pub(super) fn write(&self, style: Style, out: &mut String) {
        let widths = self.widths();
        for (is_marked, cells) in &self.rows {
            let mut line = Line::new(style);
            line.add(if *is_marked { "!" } else { " " }, Tone::Problem, 1);
            let Some((last, columns)) = cells.split_last() else { continue };
            for (place, (cell, width)) in columns.iter().zip(&widths).enumerate() {
                line.gap(if place == 0 { 1 } else { 2 });
                line.add(&cell.text, cell.tone, *width);
            }
            line.gap(if columns.is_empty() { 1 } else { 2 });
            if !columns.is_empty() && !line.has_room(&last.text) {
                line.end(out);
                line = Line::new(style);
                line.gap(INDENT);
            }
            line.add(&last.text, last.tone, 0);
            line.end(out);
        }
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = Vec::new();
        for (_, cells) in &self.rows {
            let columns = cells.split_last().map_or(&[][..], |(_, columns)| columns);
            for (place, cell) in columns.iter().enumerate() {
                let width = cell.text.chars().count();
                match widths.get_mut(place) {
                    Some(widest) => *widest = (*widest).max(width),
                    None => widths.push(width),
                }
            }
        }
        widths
    }
}

/// Writes words with two blanks between them as a line of their own.
pub(super) fn write_line(cells: &[Cell], style: Style, out: &mut String) {
    let mut line = Line::new(style);
    for (place, cell) in cells.iter().enumerate() {
        line.gap(if place == 0 { 0 } else { 2 });
        line.add(&cell.text, cell.tone, 0);
    }
    line.end(out);
}

struct Line {
    text: String,
    style: Style,
    width: usize,
}

impl Line {
    fn new(style: Style) -> Line {
        Line { text: String::new(), style, width: 0 }
    }

    fn room(&self) -> usize {
        let limit = if self.style.wide { usize::MAX } else { WIDTH };
        limit.saturating_sub(self.width)
    }

    fn has_room(&self, word: &str) -> bool {
        word.chars().count() <= self.room()
    }

    fn gap(&mut self, width: usize) {
        let blanks = width.min(self.room());
        self.text.push_str(&" ".repeat(blanks));
        self.width = self.width.saturating_add(blanks);
    }

    /// Adds a word with blanks behind it up to `width`, as far as the page is
    /// wide.
    fn add(&mut self, word: &str, tone: Tone, width: usize) {
        let shown: String = match self.has_room(word) {
            true => word.to_owned(),
            false => {
                let kept = word.chars().take(self.room().saturating_sub(1));
                kept.chain(['\u{2026}']).take(self.room()).collect()
            }
        };
        let length = shown.chars().count();
        match tone.code().filter(|_| self.style.colours && !shown.trim().is_empty()) {
            Some(code) => self.text.push_str(&format!("{code}{shown}\x1b[0m")),
            None => self.text.push_str(&shown),
        }
        self.width = self.width.saturating_add(length);
        self.gap(width.saturating_sub(length));
    }

    fn end(self, out: &mut String) {
        out.push_str(self.text.trim_end());
        out.push('\n');
    }
}

/// A duration in its two largest units: `12s`, `1m20s`, `3h12m`, `3d4h`.
pub(super) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{}s", seconds % 60),
        3600..86_400 => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

/// The time until something, which is not over before it is: `1s` and not `0s`.
pub(super) fn countdown(ms: u64) -> String {
    duration(ms.div_ceil(1000).saturating_mul(1000))
}

/// `1 prefix`, `2 prefixes`, `12 345 prefixes`.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    let things = if number == 1 { one } else { many };
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        let left = digits.len().saturating_sub(place);
        if place > 0 && left.is_multiple_of(3) && digits.len() > 4 {
            text.push(' ');
        }
        text.push(digit);
    }
    format!("{text} {things}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { colours: false, wide: false };
    const COLOURS: Style = Style { colours: true, wide: false };
    const WIDE: Style = Style { colours: false, wide: true };

    #[test]
    fn durations_have_two_units() {
        for (ms, text) in [
            (0, "0s"),
            (999, "0s"),
            (59_999, "59s"),
            (60_000, "1m0s"),
            (3_599_000, "59m59s"),
            (3_600_000, "1h0m"),
            (86_399_000, "23h59m"),
            (86_400_000, "1d0h"),
            (273_600_000, "3d4h"),
            (u64::MAX, "213503982334d14h"),
        ] {
            assert_eq!(duration(ms), text);
        }
        assert_eq!(
            (countdown(1), countdown(0), countdown(59_001)),
            ("1s".into(), "0s".into(), "1m0s".into())
        );
    }

    #[test]
    fn counts_are_readable() {
        for (number, text) in [
            (0, "0 flows"),
            (1, "1 flow"),
            (1234, "1234 flows"),
            (12_345, "12 345 flows"),
            (123_456, "123 456 flows"),
            (1_234_567, "1 234 567 flows"),
        ] {
            assert_eq!(count(number, "flow", "flows"), text);
        }
    }

    #[test]
    fn columns_are_aligned_and_lines_end() {
        let mut table = Table::default();
        table.row(false, vec![plain("a"), plain("long one"), plain("last")]);
        table.row(true, vec![plain("bb"), plain("x"), plain("y".repeat(200))]);
        table.row(false, vec![plain("a phrase that has no columns behind it")]);
        let mut out = String::new();
        table.write(PLAIN, &mut out);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[0], "  a   long one  last");
        assert_eq!(lines[1], "! bb  x");
        assert_eq!(lines[2].chars().count(), 100);
        assert!(lines[2].starts_with("      yyy") && lines[2].ends_with("y\u{2026}"), "{out}");
        assert_eq!(lines[3], "  a phrase that has no columns behind it");
        let mut wide = String::new();
        table.write(WIDE, &mut wide);
        let second = format!("! bb  x         {}", "y".repeat(200));
        assert_eq!(wide.lines().nth(1), Some(second.as_str()), "nothing is cut");
        let mut line = String::new();
        write_line(&[plain("one"), plain("two")], PLAIN, &mut line);
        assert_eq!(line, "one  two\n");
    }

    #[test]
    fn colours_change_no_column() {
        let mut table = Table::default();
        table.row(true, vec![cell("a", Tone::Problem), cell("b", Tone::Notice), plain("c")]);
        let (mut with, mut without) = (String::new(), String::new());
        table.write(COLOURS, &mut with);
        table.write(PLAIN, &mut without);
        let mut stripped = with.replace("\x1b[0m", "");
        for code in ["\x1b[1m", "\x1b[33m", "\x1b[31m"] {
            stripped = stripped.replace(code, "");
        }
        assert!(with.contains("\x1b[31ma\x1b[0m") && !without.contains('\x1b'));
        assert_eq!(stripped, without);
    }

    #[test]
    fn nobody_speaks_to_the_terminal_through_us() {
        assert_eq!(plain("a\x1b[2J\nb").text, "a\u{fffd}[2J\u{fffd}b");
    }

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        let of = |is_terminal, no_color: Option<&str>, term: Option<&str>| {
            let text = |text: Option<&str>| text.map(str::to_owned);
            let environment = |name: &str| match name {
                "NO_COLOR" => text(no_color),
                _ => text(term),
            };
            Style::of_terminal(is_terminal, &environment).colours
        };
        assert!(of(true, None, Some("xterm")) && of(true, Some(""), Some("xterm")));
        assert!(!of(false, None, Some("xterm")) && !of(true, Some("1"), Some("xterm")));
        assert!(!of(true, None, Some("dumb")) && !of(true, None, None));
    }
}
