//! What a reload would do: the difference of two configurations, and what each
//! part of it costs.
//!
//! The costs are those of the one table in [`super::options`]. `fields` says
//! which key or option of that table sets each field of a [`Config`], and does
//! not compile while a field is missing there.

mod fields;

use std::collections::BTreeMap;
use std::fmt;

use ipnet::IpNet;

use self::fields::{Fields, Item};
use super::Config;
use super::options::{self, Impact, Spec};

/// What stands for a secret.
const MASK: &str = "***";

/// Most characters that are shown of one value.
const LONGEST: usize = 80;

/// One thing that differs between two configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: &'static str,
    /// Which listener, route line, prefix or neighbour of it; empty: the key
    /// has no items.
    pub item: String,
    /// Which option of the item; empty: the item itself.
    pub option: &'static str,
    /// What became of it.
    pub kind: ChangeKind,
    /// What it costs.
    pub impact: Impact,
}

/// What became of a value or an item. Secrets are masked, and long values cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The item is new.
    Added,
    /// The item is gone.
    Removed,
    /// The value is another one.
    Changed {
        /// The value before.
        old: String,
        /// The value now.
        new: String,
    },
}

impl Change {
    /// The key with the item and the option, as in `bgp.peers tor1 med`.
    pub fn place(&self) -> String {
        let parts = [self.key, &self.item, self.option];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join(" ")
    }
}

/// One line: the place, the old and the new value, and the cost in words.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place())?;
        match &self.kind {
            ChangeKind::Added => f.write_str("added")?,
            ChangeKind::Removed => f.write_str("removed")?,
            ChangeKind::Changed { old, new } => write!(f, "{old:?} -> {new:?}")?,
        }
        write!(f, "; {}", self.impact.phrase())
    }
}

/// All that differs, with what waits for a restart first. Listeners are the
/// same when protocol and address are, prefixes when they are equal, neighbours
/// when their address or prefix is.
pub fn between(old: &Config, new: &Config) -> Vec<Change> {
    let mut changes = Vec::new();
    compare_keys(old, new, &mut changes);
    changes.retain(|change| change.impact == Impact::Restart);
    let datagrams = fields::datagram_listeners;
    let from = changes.len();
    compare_items("proxy.addr", &datagrams(old), &datagrams(new), &mut changes);
    changes.iter_mut().skip(from).for_each(|change| change.impact = Impact::Restart);
    let new = in_force(old, new);
    compare_keys(old, &new, &mut changes);
    let lists = |config| fields::lists(config).into_iter();
    for ((key, old), (_, new)) in lists(old).zip(lists(&new)) {
        compare_items(key, &old, &new, &mut changes);
    }
    compare_routes(old, &new, &mut changes);
    compare_families(old, &new, &mut changes);
    changes
}

/// What a reload puts in force: the new configuration, but what needs a restart
/// is as it was: listeners for datagrams, the access log, the file and the interface of announcements, and BGP as a whole when
/// it is switched on or off. (While BGP is off, nothing else is known of it.)
pub fn in_force(old: &Config, new: &Config) -> Config {
    let mut config = new.clone();
    let bound = old.proxy.listeners.iter().filter(|listener| listener.takes_datagrams());
    config.proxy.listeners.retain(|listener| !listener.takes_datagrams());
    config.proxy.listeners.extend(bound.cloned());
    config.log.access = old.log.access.clone();
    config.bgp.announcing.state_file = old.bgp.announcing.state_file.clone();
    config.bgp.vip = old.bgp.vip.clone();
    if old.bgp.enabled != new.bgp.enabled {
        config.bgp = old.bgp.clone();
    }
    config
}

fn spec(key: &str) -> Option<&'static Spec> {
    options::find(key)
}

fn compare_keys(old: &Config, new: &Config, changes: &mut Vec<Change>) {
    compare_fields("", &fields::keys(old), &fields::keys(new), |key| (key, ""), changes);
}

