//! `bgp.peers`: the neighbours, and the options that each can have.

use std::time::Duration;

use super::bgp::{self, FabioRules, TimerCheck};
use super::load::ReadFile;
use super::peer_templates::Templates;
use super::reader::{Item, Reader};
use super::report::Report;
use super::{
    AttributeConfig, BfdConfig, PeerConfig, RemoteConfig, Secret, attributes, capabilities,
    duration, peer_remote, values,
};

/// The longest key of TCP MD5 in Linux (TCP_MD5SIG_MAXKEYLEN).
const LONGEST_PASSWORD: usize = 80;

/// BFD's defaults, which are those of most routers.
const BFD_INTERVAL: Duration = Duration::from_millis(300);
const BFD_MULTIPLIER: u8 = 3;

/// The timers of neighbours that do not set their own.
pub(super) struct Timers {
    pub(super) hold_time: Duration,
    pub(super) keepalive: Option<Duration>,
}

/// Reads all neighbours. Those with an error may be missing in the result,
/// which also says whether none is.
pub(super) fn read(
    reader: &mut Reader<'_>,
    timers: &Timers,
    own_asn: u32,
    rules: &mut FabioRules,
    read_file: ReadFile<'_>,
) -> (Vec<PeerConfig>, bool) {
    let templates = Templates::read(reader, timers, read_file);
    let Some((setting, maps)) = reader.maps("bgp.peers") else { return (Vec::new(), false) };
    let mut peers: Vec<PeerConfig> = Vec::new();
    for (number, map) in (1_usize..).zip(&maps) {
        let mut item = Item::new(setting, format!("peer {number}"), map);
        item.base = templates.base(map);
        let remote = peer_remote::read(&item, reader, rules);
        if let Some(remote) = &remote {
            item.name = format!("peer {remote}");
        }
        templates.check(&mut item, reader.report);
        item.check_keys(reader.report);
        let rest = options(&item, reader.report, timers, read_file);
        let (Some(remote), Some(mut peer)) = (remote, rest) else { continue };
        let Some(name) = peer_remote::name(&item, &remote, reader.report) else { continue };
        peer.remote = remote;
        peer.name = name;
        peer_remote::check(&item, &mut peer, reader.report);
        capabilities::check_role(&item, reader.report, own_asn, peer.asn);
        peer_remote::check_twice(&item, &peer, &peers, reader.report);
        peers.push(peer);
    }
    peer_remote::check_names(&peers, reader);
    templates.warn_of_unused(&maps, reader);
    let all = peers.len() == maps.len();
    (peers, all)
}

/// Everything but who it is and its name, which the caller puts in.
pub(super) fn options(
    item: &Item<'_>,
    report: &mut Report,
    timers: &Timers,
    read_file: ReadFile<'_>,
) -> Option<PeerConfig> {
    let port = item.number(report, "port", 0..=u32::from(u16::MAX)).unwrap_or(0);
    // As in Go, a port of 0 is one that is not there.
    let port = u16::try_from(port).ok().filter(|port| *port != 0);
    let asn = asn(item, report);
    let multihop_ttl = multihop_ttl(item, report);
    let ttl_security_hops = item.parse(report, "ttlsecurity", ttl_security).flatten();
    if multihop_ttl.is_some() && ttl_security_hops.is_some() {
        item.fail_together(
            report,
            "ttlsecurity and multihop do not go together; ttlsecurity=N is for a neighbour that \
             is at most N hops away",
        );
    }
    let password = password(item, report, read_file);
    let passive = item.boolean(report, "passive");
    let (hold_time, keepalive) = peer_timers(item, report, timers);
    let attributes: AttributeConfig = attributes::read(item, report);
    Some(PeerConfig {
        name: String::new(),
        remote: RemoteConfig::Address {
            address: std::net::Ipv4Addr::UNSPECIFIED.into(),
            interface: None,
        },
        port: port.unwrap_or(bgp::PORT),
        port_given: port.is_some(),
        asn: asn?,
        multihop_ttl,
        ttl_security_hops,
        password,
        passive,
        source: peer_remote::source(item, report),
        bfd: bfd(item, report),
        hold_time,
        keepalive,
        attributes,
        advertisement_interval: item
            .parse(report, "advertisementinterval", duration::parse)
            .unwrap_or_default(),
        capabilities: capabilities::read(item, report),
        prefix_limit: capabilities::limit(item, report),
    })
}

