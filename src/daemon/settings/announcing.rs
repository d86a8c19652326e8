//! What is announced and what that depends on, as the announcer and the speaker
//! want it.

use std::net::IpAddr;

use ipnet::IpNet;

use super::next_hop;
use crate::announce::{self, Level, Minimum, Policy, Require, Rule, WhenEmpty, WhenStale, drain};
use crate::bgp::message::attribute::community;
use crate::bgp::rib::originated::{Deprefer, Path};
use crate::config::{
    AnnouncePolicy, AnycastConfig, BgpConfig, Config, RequireConfig, ShareConfig, WhenEmptyConfig,
};

/// On what each prefix depends, in the order of the configuration.
pub(in crate::daemon) fn rules(config: &BgpConfig) -> Vec<Rule> {
    config.anycast_addresses.iter().map(rule).collect()
}

fn rule(anycast: &AnycastConfig) -> Rule {
    Rule {
        prefix: anycast.prefix,
        services: anycast.services.iter().map(|service| service.as_str().into()).collect(),
        require: match anycast.require {
            RequireConfig::All => Require::All,
            RequireConfig::Any => Require::Any,
        },
        minimum: minimum(anycast.min_healthy),
        shutdown_below: anycast.shutdown_below.map(minimum),
        deprefer_below: anycast.deprefer_below.map(minimum),
        when_empty: match anycast.when_empty {
            WhenEmptyConfig::Withdraw => WhenEmpty::Withdraw,
            WhenEmptyConfig::Keep => WhenEmpty::Keep,
            WhenEmptyConfig::Deprefer => WhenEmpty::Deprefer,
        },
    }
}

fn minimum(share: ShareConfig) -> Minimum {
    match share {
        ShareConfig::Count(count) => Minimum::Count(count),
        ShareConfig::Percent(percent) => Minimum::Percent(percent),
    }
}

/// What holds for all prefixes.
pub(in crate::daemon) fn announcing(config: &Config) -> announce::Settings {
    let own = &config.bgp.announcing;
    announce::Settings {
        policy: match config.bgp.announce {
            AnnouncePolicy::Ready => Policy::Ready,
            AnnouncePolicy::Always => Policy::Always,
        },
        hold_up: own.hold_up,
        half_life: own.flap_half_life,
        suppress: own.flap_suppress,
        reuse: own.flap_reuse,
        max_suppress: own.flap_max,
        graceful_shutdown: config.bgp.graceful_shutdown,
        when_stale: match config.registry.withdraw_when_stale {
            true => WhenStale::Withdraw,
            false => WhenStale::Deprefer,
        },
    }
}

/// How long the steps of a planned stop may take.
pub(in crate::daemon) fn drain_limits(config: &Config) -> drain::Limits {
    drain::Limits {
        graceful_shutdown: config.bgp.graceful_shutdown,
        grace: config.proxy.deregister_grace_period,
        finish: config.proxy.shutdown_wait,
    }
}

/// The addresses of the prefixes that are one address each: those that can be
/// on an interface.
pub(in crate::daemon) fn hosts(config: &BgpConfig) -> impl Iterator<Item = IpAddr> {
    let prefixes = config.anycast_addresses.iter().map(|anycast| anycast.prefix);
    prefixes.filter(|prefix| prefix.prefix_len() == prefix.max_prefix_len()).map(|it| it.addr())
}

