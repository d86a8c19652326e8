//! The one table of all options.
//!
//! What a key is called, how its value is written, what it does, and what a
//! change of it costs on a reload is said here once. The loader, `burgee
//! check`, `--help` and `docs/settings.md` all read it. Keys that fabio knows
//! and burgee does not are in it too, so that a fabio configuration is
//! answered with the truth about every key in it.

mod pairs;
mod table;

/// All options in the order of their groups, those of one group together.
pub fn all() -> impl Iterator<Item = &'static Spec> + Clone {
    table::TABLE.iter().copied().flatten()
}

/// One key of the configuration.
#[derive(Debug)]
pub struct Spec {
    /// The key, as in a properties file and as a flag.
    pub key: &'static str,
    /// What fabio's documentation calls it by mistake. It is read too.
    pub aliases: &'static [&'static str],
    /// How its value is written.
    pub kind: Kind,
    /// The value it has when nobody sets it. Of a key that burgee does not
    /// support: fabio's default.
    pub default: &'static str,
    /// What to say of the default where the text of it does not say it all.
    pub default_note: &'static str,
    /// What it does, in one to three sentences.
    pub help: &'static str,
    /// What a change costs on a reload.
    pub impact: Impact,
    /// Whether burgee acts on it.
    pub support: Support,
    /// Whether the value must never be printed.
    pub secret: bool,
    /// Whether fabio has no such key.
    pub new: bool,
    /// The options inside a kv-list.
    pub pairs: &'static [PairSpec],
    /// Whether those are another key's, which has their documentation.
    pub pairs_elsewhere: bool,
}

