//! A received UPDATE (RFC 4271 §4.3): a borrowed view that allocates nothing
//! for a sound message, so that whole tables can be skimmed and refused, and
//! the judgement of RFC 7606 on it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::attribute::{As4, Attributes};
use super::attribute_list::{CodeSet, Overrun, RawAttribute, RawAttributes, code, flag};
use super::fault::{self, Approach, Fault};
use super::notification::{Notification, code as error, update_error};
use super::prefix::{Family, PrefixCount, Prefixes};
use super::wire::Reader;

pub use super::fault::Context;
pub use super::update_encode::{
    EncodeOptions, encode_announce, encode_end_of_rib, encode_withdraw,
};

/// The next hop of MP_REACH_NLRI and the family that it is for.
#[derive(Clone, Copy, Debug)]
struct MpNextHop {
    family: Family,
    address: IpAddr,
    link_local: Option<Ipv6Addr>,
}

/// A view of a received UPDATE. Where it names a prefix both as withdrawn and
/// as announced, the announcement holds (RFC 4271 §4.3): apply [`withdrawn`]
/// first.
///
/// [`withdrawn`]: Update::withdrawn
#[derive(Clone, Debug)]
pub struct Update<'a> {
    context: Context,
    body: &'a [u8],
    attributes: &'a [u8],
    /// Withdrawn Routes and MP_UNREACH_NLRI.
    withdrawn: [Prefixes<'a>; 2],
    withdrawn_count: u32,
    /// NLRI and MP_REACH_NLRI.
    announced: [Prefixes<'a>; 2],
    announced_count: u32,
    mp_next_hop: Option<MpNextHop>,
    /// The NLRI field has prefixes, of whatever family is negotiated.
    has_nlri: bool,
    /// So has NLRI or MP_REACH_NLRI.
    has_reachable: bool,
    /// Attributes that are there.
    seen: CodeSet,
    /// Attributes of which not even the first is to be read.
    discarded: CodeSet,
    treat_as_withdraw: Option<Fault<'a>>,
    first_discard: Option<Fault<'a>>,
    end_of_rib: Option<Family>,
}

/// Reads and judges the body of an UPDATE.
///
/// # Errors
/// The NOTIFICATION that resets the session, where RFC 7606 and the RFCs of the
/// attributes leave nothing milder. Milder faults are noted in the view.
pub fn parse<'a>(body: &'a [u8], context: &Context) -> Result<Update<'a>, Notification> {
    let mut reader = Reader::new(body);
    // Lengths that do not fit the message (RFC 4271 §6.3, RFC 7606 §3 b).
    let withdrawn = reader.long_field().ok_or_else(malformed_list)?;
    let attributes = reader.long_field().ok_or_else(malformed_list)?;
    let nlri = reader.rest();
    let none = Prefixes::new(&[], Family::Ipv4Unicast, false);
    let mut update = Update {
        context: *context,
        body,
        attributes,
        withdrawn: [none.clone(), none.clone()],
        withdrawn_count: 0,
        announced: [none.clone(), none],
        announced_count: 0,
        mp_next_hop: None,
        has_nlri: !nlri.is_empty(),
        has_reachable: !nlri.is_empty(),
        seen: CodeSet::default(),
        discarded: CodeSet::default(),
        treat_as_withdraw: None,
        first_discard: None,
        end_of_rib: None,
    };
    update.read_classic(withdrawn, nlri)?;
    let beyond_unreach = update.read_attributes()?;
    update.check_mandatory();
    // Without reachable routes nothing says that the routes of the UPDATE were
    // all found, so the milder way is closed (RFC 7606 §5.2).
    if let Some(fault) = update.treat_as_withdraw.filter(|_| !update.has_reachable) {
        return Err(fault.notification());
    }
    update.end_of_rib = update.find_end_of_rib(beyond_unreach);
    Ok(update)
}

fn malformed_list() -> Notification {
    Notification::new(error::UPDATE, update_error::MALFORMED_ATTRIBUTE_LIST)
}

/// A malformed MP_REACH_NLRI or MP_UNREACH_NLRI: its routes cannot be found, so
/// the session is reset (RFC 7606 §5.3 and §7.11, RFC 4760 §7).
fn malformed_mp(raw: &RawAttribute<'_>) -> Notification {
    let subcode = update_error::OPTIONAL_ATTRIBUTE_ERROR;
    Notification::with_data(error::UPDATE, subcode, raw.whole)
}

