//! What a neighbour of `bgp.peers` is offered in our OPEN, and how much it may
//! announce.

use std::time::Duration;

use super::reader::Item;
use super::report::Report;
use super::{CapabilityConfig, PrefixLimitConfig, RoleConfig, duration};

/// How long routers keep our routes over a restart: longer than a restart
/// takes, and BIRD's and FRR's default.
const RESTART_TIME: Duration = Duration::from_secs(120);

/// The share of the limit from which on there is a warning, in percent.
const WARNING: u32 = 75;

/// How long a neighbour that announced too much is kept out: long enough that
/// it does not send its table in a circle, short enough to wait for.
const LIMIT_RESTART: Duration = Duration::from_secs(60);

/// Reads the options of one neighbour. `ibgp` says whether it is in our AS.
pub(super) fn read(item: &Item<'_>, report: &mut Report) -> CapabilityConfig {
    let (add_path_send, add_path_receive) =
        item.parse(report, "addpath", add_path).unwrap_or_default();
    CapabilityConfig {
        extended_next_hop: item.boolean(report, "extendednexthop"),
        add_path_send,
        add_path_receive,
        restart_time: restart_time(item, report),
        role: item.parse(report, "role", role),
        strict_role: strict_role(item, report),
        names: item.boolean(report, "fqdn"),
        software_version: item.boolean(report, "softwareversion"),
    }
}

/// `maxprefixes=` and its companions.
pub(super) fn limit(item: &Item<'_>, report: &mut Report) -> Option<PrefixLimitConfig> {
    let maximum = item.number(report, "maxprefixes", 1..=10_000_000);
    let warning = item.number(report, "maxprefixeswarning", 0..=100);
    let restart = item.parse(report, "maxprefixesrestart", duration::parse);
    let Some(maximum) = maximum else {
        if warning.is_some() || restart.is_some() {
            item.warn_together(
                report,
                "maxprefixeswarning and maxprefixesrestart have no effect without maxprefixes",
            );
        }
        return None;
    };
    let share = u64::from(maximum).saturating_mul(warning.unwrap_or(WARNING).into()) / 100;
    Some(PrefixLimitConfig {
        maximum,
        warning: u32::try_from(share).unwrap_or(maximum),
        restart: restart.unwrap_or(LIMIT_RESTART),
    })
}

fn add_path(text: &str) -> Result<(bool, bool), String> {
    match text {
        "none" => Ok((false, false)),
        "send" => Ok((true, false)),
        "receive" => Ok((false, true)),
        "both" => Ok((true, true)),
        _ => Err("expected none, send, receive or both".to_string()),
    }
}

fn restart_time(item: &Item<'_>, report: &mut Report) -> Option<Duration> {
    let on = item.boolean(report, "gracefulrestart");
    let time = item.parse(report, "restarttime", |text| {
        let time = duration::parse(text)?;
        // 12 bits of whole seconds (RFC 4724 §3).
        let whole = time.subsec_nanos() == 0;
        match whole && (1..=4095).contains(&time.as_secs()) {
            true => Ok(time),
            false => Err("expected whole seconds from 1s to 4095s".to_string()),
        }
    });
    if !on {
        if time.is_some() {
            item.warn_together(report, "restarttime has no effect without gracefulrestart=true");
        }
        return None;
    }
    let time = time.unwrap_or(RESTART_TIME);
    let what = format!(
        "with gracefulrestart=true a crash no longer withdraws: the neighbour goes on sending \
         traffic here for up to {}, whether anything serves it or not",
        duration::print(time)
    );
    item.warn_together(report, &what);
    Some(time)
}

fn role(text: &str) -> Result<RoleConfig, String> {
    match text {
        "provider" => Ok(RoleConfig::Provider),
        "rs" => Ok(RoleConfig::RouteServer),
        "rs-client" => Ok(RoleConfig::RouteServerClient),
        "customer" => Ok(RoleConfig::Customer),
        "peer" => Ok(RoleConfig::Peer),
        _ => Err("expected what we are to the neighbour: customer, provider, peer, rs or \
                  rs-client"
            .to_string()),
    }
}

