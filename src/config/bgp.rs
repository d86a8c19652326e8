//! `bgp.*`: the values of the keys.
//!
//! What is wrong with one value alone is an error whether BGP is on or not.
//! What is missing, and what does not go together, is one only when it is on;
//! see [`super::bgp_rules`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::load::ReadFile;
use super::peers::{self, Timers};
use super::reader::Reader;
use super::report::quoted;
use super::settings::Setting;
use super::{
    AnnouncePolicy, BgpConfig, PeerConfig, announcing, anycast, bgp_rules, duration, peer_remote,
    values,
};

/// The port of BGP (RFC 4271 §8.2.1).
pub(super) const PORT: u16 = 179;

/// AS_TRANS, which stands for AS numbers beyond 16 bits and is nobody's
/// (RFC 6793 §9).
const AS_TRANS: u32 = 23456;

/// The nine rules of fabio, which reports the first one that is broken and
/// stops. Their texts are kept, for those who look for them.
#[derive(Default)]
pub(super) struct FabioRules {
    broken: bool,
}

impl FabioRules {
    pub(super) fn broken(&mut self, reader: &mut Reader<'_>, setting: &Setting, text: &str) {
        if !self.broken {
            reader.fail(setting, &format!("BGP configuration invalid: {text}"));
        }
        self.broken = true;
    }
}

/// Reads all keys of `bgp.*`.
pub(super) fn read(reader: &mut Reader<'_>, read_file: ReadFile<'_>) -> BgpConfig {
    let mut rules = FabioRules::default();
    let enabled = reader.boolean("bgp.enabled");
    let own_asn = reader.parse("bgp.asn", own_asn);
    let mut anycast_addresses = anycast::read(reader, &mut rules);
    let timers = timers(reader);
    let asn = own_asn.unwrap_or_default();
    let (peers, all_peers) = peers::read(reader, &timers, asn, &mut rules, read_file);
    anycast::resolve(&mut anycast_addresses, &peers);
    if enabled {
        required(reader, &mut rules);
    }
    let router_id = router_id(reader, &mut rules);
    let next_hop = next_hop(reader, &mut rules);
    let announce = reader.parse("bgp.announce", |text| match text {
        "ready" => Ok(AnnouncePolicy::Ready),
        "always" => Ok(AnnouncePolicy::Always),
        _ => Err("expected ready or always".to_string()),
    });
    let bgp = BgpConfig {
        enabled,
        asn,
        router_id: router_id.unwrap_or(Ipv4Addr::UNSPECIFIED),
        next_hop,
        // Something after an error, so that nothing is said to be missing.
        next_hop6: reader.parse("bgp.nexthop6", next_hop6).unwrap_or(Some(Ipv6Addr::LOCALHOST)),
        anycast_addresses,
        announce: announce.unwrap_or(AnnouncePolicy::Ready),
        announcing: announcing::read(reader),
        maintenance_file: announcing::file(reader, "bgp.maintenancefile"),
        graceful_shutdown: announcing::graceful_shutdown(reader),
        vip: reader.parse("bgp.vip", interface).flatten(),
        listen_port: reader.parse("bgp.listenport", listen_port).unwrap_or(Some(PORT)),
        listen_addresses: listen_addresses(reader, &peers),
        connect_retry: reader.duration_from("bgp.connectretry", Duration::from_millis(100)),
        peers,
    };
    bgp_rules::check(&bgp, all_peers, reader);
    bgp
}

/// fabio's rules 5 to 7.
fn required(reader: &mut Reader<'_>, rules: &mut FabioRules) {
    let texts = [
        ("bgp.anycastaddresses", "you must specify at least one anycast address to advertise"),
        ("bgp.peers", "you must specify at least one peer to advertise routes to"),
        ("bgp.routerid", "you must specify the routerID of this host, i.e. a non anycast address"),
    ];
    for (key, text) in texts {
        let Some(setting) = reader.setting(key) else { continue };
        if setting.value.trim_matches([' ', ',', ';']).is_empty() {
            rules.broken(reader, setting, text);
        }
    }
}

