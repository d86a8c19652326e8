//! The octets that a session has still to send, bounded.

use super::message::header::MAX_LENGTH;

/// The writer is asked for more messages only while one of the usual length
/// fits under this many octets, so that a neighbour that does not read costs
/// this, or this and one extended message (RFC 8654), and no more.
pub const LIMIT: usize = 64 * 1024;

/// Whole messages, of which the kernel may have taken some octets.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    taken: usize,
}

impl Outbox {
    /// What waits, in order.
    pub fn waiting(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    /// Where the next message is appended.
    pub fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Whether another message may be added: see [`LIMIT`].
    pub fn has_room(&self) -> bool {
        self.waiting().len().saturating_add(MAX_LENGTH) <= LIMIT
    }

    /// The kernel took `count` octets from the front. An empty outbox holds no
    /// memory, and a long one is moved up now and then.
    pub fn sent(&mut self, count: usize) {
        self.taken = self.taken.saturating_add(count).min(self.bytes.len());
        if self.taken == self.bytes.len() {
            *self = Outbox::default();
        } else if self.taken >= LIMIT / 2 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_leave_in_order_and_memory_with_them() {
        let mut outbox = Outbox::default();
        let all: Vec<u8> = (0..LIMIT).map(|n| n.to_le_bytes()[0]).collect();
        outbox.end().extend_from_slice(&all);
        outbox.sent(MAX_LENGTH - 1);
        assert!(!outbox.has_room());
        outbox.sent(1);
        assert!(outbox.has_room());
        assert_eq!(outbox.waiting(), &all[MAX_LENGTH..]);
        outbox.sent(LIMIT / 2);
        assert_eq!(outbox.waiting(), &all[MAX_LENGTH + LIMIT / 2..]);
        assert_eq!(outbox.bytes.len(), outbox.waiting().len(), "sent octets are let go");
        outbox.sent(LIMIT);
        assert!(outbox.waiting().is_empty());
        assert_eq!(outbox.bytes.capacity(), 0);
    }
}