fn bfd(item: &Item<'_>, report: &mut Report) -> Option<BfdConfig> {
    let on = item.boolean(report, "bfd");
    let interval = item.parse(report, "bfdinterval", bfd_interval);
    let multiplier = item.parse(report, "bfdmultiplier", |text| {
        let count = values::decimal(text).and_then(|count| u8::try_from(count).ok());
        count.filter(|count| *count > 0).ok_or("expected a number from 1 to 255".to_string())
    });
    if !on && (interval.is_some() || multiplier.is_some()) {
        item.warn_together(report, "bfdinterval and bfdmultiplier have no effect without bfd=true");
    }
    on.then(|| BfdConfig {
        interval: interval.unwrap_or(BFD_INTERVAL),
        multiplier: multiplier.unwrap_or(BFD_MULTIPLIER),
    })
}

fn bfd_interval(text: &str) -> Result<Duration, String> {
    let interval = duration::parse(text)?;
    match (Duration::from_millis(10)..=Duration::from_secs(60)).contains(&interval) {
        true => Ok(interval),
        false => Err("expected a duration from 10ms to 1m".to_string()),
    }
}

fn asn(item: &Item<'_>, report: &mut Report) -> Option<u32> {
    if item.get("asn").is_none() {
        item.fail_together(report, "asn is missing; write asn= and the AS number of the neighbour");
        return None;
    }
    item.parse(report, "asn", |text| {
        let asn = values::decimal(text).and_then(|asn| u32::try_from(asn).ok());
        // 0 is refused below with the same words as what is no number.
        bgp::check_asn(asn.unwrap_or(0))
    })
}

fn multihop_ttl(item: &Item<'_>, report: &mut Report) -> Option<u8> {
    let multihop = item.boolean(report, "multihop");
    let length = item.number(report, "multihoplength", 0..=u32::from(u8::MAX));
    if !multihop {
        if length.is_some() {
            item.warn_together(report, "multihoplength has no effect without multihop=true");
        }
        return None;
    }
    match length {
        None => Some(2),
        Some(0) => Some(u8::MAX),
        Some(length) => u8::try_from(length).ok(),
    }
}

fn ttl_security(text: &str) -> Result<Option<u8>, String> {
    if let Ok(on) = values::boolean(text) {
        return Ok(on.then_some(1));
    }
    let hops = values::decimal(text).and_then(|hops| u8::try_from(hops).ok());
    match hops {
        Some(hops @ 1..=254) => Ok(Some(hops)),
        _ => Err("expected true, false, or a number of hops from 1 to 254".to_string()),
    }
}

/// The password is in the configuration or in a file. Either way of an item
/// itself goes before both of its template.
fn password(item: &Item<'_>, report: &mut Report, read_file: ReadFile<'_>) -> Option<Secret> {
    let own = ["password", "passwordfile"].map(|key| item.has_own(key));
    let get = |key, other: bool| item.get(key).filter(|_| item.has_own(key) || !other);
    let (key, password) = match (get("password", own[1]), get("passwordfile", own[0])) {
        (None, None) => return None,
        (Some(_), Some(_)) => {
            let what = "password and passwordfile do not go together; remove one";
            item.fail_option(report, "password", what);
            return None;
        }
        (Some(password), None) => ("password", password.to_string()),
        (None, Some(path)) => match password_from_file(path, read_file) {
            Ok(password) => ("passwordfile", password),
            Err(what) => {
                item.fail_value(report, "passwordfile", path, &what);
                return None;
            }
        },
    };
    if password.len() > LONGEST_PASSWORD {
        let what = format!(
            "the password has {} bytes; TCP MD5 takes at most {LONGEST_PASSWORD}",
            password.len()
        );
        item.fail_option(report, key, &what);
        return None;
    }
    Some(Secret::new(password))
}