impl<'a> Update<'a> {
    /// All of it, as it was received.
    pub(super) fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The fault because of which the routes of this UPDATE are withdrawn.
    pub fn treat_as_withdraw(&self) -> Option<&Fault<'a>> {
        self.treat_as_withdraw.as_ref()
    }

    /// What is worth a line in the log: the fault that withdraws the routes and
    /// the first one because of which something was discarded.
    pub fn faults(&self) -> impl Iterator<Item = &Fault<'a>> {
        self.treat_as_withdraw.iter().chain(&self.first_discard)
    }

    /// How many routes are announced and how many withdrawn.
    pub fn counts(&self) -> (u32, u32) {
        match self.treat_as_withdraw {
            Some(_) => (0, self.withdrawn_count.saturating_add(self.announced_count)),
            None => (self.announced_count, self.withdrawn_count),
        }
    }

    /// The withdrawn routes: family, path identifier (0 without add-path),
    /// prefix.
    pub fn withdrawn(&self) -> impl Iterator<Item = (Family, u32, IpNet)> + use<'a> {
        let announced = self.treat_as_withdraw.map(|_| self.announced.clone());
        self.withdrawn.clone().into_iter().chain(announced.into_iter().flatten()).flat_map(routes)
    }

    /// The announced routes: family, path identifier (0 without add-path),
    /// prefix.
    pub fn announced(&self) -> impl Iterator<Item = (Family, u32, IpNet)> + use<'a> {
        let announced = match self.treat_as_withdraw {
            None => Some(self.announced.clone()),
            Some(_) => None,
        };
        announced.into_iter().flatten().flat_map(routes)
    }

    /// The attributes of the announced routes. Where one UPDATE announces routes
    /// of both families, these are those of IPv4: see
    /// [`attributes_for`](Update::attributes_for).
    pub fn attributes(&self) -> Attributes {
        match (self.has_nlri, self.mp_next_hop) {
            (false, Some(next_hop)) => self.attributes_for(next_hop.family),
            _ => self.attributes_for(Family::Ipv4Unicast),
        }
    }

    /// The attributes of the announced routes of one family, with the next hop
    /// of that family. Attributes that are to be discarded are not there, and
    /// the four-octet AS numbers are restored (RFC 6793 §4.2.3).
    pub fn attributes_for(&self, family: Family) -> Attributes {
        let mut attributes = Attributes::default();
        let mut as4 = As4::default();
        let mut seen = CodeSet::default();
        for raw in RawAttributes::new(self.attributes).map_while(Result::ok) {
            // Only the first of several counts (RFC 7606 §3 g).
            if seen.insert(raw.code) && !self.discarded.contains(raw.code) {
                attributes.read(&raw, self.context.four_octet_as, &mut as4);
            }
        }
        attributes.restore_as4(as4);
        if family != Family::Ipv4Unicast {
            attributes.next_hop = None;
        }
        if let Some(next_hop) = self.mp_next_hop.filter(|next_hop| next_hop.family == family) {
            attributes.next_hop = Some(next_hop.address);
            attributes.link_local_next_hop = next_hop.link_local;
        }
        attributes
    }

    /// The family of which this UPDATE says that all routes have been sent
    /// (RFC 4724 §2).
    pub fn is_end_of_rib(&self) -> Option<Family> {
        self.end_of_rib
    }

    /// Withdrawn Routes and NLRI, always of IPv4 unicast. They are judged also
    /// where that family is not negotiated (RFC 7606 §3 i and §5.3).
    fn read_classic(&mut self, withdrawn: &'a [u8], nlri: &'a [u8]) -> Result<(), Notification> {
        let family = Family::Ipv4Unicast;
        let add_path = self.context.add_path.contains(family);
        let withdrawn = Prefixes::new(withdrawn, family, add_path);
        let nlri = Prefixes::new(nlri, family, add_path);
        let refuse = |_| Notification::new(error::UPDATE, update_error::INVALID_NETWORK_FIELD);
        let withdrawn_count = withdrawn.clone().check().map_err(refuse)?;
        let nlri_count = nlri.clone().check().map_err(refuse)?;
        if self.context.families.contains(family) {
            self.take_withdrawn(0, withdrawn, withdrawn_count);
            self.take_announced(0, nlri, nlri_count);
        } else if withdrawn_count != PrefixCount::default() || self.has_nlri {
            self.note(ignored("has routes of a family that is not negotiated, RFC 4760 §8"));
        }
        Ok(())
    }

    /// Judges all attributes and says whether there are others than
    /// MP_UNREACH_NLRI.
    fn read_attributes(&mut self) -> Result<bool, Notification> {
        let mut beyond_unreach = false;
        for raw in RawAttributes::new(self.attributes) {
            let raw = match raw {
                Ok(raw) => raw,
                Err(overrun) => {
                    beyond_unreach = true;
                    self.note(overrun_fault(overrun)?);
                    break;
                }
            };
            beyond_unreach |= raw.code != code::MP_UNREACH_NLRI;
            let first = self.seen.insert(raw.code);
            match raw.code {
                // RFC 7606 §3 g.
                code::MP_REACH_NLRI | code::MP_UNREACH_NLRI if !first => {
                    return Err(malformed_list());
                }
                code::MP_REACH_NLRI => self.read_mp_reach(&raw)?,
                code::MP_UNREACH_NLRI => self.read_mp_unreach(&raw)?,
                _ if !first => {
                    self.note(Fault::discard(&raw, "appears more than once, RFC 7606 §3 g"));
                }
                _ => {
                    if let Some(fault) = fault::judge(&raw, &self.context, self.has_nlri)? {
                        self.discarded.insert(raw.code);
                        self.note(fault);
                    } else if let Some(fault) = fault::leaves_out(&raw) {
                        self.note(fault);
                    }
                }
            }
        }
        Ok(beyond_unreach)
    }

    /// MP_REACH_NLRI (RFC 4760 §3, RFC 2545 §3, RFC 8950 §3).
    fn read_mp_reach(&mut self, raw: &RawAttribute<'a>) -> Result<(), Notification> {
        let malformed = || malformed_mp(raw);
        let mut reader = Reader::new(raw.value);
        let (family, next_hop, _reserved) =
            (|| Some((read_family(&mut reader)?, reader.short_field()?, reader.u8()?)))()
                .filter(|_| !fault::has_conflicting_flags(raw, flag::OPTIONAL))
                .ok_or_else(malformed)?;
        self.has_reachable |= !reader.is_empty();
        let Some(family) = family.filter(|family| self.context.families.contains(*family)) else {
            self.note(not_negotiated(raw));
            return Ok(());
        };
        // A next hop of another length makes it unsure where the routes begin
        // (RFC 7606 §7.11).
        let extended = self.context.extended_next_hop.contains(family);
        let next_hop = read_next_hop(family, extended, next_hop).ok_or_else(malformed)?;
        let add_path = self.context.add_path.contains(family);
        let prefixes = Prefixes::new(reader.rest(), family, add_path);
        let count = prefixes.clone().check().map_err(|_| malformed())?;
        if !names_host(&next_hop) {
            self.note(Fault {
                approach: Approach::TreatAsWithdraw,
                attribute: Some(raw.code),
                reason: "has a next hop that is not a host, RFC 4271 §6.3",
                // The one that RFC 4760 §7 has for this attribute.
                subcode: update_error::OPTIONAL_ATTRIBUTE_ERROR,
                data: raw.whole,
            });
        }
        self.mp_next_hop = Some(next_hop);
        self.take_announced(1, prefixes, count);
        Ok(())
    }

    /// MP_UNREACH_NLRI (RFC 4760 §4).
    fn read_mp_unreach(&mut self, raw: &RawAttribute<'a>) -> Result<(), Notification> {
        let malformed = || malformed_mp(raw);
        let mut reader = Reader::new(raw.value);
        let family = read_family(&mut reader)
            .filter(|_| !fault::has_conflicting_flags(raw, flag::OPTIONAL))
            .ok_or_else(malformed)?;
        let Some(family) = family.filter(|family| self.context.families.contains(*family)) else {
            self.note(not_negotiated(raw));
            return Ok(());
        };
        let add_path = self.context.add_path.contains(family);
        let prefixes = Prefixes::new(reader.rest(), family, add_path);
        let count = prefixes.clone().check().map_err(|_| malformed())?;
        if reader.is_empty() {
            self.end_of_rib = Some(family);
        }
        self.take_withdrawn(1, prefixes, count);
        Ok(())
    }

    fn take_withdrawn(&mut self, field: usize, prefixes: Prefixes<'a>, count: PrefixCount) {
        if let Some(place) = self.withdrawn.get_mut(field) {
            *place = prefixes;
            self.withdrawn_count = self.withdrawn_count.saturating_add(count.routes);
            self.note_ignored(count);
        }
    }

    fn take_announced(&mut self, field: usize, prefixes: Prefixes<'a>, count: PrefixCount) {
        if let Some(place) = self.announced.get_mut(field) {
            *place = prefixes;
            self.announced_count = self.announced_count.saturating_add(count.routes);
            self.note_ignored(count);
        }
    }

    fn note_ignored(&mut self, count: PrefixCount) {
        if count.ignored > 0 {
            self.note(ignored("has multicast prefixes, which are ignored, RFC 4271 §6.3"));
        }
    }

    /// Attributes that routes cannot be without (RFC 4271 §5, RFC 7606 §3 d).
    /// NEXT_HOP belongs to the NLRI field alone (RFC 4760 §3), and LOCAL_PREF to
    /// internal neighbours (RFC 4271 §5.1.5).
    fn check_mandatory(&mut self) {
        if !self.has_reachable {
            return;
        }
        let mandatory: [(bool, u8, &'static [u8]); 4] = [
            (true, code::ORIGIN, &[code::ORIGIN]),
            (true, code::AS_PATH, &[code::AS_PATH]),
            (self.has_nlri, code::NEXT_HOP, &[code::NEXT_HOP]),
            (self.context.ibgp, code::LOCAL_PREF, &[code::LOCAL_PREF]),
        ];
        for (required, code, data) in mandatory {
            if required && !self.seen.contains(code) {
                self.note(Fault {
                    approach: Approach::TreatAsWithdraw,
                    attribute: Some(code),
                    reason: "is missing, RFC 7606 §3 d",
                    subcode: update_error::MISSING_WELL_KNOWN_ATTRIBUTE,
                    data,
                });
            }
        }
    }

    /// An empty UPDATE, or one with nothing but an empty MP_UNREACH_NLRI, which
    /// `end_of_rib` already holds the family of.
    fn find_end_of_rib(&self, beyond_unreach: bool) -> Option<Family> {
        let family = match self.body {
            [0, 0, 0, 0] => Family::Ipv4Unicast,
            _ => self.end_of_rib?,
        };
        // Nothing but the attributes, so no Withdrawn Routes and no NLRI.
        let empty = !beyond_unreach && self.attributes.len().saturating_add(4) == self.body.len();
        (empty && self.context.families.contains(family)).then_some(family)
    }

    /// Keeps the first fault of each approach (RFC 7606 §3 h).
    fn note(&mut self, fault: Fault<'a>) {
        let place = match fault.approach {
            Approach::TreatAsWithdraw => &mut self.treat_as_withdraw,
            Approach::AttributeDiscard => &mut self.first_discard,
        };
        place.get_or_insert(fault);
    }
}

