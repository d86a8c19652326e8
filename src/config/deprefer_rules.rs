//! Whether a prefix that is to be less preferred is so for each neighbour that
//! hears of it.

use super::announcement_rules::{hearers, prefix_name};
use super::reader::Reader;
use super::{
    AnnouncePolicy, AnycastConfig, AttributeConfig, Backend, BgpConfig, Config, DepreferConfig,
    PeerConfig, anycast, attributes, services,
};

/// LOCAL_PREF of a route of which nothing is said.
const LOCAL_PREF: u32 = 100;

/// Reports what has no effect.
pub(super) fn check(config: &Config, reader: &mut Reader<'_>) {
    let Config { bgp, registry, .. } = config;
    // With an AS number that was not read nothing is known of it.
    if !bgp.enabled || bgp.asn == 0 || bgp.announce == AnnouncePolicy::Always {
        return;
    }
    let is_file = matches!(registry.backend, Backend::File { .. });
    let by_registry = is_file && !registry.stale_after.is_zero() && !registry.withdraw_when_stale;
    for prefix in &bgp.anycast_addresses {
        if by_registry || services::deprefers(prefix) {
            check_prefix(bgp, prefix, reader);
        } else if prefix.deprefer != DepreferConfig::default() {
            let what = "what it says of being less preferred has no effect, as neither \
                        depreferbelow nor whenempty=deprefer is set";
            reader.warn_at(anycast::KEY, &prefix_name(prefix), what);
        }
    }
}

fn check_prefix(bgp: &BgpConfig, prefix: &AnycastConfig, reader: &mut Reader<'_>) {
    let DepreferConfig { prepend, local_pref, med, communities: _ } = &prefix.deprefer;
    let usual = DepreferConfig::default();
    let mut warn = |what: &str| reader.warn_at(anycast::KEY, &prefix_name(prefix), what);
    let (ibgp, ebgp): (Vec<&PeerConfig>, Vec<&PeerConfig>) =
        hearers(bgp, prefix).partition(|peer| peer.asn == bgp.asn);
    if *local_pref != usual.local_pref && ibgp.is_empty() && !ebgp.is_empty() {
        warn("depreferlocalpref has no effect, as every peer that hears of it is in another AS");
    }
    if *prepend != usual.prepend && ebgp.is_empty() && !ibgp.is_empty() {
        warn("depreferprepend has no effect, as every peer that hears of it is in our own AS");
    }
    let others = "and neither deprefermed nor deprefercommunities changes what it is sent";
    let (left, touched): (Vec<&PeerConfig>, Vec<&PeerConfig>) =
        ebgp.into_iter().partition(|peer| *prepend == 0 && !changes_more(prefix, peer));
    if let Some(names) = names(&left) {
        warn(&format!("deprefer changes nothing for {names}: depreferprepend is 0, {others}"));
    }
    let (low, high): (Vec<&PeerConfig>, Vec<&PeerConfig>) =
        ibgp.into_iter().partition(|peer| *local_pref >= sent_local_pref(prefix, peer));
    let (left, low): (Vec<&PeerConfig>, Vec<&PeerConfig>) =
        low.into_iter().partition(|peer| !changes_more(prefix, peer));
    if let Some(names) = names(&left) {
        let what = format!(
            "deprefer changes nothing for {names}: depreferlocalpref = {local_pref} is not below \
             the localpref that it is sent anyway, {others}"
        );
        warn(&what);
    }
    if let Some(names) = names(&low) {
        let what = format!(
            "depreferlocalpref = {local_pref} is not below the localpref that {names} is sent \
             anyway"
        );
        warn(&what);
    }
    let touched = touched.into_iter().chain(low).chain(high);
    let better: Vec<&PeerConfig> =
        touched.filter(|peer| med.is_some_and(|med| med <= sent_med(prefix, peer))).collect();
    if let (Some(med), Some(names)) = (med, names(&better)) {
        warn(&format!("deprefermed = {med} is no worse than the med that {names} is sent anyway"));
    }
}

