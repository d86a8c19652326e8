//! What the kernel said about a source, kept until it is used up.

use std::ops::{BitOr, BitOrAssign};

/// A set of readiness bits. The loop is edge-triggered: a bit is set by an
/// event and cleared by whoever used it up (on `WouldBlock`, or on a short
/// read where that is allowed).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness(u8);

impl Readiness {
    /// Nothing is ready.
    pub const NONE: Readiness = Readiness(0);
    /// Reading may make progress.
    pub const READABLE: Readiness = Readiness(1);
    /// Writing may make progress.
    pub const WRITABLE: Readiness = Readiness(2);
    /// The other side shut its writing half (EPOLLRDHUP) or hung up.
    pub const READ_CLOSED: Readiness = Readiness(4);
    /// Writing is over (EPOLLHUP, or EPOLLERR with EPOLLOUT).
    pub const WRITE_CLOSED: Readiness = Readiness(8);
    /// An error is pending on the socket.
    pub const ERROR: Readiness = Readiness(16);
    /// Urgent data (EPOLLPRI).
    pub const PRIORITY: Readiness = Readiness(32);

    /// Whether every bit of `other` is set.
    pub const fn contains(self, other: Readiness) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any bit of `other` is set.
    pub const fn intersects(self, other: Readiness) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether no bit is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Clears the bits of `other`.
    pub fn remove(&mut self, other: Readiness) {
        self.0 &= !other.0;
    }
}

impl BitOr for Readiness {
    type Output = Readiness;

    fn bitor(self, rhs: Readiness) -> Readiness {
        Readiness(self.0 | rhs.0)
    }
}

impl BitOrAssign for Readiness {
    fn bitor_assign(&mut self, rhs: Readiness) {
        self.0 |= rhs.0;
    }
}