/// Pairs of fields that differ. `place` says which key and option a field's
/// name stands for.
fn compare_fields(
    item: &str,
    old: &Fields,
    new: &Fields,
    place: impl Fn(&'static str) -> (&'static str, &'static str),
    changes: &mut Vec<Change>,
) {
    for ((name, old), (_, new)) in old.iter().zip(new) {
        if old == new {
            continue;
        }
        let (key, option) = place(name);
        // The table has every field; without its word the cost is the highest.
        let impact = spec(key).and_then(|spec| spec.impact_of(option)).unwrap_or(Impact::Restart);
        let secret = spec(key).is_none_or(|spec| spec.is_secret(option));
        let kind = ChangeKind::Changed { old: shown(old, secret), new: shown(new, secret) };
        changes.push(Change { key, item: item.to_owned(), option, kind, impact });
    }
}

fn shown(value: &str, secret: bool) -> String {
    if secret && !value.is_empty() {
        return MASK.to_owned();
    }
    match value.char_indices().nth(LONGEST) {
        None => value.to_owned(),
        Some((end, _)) => format!("{}...", value.get(..end).unwrap_or_default()),
    }
}

fn compare_items(key: &'static str, old: &[Item], new: &[Item], changes: &mut Vec<Change>) {
    let impact = spec(key).map_or(Impact::Restart, |spec| spec.impact);
    let by_identity = |items: &'_ [Item]| -> BTreeMap<String, usize> {
        items.iter().zip(0..).map(|(item, at)| (item.identity.clone(), at)).collect()
    };
    let (before, now) = (by_identity(old), by_identity(new));
    let mut whole = |item: &Item, kind| {
        changes.push(Change { key, item: item.name.clone(), option: "", kind, impact });
    };
    for item in old.iter().filter(|item| !now.contains_key(&item.identity)) {
        whole(item, ChangeKind::Removed);
    }
    for item in new.iter().filter(|item| !before.contains_key(&item.identity)) {
        whole(item, ChangeKind::Added);
    }
    for item in new {
        let known = before.get(&item.identity).and_then(|at| old.get(*at));
        if let Some(known) = known {
            let place = |option| (key, option);
            compare_fields(&item.name, &known.fields, &item.fields, place, changes);
        }
    }
}

/// Route lines have no identity but their text.
fn compare_routes(old: &Config, new: &Config, changes: &mut Vec<Change>) {
    const KEY: &str = "registry.static.routes";
    let impact = spec(KEY).map_or(Impact::Restart, |spec| spec.impact);
    let lines = |config: &'_ Config| -> Vec<String> {
        let lines = config.registry.static_routes().lines().map(str::trim);
        lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    let (old, new) = (lines(old), lines(new));
    let (before, now) = (counted(&old), counted(&new));
    let mut note = |item: &str, kind| {
        let item = shown(item, false);
        changes.push(Change { key: KEY, item, option: "", kind, impact });
    };
    let more = |these: &Counts<'_>, others: &Counts<'_>| -> Vec<String> {
        let more = these.iter().filter(|(line, n)| others.get(*line).is_none_or(|m| m < *n));
        more.map(|(line, _)| (*line).to_owned()).collect()
    };
    more(&before, &now).iter().for_each(|line| note(line, ChangeKind::Removed));
    more(&now, &before).iter().for_each(|line| note(line, ChangeKind::Added));
    if before == now && old != new {
        let (old, new) = ("as it was".to_owned(), "another".to_owned());
        note("order of lines", ChangeKind::Changed { old, new });
    }
}

/// How often each line is there.
type Counts<'a> = BTreeMap<&'a str, usize>;

fn counted(lines: &[String]) -> Counts<'_> {
    let mut counts = Counts::new();
    for line in lines {
        let count = counts.entry(line).or_default();
        *count = count.saturating_add(1);
    }
    counts
}

