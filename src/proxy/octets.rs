//! Octets of the network, read from the front: never past their end.

/// What is left to read. Each method takes what it returns off the front, or
/// returns `None` where there is not enough; what is left is then undefined.
#[derive(Clone, Copy, Debug)]
pub(super) struct Octets<'a>(&'a [u8]);

impl<'a> Octets<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Octets<'a> {
        Octets(octets)
    }

    /// Whether everything was read.
    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// How many are left.
    pub(super) fn len(self) -> usize {
        self.0.len()
    }

    /// The next `count` octets.
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    /// The next `N` octets.
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    /// A number in network byte order, as all of them here.
    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Octets after their count in one octet: a TLS vector `<0..2^8-1>`.
    pub(super) fn list8(&mut self) -> Option<&'a [u8]> {
        let count = self.u8()?;
        self.take(count.into())
    }

    /// Octets after their count in two octets: a TLS vector `<0..2^16-1>`, and
    /// the value of a TLV.
    pub(super) fn list16(&mut self) -> Option<&'a [u8]> {
        let count = self.u16()?;
        self.take(count.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_from_the_front_and_never_past_the_end() {
        let mut octets = Octets::new(&[1, 2, 3, 2, 4, 5, 0, 1, 6, 7]);
        assert_eq!(octets.u8(), Some(1));
        assert_eq!(octets.u16(), Some(0x0203));
        assert_eq!(octets.list8(), Some(&[4, 5][..]));
        assert_eq!(octets.list16(), Some(&[6][..]));
        assert!(!octets.is_empty());
        assert_eq!(octets.array::<2>(), None);
        assert_eq!(octets.u16(), None);
        assert_eq!(octets.take(1), Some(&[7][..]));
        assert!(octets.is_empty());
        assert_eq!(octets.take(0), Some(&[][..]));
        assert_eq!(octets.u8(), None);
        assert_eq!(Octets::new(&[2, 1]).list8(), None);
        assert_eq!(Octets::new(&[0, 2, 1]).list16(), None);
        assert_eq!(Octets::new(&[0]).list16(), None);
    }
}