/// One option inside the maps of a kv-list.
#[derive(Debug)]
pub struct PairSpec {
    /// Its key; the bare first value of a map has the empty one.
    pub key: &'static str,
    /// How its value is written.
    pub kind: Kind,
    /// The value it has when it is left out, for people; may be a phrase.
    pub default: &'static str,
    /// What it does.
    pub help: &'static str,
    /// Whether burgee acts on it.
    pub support: Support,
    /// Whether the value must never be printed.
    pub secret: bool,
    /// Whether fabio has no such option.
    pub new: bool,
    /// What a change costs on a reload, where it is not what a change of the
    /// whole item costs.
    pub impact: Option<Impact>,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`, in one of Go's spellings.
    Boolean,
    /// A number, which may be negative.
    Integer,
    /// A number that is not negative.
    Unsigned,
    /// A duration in Go's form.
    Duration,
    /// Any text.
    Text,
    /// Texts with commas between them.
    List,
    /// Maps with commas between them; see [`crate::config`].
    KvList,
}

impl Kind {
    /// Its name in the documentation.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Boolean => "boolean",
            Kind::Integer => "integer",
            Kind::Unsigned => "unsigned integer",
            Kind::Duration => "duration",
            Kind::Text => "text",
            Kind::List => "list",
            Kind::KvList => "kv-list",
        }
    }
}

/// What a change of a key costs on a reload, cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Impact {
    /// It holds from the next use on.
    Live,
    /// What is announced changes, over the sessions that are up.
    Announce,
    /// The BGP sessions that it concerns are closed and opened anew.
    SessionReset,
    /// The listeners that it concerns are closed and opened anew.
    Rebind,
    /// It holds from the next start on.
    Restart,
}

impl Impact {
    /// All, cheapest first.
    pub const ALL: [Impact; 5] =
        [Impact::Live, Impact::Announce, Impact::SessionReset, Impact::Rebind, Impact::Restart];

    /// Its sentence in the documentation.
    pub fn phrase(self) -> &'static str {
        match self {
            Impact::Live => "takes effect at once",
            Impact::Announce => "changes what is announced; sessions stay up",
            Impact::SessionReset => "resets the BGP sessions it concerns",
            Impact::Rebind => "rebinds the listeners it concerns",
            Impact::Restart => "needs a restart",
        }
    }

    /// One word, for the log and for columns.
    pub fn word(self) -> &'static str {
        match self {
            Impact::Live => "live",
            Impact::Announce => "announce",
            Impact::SessionReset => "session_reset",
            Impact::Rebind => "rebind",
            Impact::Restart => "restart",
        }
    }
}

/// Whether burgee acts on a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It does what its help says.
    Supported,
    /// fabio acts on it and burgee does not yet: a warning when it is set.
    NotYet,
    /// The same, but clients would get something else than they were promised,
    /// so that it is an error when it is set. Only inside a kv-list.
    Refused,
    /// It cannot mean anything here, and why: a warning when it is set.
    Ignored(&'static str),
}

impl Spec {
    const fn new(
        key: &'static str,
        kind: Kind,
        default: &'static str,
        support: Support,
        help: &'static str,
    ) -> Spec {
        Spec {
            key,
            aliases: &[],
            kind,
            default,
            default_note: "",
            help,
            impact: Impact::Restart,
            support,
            secret: false,
            new: false,
            pairs: &[],
            pairs_elsewhere: false,
        }
    }

    const fn noting(mut self, default_note: &'static str) -> Spec {
        self.default_note = default_note;
        self
    }

    const fn also_called(mut self, aliases: &'static [&'static str]) -> Spec {
        self.aliases = aliases;
        self
    }

    const fn secret(mut self) -> Spec {
        self.secret = true;
        self
    }

    const fn not_in_fabio(mut self) -> Spec {
        self.new = true;
        self
    }

    const fn of(mut self, pairs: &'static [PairSpec]) -> Spec {
        self.pairs = pairs;
        self
    }

    const fn documented_elsewhere(mut self) -> Spec {
        self.pairs_elsewhere = true;
        self
    }

    /// The options inside a kv-list that are documented with it.
    pub fn documented_pairs(&self) -> &'static [PairSpec] {
        if self.pairs_elsewhere { &[] } else { self.pairs }
    }

    /// The part before the first dot, by which the documentation is divided.
    pub fn group(&self) -> &'static str {
        match self.key.split_once('.') {
            Some((group, _)) => group,
            None => "general",
        }
    }

    /// What a change of one option costs, or with the empty one of the whole
    /// value or of the item's first value; `None`: there is no such option.
    pub(super) fn impact_of(&self, option: &str) -> Option<Impact> {
        match self.pairs.iter().find(|pair| pair.key == option) {
            Some(pair) => Some(pair.impact.unwrap_or(self.impact)),
            None => option.is_empty().then_some(self.impact),
        }
    }

    /// Whether the value of an option, or of the key itself with the empty one,
    /// must not be printed.
    pub(super) fn is_secret(&self, option: &str) -> bool {
        self.secret || self.pairs.iter().any(|pair| pair.key == option && pair.secret)
    }

    /// Whether any part of its value must not be printed.
    pub fn holds_secrets(&self) -> bool {
        self.secret || self.pairs.iter().any(|pair| pair.secret)
    }
}

impl PairSpec {
    const fn new(
        key: &'static str,
        kind: Kind,
        default: &'static str,
        support: Support,
        help: &'static str,
    ) -> PairSpec {
        PairSpec { key, kind, default, help, support, secret: false, new: false, impact: None }
    }

    const fn secret(mut self) -> PairSpec {
        self.secret = true;
        self
    }

    const fn not_in_fabio(mut self) -> PairSpec {
        self.new = true;
        self
    }

    const fn costing(mut self, impact: Impact) -> PairSpec {
        self.impact = Some(impact);
        self
    }
}

/// The entry of a key, which is compared with its case.
pub fn find(key: &str) -> Option<&'static Spec> {
    all().find(|spec| spec.key == key)
}

/// The entry of a key or of an alias, with the name itself.
pub(super) fn find_name(name: &str) -> Option<(&'static Spec, &'static str)> {
    let of = |spec: &'static Spec| {
        let mut names = std::iter::once(spec.key).chain(spec.aliases.iter().copied());
        names.find(|known| *known == name).map(|known| (spec, known))
    };
    all().find_map(of)
}

/// The known key nearest to one that is not known.
pub(super) fn nearest(key: &str) -> Option<&'static str> {
    super::nearest::nearest(key, all().map(|spec| spec.key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::values;

    #[test]
    fn no_key_is_there_twice_and_groups_are_together() {
        let mut groups: Vec<&str> = Vec::new();
        for (index, spec) in all().enumerate() {
            assert!(all().take(index).all(|before| before.key != spec.key), "{}", spec.key);
            if groups.last() != Some(&spec.group()) {
                assert!(!groups.contains(&spec.group()), "{}", spec.key);
                groups.push(spec.group());
            }
        }
        assert_eq!(
            groups,
            [
                "general", "config", "proxy", "log", "health", "registry", "bgp", "metrics", "ui",
                "profile", "runtime", "glob", "aws"
            ]
        );
    }

    #[test]
    fn every_default_is_a_value_of_its_kind() {
        for spec in all() {
            let fine = match spec.kind {
                Kind::Boolean => values::boolean(spec.default).is_ok(),
                Kind::Integer | Kind::Unsigned => {
                    spec.default.is_empty() || values::integer(spec.default).is_ok()
                }
                Kind::Duration => {
                    spec.default.is_empty() || crate::config::duration::parse(spec.default).is_ok()
                }
                Kind::Text | Kind::List => true,
                Kind::KvList => crate::config::kv_list::parse(spec.default).is_ok(),
            };
            assert!(fine, "{}", spec.key);
        }
    }

    #[test]
    fn help_is_made_of_sentences() {
        let helps = all().map(|spec| (spec.key, spec.help));
        let pairs = all().flat_map(|spec| spec.pairs);
        for (key, help) in helps.chain(pairs.map(|pair| (pair.key, pair.help))) {
            assert!(help.ends_with('.'), "{key}: {help}");
            assert!(!help.contains("  "), "{key}: {help}");
            assert!(!help.contains('|'), "a column of a Markdown table: {key}: {help}");
        }
    }

    #[test]
    fn a_reason_fits_after_a_colon() {
        for spec in all() {
            if let Support::Ignored(why) = spec.support {
                assert!(!why.is_empty() && !why.ends_with('.'), "{}", spec.key);
            }
            assert_ne!(spec.support, Support::Refused, "{}", spec.key);
        }
    }

    #[test]
    fn an_alias_is_no_key_and_belongs_to_one() {
        let all: Vec<&str> = all().flat_map(|spec| spec.aliases).copied().collect();
        assert_eq!(
            all,
            [
                "registry.static.noroutehtmlpath",
                "registry.consul.pollInterval",
                "registry.consul.register.deregisterCriticalServiceAfter",
            ]
        );
        for alias in all {
            assert!(find(alias).is_none(), "{alias}");
            assert_eq!(find_name(alias).map(|(_, name)| name), Some(alias));
        }
        assert!(find_name("weather").is_none());
    }

    #[test]
    fn the_nearest_key() {
        assert_eq!(nearest("bgp.perrs"), Some("bgp.peers"));
        assert_eq!(nearest("BGP.Peers"), Some("bgp.peers"));
        assert_eq!(nearest("registry.consul.pollInterval"), Some("registry.consul.pollinterval"));
        assert_eq!(nearest("registry.static.noroutehtmlpath"), Some("registry.static.noroutehtml"));
        assert_eq!(nearest("weather"), None);
    }
}
