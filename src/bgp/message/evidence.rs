//! What a malformed UPDATE was, for whoever looks for the cause (RFC 7606 §6):
//! the routes that it names and the whole message.

use std::fmt::Write as _;

use super::update::Update;

/// Routes that are named; the octets hold them all.
const ROUTES: usize = 32;

/// Octets of a message that go in one line, as two digits each, so that the
/// line fits in a log.
const OCTETS: usize = 1024;

impl Update<'_> {
    /// One text for the routes and one for each piece of the body, in
    /// hexadecimal, as it was received.
    pub fn evidence(&self) -> impl Iterator<Item = String> {
        let body = self.body();
        let pieces = body.chunks(OCTETS).enumerate().map(|(index, piece)| {
            let start = index.saturating_mul(OCTETS);
            let end = start.saturating_add(piece.len());
            let mut text = format!("octets {start} to {end} of {} ", body.len());
            for octet in piece {
                // Writing to a String cannot fail.
                let _ = write!(text, "{octet:02x}");
            }
            text
        });
        std::iter::once(self.routes_text()).chain(pieces)
    }

    fn routes_text(&self) -> String {
        let mut text = "routes".to_owned();
        for (_, _, prefix) in self.withdrawn().chain(self.announced()).take(ROUTES) {
            let _ = write!(text, " {prefix}");
        }
        let (announced, withdrawn) = self.counts();
        let all = usize::try_from(announced.saturating_add(withdrawn)).unwrap_or(usize::MAX);
        match all.saturating_sub(ROUTES) {
            0 if all == 0 => text.push_str(" none"),
            0 => {}
            more => {
                let _ = write!(text, " and {more} more");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use crate::bgp::message::prefix::Family;
    use crate::bgp::message::update::{Context, parse};

    fn evidence(body: &[u8]) -> Vec<String> {
        let families = Family::ALL.into_iter().collect();
        let context = Context { four_octet_as: true, families, ..Context::default() };
        parse(body, &context).unwrap().evidence().collect()
    }

    #[test]
    fn the_routes_and_the_whole_message_are_there() {
        let body = [0, 2, 8, 10, 0, 4, 0x40, 1, 1, 9, 24, 203, 0, 113];
        let expected = [
            "routes 10.0.0.0/8 203.0.113.0/24",
            "octets 0 to 14 of 14 0002080a00044001010918cb0071",
        ];
        assert_eq!(evidence(&body), expected);
        assert_eq!(evidence(&[0; 4]), ["routes none", "octets 0 to 4 of 4 00000000"]);
    }

    #[test]
    fn a_long_message_takes_several_lines_and_none_is_too_long() {
        let routes = [32, 203, 0, 113, 1].repeat(500);
        let body = [&[0, 0, 0, 0], &routes[..]].concat();
        let lines = evidence(&body);
        assert!(lines[0].ends_with(" 203.0.113.1/32 and 468 more"), "{}", lines[0]);
        assert_eq!(lines.len(), 4);
        assert!(lines[3].starts_with("octets 2048 to 2504 of 2504 "));
        assert!(lines.iter().all(|line| line.len() < 2500));
        let digits: String =
            lines[1..].iter().map(|line| line.rsplit(' ').next().unwrap()).collect();
        let octets: String = body.iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(digits, octets);
    }
}