fn own_asn(text: &str) -> Result<u32, String> {
    const EXPECTED: &str = "expected an AS number from 1 to 4294967295";
    let asn = u32::try_from(values::integer(text)?).map_err(|_| EXPECTED.to_string())?;
    check_asn(asn)
}

/// Refuses the AS numbers that nobody can have.
pub(super) fn check_asn(asn: u32) -> Result<u32, String> {
    match asn {
        // RFC 7607 §2
        0 => Err("expected an AS number from 1 to 4294967295".to_string()),
        AS_TRANS => {
            Err("23456 stands for AS numbers of 32 bits (RFC 6793); write the real one".to_string())
        }
        asn => Ok(asn),
    }
}

/// fabio's rule 8. Only 32 bits fit into an OPEN, so that an IPv6 address is
/// none for us, and 0 is none for RFC 6286 §2.1.
fn router_id(reader: &mut Reader<'_>, rules: &mut FabioRules) -> Option<Ipv4Addr> {
    let setting = reader.setting("bgp.routerid")?;
    let text = setting.value.as_str();
    if text.is_empty() {
        return None;
    }
    match text.parse::<Ipv4Addr>() {
        Ok(id) if !id.is_unspecified() => Some(id),
        _ => {
            let what = format!(
                "router ID {text} is not a valid ID: expected an IPv4 address, not 0.0.0.0"
            );
            rules.broken(reader, setting, &what);
            None
        }
    }
}

/// fabio's rule 9.
fn next_hop(reader: &mut Reader<'_>, rules: &mut FabioRules) -> Option<Ipv4Addr> {
    let setting = reader.setting("bgp.nexthop")?;
    let text = setting.value.as_str();
    if text.is_empty() {
        return None;
    }
    match text.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) if is_host(address.into()) => Some(address),
        Ok(IpAddr::V4(_)) => {
            reader.fail(setting, "expected the address of a host");
            None
        }
        Ok(IpAddr::V6(_)) => {
            reader.fail(setting, "expected an IPv4 address; an IPv6 one belongs in bgp.nexthop6");
            None
        }
        Err(_) => {
            rules.broken(reader, setting, &format!("invalid NextHop: {text}"));
            None
        }
    }
}

/// `None` stands for the local address of each session.
fn next_hop6(text: &str) -> Result<Option<Ipv6Addr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let expected = |what: &str| Err(format!("expected a global IPv6 address{what}"));
    let Ok(address) = text.parse::<Ipv6Addr>() else {
        return match text.parse::<Ipv4Addr>() {
            Ok(_) => expected("; an IPv4 one belongs in bgp.nexthop"),
            Err(_) => expected(""),
        };
    };
    if address.is_unspecified() {
        return Ok(None);
    }
    if address.to_ipv4_mapped().is_some() {
        return expected(", and not an IPv4 address in the form of one");
    }
    if address.is_unicast_link_local() {
        return expected(", and not a link-local one");
    }
    match is_host(address.into()) {
        true => Ok(Some(address)),
        false => expected(" of a host"),
    }
}

/// Whether one host can have the address (0.0.0.0 has its own meaning where
/// this is asked).
pub(super) fn is_host(address: IpAddr) -> bool {
    address != IpAddr::V4(Ipv4Addr::BROADCAST) && !address.is_multicast()
}

/// `None`: no address is added to any.
fn interface(text: &str) -> Result<Option<String>, String> {
    match text {
        "" => Ok(None),
        name if peer_remote::is_interface(name) => Ok(Some(name.to_owned())),
        _ => Err(format!(
            "expected the name of an interface, of at most {} octets and without / and blanks",
            peer_remote::LONGEST_INTERFACE
        )),
    }
}