/// The families of our OPEN are those of the prefixes (RFC 4760 §8), so the
/// first prefix of a family, and the loss of the last one, are a matter of the
/// sessions and not only of what goes over them.
fn compare_families(old: &Config, new: &Config, changes: &mut Vec<Change>) {
    let families = |config: &Config| {
        let has = |ipv4: bool| {
            let prefixes = config.bgp.anycast_addresses.iter().map(|anycast| anycast.prefix);
            prefixes.into_iter().any(|prefix| matches!(prefix, IpNet::V4(_)) == ipv4)
        };
        match (has(true), has(false)) {
            (true, true) => "ipv4, ipv6",
            (true, false) => "ipv4",
            (false, true) => "ipv6",
            (false, false) => "",
        }
    };
    let (old, new) = (families(old), families(new));
    if old != new {
        changes.push(Change {
            key: "bgp.anycastaddresses",
            item: "address families".to_owned(),
            option: "",
            kind: ChangeKind::Changed { old: old.to_owned(), new: new.to_owned() },
            impact: Impact::SessionReset,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::ListenerConfig;
    use super::super::options::Support;
    use super::super::testing::loaded;
    use super::*;

    const BASE: &str = "proxy.addr=:80;proto=tcp,127.0.0.1:81;proto=tcp\n\
        registry.static.routes=route add a :80 tcp://10.0.0.9:1\\nroute add a :80 tcp://10.0.0.9:2\n\
        bgp.enabled=true\nbgp.asn=65001\nbgp.routerid=10.0.0.2\nbgp.nexthop6=2001:db8::2\n\
        bgp.anycastaddresses=192.0.2.1/32,192.0.2.2/32;med=1\n\
        bgp.peers=name=tor1;address=10.0.0.1;asn=65000,prefix=10.1.0.0/16;asn=65000\n";

    /// The lines of a change of the base, in which each of the texts is
    /// replaced by the one beside it.
    fn lines(replaced: &[(&str, &str)]) -> Vec<String> {
        let mut text = BASE.to_owned();
        for (from, to) in replaced {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        let changes = between(&loaded(BASE).config, &loaded(&text).config);
        changes.iter().map(|c| format!("{} | {:?} | {:?}", c.place(), c.kind, c.impact)).collect()
    }

    fn with(more: &str) -> Vec<String> {
        let text = format!("{BASE}{more}\n");
        let changes = between(&loaded(BASE).config, &loaded(&text).config);
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nothing_differs_from_itself() {
        assert!(with("").is_empty());
        let other = lines(&[(
            ":80;proto=tcp,127.0.0.1:81;proto=tcp",
            "127.0.0.1:81;proto=tcp,:80;proto=tcp",
        )]);
        assert!(other.is_empty(), "the order of a list is no difference: {other:?}");
    }

    #[test]
    fn each_impact() {
        let golden = [
            ("proxy.strategy=rr", "proxy.strategy: \"rnd\" -> \"rr\"; takes effect at once"),
            (
                "bgp.announce=always",
                "bgp.announce: \"ready\" -> \"always\"; changes what is announced; \
                 sessions stay up",
            ),
            (
                "bgp.nexthop=10.0.0.3",
                "bgp.nexthop: \"\" -> \"10.0.0.3\"; changes what is announced; sessions stay up",
            ),
            (
                "bgp.asn=65002",
                "bgp.asn: \"65001\" -> \"65002\"; resets the BGP sessions it concerns",
            ),
            (
                "bgp.listenport=1179",
                "bgp.listenport: \"179\" -> \"1179\"; rebinds the listeners it concerns",
            ),
        ];
        for (more, line) in golden {
            assert_eq!(with(more), [line], "{more}");
        }
    }

    #[test]
    fn listeners_are_known_by_their_address() {
        assert_eq!(
            lines(&[("127.0.0.1:81;proto=tcp", "127.0.0.1:81;proto=tcp;rt=3s,:82;proto=tcp")]),
            [
                "proxy.addr :82 | Added | Rebind",
                "proxy.addr 127.0.0.1:81 rt | Changed { old: \"0s\", new: \"3s\" } | Live",
            ]
        );
        assert_eq!(
            lines(&[(",127.0.0.1:81;proto=tcp", "")]),
            ["proxy.addr 127.0.0.1:81 | Removed | Rebind"]
        );
        // The same address, and another socket.
        let lines = lines(&[(":80;proto=tcp,", "[::]:80;proto=tcp,")]);
        let expected = "Changed { old: \":80\", new: \"[::]:80\" } | Rebind";
        assert_eq!(lines, [format!("proxy.addr [::]:80 | {expected}")]);
    }

    /// Datagrams that are on their way would be lost.
    #[test]
    fn listeners_for_datagrams_need_a_restart() {
        let (old, new) = (":80;proto=tcp,", ":80;proto=tcp,:53;proto=udp;it=9s,");
        assert_eq!(lines(&[(old, new)]), ["proxy.addr :53 | Added | Restart"]);
        let (old, new) = (loaded(&BASE.replace(old, new)).config, loaded(BASE).config);
        let removed = between(&old, &new);
        let [change] = removed.as_slice() else { panic!("one change, not {removed:?}") };
        assert_eq!((&change.kind, change.impact), (&ChangeKind::Removed, Impact::Restart));
        let kept = in_force(&old, &new);
        assert!(kept.proxy.listeners.iter().any(ListenerConfig::takes_datagrams));
        assert!(between(&kept, &in_force(&kept, &new)).is_empty());
    }

    #[test]
    fn prefixes_and_families() {
        assert_eq!(
            lines(&[(
                "192.0.2.1/32,192.0.2.2/32;med=1",
                "192.0.2.2/32;med=2;peers=tor1,192.0.2.3/32"
            )]),
            [
                "bgp.anycastaddresses 192.0.2.1/32 | Removed | Announce",
                "bgp.anycastaddresses 192.0.2.3/32 | Added | Announce",
                "bgp.anycastaddresses 192.0.2.2/32 med | Changed { old: \"1\", new: \"2\" } \
                 | Announce",
                "bgp.anycastaddresses 192.0.2.2/32 peers | Changed { old: \"\", new: \"tor1\" } \
                 | Announce",
            ]
        );
        let family = lines(&[("192.0.2.1/32,", "192.0.2.1/32,2001:db8::1/128,")]);
        assert_eq!(
            family,
            [
                "bgp.anycastaddresses 2001:db8::1/128 | Added | Announce",
                "bgp.anycastaddresses address families \
                 | Changed { old: \"ipv4\", new: \"ipv4, ipv6\" } \
                 | SessionReset",
            ]
        );
    }

    #[test]
    fn neighbours_are_known_by_where_they_are_and_secrets_stay_secret() {
        assert_eq!(
            lines(&[
                (
                    "name=tor1;address=10.0.0.1;asn=65000",
                    "address=10.0.0.1;asn=65009;med=3;bfd=true"
                ),
                ("prefix=10.1.0.0/16", "address=10.0.0.9;asn=65000,prefix=10.1.0.0/16;limit=7"),
            ]),
            [
                "bgp.peers 10.0.0.9 | Added | SessionReset",
                "bgp.peers 10.0.0.1 name | Changed { old: \"tor1\", new: \"10.0.0.1\" } | Announce",
                "bgp.peers 10.0.0.1 asn | Changed { old: \"65000\", new: \"65009\" } \
                 | SessionReset",
                "bgp.peers 10.0.0.1 bfd | Changed { old: \"false\", new: \"true\" } | Live",
                "bgp.peers 10.0.0.1 bfdinterval | Changed { old: \"\", new: \"300ms\" } | Live",
                "bgp.peers 10.0.0.1 bfdmultiplier | Changed { old: \"\", new: \"3\" } | Live",
                "bgp.peers 10.0.0.1 med | Changed { old: \"\", new: \"3\" } | Announce",
                "bgp.peers 10.1.0.0/16 limit | Changed { old: \"100\", new: \"7\" } | Live",
            ]
        );
        let one = |password: &str| format!("address=10.0.0.1;password={password};asn=65000");
        let secret = lines(&[("address=10.0.0.1;asn=65000", &one("s3cret"))]);
        let expected = "Changed { old: \"\", new: \"***\" } | SessionReset";
        assert_eq!(secret, [format!("bgp.peers tor1 password | {expected}")]);
        let [old, new] = ["s3cret", "s4cret"]
            .map(|p| loaded(&BASE.replace("address=10.0.0.1;asn=65000", &one(p))).config);
        let changes = between(&old, &new);
        assert_eq!(changes.len(), 1, "{changes:?}");
        assert!(!changes[0].to_string().contains("cret"), "{changes:?}");
    }

    #[test]
    fn routes_are_compared_by_their_lines() {
        let first = "route add a :80 tcp://10.0.0.9:1";
        assert_eq!(
            lines(&[(first, "route add a :80 tcp://10.0.0.9:3")]),
            [
                "registry.static.routes route add a :80 tcp://10.0.0.9:1 | Removed | Live",
                "registry.static.routes route add a :80 tcp://10.0.0.9:3 | Added | Live",
            ]
        );
        let second = "route add a :80 tcp://10.0.0.9:2";
        let both = (format!("{first}\\n{second}"), format!("{second}\\n{first}"));
        assert_eq!(
            lines(&[(&both.0, &both.1)]),
            ["registry.static.routes order of lines | \
              Changed { old: \"as it was\", new: \"another\" } | Live"]
        );
    }

    #[test]
    fn another_backend_is_live() {
        let file = format!("{BASE}registry.backend=file\nregistry.file.path=/etc/routes\n");
        let changes = between(&loaded(BASE).config, &loaded(&file).config);
        let places: Vec<String> = changes.iter().map(Change::place).collect();
        assert_eq!(
            places,
            [
                "registry.backend",
                "registry.file.path",
                "registry.file.pollinterval",
                "registry.static.routes route add a :80 tcp://10.0.0.9:1",
                "registry.static.routes route add a :80 tcp://10.0.0.9:2",
            ]
        );
        assert!(changes.iter().all(|change| change.impact == Impact::Live), "{changes:?}");
    }

    #[test]
    fn the_access_log_stays_until_a_restart() {
        let (old, new) =
            (loaded(BASE).config, loaded(&format!("{BASE}log.access.target=stdout")).config);
        let changes = between(&old, &new);
        assert_eq!(changes.len(), 1, "{changes:?}");
        assert_eq!(changes[0].impact, Impact::Restart);
        assert_eq!(in_force(&old, &new).log, old.log);
    }

    #[test]
    fn where_announcements_are_remembered_and_added_stays_until_a_restart() {
        let text = format!("{BASE}bgp.announce.statefile=/var/lib/burgee\nbgp.vip=lo\n");
        let (old, new) = (loaded(BASE).config, loaded(&text).config);
        let changes = between(&old, &new);
        let places: Vec<String> = changes.iter().map(Change::place).collect();
        assert_eq!(places, ["bgp.vip", "bgp.announce.statefile"]);
        assert!(changes.iter().all(|change| change.impact == Impact::Restart), "{changes:?}");
        assert_eq!(in_force(&old, &new), old);
    }

    #[test]
    fn what_prefixes_depend_on_changes_announcements() {
        let (old, new) = (
            "192.0.2.1/32,",
            "192.0.2.1/32;service=web api;require=any;minhealthy=50%;shutdownbelow=3;\
             depreferbelow=4;whenempty=keep;depreferprepend=1;depreferlocalpref=2;deprefermed=3;\
             deprefercommunities=65000:1 65000:2,",
        );
        let changed = |option: &str, old: &str, new: &str| {
            format!(
                "bgp.anycastaddresses 192.0.2.1/32 {option} | Changed {{ old: {old:?}, new: \
                 {new:?} }} | Announce"
            )
        };
        assert_eq!(
            lines(&[(old, new)]),
            [
                changed("service", "", "web api"),
                changed("require", "all", "any"),
                changed("minhealthy", "1", "50%"),
                changed("shutdownbelow", "", "3"),
                changed("depreferbelow", "", "4"),
                changed("whenempty", "withdraw", "keep"),
                changed("depreferprepend", "3", "1"),
                changed("depreferlocalpref", "50", "2"),
                changed("deprefermed", "", "3"),
                changed("deprefercommunities", "", "65000:1 65000:2"),
            ]
        );
    }

    #[cfg(feature = "http")]
    #[test]
    fn the_api_is_rebound_and_its_password_is_not_told() {
        let text = |addr: &str, password: &str| {
            let own = format!("ui.addr={addr}\nui.username=ops\nui.password={password}\n");
            loaded(&format!("{BASE}{own}")).config
        };
        let old = text("127.0.0.1:1", "s3cret");
        let told = |new: &Config| -> Vec<String> {
            between(&old, new).iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            told(&text("127.0.0.1:1", "s4cret")),
            ["ui.password: \"***\" -> \"***\"; takes effect at once"]
        );
        assert_eq!(
            told(&text(":2", "s3cret")),
            ["ui.addr: \"127.0.0.1:1\" -> \":2\"; rebinds the listeners it concerns"]
        );
        // The default is the same wherever it is written.
        let written = format!("{BASE}ui.addr=127.0.0.1:9998\n");
        assert_eq!(between(&loaded(BASE).config, &loaded(&written).config), []);
    }

    #[test]
    fn options_of_listeners_that_hold_from_the_next_connection_on() {
        let (old, new) = (
            "127.0.0.1:81;proto=tcp",
            "127.0.0.1:81;proto=tcp;connections=5;pxyproto=true;pxytrusted=10.0.0.0/8",
        );
        assert_eq!(
            lines(&[(old, new)]),
            [
                "proxy.addr 127.0.0.1:81 connections | Changed { old: \"0\", new: \"5\" } | Live",
                "proxy.addr 127.0.0.1:81 pxyproto | Changed { old: \"false\", new: \"true\" } \
                 | Live",
                "proxy.addr 127.0.0.1:81 pxytimeout | Changed { old: \"\", new: \"250ms\" } \
                 | Live",
                "proxy.addr 127.0.0.1:81 pxytrusted \
                 | Changed { old: \"\", new: \"10.0.0.0/8\" } | Live",
            ]
        );
        let (old, new) = (
            "proxy.addr=:80;proto=tcp,127.0.0.1:81;proto=tcp",
            "proxy.addr=:80;proto=tcp+sni,127.0.0.1:81;proto=tcp",
        );
        assert_eq!(
            lines(&[(old, new)]),
            ["proxy.addr :80 | Removed | Rebind", "proxy.addr :80 | Added | Rebind"]
        );
    }

    /// With BGP off, the rest of it is not even read.
    #[test]
    fn what_needs_a_restart_takes_what_depends_on_it_along() {
        let off = BASE.replace("bgp.enabled=true", "bgp.enabled=false");
        let (old, new) = (loaded(BASE).config, loaded(&off).config);
        for (old, new) in [(&old, &new), (&new, &old)] {
            let changes = between(old, new);
            let waiting: Vec<&Change> =
                changes.iter().filter(|change| change.impact == Impact::Restart).collect();
            assert_eq!(waiting.len(), 1, "{changes:?}");
            assert_eq!(waiting[0].key, "bgp.enabled");
            assert!(changes.iter().all(|c| c.key == "bgp.enabled" || !c.key.starts_with("bgp.")));
            let running = in_force(old, new);
            assert_eq!(running.bgp, old.bgp);
            assert!(between(&running, &in_force(&running, new)).is_empty());
        }
    }

    /// What needs a restart is to be left as it is by [`in_force`]: whoever adds
    /// such a key has to think of it there.
    #[test]
    fn five_keys_need_a_restart() {
        let keys = fields::keys(&loaded(BASE).config);
        let restart = |key: &str| spec(key).is_some_and(|spec| spec.impact == Impact::Restart);
        let names: Vec<&str> =
            keys.iter().map(|(key, _)| *key).filter(|key| restart(key)).collect();
        assert_eq!(
            names,
            [
                "log.access.target",
                "log.access.format",
                "bgp.enabled",
                "bgp.vip",
                "bgp.announce.statefile"
            ]
        );
    }

    /// Keys that act only through the items of others.
    const THROUGH_OTHERS: [&str; 6] = [
        "proxy.readtimeout",
        "proxy.writetimeout",
        "bgp.holdtime",
        "bgp.keepalive",
        "bgp.templates",
        "ui.passwordfile",
    ];

    #[test]
    fn fields_and_table_are_the_same_keys_and_options() {
        let listeners = "proxy.addr=:53;proto=udp,:443;proto=tcp+sni,";
        let config = loaded(&BASE.replace("proxy.addr=", listeners)).config;
        let mut named: BTreeSet<&str> = fields::keys(&config).iter().map(|(key, _)| *key).collect();
        named.extend(THROUGH_OTHERS);
        named.insert("registry.static.routes");
        for (key, items) in fields::lists(&config) {
            named.insert(key);
            let found = spec(key).unwrap();
            let options: BTreeSet<&str> =
                items.iter().flat_map(|item| &item.fields).map(|(option, _)| *option).collect();
            // What makes the item the same, what stands for another option, and
            // what makes no difference.
            let others = [
                "",
                "addr",
                "address",
                "prefix",
                "template",
                "multihop",
                "passwordfile",
                "refresh",
            ];
            let supported = found.pairs.iter().filter(|pair| pair.support == Support::Supported);
            for pair in supported {
                let known = options.contains(pair.key) || others.contains(&pair.key);
                assert!(known, "{key} {}", pair.key);
            }
            for option in options {
                assert!(found.impact_of(option).is_some(), "{key} {option}");
            }
        }
        let supported = options::all().filter(|spec| spec.support == Support::Supported);
        let known: BTreeSet<&str> = supported.map(|spec| spec.key).collect();
        assert_eq!(named, known);
    }
}