/// The content of a file with a password, without the newline at its end.
pub(super) fn password_from_file(path: &str, read_file: ReadFile<'_>) -> Result<String, String> {
    let bytes = read_file(path).map_err(|error| format!("cannot be read: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|_| "the file is not UTF-8".to_string())?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    match line {
        "" => Err("the file is empty".to_string()),
        line => Ok(line.to_string()),
    }
}

fn peer_timers(
    item: &Item<'_>,
    report: &mut Report,
    timers: &Timers,
) -> (Duration, Option<Duration>) {
    let own_hold_time = item.parse(report, "holdtime", bgp::hold_time);
    let own_keepalive = item.parse(report, "keepalive", bgp::keepalive);
    let hold_time = own_hold_time.unwrap_or(timers.hold_time);
    let keepalive = own_keepalive.unwrap_or(timers.keepalive);
    // What is wrong with the common ones is said once, and not here.
    if let Some(interval) = keepalive
        && (own_hold_time.is_some() || own_keepalive.is_some())
    {
        match bgp::check_timers(hold_time, interval) {
            TimerCheck::Fine => {}
            TimerCheck::NoKeepalives => {
                item.warn_together(report, "no KEEPALIVE is sent while the hold time is 0");
            }
            TimerCheck::TooSlow => {
                let what = format!(
                    "its keepalive of {} has to be less than its hold time of {}",
                    duration::print(interval),
                    duration::print(hold_time)
                );
                item.fail_together(report, &what);
            }
        }
    }
    (hold_time, keepalive)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{errors, errors_of, load_file, loaded, one, peers};
    use super::*;

    #[test]
    fn defaults_and_every_option() {
        let plain = PeerConfig {
            name: "192.0.2.1".into(),
            remote: RemoteConfig::Address {
                address: "192.0.2.1".parse().unwrap(),
                interface: None,
            },
            port: 179,
            port_given: false,
            asn: 65001,
            multihop_ttl: None,
            ttl_security_hops: None,
            password: None,
            passive: false,
            source: None,
            bfd: None,
            hold_time: Duration::from_secs(90),
            keepalive: None,
            attributes: AttributeConfig::default(),
            capabilities: super::super::CapabilityConfig::default(),
            prefix_limit: None,
            advertisement_interval: Duration::ZERO,
        };
        assert_eq!(one(""), plain);
        let all = one("port=1179;multihop=true;multihoplength=5;password=\"a;b\";passive=true;\
                       source=192.0.2.9;holdtime=30s;keepalive=7s;name=tor1;med=5");
        assert_eq!(
            all,
            PeerConfig {
                name: "tor1".into(),
                attributes: AttributeConfig { med: Some(5), ..AttributeConfig::default() },
                port: 1179,
                port_given: true,
                multihop_ttl: Some(5),
                password: Some(Secret::new("a;b".into())),
                passive: true,
                source: "192.0.2.9".parse().ok(),
                hold_time: Duration::from_secs(30),
                keepalive: Some(Duration::from_secs(7)),
                ..plain
            }
        );
    }

    #[test]
    fn single_options() {
        assert!(!one("port=0").port_given);
        assert!(one("port=179").port_given);
        assert_eq!(one("multihop=true").multihop_ttl, Some(2));
        assert_eq!(one("multihop=true;multihoplength=0").multihop_ttl, Some(255));
        assert_eq!(one("multihop=false;multihoplength=3").multihop_ttl, None);
        for (text, hops) in
            [("true", Some(1)), ("1", Some(1)), ("254", Some(254)), ("false", None), ("0", None)]
        {
            assert_eq!(one(&format!("ttlsecurity={text}")).ttl_security_hops, hops, "{text}");
        }
        assert_eq!(one("passwordfile=key").password, Some(Secret::new("KEY".into())));
        assert_eq!(one("passwordfile=a\\\\rb").password, Some(Secret::new("A\\RB".into())));
        assert_eq!(one("password=").password, None);
        assert!(one(&format!("password={}", "x".repeat(80))).password.is_some());
        assert_eq!(one("asn=4200000000").asn, 4_200_000_000);
        assert_eq!(peers("address=::ffff:192.0.2.1;asn=1")[0].remote.to_string(), "192.0.2.1");
    }

    #[test]
    fn bfd() {
        let with = |millis, multiplier| {
            Some(BfdConfig { interval: Duration::from_millis(millis), multiplier })
        };
        assert_eq!(one("bfd=true").bfd, with(300, 3));
        assert_eq!(one("bfd=true;bfdinterval=50ms;bfdmultiplier=5").bfd, with(50, 5));
        assert_eq!(one("bfd=false;bfdinterval=50ms").bfd, None);
        assert_eq!(
            errors_of("bfd=true;bfdinterval=1ms;bfdmultiplier=0"),
            [
                "bfdinterval = \"1ms\": expected a duration from 10ms to 1m",
                "bfdmultiplier = \"0\": expected a number from 1 to 255"
            ]
        );
    }

    #[test]
    fn passwords_from_files() {
        let read = |bytes: &'static [u8]| password_from_file("p", &|_| Ok(bytes.to_vec()));
        assert_eq!(read(b"key\n"), Ok("key".into()));
        assert_eq!(read(b"key\r\n"), Ok("key".into()));
        assert_eq!(read(b"key \n\n"), Ok("key \n".into()));
        assert_eq!(read(b"\n"), Err("the file is empty".into()));
        assert_eq!(read(b""), Err("the file is empty".into()));
        assert_eq!(read(b"\xff"), Err("the file is not UTF-8".into()));
    }

    #[test]
    fn bad_options() {
        let long = format!("password={}", "x".repeat(81));
        let timers = "its keepalive of 9s has to be less than its hold time of 9s";
        let asn = "expected an AS number from 1 to 4294967295";
        let golden = [
            ("port=65536", "port = \"65536\": expected a number from 0 to 65535"),
            ("multihop=yes", "multihop = \"yes\": expected true or false"),
            (
                "multihop=1;multihoplength=256",
                "multihoplength = \"256\": expected a number from 0 to 255",
            ),
            (
                "ttlsecurity=255",
                "ttlsecurity = \"255\": expected true, false, or a number of hops from 1 to 254",
            ),
            (
                "ttlsecurity=1;multihop=true",
                "ttlsecurity and multihop do not go together; ttlsecurity=N is for a neighbour \
                 that is at most N hops away",
            ),
            (&*long, "the password has 81 bytes; TCP MD5 takes at most 80"),
            (
                "password=a;passwordfile=b",
                "password and passwordfile do not go together; remove one",
            ),
            (
                "passwordfile=missing",
                "passwordfile = \"missing\": cannot be read: entity not found",
            ),
            ("source=::1", "source = \"::1\": expected an IPv4 address, as the peer has one"),
            ("source=eth0", "source = \"eth0\": expected an IP address of this host"),
            ("source=0.0.0.0", "source = \"0.0.0.0\": expected an IP address of this host"),
            ("holdtime=2s", "holdtime = \"2s\": expected 0, or whole seconds from 3s to 65535s"),
            ("holdtime=9s;keepalive=9s", timers),
            ("asn=0", &*format!("asn = \"0\": {asn}")),
            ("asn=4294967296", &*format!("asn = \"4294967296\": {asn}")),
            ("asn=AS1", &*format!("asn = \"AS1\": {asn}")),
            ("asn=", "asn is missing; write asn= and the AS number of the neighbour"),
        ]
        .map(|(options, error)| (options.to_string(), error.to_string()));
        for (options, error) in golden {
            assert_eq!(errors_of(&options), [error], "{options}");
        }
    }

    #[test]
    fn common_timers_are_not_complained_of_again() {
        let text = "bgp.keepalive=10s\nbgp.peers=address=192.0.2.1;asn=1;holdtime=9s,\
                    address=192.0.2.2;asn=1";
        assert_eq!(
            errors(text),
            ["f:2: bgp.peers: peer 192.0.2.1: its keepalive of 10s has to be less than its hold \
              time of 9s"]
        );
        let text = "bgp.holdtime=9s\nbgp.keepalive=10s\nbgp.peers=address=192.0.2.1;asn=1";
        assert_eq!(errors(text).len(), 1);
        let own = "bgp.keepalive=10s\nbgp.peers=address=192.0.2.1;asn=1;keepalive=0;holdtime=3s";
        assert_eq!(loaded(own).config.bgp.peers[0].keepalive, None);
    }

    #[test]
    fn a_password_is_in_no_message() {
        let secret = "s3cret";
        for options in [
            "password=s3cret;x",
            "password=s3cret;asn=",
            "password=a;s3cret=b",
            "password=a,s3cret",
            "password=\"s3cret",
            "asn=x;password=s3cret;passwordfile=y",
            "password=${s3cret",
            "password=${s3cret}",
        ] {
            let text = format!("bgp.enabled=true\nbgp.peers=address=192.0.2.1;asn=1;{options}");
            let (errors, warnings) = match load_file(&text) {
                Ok(loaded) => (Vec::new(), loaded.warnings),
                Err(error) => (error.errors, error.warnings),
            };
            assert!(!errors.is_empty() || !warnings.is_empty(), "{options}");
            for message in errors.iter().chain(&warnings) {
                assert!(!message.contains(secret), "{options}: {message}");
            }
        }
    }
}
