//! How willingly a prefix is announced: the rungs of the ladder.

use std::fmt;

/// What the neighbours hear of a prefix, ordered upwards: a higher level draws
/// more traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nothing, or no longer anything.
    #[default]
    Withdrawn,
    /// A path with the community GRACEFUL_SHUTDOWN (RFC 8326 §3), which is to be
    /// used only where there is no other.
    GracefulShutdown,
    /// A path that loses against one of the same prefix from elsewhere.
    Depreferred,
    /// The path as configured.
    Full,
}

impl Level {
    /// All levels, from the lowest to the highest.
    pub const ALL: [Level; 4] =
        [Level::Withdrawn, Level::GracefulShutdown, Level::Depreferred, Level::Full];

    /// The level's name in logs, in the API and in the record.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Withdrawn => "withdrawn",
            Level::GracefulShutdown => "graceful-shutdown",
            Level::Depreferred => "depreferred",
            Level::Full => "full",
        }
    }

    /// The level of this name.
    pub fn named(name: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.name() == name)
    }

    /// Whether the neighbours hear of the prefix at all.
    pub const fn is_announced(self) -> bool {
        !matches!(self, Level::Withdrawn)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ordered_upwards_and_known_by_their_names() {
        assert!(Level::ALL.is_sorted());
        for level in Level::ALL {
            assert_eq!(Level::named(&level.to_string()), Some(level));
            assert_eq!(level.is_announced(), level > Level::Withdrawn);
        }
        assert_eq!(Level::named("Full"), None);
    }
}