/// The path of one of the prefixes, as it is announced at this level.
pub(in crate::daemon) fn path(config: &BgpConfig, prefix: IpNet, level: Level) -> Path {
    let found = config.anycast_addresses.iter().find(|anycast| anycast.prefix == prefix);
    let Some(AnycastConfig { attributes, peers, deprefer, .. }) = found else {
        return Path::default();
    };
    let default = Path::default();
    // RFC 8326 §4: LOCAL_PREF 0 goes along with the community, unless another
    // one is asked for.
    let is_leaving = attributes.communities.contains(&community::GRACEFUL_SHUTDOWN);
    Path {
        med: attributes.med,
        local_pref: attributes.local_pref.unwrap_or(default.local_pref),
        prepend: attributes.prepend,
        communities: attributes.communities.clone(),
        large_communities: attributes.large_communities.clone(),
        extended_communities: attributes.extended_communities.clone(),
        next_hop: attributes.next_hop.map(next_hop),
        graceful_shutdown: level == Level::GracefulShutdown
            || is_leaving && attributes.local_pref.is_none(),
        deprefer: (level == Level::Depreferred).then(|| Deprefer {
            prepend: deprefer.prepend,
            local_pref: deprefer.local_pref,
            med: deprefer.med,
            communities: deprefer.communities.clone(),
        }),
        audience: (!peers.is_empty()).then(|| peers.iter().cloned().collect()),
        origin: default.origin,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ATTRIBUTES, bgp};
    use super::*;
    use crate::bgp::rib::originated::NextHop;

    #[test]
    fn what_a_prefix_says_is_in_its_path() {
        let prefixes = format!("192.0.2.10/32;{ATTRIBUTES};peers=tor1, 2001:db8::10/128");
        let config = bgp(&prefixes, "name=tor1;address=198.51.100.2;asn=1");
        let path = |text: &str| super::path(&config, text.parse().expect("a prefix"), Level::Full);
        let expected = Path {
            med: Some(10),
            local_pref: 200,
            prepend: 3,
            communities: vec![0xfde8_0001],
            large_communities: vec![[1, 2, 3]],
            extended_communities: vec![[1, 2, 3, 4, 5, 6, 7, 8]],
            next_hop: Some(NextHop::Address("198.51.100.9".parse().expect("an address"))),
            audience: Some(["tor1".to_owned()].into()),
            ..Path::default()
        };
        assert_eq!(path("192.0.2.10/32"), expected);
        assert_eq!(path("2001:db8::10/128"), Path::default());
    }

    #[test]
    fn a_prefix_with_graceful_shutdown_is_one_unless_its_localpref_is_set() {
        let shutdown = |options: &str| {
            let config = bgp(&format!("192.0.2.10/32;{options}"), "address=198.51.100.2;asn=1");
            let path =
                super::path(&config, "192.0.2.10/32".parse().expect("a prefix"), Level::Full);
            (path.graceful_shutdown, path.local_pref)
        };
        assert_eq!(shutdown("communities=65000:1 graceful-shutdown"), (true, 100));
        assert_eq!(shutdown("communities=graceful-shutdown;localpref=50"), (false, 50));
        assert_eq!(shutdown("communities=65000:1"), (false, 100));
    }

    #[test]
    fn each_level_has_its_own_path() {
        let options = "med=7;deprefermed=9;depreferprepend=2;depreferlocalpref=30";
        let config = bgp(&format!("192.0.2.10/32;{options}"), "address=198.51.100.2;asn=1");
        let prefix = "192.0.2.10/32".parse().expect("a prefix");
        let full = super::path(&config, prefix, Level::Full);
        assert_eq!((full.med, full.graceful_shutdown, &full.deprefer), (Some(7), false, &None));
        let depreferred = super::path(&config, prefix, Level::Depreferred);
        let communities = Vec::new();
        let deprefer = Deprefer { prepend: 2, local_pref: 30, med: Some(9), communities };
        assert_eq!(depreferred, Path { deprefer: Some(deprefer), ..full.clone() });
        let leaving = super::path(&config, prefix, Level::GracefulShutdown);
        assert_eq!(leaving, Path { graceful_shutdown: true, ..full });
    }

    #[test]
    fn what_a_prefix_depends_on_is_its_rule() {
        let options = "service=web dns;require=any;minhealthy=2;shutdownbelow=50%;\
                       depreferbelow=80%;whenempty=keep";
        let config = bgp(
            &format!("192.0.2.10/32;{options}, 2001:db8::10/128"),
            "address=198.51.100.2;asn=1",
        );
        let expected = Rule {
            prefix: "192.0.2.10/32".parse().expect("a prefix"),
            services: vec!["web".into(), "dns".into()],
            require: Require::Any,
            minimum: Minimum::Count(2),
            shutdown_below: Some(Minimum::Percent(50)),
            deprefer_below: Some(Minimum::Percent(80)),
            when_empty: WhenEmpty::Keep,
        };
        let usual = Rule::new("2001:db8::10/128".parse().expect("a prefix"));
        assert_eq!(rules(&config), [expected, usual]);
        assert_eq!(hosts(&config).count(), 2);
    }
}