/// The list of attributes ends inside one. What comes behind the list can still
/// be found (RFC 7606 §4), unless the attribute itself holds routes (§3 j).
fn overrun_fault(overrun: Overrun) -> Result<Fault<'static>, Notification> {
    if matches!(overrun.code, Some(code::MP_REACH_NLRI | code::MP_UNREACH_NLRI)) {
        return Err(malformed_list());
    }
    Ok(Fault {
        approach: Approach::TreatAsWithdraw,
        attribute: overrun.code,
        reason: "runs over the end of the attributes, RFC 7606 §4",
        subcode: update_error::MALFORMED_ATTRIBUTE_LIST,
        data: &[],
    })
}

/// Routes that are ignored without an attribute being at fault.
fn ignored(reason: &'static str) -> Fault<'static> {
    Fault {
        approach: Approach::AttributeDiscard,
        attribute: None,
        reason,
        subcode: update_error::OPTIONAL_ATTRIBUTE_ERROR,
        data: &[],
    }
}

fn not_negotiated<'a>(raw: &RawAttribute<'a>) -> Fault<'a> {
    Fault::discard(raw, "is of a family that is not negotiated, RFC 4760 §8")
}

/// The family of AFI and SAFI, if it is known; None if they are not all there.
fn read_family(reader: &mut Reader<'_>) -> Option<Option<Family>> {
    let (afi, safi) = (reader.u16()?, reader.u8()?);
    Some(Family::from_codes(afi, safi))
}

