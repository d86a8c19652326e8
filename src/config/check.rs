//! The configuration in force, as `burgee check` prints it.

use std::fmt;
use std::net::IpAddr;

use super::in_force::InForce;
use super::options::{self, Impact, Spec, Support};
use super::report::Source;
use super::settings::{Setting, Settings};
use super::{Config, duration, kv_list, properties, values};

/// What stands for a secret.
const MASK: &str = "***";

/// Every key that burgee acts on with its value and where that was set.
///
/// Its `Display` is a properties file that [`super::load`] reads back to the
/// same [`Config`], but for secrets, which are `***`.
#[derive(Clone, Debug)]
pub struct Effective {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    key: &'static str,
    value: String,
    source: Source,
    notes: Vec<String>,
}

impl Effective {
    /// `notes` are what is to be said of the values of keys.
    pub(super) fn new(
        settings: &Settings,
        config: &Config,
        notes: &[(&'static str, String)],
    ) -> Effective {
        let supported =
            settings.iter().filter(|setting| setting.spec.support == Support::Supported);
        let notes_of = |key: &str| {
            let own = notes.iter().filter(|(noted, _)| *noted == key);
            own.map(|(_, text)| text.clone()).collect()
        };
        let entry = |setting: &Setting| Entry {
            key: setting.spec.key,
            value: masked(setting.spec, &in_force(setting, config)),
            source: setting.source.clone(),
            notes: notes_of(setting.spec.key),
        };
        Effective { entries: supported.map(entry).collect() }
    }

    /// Each of these settings with its value, in the order of the table.
    pub fn values(&self) -> impl Iterator<Item = InForce> {
        self.values_within(usize::MAX)
    }

    /// The same, but a value that is longer than so many octets is no more than
    /// its beginning.
    pub fn values_within(&self, longest: usize) -> impl Iterator<Item = InForce> {
        self.entries.iter().filter_map(move |entry| {
            let spec = options::find(entry.key)?;
            let more = entry.value.len().saturating_sub(longest);
            Some(match more {
                0 => InForce::new(spec, &entry.value),
                _ => {
                    let end = entry.value.floor_char_boundary(longest);
                    let begin = entry.value.get(..end).unwrap_or_default();
                    InForce::cut(spec, format!("{begin}... and about {more} more octets"))
                }
            })
        })
    }

    /// These settings after a reload from `old`: what needs a restart is still as
    /// it was, as [`super::change::in_force`] has it.
    #[must_use]
    pub fn after_reload(mut self, old: &Effective) -> Effective {
        let waits = |key| options::find(key).is_some_and(|spec| spec.impact == Impact::Restart);
        let is_bgp_kept = self.enables_bgp() != old.enables_bgp();
        for entry in &mut self.entries {
            let Some(known) = old.entries.iter().find(|known| known.key == entry.key) else {
                continue;
            };
            if waits(entry.key) || (is_bgp_kept && entry.key.starts_with("bgp.")) {
                known.clone_into(entry);
            } else if entry.key == "proxy.addr" {
                entry.value = with_datagram_listeners_of(&known.value, &entry.value);
            }
        }
        self
    }

    fn enables_bgp(&self) -> bool {
        let entry = self.entries.iter().find(|entry| entry.key == "bgp.enabled");
        entry.is_some_and(|entry| values::boolean(&entry.value) == Ok(true))
    }

    /// A text about the value of a key, behind the place where that was set.
    pub fn with_place(&self, key: &str, text: &str) -> String {
        match self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.source) {
            Some(Source::Default) | None => text.to_owned(),
            Some(source) => format!("{source}: {text}"),
        }
    }
}

/// The value as it was written, or what an empty or missing one stands for
/// where other keys decide that.
fn in_force(setting: &Setting, config: &Config) -> String {
    match setting.spec.key {
        "proxy.deregistergraceperiod" if setting.value.is_empty() => {
            duration::print(config.proxy.deregister_grace_period)
        }
        "bgp.listenaddresses" if !setting.is_set() => {
            let addresses = config.bgp.listen_addresses.iter().map(IpAddr::to_string);
            addresses.collect::<Vec<String>>().join(",")
        }
        "health.fastinterval" if !setting.is_set() => duration::print(config.health.fast_interval),
        "ui.addr" if !setting.is_set() && config.ui.addr.is_none() => String::new(),
        "ui.socket" if !setting.is_set() && config.ui.socket.is_none() => String::new(),
        _ => setting.value.clone(),
    }
}

/// The listeners for connections of one list, and those for datagrams of
/// another.
fn with_datagram_listeners_of(old: &str, new: &str) -> String {
    let is_datagram = |map: &kv_list::Map| map.get("proto") == Some("udp");
    let (Ok(mut old), Ok(mut maps)) = (kv_list::parse(old), kv_list::parse(new)) else {
        return new.to_owned();
    };
    old.retain(is_datagram);
    if maps.iter().filter(|map| is_datagram(map)).eq(&old) {
        return new.to_owned();
    }
    maps.retain(|map| !is_datagram(map));
    maps.append(&mut old);
    kv_list::print(&maps)
}

/// Keys whose default is not the same as the same value that somebody set: who
/// sets where the API is counts on it.
const UNLIKE_SET: [&str; 2] = ["ui.addr", "ui.socket"];

fn masked(spec: &Spec, value: &str) -> String {
    if value.is_empty() || !spec.holds_secrets() {
        return value.to_string();
    }
    if spec.secret {
        return MASK.to_string();
    }
    let Ok(mut maps) = kv_list::parse(value) else { return MASK.to_string() };
    for pair in maps.iter_mut().flat_map(|map| &mut map.pairs) {
        // An unknown option may be the tail of a password with a separator in
        // it. It has no effect, so nothing is lost.
        let known = spec.pairs.iter().find(|known| known.key == pair.key);
        match known {
            Some(known) if !known.secret || pair.value.is_empty() => {}
            Some(_) => pair.value = MASK.to_string(),
            None => pair.key.clear(),
        }
    }
    for map in &mut maps {
        map.pairs.retain(|pair| !pair.key.is_empty());
    }
    maps.retain(|map| !map.pairs.is_empty());
    kv_list::print(&maps)
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# The configuration in force. Secrets are written as {MASK}.")?;
        let (defaults, set): (Vec<&Entry>, Vec<&Entry>) =
            self.entries.iter().partition(|entry| entry.source == Source::Default);
        for entry in set {
            writeln!(f, "\n# {}", entry.source)?;
            if entry.value.contains("${") {
                writeln!(f, "# The ${{ is meant as it stands; in a file it would be expanded.")?;
            }
            for note in &entry.notes {
                writeln!(f, "# {note}")?;
            }
            writeln!(f, "{}", properties::print(entry.key, &entry.value))?;
        }
        if !defaults.is_empty() {
            writeln!(f, "\n# defaults")?;
        }
        for entry in defaults {
            if UNLIKE_SET.contains(&entry.key) {
                f.write_str("# ")?;
            }
            writeln!(f, "{}", properties::print(entry.key, &entry.value))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{loaded, on_a_host};
    use super::super::{Value, options};
    use super::*;

    const FULL: &str = "proxy.addr=:80;proto=tcp, 192.0.2.1:443;proto=tcp;rt=3s\n\
        log.level=warn\nregistry.static.routes=route add a :80 tcp://192.0.2.1:1\\n\\n  # b \\n\n\
        bgp.enabled=true\nbgp.routerid=198.51.100.1\nbgp.anycastaddresses=192.0.2.53/32\n\
        bgp.peers=address=198.51.100.2;asn=65001;password=***,\
        address=2001:db8::2;asn=65002;password=\"***\"\n";

    #[test]
    fn printed_and_read_back_it_is_the_same() {
        for text in ["", "proxy.strategy=rr\nbgp.listenaddresses=", "health.interval=10ms", FULL] {
            let first = loaded(text);
            let printed = first.effective.to_string();
            let second = loaded(&printed);
            assert_eq!(first.config, second.config, "{printed}");
            assert_eq!(second.warnings, first.warnings, "{printed}");
        }
    }

    #[test]
    fn every_supported_key_is_printed_once() {
        let printed = loaded("").effective.to_string();
        for spec in options::all() {
            let lines = printed.lines().filter(|line| {
                let line = line.strip_prefix("# ").unwrap_or(line);
                line.strip_prefix(spec.key).is_some_and(|rest| rest.starts_with(" ="))
            });
            let expected = usize::from(spec.support == Support::Supported);
            assert_eq!(lines.count(), expected, "{}", spec.key);
        }
    }

    #[test]
    fn what_is_set_comes_first_with_its_source() {
        let printed =
            loaded("#\nproxy.strategy=rr\nlog.level=WARN\nui.title=x").effective.to_string();
        let golden = "# The configuration in force. Secrets are written as ***.\n\n\
                      # f:2\nproxy.strategy = rr\n\n# f:3\nlog.level = WARN\n\n# defaults\nconfig.watch = false\n\
                      proxy.addr =\nproxy.dialtimeout = 30s\n";
        assert_eq!(printed.get(..golden.len()), Some(golden));
    }

    /// An API at its default place is given up when that is taken, and one
    /// that somebody asked for is not.
    #[test]
    fn a_default_is_no_wish() {
        let first = loaded("");
        assert!(!first.config.ui.addr_is_set && !first.config.ui.socket_is_set);
        let printed = first.effective.to_string();
        let addr = first.config.ui.addr.map(|addr| format!(" {addr}")).unwrap_or_default();
        assert!(printed.contains(&format!("\n# ui.addr ={addr}\n")), "{printed}");
        assert!(loaded(&printed).config == first.config, "{printed}");
        let set = loaded("ui.addr=");
        assert!(set.config.ui.addr_is_set);
        let printed = set.effective.to_string();
        assert!(printed.contains("\nui.addr =\n"), "{printed}");
        assert!(loaded(&printed).config == set.config, "{printed}");
    }

    #[test]
    fn what_templates_became_is_printed() {
        let text = "proxy.addr={{ GetPrivateIP }}:80;proto=tcp,:81;proto=tcp";
        let printed = on_a_host(text).unwrap().effective.to_string();
        let golden = "\n# f:1\n# {{ GetPrivateIP }}:80 is 10.0.0.9:80\n\
                      proxy.addr = {{ GetPrivateIP }}:80;proto=tcp,:81;proto=tcp\n";
        assert!(printed.contains(golden), "{printed}");
    }

    #[test]
    fn what_other_keys_decide_is_printed_as_decided() {
        let off = loaded("").effective.to_string();
        assert!(off.contains("\nproxy.deregistergraceperiod = 0s\n"));
        assert!(off.contains("\nbgp.listenaddresses = 0.0.0.0\n"));
        let on = loaded(FULL).effective.to_string();
        assert!(on.contains("\nproxy.deregistergraceperiod = 2s\n"));
        assert!(on.contains("\nbgp.listenaddresses = 0.0.0.0,::\n"));
    }

    #[test]
    fn secrets_are_masked() {
        let peers = options::find("bgp.peers").unwrap();
        let golden = [
            (
                "address=192.0.2.1;password=s3cret;asn=1,address=192.0.2.2;password=\"a,b\"",
                "address=192.0.2.1;password=***;asn=1,address=192.0.2.2;password=***",
            ),
            ("password=;asn=1", "password=;asn=1"),
            ("password=s3;cret=1;asn=1,s3cret", "password=***;asn=1"),
            ("password=s3cret;x", "***"),
            ("", ""),
        ];
        for (value, printed) in golden {
            assert_eq!(masked(peers, value), printed, "{value}");
        }
        let token = options::find("registry.consul.token").unwrap();
        assert_eq!(masked(token, "s3cret"), "***");
    }

    #[test]
    fn long_values_are_told_as_far_as_may_be() {
        let settings = loaded(
            "registry.static.routes = # \u{e4}\u{e4}\u{e4}\u{e4}\nproxy.addr = :80;proto=tcp\n",
        );
        let told: Vec<InForce> = settings.effective.values_within(5).collect();
        let of = |key: &str| told.iter().find(|it| it.key == key).unwrap();
        let routes = "# \u{e4}... and about 5 more octets";
        assert_eq!(of("registry.static.routes").text, routes);
        assert_eq!(of("proxy.addr").value, Value::Text(":80;p... and about 8 more octets".into()));
        assert_eq!(of("bgp.asn").value, Value::Integer(65000), "long enough");
    }

    #[test]
    fn after_a_reload_what_needs_a_restart_is_as_it_was() {
        let old = loaded(
            "proxy.addr = :53;proto=udp;it=3s,:80;proto=tcp\nbgp.vip = lo\n\
             bgp.announce.holdup = 1s\n",
        );
        let new = loaded(
            "proxy.addr = :81;proto=tcp,:54;proto=udp\nbgp.vip = eth0\n\
             bgp.announce.holdup = 2s\nproxy.shutdownwait = 7s\n",
        );
        let now = new.effective.after_reload(&old.effective);
        let of = |key: &str| now.values().find(|it| it.key == key).map(|it| it.text).unwrap();
        assert_eq!(of("proxy.addr"), ":81;proto=tcp,:53;proto=udp;it=3s");
        assert_eq!(of("bgp.vip"), "lo");
        assert_eq!(of("bgp.announce.holdup"), "2s");
        assert_eq!(of("proxy.shutdownwait"), "7s");
        // BGP that is switched on waits for a restart as a whole.
        let on = loaded(
            "bgp.enabled = true\nbgp.routerid = 198.51.100.1\nbgp.announce.holdup = 3s\n\
             bgp.anycastaddresses = 192.0.2.1/32\nbgp.peers = address=198.51.100.2;asn=1\n",
        );
        let still = on.effective.after_reload(&now);
        let of = |key: &str| still.values().find(|it| it.key == key).map(|it| it.text).unwrap();
        assert_eq!((of("bgp.enabled"), of("bgp.peers")), ("false".into(), String::new()));
        assert_eq!(of("bgp.announce.holdup"), "2s");
        assert_eq!(of("proxy.shutdownwait"), "0s");
    }
}