fn listen_port(text: &str) -> Result<Option<u16>, String> {
    let expected = "expected a port, 0 for 179, or -1 for no listener";
    match values::integer(text)? {
        -1 => Ok(None),
        0 => Ok(Some(PORT)),
        port => u16::try_from(port).map(Some).map_err(|_| expected.to_string()),
    }
}

fn listen_addresses(reader: &mut Reader<'_>, peers: &[PeerConfig]) -> Vec<IpAddr> {
    let Some(setting) = reader.setting("bgp.listenaddresses") else { return Vec::new() };
    let (any4, any6) = (Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into());
    if !setting.is_set() {
        let ipv6 = peers.iter().any(|peer| !peer.remote.is_ipv4());
        return if ipv6 { vec![any4, any6] } else { vec![any4] };
    }
    let texts = values::list(&setting.value);
    if texts.is_empty() {
        return vec![any4, any6];
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    for text in texts {
        let Ok(address) = text.parse::<IpAddr>().map(|address| address.to_canonical()) else {
            reader.fail(setting, &format!("{} is not an IP address", quoted(text)));
            continue;
        };
        if matches!(address, IpAddr::V6(address) if address.is_unicast_link_local()) {
            let what = format!("{address} is on one link only; write ::, which takes it in");
            reader.fail(setting, &what);
        }
        let same = |other: &&IpAddr| {
            **other == address
                || (other.is_ipv4() == address.is_ipv4()
                    && (other.is_unspecified() || address.is_unspecified()))
        };
        if let Some(other) = addresses.iter().find(same) {
            reader.fail(setting, &format!("{address} and {other} take the same connections"));
        }
        addresses.push(address);
    }
    addresses
}

fn timers(reader: &mut Reader<'_>) -> Timers {
    let hold_time = reader.parse("bgp.holdtime", hold_time);
    let keepalive = reader.parse("bgp.keepalive", keepalive).flatten();
    let (Some(hold_time), Some(interval)) = (hold_time, keepalive) else {
        return Timers { hold_time: hold_time.unwrap_or_default(), keepalive };
    };
    if let Some(setting) = reader.setting("bgp.keepalive") {
        match check_timers(hold_time, interval) {
            TimerCheck::Fine => {}
            TimerCheck::NoKeepalives => {
                reader.warn(setting, "no KEEPALIVE is sent while bgp.holdtime is 0");
            }
            TimerCheck::TooSlow => {
                let hold_time = duration::print(hold_time);
                let what = format!("expected less than bgp.holdtime, which is {hold_time}");
                reader.fail(setting, &what);
            }
        }
    }
    Timers { hold_time, keepalive }
}

/// Whether the two timers go together.
pub(super) enum TimerCheck {
    Fine,
    /// RFC 4271 §4.4: with a hold time of zero no KEEPALIVE is sent.
    NoKeepalives,
    /// The session would be lost before the next KEEPALIVE.
    TooSlow,
}

pub(super) fn check_timers(hold_time: Duration, keepalive: Duration) -> TimerCheck {
    if hold_time.is_zero() {
        TimerCheck::NoKeepalives
    } else if keepalive >= hold_time {
        TimerCheck::TooSlow
    } else {
        TimerCheck::Fine
    }
}

/// The hold time has 16 bits for whole seconds, and 1 and 2 are refused
/// (RFC 4271 §4.2).
pub(super) fn hold_time(text: &str) -> Result<Duration, String> {
    let value = duration::parse(text)?;
    let whole = value.subsec_nanos() == 0;
    if whole && matches!(value.as_secs(), 0 | 3..=65535) {
        return Ok(value);
    }
    Err("expected 0, or whole seconds from 3s to 65535s".to_string())
}

/// `None`, written 0, stands for a third of the negotiated hold time. More
/// than one KEEPALIVE a second is not allowed (RFC 4271 §4.4).
pub(super) fn keepalive(text: &str) -> Result<Option<Duration>, String> {
    let value = duration::parse(text)?;
    if value.is_zero() {
        return Ok(None);
    }
    if value >= Duration::from_secs(1) {
        return Ok(Some(value));
    }
    Err("expected 0 for a third of the hold time, or at least 1s".to_string())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{errors, load_file, loaded};
    use super::*;

    /// A valid configuration and a line that changes it.
    fn with(line: &str) -> String {
        format!(
            "proxy.addr=:80;proto=tcp\nbgp.enabled=true\nbgp.routerid=198.51.100.1\n\
             bgp.anycastaddresses=192.0.2.53/32\nbgp.peers=address=198.51.100.2;asn=65001\n{line}"
        )
    }

    fn bgp(line: &str) -> BgpConfig {
        let loaded = loaded(&with(line));
        loaded.config.bgp
    }

    fn errors_with(line: &str) -> Vec<String> {
        errors(&with(line))
    }

    #[test]
    fn defaults() {
        let bgp = bgp("");
        assert_eq!(
            (bgp.asn, bgp.router_id.to_string().as_str(), bgp.next_hop, bgp.next_hop6),
            (65000, "198.51.100.1", None, None)
        );
        assert_eq!(bgp.announce, AnnouncePolicy::Ready);
        assert_eq!(bgp.listen_port, Some(179));
        assert_eq!(bgp.listen_addresses, ["0.0.0.0".parse::<IpAddr>().unwrap()]);
        assert_eq!(bgp.connect_retry, Duration::from_secs(3));
        assert_eq!(bgp.peers[0].hold_time, Duration::from_secs(90));
        assert_eq!(bgp.peers[0].keepalive, None);
        let off = loaded("").config.bgp;
        assert!(!off.enabled && off.peers.is_empty() && off.router_id.is_unspecified());
    }

    #[test]
    fn as_numbers() {
        assert_eq!(bgp("bgp.asn=4294967295").asn, u32::MAX);
        let expected = "expected an AS number from 1 to 4294967295";
        for bad in ["0", "-1", "4294967296"] {
            assert_eq!(
                errors_with(&format!("bgp.asn={bad}")),
                [format!("f:6: bgp.asn = \"{bad}\": {expected}")]
            );
        }
        assert_eq!(
            errors_with("bgp.asn=23456"),
            ["f:6: bgp.asn = \"23456\": 23456 stands for AS numbers of 32 bits (RFC 6793); write \
              the real one"]
        );
    }

    #[test]
    fn fabio_rules_in_their_order_and_only_the_first() {
        let steps = [
            (
                "bgp.anycastaddresses=192.0.2.1,x\n",
                "f:2: bgp.anycastaddresses = \"192.0.2.1,x\": BGP configuration invalid: could not \
                 parse cidr for anycast address 192.0.2.1: write 192.0.2.1/32",
            ),
            (
                "bgp.anycastaddresses=\nbgp.peers=address=router.example;asn=1\n",
                "f:3: bgp.peers: BGP configuration invalid: peer address router.example is not a \
                 valid IP",
            ),
            (
                "bgp.anycastaddresses=\nbgp.peers=\n",
                "f:2: bgp.anycastaddresses = \"\": BGP configuration invalid: you must specify at \
                 least one anycast address to advertise",
            ),
            (
                "bgp.anycastaddresses=192.0.2.1/32\n",
                "bgp.peers: BGP configuration invalid: you must specify at least one peer to \
                 advertise routes to",
            ),
            (
                "bgp.anycastaddresses=192.0.2.1/32\nbgp.peers=address=198.51.100.2;asn=1\n\
                 bgp.nexthop=x\n",
                "bgp.routerid: BGP configuration invalid: you must specify the routerID of this \
                 host, i.e. a non anycast address",
            ),
            (
                "bgp.anycastaddresses=192.0.2.1/32\nbgp.peers=address=198.51.100.2;asn=1\n\
                 bgp.routerid=2001:db8::1\nbgp.nexthop=x\n",
                "f:4: bgp.routerid = \"2001:db8::1\": BGP configuration invalid: router ID \
                 2001:db8::1 is not a valid ID: expected an IPv4 address, not 0.0.0.0",
            ),
            (
                "bgp.anycastaddresses=192.0.2.1/32\nbgp.peers=address=198.51.100.2;asn=1\n\
                 bgp.routerid=198.51.100.1\nbgp.nexthop=x\n",
                "f:5: bgp.nexthop = \"x\": BGP configuration invalid: invalid NextHop: x",
            ),
        ];
        for (text, error) in steps {
            assert_eq!(errors(&format!("bgp.enabled=true\n{text}")), [error], "{text}");
        }
    }

    #[test]
    fn without_bgp_nothing_is_required_but_values_are_read() {
        assert_eq!(errors("bgp.peers=address=192.0.2.1;asn=1"), Vec::<String>::new());
        assert_eq!(errors("bgp.routerid=x").len(), 1);
    }

    #[test]
    fn prefixes() {
        let prefixes = bgp("bgp.anycastaddresses=192.0.2.0/24, 203.0.113.7/32").anycast_addresses;
        let prefixes: Vec<String> = prefixes.iter().map(|one| one.prefix.to_string()).collect();
        assert_eq!(prefixes, ["192.0.2.0/24", "203.0.113.7/32"]);
        assert_eq!(
            errors_with("bgp.anycastaddresses=192.0.2.5/24"),
            ["f:6: bgp.anycastaddresses = \"192.0.2.5/24\": 192.0.2.5/24 has bits set beyond its \
              length; write 192.0.2.0/24"]
        );
        let loaded = load_file(&with("bgp.anycastaddresses=192.0.2.1/32,192.0.2.1/32")).unwrap();
        assert_eq!(loaded.config.bgp.anycast_addresses.len(), 1);
        assert!(loaded.warnings.contains(
            &"f:6: bgp.anycastaddresses = \"192.0.2.1/32,192.0.2.1/32\": 192.0.2.1/32 is there \
              twice"
                .to_string()
        ));
    }

    #[test]
    fn next_hops() {
        assert_eq!(bgp("bgp.nexthop=0.0.0.0").next_hop, Some(Ipv4Addr::UNSPECIFIED));
        assert_eq!(bgp("bgp.nexthop=::ffff:198.51.100.9").next_hop, "198.51.100.9".parse().ok());
        assert_eq!(bgp("bgp.nexthop6=2001:db8::9").next_hop6, "2001:db8::9".parse().ok());
        for text in ["", "::"] {
            assert_eq!(bgp(&format!("bgp.nexthop6={text}")).next_hop6, None);
        }
        let golden = [
            ("bgp.nexthop", "2001:db8::1", "an IPv4 address; an IPv6 one belongs in bgp.nexthop6"),
            ("bgp.nexthop", "224.0.0.1", "the address of a host"),
            ("bgp.nexthop", "255.255.255.255", "the address of a host"),
            ("bgp.nexthop6", "x", "a global IPv6 address"),
            (
                "bgp.nexthop6",
                "192.0.2.1",
                "a global IPv6 address; an IPv4 one belongs in bgp.nexthop",
            ),
            (
                "bgp.nexthop6",
                "::ffff:192.0.2.1",
                "a global IPv6 address, and not an IPv4 address in the form of one",
            ),
            ("bgp.nexthop6", "fe80::1", "a global IPv6 address, and not a link-local one"),
            ("bgp.nexthop6", "ff02::1", "a global IPv6 address of a host"),
        ];
        for (key, value, expected) in golden {
            assert_eq!(
                errors_with(&format!("{key}={value}")),
                [format!("f:6: {key} = \"{value}\": expected {expected}")]
            );
        }
    }

    #[test]
    fn listeners() {
        for (text, port) in [("-1", None), ("0", Some(179)), ("1179", Some(1179))] {
            assert_eq!(bgp(&format!("bgp.listenport={text}")).listen_port, port);
        }
        for bad in ["-2", "65536", "x"] {
            assert_eq!(errors_with(&format!("bgp.listenport={bad}")).len(), 1, "{bad}");
        }
        let addresses = |line: &str| {
            let addresses = bgp(line).listen_addresses;
            addresses.iter().map(IpAddr::to_string).collect::<Vec<String>>().join(" ")
        };
        assert_eq!(addresses("bgp.listenaddresses="), "0.0.0.0 ::");
        assert_eq!(addresses("bgp.listenaddresses=198.51.100.1, ::"), "198.51.100.1 ::");
        assert_eq!(
            addresses("bgp.peers=address=2001:db8::2;asn=1\nbgp.nexthop=198.51.100.1"),
            "0.0.0.0 ::"
        );
        assert_eq!(
            errors_with("bgp.listenaddresses=localhost,0.0.0.0,192.0.2.9"),
            [
                "f:6: bgp.listenaddresses = \"localhost,0.0.0.0,192.0.2.9\": \"localhost\" is not \
                 an IP address",
                "f:6: bgp.listenaddresses = \"localhost,0.0.0.0,192.0.2.9\": 192.0.2.9 and 0.0.0.0 \
                 take the same connections",
            ]
        );
    }

    #[test]
    fn hold_times_and_keepalives() {
        for (text, seconds) in [("0", 0), ("3s", 3), ("1m30s", 90), ("65535s", 65535)] {
            assert_eq!(hold_time(text), Ok(Duration::from_secs(seconds)));
        }
        for bad in ["1s", "2s", "3.5s", "65536s", "90"] {
            assert!(hold_time(bad).is_err(), "{bad}");
        }
        assert_eq!(keepalive("0"), Ok(None));
        assert_eq!(keepalive("1s"), Ok(Some(Duration::from_secs(1))));
        assert!(keepalive("999ms").is_err());
        let peer = &bgp("bgp.holdtime=9s\nbgp.keepalive=2s").peers[0];
        assert_eq!(peer.hold_time, Duration::from_secs(9));
        assert_eq!(peer.keepalive, Some(Duration::from_secs(2)));
        assert_eq!(
            errors_with("bgp.holdtime=9s\nbgp.keepalive=9s"),
            ["f:7: bgp.keepalive = \"9s\": expected less than bgp.holdtime, which is 9s"]
        );
        let loaded = load_file(&with("bgp.holdtime=0\nbgp.keepalive=9s")).unwrap();
        assert_eq!(
            loaded.warnings,
            ["f:7: bgp.keepalive = \"9s\": no KEEPALIVE is sent while bgp.holdtime is 0"]
        );
    }

    #[test]
    fn the_interface_of_the_addresses() {
        assert_eq!(bgp("").vip, None);
        assert_eq!(bgp("bgp.vip=lo").vip.as_deref(), Some("lo"));
        assert_eq!(bgp("bgp.vip=abcdefghijklmno").vip.as_deref(), Some("abcdefghijklmno"));
        let expected = "expected the name of an interface, of at most 15 octets and without / and \
                        blanks";
        for bad in ["abcdefghijklmnop", "a/b", "a b", ".", "..", "eth0:1"] {
            assert_eq!(
                errors_with(&format!("bgp.vip={bad}")),
                [format!("f:6: bgp.vip = \"{bad}\": {expected}")]
            );
        }
        let networks = with("bgp.vip=lo").replace("192.0.2.53/32", "192.0.2.0/24");
        assert_eq!(
            loaded(&networks).warnings,
            [
                "f:6: bgp.vip = \"lo\": no address is added, as no prefix of bgp.anycastaddresses is \
              a /32 or a /128"
            ]
        );
        let one = networks.replace("192.0.2.0/24", "192.0.2.0/24,2001:db8::53/128");
        let one = format!("{one}\nbgp.nexthop6=2001:db8::1");
        assert_eq!(loaded(&one).warnings, Vec::<String>::new());
    }
}
