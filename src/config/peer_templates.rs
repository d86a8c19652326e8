//! `bgp.templates`: options that several entries of `bgp.peers` share.
//!
//! An entry takes the options of its template as if it had them itself, unless
//! it does. What is wrong with the value of an option is reported once, where
//! that is written; whether all options are there and go together is judged of
//! each entry.

use super::kv_list::Map;
use super::load::ReadFile;
use super::nearest;
use super::peer_remote;
use super::peers::{self, Timers};
use super::reader::{Item, Reader};
use super::report::Report;

/// Its key.
const KEY: &str = "bgp.templates";

/// What says who a neighbour is, and so belongs to one alone.
const ONLY_PEERS: [&str; 3] = ["address", "prefix", "template"];

/// All templates.
pub(super) struct Templates {
    all: Vec<Template>,
    /// Whether one is missing in the list after an error.
    incomplete: bool,
}

struct Template {
    name: String,
    /// Its options, but for the name and what only neighbours have.
    options: Map,
}

impl Templates {
    /// Reads all templates and reports what is wrong with them.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        timers: &Timers,
        read_file: ReadFile<'_>,
    ) -> Templates {
        let mut templates = Templates { all: Vec::new(), incomplete: false };
        let Some((setting, maps)) = reader.maps(KEY) else {
            templates.incomplete = true;
            return templates;
        };
        templates.incomplete = setting.broken;
        for (number, map) in (1_usize..).zip(&maps) {
            let mut item = Item::new(setting, format!("template {number}"), map);
            item.is_partial = true;
            let name = templates.name(&mut item, reader.report);
            templates.incomplete |= name.is_none();
            item.check_keys(reader.report);
            for key in ONLY_PEERS.iter().filter(|key| map.get(key).is_some()) {
                item.fail(reader.report, &format!("a template has no {key}; its peers have"));
            }
            peers::options(&item, reader.report, timers, read_file);
            peer_remote::check_limit(&item, reader.report);
            let mut options = map.clone();
            let own = |key: &str| key == "name" || ONLY_PEERS.contains(&key);
            options.pairs.retain(|pair| !own(&pair.key));
            let new = name.filter(|name| templates.find(name).is_none());
            templates.all.extend(new.map(|name| Template { name, options }));
        }
        templates
    }

    fn name(&self, item: &mut Item<'_>, report: &mut Report) -> Option<String> {
        let Some(name) = item.get("name") else {
            item.fail(report, "it has no name; write name= and what peers call it");
            return None;
        };
        item.name = format!("template {name}");
        if let Err(what) = peer_remote::check_name(name) {
            item.fail_value(report, "name", name, &what);
        } else if self.find(name).is_some() {
            item.fail(report, "two templates have this name");
        }
        Some(name.to_string())
    }

    fn find(&self, name: &str) -> Option<&Template> {
        self.all.iter().find(|template| template.name == name)
    }

    /// The options that an entry of `bgp.peers` takes from its template.
    pub(super) fn base(&self, map: &Map) -> Option<&Map> {
        Some(&self.find(map.get("template")?)?.options)
    }

    /// Reports a template that is not there.
    pub(super) fn check(&self, item: &mut Item<'_>, report: &mut Report) {
        let name = item.map.get("template").filter(|name| !name.is_empty());
        let Some(name) = name.filter(|name| self.find(name).is_none()) else { return };
        item.is_partial = true;
        if self.incomplete {
            return;
        }
        let known = self.all.iter().map(|template| template.name.as_str());
        let hint = match nearest::nearest(name, known) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("expected a name that a template has in {KEY}"),
        };
        item.fail_value(report, "template", name, &format!("there is no such template; {hint}"));
    }

    /// Warns of templates that no entry of `bgp.peers` takes.
    pub(super) fn warn_of_unused(&self, peers: &[Map], reader: &mut Reader<'_>) {
        for Template { name, .. } in &self.all {
            if !peers.iter().any(|peer| peer.get("template") == Some(name)) {
                reader.warn_at(KEY, &format!("template {name}"), "no peer uses it");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::{errors, load_file, loaded};
    use super::super::{PeerConfig, RemoteConfig, Secret};

    fn text(templates: &str, peers: &str) -> String {
        format!("bgp.templates={templates}\nbgp.peers={peers}")
    }

    fn peers(templates: &str, peers: &str) -> Vec<PeerConfig> {
        loaded(&text(templates, peers)).config.bgp.peers
    }

    fn broken(templates: &str, peers: &str) -> Vec<String> {
        errors(&text(templates, peers))
    }

    #[test]
    fn what_a_neighbour_sets_itself_goes_before_its_template() {
        let found = peers(
            "name=tor;asn=65000;holdtime=9s;bfd=true;med=5;communities=1:1;password=secret;limit=7",
            "address=192.0.2.1;template=tor,\
             name=two;address=192.0.2.2;template=tor;asn=65002;holdtime=30s;bfd=false;med=;\
             communities=2:2;password=,\
             prefix=10.1.0.0/16;template=tor,address=192.0.2.4;asn=4",
        );
        let [one, two, three, four] = &found[..] else { panic!("{found:?}") };
        assert_eq!((one.name.as_str(), one.asn), ("192.0.2.1", 65000));
        assert_eq!(one.hold_time, Duration::from_secs(9));
        assert!(one.bfd.is_some());
        assert_eq!(
            (one.attributes.med, &one.attributes.communities[..]),
            (Some(5), &[0x1_0001][..])
        );
        assert_eq!(one.password, Some(Secret::new("secret".into())));
        assert_eq!((two.name.as_str(), two.asn, two.bfd), ("two", 65002, None));
        assert_eq!(two.hold_time, Duration::from_secs(30));
        assert_eq!((two.attributes.med, &two.attributes.communities[..]), (None, &[0x2_0002][..]));
        assert_eq!(two.password, None);
        assert_eq!(three.asn, 65000);
        assert!(matches!(three.remote, RemoteConfig::Prefix { limit: 7, .. }));
        assert_eq!((four.asn, four.hold_time, four.bfd), (4, Duration::from_secs(90), None));
    }

    #[test]
    fn one_way_to_a_password_goes_before_the_other() {
        let password = |template: &str, peer: &str| {
            let template = format!("name=tor;asn=1;{template}");
            let peer = format!("address=192.0.2.1;template=tor;{peer}");
            peers(&template, &peer)[0].password.clone().map(|p| p.expose().to_string())
        };
        assert_eq!(password("passwordfile=key", "").as_deref(), Some("KEY"));
        assert_eq!(password("passwordfile=key", "password=own").as_deref(), Some("own"));
        assert_eq!(password("password=theirs", "passwordfile=key").as_deref(), Some("KEY"));
        assert_eq!(password("passwordfile=key", "password="), None);
    }

    #[test]
    fn a_bad_value_is_reported_where_it_is_written() {
        let two = "address=192.0.2.1;template=tor,address=192.0.2.2;template=tor;holdtime=30s";
        let long = "x".repeat(81);
        let golden = [
            ("holdtime=1s", "holdtime = \"1s\": expected 0, or whole seconds from 3s to 65535s"),
            ("asn=0", "asn = \"0\": expected an AS number from 1 to 4294967295"),
            ("limit=0", "limit = \"0\": expected a number from 1 to 1000"),
            ("communities=x", "communities = \"x\": expected"),
            ("source=eth0", "source = \"eth0\": expected an IP address of this host"),
            (&*format!("password={long}"), "the password has 81 bytes; TCP MD5 takes at most 80"),
            (
                "passwordfile=missing",
                "passwordfile = \"missing\": cannot be read: entity not found",
            ),
            (
                "passwordfile=a;password=b",
                "password and passwordfile do not go together; remove one",
            ),
            ("address=192.0.2.3", "a template has no address; its peers have"),
            ("prefix=10.1.0.0/16", "a template has no prefix; its peers have"),
            ("template=x", "a template has no template; its peers have"),
        ];
        for (option, what) in golden {
            let errors = broken(&format!("name=tor;asn=1;{option}"), two);
            assert_eq!(errors.len(), 1, "{option}: {errors:?}");
            let begin = format!("f:1: bgp.templates: template tor: {what}");
            assert!(errors[0].starts_with(&begin), "{errors:?}");
        }
    }

    #[test]
    fn whether_options_go_together_is_asked_of_each_neighbour() {
        let two = "address=192.0.2.1;template=tor,address=192.0.2.2;template=tor;multihop=true";
        assert_eq!(
            broken("name=tor;ttlsecurity=1;bfdinterval=50ms", two),
            [
                "f:2: bgp.peers: peer 192.0.2.1: asn is missing; write asn= and the AS number of \
                 the neighbour",
                "f:2: bgp.peers: peer 192.0.2.2: asn is missing; write asn= and the AS number of \
                 the neighbour",
                "f:2: bgp.peers: peer 192.0.2.2: ttlsecurity and multihop do not go together; \
                 ttlsecurity=N is for a neighbour that is at most N hops away",
            ]
        );
        assert_eq!(
            broken("name=tor;asn=1;source=10.1.0.1;port=1179", "prefix=10.1.0.0/16;template=tor"),
            ["port", "source"].map(|option| format!(
                "f:2: bgp.peers: peer 10.1.0.0/16: {option} of its template is for a neighbour \
                 that is dialled, and those of a prefix are waited for; remove it"
            ))
        );
        assert_eq!(
            broken("name=tor;asn=1;source=10.1.0.1", "address=2001:db8::1;template=tor"),
            ["f:2: bgp.peers: peer 2001:db8::1: source = \"10.1.0.1\": expected an IPv6 address, \
              as the peer has one"]
        );
    }

    #[test]
    fn names_of_templates() {
        let one = "address=192.0.2.1;template=tro";
        assert_eq!(
            broken("name=tor;asn=1", one),
            ["f:2: bgp.peers: peer 192.0.2.1: template = \"tro\": there is no such template; did \
              you mean \"tor\"?"]
        );
        assert_eq!(
            broken("", one),
            ["f:2: bgp.peers: peer 192.0.2.1: template = \"tro\": there is no such template; \
              expected a name that a template has in bgp.templates"]
        );
        assert_eq!(
            broken("asn=1", one),
            ["f:1: bgp.templates: template 1: it has no name; write name= and what peers call it"]
        );
        assert_eq!(
            broken("name=tro;asn=1,name=tro;asn=2", one),
            ["f:1: bgp.templates: template tro: two templates have this name"]
        );
        assert_eq!(
            broken("name=t r o", one)[0],
            "f:1: bgp.templates: template t r o: name = \"t r o\": expected at most 64 letters, \
             digits and . _ - : / @"
        );
        let unused = load_file(&text("name=tor;asn=1,name=spine", &format!("{one};template=tor")));
        assert_eq!(
            unused.unwrap().warnings[..2],
            [
                "f:1: bgp.templates: template spine: no peer uses it",
                "f:2: bgp.peers: peer 192.0.2.1: option \"template\" is there twice; the last one \
                 counts",
            ]
        );
    }

    #[test]
    fn a_password_is_in_no_message() {
        for options in [
            "password=s3cret;x",
            "password=s3cret;passwordfile=y",
            "password=a,s3cret",
            "password=\"s3cret",
            "password=${s3cret}",
        ] {
            let text = text(&format!("name=tor;{options}"), "address=192.0.2.1;template=tor");
            let (errors, warnings, printed) = match load_file(&text) {
                Ok(loaded) => (Vec::new(), loaded.warnings, loaded.effective.to_string()),
                Err(error) => (error.errors, error.warnings, String::new()),
            };
            assert!(!errors.is_empty() || !warnings.is_empty(), "{options}");
            for message in errors.iter().chain(&warnings).chain([&printed]) {
                assert!(!message.contains("s3cret"), "{options}: {message}");
            }
        }
        let fine =
            loaded(&text("name=tor;asn=1;password=s3cret", "address=192.0.2.1;template=tor"));
        let printed = fine.effective.to_string();
        assert!(printed.contains("name=tor;asn=1;password=***"), "{printed}");
    }
}