fn strict_role(item: &Item<'_>, report: &mut Report) -> bool {
    let strict = item.boolean(report, "strictrole");
    if strict && item.get("role").is_none() {
        item.warn_together(report, "strictrole has no effect without role");
    }
    strict
}

/// A role has no meaning inside an AS (RFC 9234 §4.1).
pub(super) fn check_role(item: &Item<'_>, report: &mut Report, own_asn: u32, asn: u32) {
    if own_asn == asn && item.get("role").is_some() {
        item.warn_together(report, "role has no effect on an iBGP neighbour");
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{errors, loaded, warnings};
    use super::super::{CapabilityConfig, PeerConfig};
    use super::*;

    fn with(options: &str) -> String {
        format!(
            "bgp.enabled=true\nbgp.asn=65001\nbgp.routerid=10.0.0.2\n\
             bgp.anycastaddresses=192.0.2.1/32\nbgp.peers=address=10.0.0.1;asn=65000{options}\n\
             proxy.addr=:80;proto=tcp\nregistry.static.routes=route add a :80 tcp://10.0.0.9:1\n"
        )
    }

    fn peer(options: &str) -> PeerConfig {
        loaded(&with(options)).config.bgp.peers.remove(0)
    }

    #[test]
    fn nothing_is_offered_unless_it_is_asked_for() {
        let peer = peer("");
        assert_eq!(peer.capabilities, CapabilityConfig::default());
        assert_eq!(peer.prefix_limit, None);
    }

    #[test]
    fn everything_can_be_asked_for() {
        let peer = peer(
            ";extendednexthop=true;addpath=both;gracefulrestart=true;restarttime=30s;\
             role=customer;strictrole=true;fqdn=true;softwareversion=true;maxprefixes=1000;\
             maxprefixeswarning=90;maxprefixesrestart=5m",
        );
        let expected = CapabilityConfig {
            extended_next_hop: true,
            add_path_send: true,
            add_path_receive: true,
            restart_time: Some(Duration::from_secs(30)),
            role: Some(RoleConfig::Customer),
            strict_role: true,
            names: true,
            software_version: true,
        };
        assert_eq!(peer.capabilities, expected);
        let limit =
            PrefixLimitConfig { maximum: 1000, warning: 900, restart: Duration::from_secs(300) };
        assert_eq!(peer.prefix_limit, Some(limit));
    }

    #[test]
    fn graceful_restart_comes_with_a_warning() {
        let said = warnings(&with(";gracefulrestart=true"));
        assert!(said.iter().any(|w| w.contains("a crash no longer withdraws")), "{said:?}");
        assert!(warnings(&with("")).is_empty());
    }

    #[test]
    fn what_has_no_effect_is_said() {
        for (options, what) in [
            (";restarttime=30s", "restarttime has no effect"),
            (";strictrole=true", "strictrole has no effect"),
            (";maxprefixeswarning=10", "have no effect without maxprefixes"),
        ] {
            let said = warnings(&with(options));
            assert!(said.iter().any(|w| w.contains(what)), "{options}: {said:?}");
        }
        let ibgp = with(";role=peer").replace("asn=65000", "asn=65001");
        let said = warnings(&ibgp);
        assert!(said.iter().any(|w| w.contains("role has no effect on an iBGP")), "{said:?}");
    }

    #[test]
    fn bad_values_say_what_was_expected() {
        for (options, what) in [
            (";addpath=yes", "expected none, send, receive or both"),
            (";role=friend", "expected what we are to the neighbour"),
            (";gracefulrestart=true;restarttime=2h", "from 1s to 4095s"),
            (";maxprefixes=0", "from 1 to 10000000"),
        ] {
            let said = errors(&with(options));
            assert!(said.iter().any(|e| e.contains(what)), "{options}: {said:?}");
        }
    }
}
