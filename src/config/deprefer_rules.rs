//! Whether a prefix that is to be less preferred is so for each neighbour that
//! hears of it.

use super::announcement_rules::{hearers, prefix_name};
use super::reader::Reader;
use super::{
    AnnouncePolicy, AnycastConfig, AttributeConfig, Backend, BgpConfig, Config, DepreferConfig,
    PeerConfig, WhenEmptyConfig, anycast, attributes,
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
        let by_health =
            prefix.deprefer_below.is_some() || prefix.when_empty == WhenEmptyConfig::Deprefer;
        if by_registry || by_health {
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