/// The next hop of an MP_REACH_NLRI, if it has a length that one of this family
/// can have; `extended` allows IPv6 next hops for IPv4 (RFC 8950 §3). The
/// second of two addresses is link-local (RFC 2545 §3), and no other is taken
/// for it; a speaker that has no other than that sends `::` as the first.
fn read_next_hop(family: Family, extended: bool, octets: &[u8]) -> Option<MpNextHop> {
    let mut reader = Reader::new(octets);
    let ipv6 = family == Family::Ipv6Unicast || extended;
    let (address, link_local) = match (family, octets.len()) {
        (Family::Ipv4Unicast, 4) => (IpAddr::V4(Ipv4Addr::from(reader.array::<4>()?)), None),
        (_, 16) if ipv6 => (IpAddr::V6(Ipv6Addr::from(reader.array::<16>()?)), None),
        (_, 32) if ipv6 => {
            let first = Ipv6Addr::from(reader.array::<16>()?);
            let second = Ipv6Addr::from(reader.array::<16>()?);
            match first.is_unspecified() {
                true => (IpAddr::V6(second), None),
                false => (IpAddr::V6(first), Some(second).filter(Ipv6Addr::is_unicast_link_local)),
            }
        }
        _ => return None,
    };
    Some(MpNextHop { family, address, link_local })
}

/// Whether the next hop can be a host.
fn names_host(next_hop: &MpNextHop) -> bool {
    match next_hop.address {
        IpAddr::V4(address) => !fault::no_host(address.octets()[0]),
        IpAddr::V6(address) => !address.is_unspecified() && !address.is_multicast(),
    }
}