/// Whether MED or communities make a difference to what a neighbour is sent.
fn changes_more(prefix: &AnycastConfig, peer: &PeerConfig) -> bool {
    let DepreferConfig { prepend: _, local_pref: _, med, communities } = &prefix.deprefer;
    let sent = |community: &u32| both(prefix, peer).any(|own| own.communities.contains(community));
    med.is_some_and(|med| med > sent_med(prefix, peer)) || !communities.iter().all(sent)
}

/// What the neighbour sets and what the prefix sets.
fn both<'a>(
    prefix: &'a AnycastConfig,
    peer: &'a PeerConfig,
) -> impl Iterator<Item = &'a AttributeConfig> {
    [&peer.attributes, &prefix.attributes].into_iter()
}

/// A path without MULTI_EXIT_DISC counts as one with the lowest (RFC 4271
/// §9.1.2.2).
fn sent_med(prefix: &AnycastConfig, peer: &PeerConfig) -> u32 {
    both(prefix, peer).find_map(|own| own.med).unwrap_or_default()
}

/// With GRACEFUL_SHUTDOWN it is 0 unless somebody sets it (RFC 8326 §4).
fn sent_local_pref(prefix: &AnycastConfig, peer: &PeerConfig) -> u32 {
    let shutdown = attributes::GRACEFUL_SHUTDOWN;
    let usual = match both(prefix, peer).any(|own| own.communities.contains(&shutdown)) {
        true => 0,
        false => LOCAL_PREF,
    };
    both(prefix, peer).find_map(|own| own.local_pref).unwrap_or(usual)
}

