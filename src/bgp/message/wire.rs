//! Checked reading from bytes and the writing of lengths, for all messages.

/// A cursor over received bytes. Every read is checked, and one that fails
/// takes nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// A cursor at the beginning of `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    /// Whether everything has been read.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What has not been read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// The next `length` octets.
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    /// The next `N` octets as an array.
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    /// The next octet.
    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(u8::from_be_bytes)
    }

    /// The next two octets, in network order.
    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// The next four octets, in network order.
    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// The next field that is preceded by its length in one octet.
    pub(super) fn short_field(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let length = ahead.u8()?;
        let field = ahead.take(usize::from(length))?;
        *self = ahead;
        Some(field)
    }

    /// The next field that is preceded by its length in two octets.
    pub(super) fn long_field(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let length = ahead.u16()?;
        let field = ahead.take(usize::from(length))?;
        *self = ahead;
        Some(field)
    }
}

/// The whole items of `N` octets in `bytes`, as arrays.
pub(super) fn items<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks::<N>().0.iter().copied()
}

/// `length` as an octet; a length that does not fit becomes 255.
pub(super) fn octet(length: usize) -> u8 {
    u8::try_from(length).unwrap_or(u8::MAX)
}

/// Sets the two octets at `at` to `length`, in network order. A length that
/// does not fit becomes 65535; callers bound it before.
pub(super) fn set_u16(out: &mut [u8], at: usize, length: usize) {
    let octets = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    if let Some(field) = out.get_mut(at..).and_then(|tail| tail.first_chunk_mut::<2>()) {
        *field = octets;
    }
}

/// Appends two octets of length, then what `write` writes, and sets the length
/// to what it wrote.
pub(super) fn with_length_u16(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0, 0]);
    let begin = out.len();
    write(out);
    let length = out.len().saturating_sub(begin);
    set_u16(out, at, length);
}

/// The longest beginning of `text` that has at most `limit` octets and ends at
/// the end of a character.
pub(super) fn cut(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_read_takes_nothing() {
        let mut reader = Reader::new(&[3, 1, 2]);
        assert_eq!(reader.short_field(), None);
        assert_eq!(reader.u32(), None);
        assert_eq!(reader.take(4), None);
        assert_eq!(reader.rest(), &[3, 1, 2]);
        assert_eq!(reader.u8(), Some(3));
        assert_eq!(reader.u16(), Some(0x0102));
        assert!(reader.is_empty());
        assert_eq!(reader.u8(), None);
    }

    #[test]
    fn fields_carry_their_length() {
        let mut reader = Reader::new(&[1, 9, 0, 2, 7, 8, 0, 3, 1]);
        assert_eq!(reader.short_field(), Some(&[9][..]));
        assert_eq!(reader.long_field(), Some(&[7, 8][..]));
        assert_eq!(reader.long_field(), None);
        assert_eq!(reader.rest(), &[0, 3, 1]);
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        assert_eq!(cut("aäb", 2), "a");
        assert_eq!(cut("aäb", 3), "aä");
        assert_eq!(cut("ab", 9), "ab");
    }

    #[test]
    fn lengths_are_patched_in_place() {
        let mut out = vec![1];
        with_length_u16(&mut out, |out| out.extend_from_slice(&[5, 6, 7]));
        assert_eq!(out, [1, 0, 3, 5, 6, 7]);
        set_u16(&mut out, 5, 1);
        assert_eq!(out, [1, 0, 3, 5, 6, 7], "a field that is not there is not written");
    }
}