fn routes(prefixes: Prefixes<'_>) -> impl Iterator<Item = (Family, u32, IpNet)> {
    prefixes.map_while(Result::ok).map(|(path_id, prefix)| (Family::of(&prefix), path_id, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bgp::message::generator::Generator;
    use crate::bgp::message::header::{HEADER_LENGTH, MAX_LENGTH, MessageType, next_frame};
    use crate::bgp::message::prefix::FamilySet;

    fn both() -> FamilySet {
        FamilySet::from_iter(Family::ALL)
    }

    fn external() -> Context {
        Context {
            four_octet_as: true,
            families: both(),
            extended_next_hop: FamilySet::from_iter([Family::Ipv4Unicast]),
            ..Context::default()
        }
    }

    fn internal() -> Context {
        Context { ibgp: true, ..external() }
    }

    fn body(withdrawn: &[u8], attributes: &[&[u8]], nlri: &[u8]) -> Vec<u8> {
        let attributes = attributes.concat();
        let mut body = Vec::new();
        body.extend_from_slice(&(withdrawn.len() as u16).to_be_bytes());
        body.extend_from_slice(withdrawn);
        body.extend_from_slice(&(attributes.len() as u16).to_be_bytes());
        body.extend_from_slice(&attributes);
        body.extend_from_slice(nlri);
        body
    }

    const ORIGIN: &[u8] = &[0x40, 1, 1, 0];
    const AS_PATH: &[u8] = &[0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9];
    const NEXT_HOP: &[u8] = &[0x40, 3, 4, 192, 0, 2, 1];
    const NLRI: &[u8] = &[24, 203, 0, 113];
    const UNREACH: &[u8] = &[0x80, 15, 8, 0, 2, 1, 32, 0x20, 1, 0xd, 0xb8];

    /// MP_REACH_NLRI of this family with 2001:db8::/32 or 10/8 and `next_hop`.
    fn reach(afi: u8, next_hop: &[u8]) -> Vec<u8> {
        let mut value = vec![0, afi, 1, next_hop.len() as u8];
        value.extend_from_slice(next_hop);
        value.push(0);
        value.extend_from_slice(if afi == 1 { &[8, 10] } else { &[32, 0x20, 1, 0xd, 0xb8] });
        [&[0x80, 14, value.len() as u8], &value[..]].concat()
    }

    fn global() -> Vec<u8> {
        "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets().to_vec()
    }

    fn link_local() -> Vec<u8> {
        "fe80::1".parse::<Ipv6Addr>().unwrap().octets().to_vec()
    }

    fn list(routes: impl Iterator<Item = (Family, u32, IpNet)>) -> Vec<String> {
        routes.map(|(_, path_id, prefix)| format!("{path_id}:{prefix}")).collect()
    }

    /// Announced and withdrawn routes; the counts have to agree with them.
    fn routes_of(update: &Update<'_>) -> (Vec<String>, Vec<String>) {
        let routes = (list(update.announced()), list(update.withdrawn()));
        assert_eq!(update.counts(), (routes.0.len() as u32, routes.1.len() as u32));
        routes
    }

    fn reset(body: &[u8], context: &Context) -> Notification {
        parse(body, context).unwrap_err()
    }

    /// The UPDATE is treated as withdraw because of this subcode, all of its
    /// routes are withdrawn, and nothing is announced.
    fn withdraws(body: &[u8], context: &Context, subcode: u8) {
        let update = parse(body, context).unwrap();
        let fault = update.treat_as_withdraw().expect("a fault");
        assert_eq!(fault.subcode, subcode, "{fault}");
        let (announced, withdrawn) = routes_of(&update);
        assert_eq!(announced, [] as [&str; 0]);
        assert!(!withdrawn.is_empty());
        update.attributes();
    }

    /// As BIRD and GoBGP send an IPv4 route.
    #[test]
    fn a_classic_update_of_a_router() {
        let med = [0x80, 4, 4, 0, 0, 0, 5];
        let community = [0xc0, 8, 4, 0xfd, 0xe9, 0, 7];
        let body = body(&[8, 10], &[ORIGIN, AS_PATH, NEXT_HOP, &med, &community], NLRI);
        let update = parse(&body, &external()).unwrap();
        assert!(update.treat_as_withdraw().is_none());
        assert_eq!(update.faults().count(), 0);
        assert_eq!(
            routes_of(&update),
            (vec!["0:203.0.113.0/24".into()], vec!["0:10.0.0.0/8".into()])
        );
        let attributes = update.attributes();
        assert_eq!(attributes.as_path.to_string(), "65001");
        assert_eq!(attributes.next_hop, Some("192.0.2.1".parse().unwrap()));
        assert_eq!((attributes.med, attributes.local_pref), (Some(5), None));
        assert_eq!(attributes.communities, [0xfde9_0007]);
        assert_eq!(update.is_end_of_rib(), None);
    }

    /// As FRR sends an IPv6 route: extended lengths and two next hops.
    #[test]
    fn a_multiprotocol_update_of_a_router() {
        let value =
            [&[0, 2, 1, 32][..], &global(), &link_local(), &[0, 48], &[0x20, 1, 0xd, 0xb8, 0, 9]];
        let value = value.concat();
        let header = [0x90, 14, 0, value.len() as u8];
        let path = [0x50, 2, 0, 6, 2, 1, 0, 0, 0xfd, 0xe9];
        let body = body(&[], &[&header, &value, ORIGIN, &path, UNREACH], &[]);
        let update = parse(&body, &external()).unwrap();
        assert_eq!(update.faults().count(), 0);
        assert_eq!(
            routes_of(&update),
            (vec!["0:2001:db8:9::/48".into()], vec!["0:2001:db8::/32".into()])
        );
        let attributes = update.attributes();
        assert_eq!(attributes.next_hop, Some("2001:db8::1".parse().unwrap()));
        assert_eq!(attributes.link_local_next_hop, Some("fe80::1".parse().unwrap()));
    }

    #[test]
    fn an_update_of_a_speaker_with_two_octet_as_numbers() {
        let path = [0x40, 2, 6, 2, 2, 0xfd, 0xe9, 0x5b, 0xa0];
        let path4 = [0xc0, 17, 6, 2, 1, 0, 1, 0x11, 0x70];
        let body = body(&[], &[ORIGIN, &path, NEXT_HOP, &path4], NLRI);
        let context = Context { four_octet_as: false, ..external() };
        let update = parse(&body, &context).unwrap();
        assert_eq!(update.faults().count(), 0);
        assert_eq!(update.attributes().as_path.to_string(), "65001 70000");
        withdraws(&body, &external(), 11);
    }

    #[test]
    fn path_identifiers_are_read_where_negotiated() {
        let nlri = [0, 0, 0, 7, 24, 203, 0, 113, 0, 0, 0, 8, 24, 203, 0, 113];
        let body = body(&[0, 0, 0, 9, 8, 10], &[ORIGIN, AS_PATH, NEXT_HOP], &nlri);
        let add_path = FamilySet::from_iter([Family::Ipv4Unicast]);
        let update = parse(&body, &Context { add_path, ..external() }).unwrap();
        let (announced, withdrawn) = routes_of(&update);
        assert_eq!(announced, ["7:203.0.113.0/24", "8:203.0.113.0/24"]);
        assert_eq!(withdrawn, ["9:10.0.0.0/8"]);
    }

    /// RFC 4271 §6.3: both lengths have to fit in the message.
    #[test]
    fn lengths_over_the_message_reset() {
        let list = Notification::new(3, 1);
        for body in [&[][..], &[0], &[0, 1, 0], &[0, 0, 0], &[0, 0, 0, 1], &[0, 9, 0, 0, 0, 0]] {
            assert_eq!(reset(body, &external()), list);
        }
    }

    /// RFC 7606 §5.3.
    #[test]
    fn prefixes_that_cannot_be_read_reset() {
        let field = Notification::new(3, 10);
        let attributes: &[&[u8]] = &[ORIGIN, AS_PATH, NEXT_HOP];
        for bad in [&[33, 1, 2, 3, 4, 5][..], &[24, 1, 2], &[8, 10, 255]] {
            assert_eq!(reset(&body(&[], attributes, bad), &external()), field);
            assert_eq!(reset(&body(bad, &[], &[]), &external()), field);
            let no_ipv4 = FamilySet::from_iter([Family::Ipv6Unicast]);
            let context = Context { families: no_ipv4, ..external() };
            assert_eq!(reset(&body(bad, &[], &[]), &context), field, "also if not negotiated");
        }
    }

    /// RFC 7606 §5.3 and §7.11, RFC 4760 §7.
    #[test]
    fn multiprotocol_attributes_that_cannot_be_read_reset() {
        let bad: [&[u8]; 15] = [
            &[0x80, 14, 0],
            &[0x80, 14, 4, 0, 2, 1, 0],
            &[0x80, 14, 5, 0, 2, 1, 4, 0],
            &[0x80, 14, 5, 0, 2, 1, 0, 0],
            &[0x80, 14, 9, 0, 2, 1, 4, 10, 0, 0, 1, 0],
            &[0x80, 14, 10, 0, 1, 1, 5, 10, 0, 0, 1, 0, 0],
            &[0x80, 14, 11, 0, 1, 1, 4, 10, 0, 0, 1, 0, 33, 1],
            &[0x80, 14, 11, 0, 1, 1, 4, 10, 0, 0, 1, 0, 24, 1],
            &[0xc0, 14, 11, 0, 1, 1, 4, 10, 0, 0, 1, 0, 8, 10],
            &[0x00, 14, 11, 0, 1, 1, 4, 10, 0, 0, 1, 0, 8, 10],
            &[0x80, 15, 0],
            &[0x80, 15, 2, 0, 2],
            &[0x80, 15, 5, 0, 2, 1, 129, 0],
            &[0x80, 15, 5, 0, 2, 1, 32, 0x20],
            &[0x40, 15, 3, 0, 2, 1],
        ];
        for attribute in bad {
            let body = body(&[], &[ORIGIN, AS_PATH, NEXT_HOP, attribute], NLRI);
            let expected = Notification::with_data(3, 9, attribute);
            assert_eq!(reset(&body, &external()), expected, "{attribute:?}");
        }
    }

    /// RFC 7606 §3 g.
    #[test]
    fn attributes_that_come_twice() {
        let reach = reach(2, &global());
        for twice in [&reach[..], UNREACH] {
            let body = body(&[], &[ORIGIN, AS_PATH, twice, twice], &[]);
            assert_eq!(reset(&body, &external()), Notification::new(3, 1));
        }
        let other_origin = [0x40, 1, 1, 9];
        let body = body(&[], &[ORIGIN, AS_PATH, NEXT_HOP, &other_origin], NLRI);
        let update = parse(&body, &external()).unwrap();
        assert!(update.treat_as_withdraw().is_none());
        let fault = update.faults().next().unwrap();
        assert_eq!((fault.approach, fault.attribute), (Approach::AttributeDiscard, Some(1)));
        assert_eq!(update.counts(), (1, 0));
        assert_eq!(update.attributes().origin as u8, 0, "the first one counts");
    }

    /// RFC 4271 §6.3, which RFC 7606 leaves as it is.
    #[test]
    fn an_unknown_well_known_attribute_resets() {
        let unknown = [0x40, 99, 2, 1, 2];
        let body = body(&[], &[ORIGIN, AS_PATH, NEXT_HOP, &unknown], NLRI);
        assert_eq!(reset(&body, &external()), Notification::with_data(3, 2, unknown));
    }

    /// RFC 7606 §3 d.
    #[test]
    fn missing_attributes_withdraw() {
        withdraws(&body(&[], &[AS_PATH, NEXT_HOP], NLRI), &external(), 3);
        withdraws(&body(&[], &[ORIGIN, NEXT_HOP], NLRI), &external(), 3);
        withdraws(&body(&[], &[ORIGIN, AS_PATH], NLRI), &external(), 3);
        withdraws(&body(&[], &[], NLRI), &external(), 3);
        withdraws(&body(&[], &[ORIGIN, AS_PATH, NEXT_HOP], NLRI), &internal(), 3);
        let local_pref = [0x40, 5, 4, 0, 0, 0, 100];
        let sound = body(&[], &[ORIGIN, AS_PATH, NEXT_HOP, &local_pref], NLRI);
        assert!(parse(&sound, &internal()).unwrap().treat_as_withdraw().is_none());
        withdraws(&body(&[], &[ORIGIN, &reach(2, &global())], &[]), &external(), 3);
        let no_next_hop = body(&[], &[ORIGIN, AS_PATH, &reach(2, &global())], &[]);
        assert!(parse(&no_next_hop, &external()).unwrap().treat_as_withdraw().is_none());
    }

    /// RFC 7606 §4.
    #[test]
    fn a_list_that_ends_inside_an_attribute_withdraws() {
        for tail in [&[0x40][..], &[0xc0, 8], &[0xc0, 8, 4, 1], &[0xd0, 8, 0]] {
            withdraws(&body(&[], &[ORIGIN, AS_PATH, NEXT_HOP, tail], NLRI), &external(), 1);
        }
        for tail in [&[0x80, 14, 40, 0][..], &[0x80, 15, 40], &[0x90, 14]] {
            let body = body(&[], &[ORIGIN, AS_PATH, NEXT_HOP, tail], NLRI);
            assert_eq!(reset(&body, &external()), Notification::new(3, 1), "its routes are lost");
        }
    }

    /// RFC 7606 §5.2: without reachable routes the milder way is closed.
    #[test]
    fn faults_without_reachable_routes_reset() {
        let bad_origin = [0x40, 1, 1, 9];
        let alone = body(&[8, 10], &[&bad_origin], &[]);
        assert_eq!(reset(&alone, &external()), Notification::with_data(3, 6, bad_origin));
        let with_unreach = body(&[], &[UNREACH, &bad_origin], &[]);
        assert_eq!(reset(&with_unreach, &external()), Notification::with_data(3, 6, bad_origin));
        assert_eq!(reset(&body(&[], &[&[0x40]], &[]), &external()), Notification::new(3, 1));
        let discard = [0x40, 6, 1, 0];
        assert!(parse(&body(&[8, 10], &[&discard], &[]), &external()).is_ok());
        withdraws(&body(&[8, 10], &[&bad_origin], NLRI), &external(), 6);
        let mp = body(&[], &[AS_PATH, &bad_origin, &reach(2, &global())], &[]);
        withdraws(&mp, &external(), 6);
    }

    /// RFC 7606 §3 h: the strongest approach is taken.
    #[test]
    fn a_later_stronger_fault_prevails() {
        let discard = [0x40, 6, 1, 0];
        let withdraw = [0x40, 1, 1, 9];
        let reset_it = [0x40, 99, 0];
        let mild = body(&[], &[&discard, ORIGIN, AS_PATH, NEXT_HOP], NLRI);
        assert!(parse(&mild, &external()).unwrap().treat_as_withdraw().is_none());
        assert!(!parse(&mild, &external()).unwrap().attributes().atomic_aggregate);
        let strong = body(&[], &[&discard, &withdraw, AS_PATH, NEXT_HOP], NLRI);
        withdraws(&strong, &external(), 6);
        assert_eq!(parse(&strong, &external()).unwrap().faults().count(), 2);
        let strongest = body(&[], &[&discard, &withdraw, &reset_it, AS_PATH, NEXT_HOP], NLRI);
        assert_eq!(reset(&strongest, &external()).subcode, 2);
    }

    #[test]
    fn treat_as_withdraw_withdraws_the_routes_of_all_four_fields() {
        let attributes: [&[u8]; 4] = [AS_PATH, NEXT_HOP, &reach(2, &global()), UNREACH];
        let body = body(&[8, 10], &attributes, NLRI);
        let update = parse(&body, &external()).unwrap();
        let (announced, withdrawn) = routes_of(&update);
        assert!(announced.is_empty());
        let all = ["0:10.0.0.0/8", "0:2001:db8::/32", "0:203.0.113.0/24", "0:2001:db8::/32"];
        assert_eq!(withdrawn, all);
    }

    #[test]
    fn next_hops_of_all_encodings() {
        let of = |afi, next_hop: &[u8]| {
            let body = body(&[], &[ORIGIN, AS_PATH, &reach(afi, next_hop)], &[]);
            let update = parse(&body, &external()).unwrap();
            let attributes = update.attributes();
            let found = (attributes.next_hop, attributes.link_local_next_hop);
            (found, update.treat_as_withdraw().map(|fault| fault.subcode))
        };
        let global_address = Some("2001:db8::1".parse().unwrap());
        let local = "fe80::1".parse::<Ipv6Addr>().unwrap();
        for afi in [1, 2] {
            assert_eq!(of(afi, &global()), ((global_address, None), None));
            let two = [global(), link_local()].concat();
            assert_eq!(of(afi, &two), ((global_address, Some(local)), None));
            assert_eq!(of(afi, &link_local()), ((Some(local.into()), None), None));
            let unspecified = [vec![0; 16], link_local()].concat();
            assert_eq!(of(afi, &unspecified), ((Some(local.into()), None), None));
            let two = [global(), global()].concat();
            assert_eq!(of(afi, &two), ((global_address, None), None));
            assert_eq!(of(afi, &[0; 16]).1, Some(9));
            assert_eq!(of(afi, &[0; 32]).1, Some(9));
            assert_eq!(of(afi, &[0xff; 16]).1, Some(9));
        }
        let four = of(1, &[192, 0, 2, 9]);
        assert_eq!(four, ((Some("192.0.2.9".parse().unwrap()), None), None));
    }

    /// RFC 8950 §4: not negotiated, it is a next hop of a wrong length, behind
    /// which the routes cannot be found (RFC 7606 §7.11).
    #[test]
    fn an_ipv6_next_hop_of_an_ipv4_route_has_to_be_negotiated() {
        let context = Context { extended_next_hop: FamilySet::EMPTY, ..external() };
        for next_hop in [global(), [global(), link_local()].concat()] {
            let attribute = reach(1, &next_hop);
            let ipv4 = body(&[], &[ORIGIN, AS_PATH, &attribute], &[]);
            assert_eq!(reset(&ipv4, &context), Notification::with_data(3, 9, attribute));
            let ipv6 = body(&[], &[ORIGIN, AS_PATH, &reach(2, &next_hop)], &[]);
            assert_eq!(parse(&ipv6, &context).unwrap().faults().count(), 0);
        }
        let classic = body(&[], &[ORIGIN, AS_PATH, &reach(1, &[192, 0, 2, 9])], &[]);
        assert_eq!(parse(&classic, &context).unwrap().faults().count(), 0);
    }

    #[test]
    fn each_family_has_its_own_next_hop() {
        let body = body(&[], &[ORIGIN, AS_PATH, NEXT_HOP, &reach(2, &global())], NLRI);
        let update = parse(&body, &external()).unwrap();
        assert_eq!(update.counts(), (2, 0));
        let next_hop = |family| update.attributes_for(family).next_hop.unwrap().to_string();
        assert_eq!(next_hop(Family::Ipv4Unicast), "192.0.2.1");
        assert_eq!(next_hop(Family::Ipv6Unicast), "2001:db8::1");
    }

    /// A neighbour that sends what was not asked for does not lose its session.
    #[test]
    fn families_that_were_not_negotiated_are_ignored() {
        let ipv4 = Context { families: FamilySet::from_iter([Family::Ipv4Unicast]), ..external() };
        let ipv6 = Context { families: FamilySet::from_iter([Family::Ipv6Unicast]), ..external() };
        let mixed =
            body(&[8, 10], &[ORIGIN, AS_PATH, NEXT_HOP, &reach(2, &global()), UNREACH], NLRI);
        let update = parse(&mixed, &ipv4).unwrap();
        assert_eq!(update.counts(), (1, 1));
        assert_eq!(list(update.announced()), ["0:203.0.113.0/24"]);
        assert_eq!(update.faults().count(), 1);
        let update = parse(&mixed, &ipv6).unwrap();
        assert_eq!(list(update.announced()), ["0:2001:db8::/32"]);
        assert_eq!(update.counts(), (1, 1));
        assert_eq!(update.faults().count(), 1);
        let vpn = [0x80, 14, 7, 0, 1, 128, 1, 9, 0, 77];
        let update = body(&[], &[ORIGIN, AS_PATH, &vpn], &[]);
        assert_eq!(parse(&update, &external()).unwrap().counts(), (0, 0));
        let short = [0x80, 14, 5, 0, 1, 128, 9, 0];
        assert_eq!(reset(&body(&[], &[&short], &[]), &external()).subcode, 9);
    }

    /// RFC 4271 §6.3.
    #[test]
    fn multicast_prefixes_are_ignored_and_noted() {
        let nlri = [NLRI, &[8, 224]].concat();
        let update = body(&[4, 224], &[ORIGIN, AS_PATH, NEXT_HOP], &nlri);
        let update = parse(&update, &external()).unwrap();
        assert_eq!(routes_of(&update), (vec!["0:203.0.113.0/24".into()], vec![]));
        assert_eq!(update.faults().count(), 1);
        let unreach = [0x80, 15, 5, 0, 2, 1, 8, 0xff];
        let update = body(&[], &[&unreach], &[]);
        assert_eq!(parse(&update, &external()).unwrap().is_end_of_rib(), None);
    }

    /// RFC 4724 §2.
    #[test]
    fn end_of_rib() {
        let unreach = |afi: u8, safi: u8| vec![0x80, 15, 3, 0, afi, safi];
        let of = |body: &[u8], context: &Context| parse(body, context).unwrap().is_end_of_rib();
        let empty = [0, 0, 0, 0];
        assert_eq!(of(&empty, &external()), Some(Family::Ipv4Unicast));
        let ipv6 = body(&[], &[&unreach(2, 1)], &[]);
        assert_eq!(of(&ipv6, &external()), Some(Family::Ipv6Unicast));
        let ipv4 = body(&[], &[&unreach(1, 1)], &[]);
        assert_eq!(of(&ipv4, &external()), Some(Family::Ipv4Unicast));
        let only_ipv6 = FamilySet::from_iter([Family::Ipv6Unicast]);
        let only_ipv6 = Context { families: only_ipv6, ..external() };
        assert_eq!(of(&empty, &only_ipv6), None);
        assert_eq!(of(&body(&[], &[&unreach(2, 128)], &[]), &external()), None);
        assert_eq!(of(&body(&[8, 10], &[&unreach(2, 1)], &[]), &external()), None);
        assert_eq!(of(&body(&[8, 10], &[&unreach(2, 1)], &[]), &only_ipv6), None);
        assert_eq!(of(&body(&[], &[&unreach(2, 1), ORIGIN], &[]), &external()), None);
        assert_eq!(of(&body(&[], &[UNREACH], &[]), &external()), None);
    }

    /// Valid messages of all kinds, in the context of their receiver.
    fn messages(seed: u64, count: usize) -> Vec<(Context, Vec<u8>)> {
        let mut generator = Generator::new(seed);
        let mut messages = Vec::new();
        while messages.len() < count {
            let family = Family::ALL[generator.below(2) as usize];
            let add_path = generator.below(2) == 0;
            let four_octet_as = generator.below(2) == 0;
            let options = EncodeOptions { four_octet_as, add_path, max_length: MAX_LENGTH };
            let prefixes = generator.prefixes(family, 30, add_path);
            let mut out = Vec::new();
            if generator.below(3) == 0 {
                encode_withdraw(&mut out, family, &prefixes, &options);
            } else {
                let mut attributes = generator.attributes();
                if family == Family::Ipv4Unicast && generator.below(2) == 0 {
                    attributes.next_hop = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
                }
                encode_announce(&mut out, family, &attributes, &prefixes, &options);
            }
            let add_path = if add_path { both() } else { FamilySet::EMPTY };
            messages.push((Context { four_octet_as, add_path, ..internal() }, out));
        }
        messages
    }

    /// Reads everything that a view offers; the routes have to be as many as
    /// were counted, whatever the message was.
    fn exercise(body: &[u8], context: &Context) {
        match parse(body, context) {
            Ok(update) => {
                let announced = update.announced().count() as u32;
                let withdrawn = update.withdrawn().count() as u32;
                assert_eq!(update.counts(), (announced, withdrawn));
                assert!(update.treat_as_withdraw().is_none() || announced == 0);
                update.faults().for_each(|fault| assert!(!fault.to_string().is_empty()));
                for family in Family::ALL {
                    update.attributes_for(family);
                }
            }
            Err(notification) => assert_eq!(notification.code, 3),
        }
    }

    #[test]
    fn no_truncated_message_passes_for_the_whole_one_or_makes_it_panic() {
        for (context, message) in messages(2, 40) {
            let body = &message[HEADER_LENGTH..];
            let whole = parse(body, &context).unwrap();
            assert_eq!(whole.faults().count(), 0);
            for end in 0..body.len() {
                exercise(&body[..end], &context);
                let counts = parse(&body[..end], &context).map(|update| update.counts());
                assert_ne!(counts, Ok(whole.counts()));
            }
        }
    }

    #[test]
    fn no_changed_octet_makes_it_panic() {
        for (context, message) in messages(3, 20) {
            let mut body = message[HEADER_LENGTH..].to_vec();
            for at in 0..body.len() {
                let octet = body[at];
                for changed in [0, 1, 0x7f, 0x80, 0xff, octet ^ 1, octet ^ 0x10, octet ^ 0x80] {
                    body[at] = changed;
                    exercise(&body, &context);
                }
                body[at] = octet;
            }
        }
    }

    #[test]
    fn no_mutated_message_makes_it_panic() {
        let mut generator = Generator::new(4);
        let messages = messages(5, 200);
        for _ in 0..20_000 {
            let index = generator.below(messages.len() as u64) as usize;
            let (context, message) = &messages[index];
            let mut body = message[HEADER_LENGTH..].to_vec();
            for _ in 0..=generator.below(6) {
                let at = generator.below(body.len() as u64) as usize;
                match generator.below(4) {
                    0 => body[at] = generator.octet(),
                    1 => body[at] ^= 1 << generator.below(8),
                    2 => body.insert(at, generator.octet()),
                    _ if body.len() > 1 => drop(body.remove(at)),
                    _ => {}
                }
            }
            exercise(&body, context);
        }
    }

    #[test]
    fn messages_are_framed_as_updates() {
        for (_, message) in messages(6, 50) {
            let frame = next_frame(&message, MAX_LENGTH).unwrap().unwrap();
            assert_eq!((frame.kind, frame.length), (MessageType::Update, message.len()));
        }
    }
}
