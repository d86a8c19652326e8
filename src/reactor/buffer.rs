//! Buffers for bytes that the other side did not take yet.

/// Bytes of one buffer of the loop's pool.
pub const BUFFER_SIZE: usize = 16 * 1024;

/// A linear buffer of fixed size, lent by a [`Pool`].
///
/// Bytes are written at the end and read from the front:
/// `| consumed | readable | writable |`.
#[derive(Debug)]
pub struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn new(size: usize) -> Buffer {
        Buffer { bytes: vec![0; size].into_boxed_slice(), start: 0, end: 0 }
    }

    /// How many bytes it can hold.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes that were written and not yet consumed.
    pub fn readable(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// The room behind them; [`Buffer::compact`] makes it as large as can be.
    pub fn writable(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// Says that `count` bytes were written into [`Buffer::writable`]; more
    /// than its length counts as its length.
    pub fn commit(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.bytes.len());
    }

    /// Says that `count` bytes of [`Buffer::readable`] are done with; more than
    /// its length counts as its length.
    pub fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Moves the readable bytes to the front.
    pub fn compact(&mut self) {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
    }

    /// Appends as much of `bytes` as fits, and returns how much that was.
    pub fn extend_from(&mut self, bytes: &[u8]) -> usize {
        if bytes.len() > self.bytes.len() - self.end {
            self.compact();
        }
        let room = self.writable();
        let count = bytes.len().min(room.len());
        if let (Some(room), Some(bytes)) = (room.get_mut(..count), bytes.get(..count)) {
            room.copy_from_slice(bytes);
        }
        self.commit(count);
        count
    }

    /// How many bytes can be read.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether no byte can be read.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// Buffers of one size up to a hard limit, lent and given back.
///
/// A buffer must come back through [`Pool::give`]; one that is dropped instead
/// counts as lent for ever.
#[derive(Debug)]
pub struct Pool {
    size: usize,
    spare: Vec<Buffer>,
    lent: usize,
    limit: usize,
    kept: usize,
}

impl Pool {
    /// A pool that lends at most `limit` buffers of `size` bytes at a time, and
    /// keeps at most `kept` unused ones; the memory of others goes back to the
    /// system.
    pub fn new(size: usize, limit: usize, kept: usize) -> Pool {
        Pool { size, spare: Vec::new(), lent: 0, limit, kept }
    }

    /// Bytes of each buffer.
    pub fn size(&self) -> usize {
        self.size
    }

    /// An empty buffer, or `None` at the limit.
    pub fn take(&mut self) -> Option<Buffer> {
        if self.lent >= self.limit {
            return None;
        }
        self.lent += 1;
        Some(self.spare.pop().unwrap_or_else(|| Buffer::new(self.size)))
    }

    /// Takes a buffer back, with whatever is still in it.
    pub fn give(&mut self, mut buffer: Buffer) {
        self.lent = self.lent.saturating_sub(1);
        if self.spare.len() < self.kept {
            buffer.consume(usize::MAX);
            self.spare.push(buffer);
        }
    }

    /// How many buffers are lent.
    pub fn lent(&self) -> usize {
        self.lent
    }

    /// Most buffers that are lent at a time.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How many buffers can be lent now.
    pub fn available(&self) -> usize {
        self.limit.saturating_sub(self.lent)
    }

    /// How many unused buffers are kept.
    pub fn spare(&self) -> usize {
        self.spare.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut pool = Pool::new(BUFFER_SIZE, 1, 1);
        let mut buffer = pool.take().unwrap();
        assert_eq!(buffer.extend_from(b"hello world"), 11);
        buffer.consume(6);
        assert_eq!(buffer.readable(), b"world");
        buffer.compact();
        assert_eq!((buffer.readable(), buffer.len()), (&b"world"[..], 5));
        buffer.writable()[..1].copy_from_slice(b"!");
        buffer.commit(1);
        assert_eq!(buffer.readable(), b"world!");
        buffer.consume(usize::MAX);
        assert!(buffer.is_empty());
        assert_eq!(buffer.writable().len(), BUFFER_SIZE);
    }

    #[test]
    fn a_full_buffer_takes_what_fits() {
        let mut buffer = Buffer::new(BUFFER_SIZE);
        assert_eq!(buffer.extend_from(&[1; BUFFER_SIZE - 10]), BUFFER_SIZE - 10);
        buffer.consume(100);
        assert_eq!(buffer.extend_from(&[2; 200]), 110, "compacting makes room");
        assert_eq!(buffer.len(), BUFFER_SIZE);
        assert_eq!(buffer.extend_from(&[3]), 0);
        buffer.commit(usize::MAX);
        assert_eq!(buffer.len(), BUFFER_SIZE);
        assert!(buffer.readable().starts_with(&[1]) && buffer.readable().ends_with(&[2; 110]));
    }

    #[test]
    fn the_pool_lends_to_its_limit_and_keeps_little() {
        let mut pool = Pool::new(BUFFER_SIZE, 3, 1);
        let mut lent: Vec<Buffer> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!((lent.len(), pool.available(), pool.lent()), (3, 0, 3));
        lent[0].extend_from(b"left behind");
        for buffer in lent {
            pool.give(buffer);
        }
        assert_eq!((pool.available(), pool.lent(), pool.spare()), (3, 0, 1));
        assert!(pool.take().unwrap().is_empty());
    }
}
