//! Every bound of this room, with its reason.

/// Most octets of a head, with the empty line at its end. Browsers with many
/// cookies stay below 8 KiB, and this is the size of one buffer of the loop.
pub const MAX_HEAD: usize = 16 * 1024;

/// Most octets of a start line, without its end. RFC 9112 §3 recommends at
/// least 8000 for a request line.
pub const MAX_START_LINE: usize = 8 * 1024;

/// Most octets of a method. The longest one that is registered has 17
/// (UPDATEREDIRECTREF).
pub const MAX_METHOD: usize = 32;

/// Most fields of a head that is received. What goes on to a target may have some
/// more: see [`ROOM`].
pub const MAX_FIELDS: usize = 100;

/// Most fields of a [`Fields`](super::Fields): a received head, and what a proxy
/// adds to it.
pub(super) const ROOM: usize = MAX_FIELDS + 28;

/// Most octets of the extensions of all chunks of one body. Nobody needs them
/// (RFC 9112 §7.1.1), and without a bound they are a way to make us read without end.
pub const MAX_EXTENSIONS: u32 = 4 * 1024;

/// Most octets of the trailer section of one body, which is read and thrown
/// away.
pub const MAX_TRAILERS: u32 = 8 * 1024;

/// Most interim answers before the final one. Servers send one or two; RFC 9110
/// §15.2 sets no bound.
pub const MAX_INTERIM: u32 = 16;

/// Bounds of one connection's heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a head.
    pub head: usize,
    /// Octets of its first line.
    pub start_line: usize,
    /// Its fields; more than [`MAX_FIELDS`] count as that many.
    pub fields: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { head: MAX_HEAD, start_line: MAX_START_LINE, fields: MAX_FIELDS }
    }
}
