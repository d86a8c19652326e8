//! The checksum of PROXY §2.2.3: CRC32c (RFC 9260 appendix A, which replaces
//! the RFC 4960 that the specification names).

/// The polynomial 0x1edc6f41 with its bits in reverse order.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The CRC32c of `pieces`, as if they were one after the other. It is computed
/// bit by bit: headers are short, and few carry one.
pub(super) fn crc32c(pieces: &[&[u8]]) -> u32 {
    let octets = pieces.iter().flat_map(|piece| piece.iter());
    let rest = octets.fold(u32::MAX, |crc, octet| {
        (0..8).fold(crc ^ u32::from(*octet), |crc, _| match crc & 1 {
            1 => (crc >> 1) ^ POLYNOMIAL,
            _ => crc >> 1,
        })
    });
    !rest
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    #[test]
    fn known_values() {
        assert_eq!(crc32c(&[b"123456789"]), 0xe306_9283, "the usual check value");
        assert_eq!(crc32c(&[b"1234", b"", b"56789"]), 0xe306_9283);
        // RFC 3720 section B.4.
        assert_eq!(crc32c(&[&[0; 32]]), 0x8a91_36aa);
        assert_eq!(crc32c(&[&[0xff; 32]]), 0x62a8_ab43);
        assert_eq!(crc32c(&[]), 0);
    }
}