/// `None` for nobody.
fn names(peers: &[&PeerConfig]) -> Option<String> {
    let names: Vec<String> = peers.iter().map(|peer| format!("peer {}", peer.remote)).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::testing::load_file;

    const EBGP: &str = "address=198.51.100.2;asn=65001";
    const IBGP: &str = "address=198.51.100.3;asn=65000";

    /// What is said of the prefix, without what it all begins with.
    fn said(options: &str, peers: &[&str], rest: &str) -> Vec<String> {
        let text = format!(
            "proxy.addr=:80;proto=tcp\nbgp.enabled=true\n\
             bgp.anycastaddresses=192.0.2.53/32;{options}\nbgp.peers={}\n\
             bgp.routerid=198.51.100.1\n{rest}",
            peers.join(",")
        );
        let begin = "f:3: bgp.anycastaddresses: prefix 192.0.2.53/32: ";
        let warnings = load_file(&text).unwrap().warnings;
        warnings.iter().map(|text| text.strip_prefix(begin).unwrap().to_owned()).collect()
    }

    fn only(options: &str, peers: &[&str]) -> String {
        let mut said = said(options, peers, "");
        assert_eq!(said.len(), 1, "{options}: {said:?}");
        said.remove(0)
    }

    fn nothing(options: &str, peers: &[&str]) {
        assert_eq!(said(options, peers, ""), Vec::<String>::new(), "{options} {peers:?}");
    }

    #[test]
    fn the_defaults_work_towards_every_neighbour() {
        for peers in [&[EBGP][..], &[IBGP], &[EBGP, IBGP]] {
            nothing("", peers);
            nothing("whenempty=deprefer", peers);
            nothing("depreferbelow=2", peers);
        }
    }

    #[test]
    fn what_is_never_used_is_named() {
        let idle = "what it says of being less preferred has no effect, as neither depreferbelow \
                    nor whenempty=deprefer is set";
        for options in ["depreferprepend=5", "depreferlocalpref=1", "deprefermed=1"] {
            assert_eq!(only(options, &[EBGP, IBGP]), idle, "{options}");
        }
        assert_eq!(only("deprefercommunities=65000:1;shutdownbelow=2", &[EBGP]), idle);
        let stale = "registry.backend=file\nregistry.file.path=r\nregistry.staleafter=1m\n";
        assert_eq!(said("depreferprepend=5", &[EBGP], stale), Vec::<String>::new());
        let withdrawn = format!("{stale}registry.whenstale=withdraw\n");
        assert_eq!(said("depreferprepend=5", &[EBGP], &withdrawn), [idle]);
    }

    #[test]
    fn attributes_for_neighbours_that_are_not_there() {
        let used = |option: &str| format!("depreferbelow=2;{option}");
        nothing(&used("depreferlocalpref=40;depreferprepend=4"), &[EBGP, IBGP]);
        assert_eq!(
            only(&used("depreferlocalpref=40"), &[EBGP]),
            "depreferlocalpref has no effect, as every peer that hears of it is in another AS"
        );
        assert_eq!(
            only(&used("depreferprepend=4"), &[IBGP]),
            "depreferprepend has no effect, as every peer that hears of it is in our own AS"
        );
    }

    #[test]
    fn neighbours_for_which_nothing_changes() {
        let others = "and neither deprefermed nor deprefercommunities changes what it is sent";
        let ebgp = format!(
            "deprefer changes nothing for peer 198.51.100.2: depreferprepend is 0, {others}"
        );
        let without = "whenempty=deprefer;depreferprepend=0";
        assert_eq!(only(without, &[EBGP, IBGP]), ebgp);
        nothing(&format!("{without};deprefermed=1"), &[EBGP, IBGP]);
        nothing(&format!("{without};deprefercommunities=65001:80"), &[EBGP, IBGP]);
        let same = "communities=65001:80;deprefercommunities=65001:80";
        assert_eq!(only(&format!("{without};{same}"), &[EBGP]), ebgp);
        assert_eq!(only(&format!("{without};med=5;deprefermed=5"), &[EBGP]), ebgp);
        let ibgp = format!(
            "deprefer changes nothing for peer 198.51.100.3: depreferlocalpref = 50 is not below \
             the localpref that it is sent anyway, {others}"
        );
        let low = format!("{IBGP};localpref=40");
        assert_eq!(only("whenempty=deprefer", &[EBGP, &low]), ibgp);
        assert_eq!(only("whenempty=deprefer;localpref=50", &[IBGP]), ibgp);
        assert_eq!(only("whenempty=deprefer;communities=graceful-shutdown", &[IBGP]), ibgp);
        let two = only(without, &[EBGP, "address=198.51.100.9;asn=65001"]);
        assert!(two.contains("for peer 198.51.100.2, peer 198.51.100.9: "), "{two}");
    }

    #[test]
    fn values_that_are_no_worse() {
        let low = format!("{IBGP};localpref=40");
        assert_eq!(
            only("whenempty=deprefer;deprefermed=1", &[&low]),
            "depreferlocalpref = 50 is not below the localpref that peer 198.51.100.3 is sent anyway"
        );
        let med = format!("{EBGP};med=10");
        let better =
            "deprefermed = 5 is no worse than the med that peer 198.51.100.2 is sent anyway";
        assert_eq!(only("whenempty=deprefer;deprefermed=5", &[&med, IBGP]), better);
        assert_eq!(only("whenempty=deprefer;deprefermed=5;med=10", &[EBGP]), better);
        // A path without MED counts as one with the lowest.
        assert_eq!(
            only("whenempty=deprefer;deprefermed=0", &[IBGP]),
            "deprefermed = 0 is no worse than the med that peer 198.51.100.3 is sent anyway"
        );
    }

    #[test]
    fn what_is_always_announced_is_never_less_preferred() {
        let always = "bgp.announce=always\n";
        assert_eq!(
            said("service=web;minhealthy=2;whenempty=deprefer;depreferprepend=0", &[EBGP], always),
            [
                "service has no effect, as bgp.announce is always",
                "minhealthy has no effect, as bgp.announce is always",
                "whenempty has no effect, as bgp.announce is always",
                "what it says of being less preferred has no effect, as bgp.announce is always",
            ]
        );
        assert_eq!(said("", &[EBGP], always), Vec::<String>::new());
    }
}
