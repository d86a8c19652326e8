//! What the octets of one read bring: routes, refreshes, and the OPEN that may
//! decide a collision. It is collected while the session itself is borrowed.

use std::net::Ipv4Addr;

use super::message::notification::{Notification, cease, code};
use super::message::prefix::{Family, FamilySet};
use super::message::route_refresh::subtype;
use super::message::update::Update;
use super::negotiation::Negotiated;
use super::peer::{Action, Learned, PeerCounters, Side};
use super::peer_settings::{Import, PrefixLimit};
use super::rib::Key;
use super::rib::received::Received;
use super::session::{Handler, State, Verdict};

/// Malformed UPDATEs that are reported one by one; of more only every
/// so-manieth, so that a broken neighbour does not fill the log.
const REPORTED: u64 = 8;
const REPORTED_EVERY: u64 = 1000;

/// The Cease of the connection that loses a collision (RFC 4486).
pub fn collision_cease() -> Notification {
    Notification::cease(cease::CONNECTION_COLLISION_RESOLUTION, "")
}

/// Who is kept when an acceptable OPEN arrives on `side` while the other
/// session is in state `other` (RFC 4271 §6.8).
pub(super) fn resolve(
    side: Side,
    ours: (Ipv4Addr, u32),
    theirs: (Ipv4Addr, u32),
    other: State,
) -> Resolution {
    match other {
        State::Established => Resolution::CloseThis,
        State::OpenConfirm => {
            // The connection that the speaker with the higher identifier
            // opened is kept; RFC 6286 §2.3 lets AS numbers decide a tie.
            let keep = if ours < theirs { Side::Incoming } else { Side::Outgoing };
            if keep == side { Resolution::CloseOther } else { Resolution::CloseThis }
        }
        State::Idle | State::Connect | State::Active | State::OpenSent => Resolution::Undecided,
    }
}

/// What becomes of two connections with one neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resolution {
    Undecided,
    CloseThis,
    CloseOther,
}

/// See the module's page.
pub(super) struct Intake<'a> {
    pub(super) side: Side,
    pub(super) ours: (Ipv4Addr, u32),
    /// The state of the other session, if there is one.
    pub(super) other: Option<State>,
    pub(super) import: Import,
    pub(super) limit: Option<PrefixLimit>,
    pub(super) counters: &'a mut PeerCounters,
    pub(super) received: &'a mut Received,
    /// The families of which it was said that the limit is near.
    pub(super) warned: &'a mut FamilySet,
    /// What is reported after the Up that came before, and before the Down that
    /// comes after.
    pub(super) reports: &'a mut Vec<Action>,
    pub(super) resolution: Resolution,
    /// The families that the neighbour wants again, once however often it asks.
    pub(super) refreshes: FamilySet,
    /// The families of which nothing is stale any more.
    pub(super) swept: FamilySet,
    /// The family that has more prefixes than the neighbour may announce.
    pub(super) exceeded: Option<Family>,
}

impl Handler for Intake<'_> {
    fn open_received(&mut self, negotiated: &Negotiated) -> Verdict {
        if let Some(other) = self.other {
            let theirs = (negotiated.peer_identifier, negotiated.peer_asn);
            self.resolution = resolve(self.side, self.ours, theirs, other);
        }
        match self.resolution {
            Resolution::CloseThis => Verdict::Collides,
            Resolution::Undecided | Resolution::CloseOther => Verdict::GoOn,
        }
    }

    fn update(&mut self, negotiated: &Negotiated, update: &Update<'_>) {
        let (announced, withdrawn) = update.counts();
        let counters = &mut *self.counters;
        counters.prefixes_received = counters.prefixes_received.saturating_add(announced.into());
        counters.prefixes_withdrawn = counters.prefixes_withdrawn.saturating_add(withdrawn.into());
        self.note_faults(update);
        if self.keeps() || negotiated.role.is_some() {
            self.sort(negotiated, update);
        }
        if let Some(family) = update.is_end_of_rib() {
            self.sweep([family].into_iter().collect());
        }
    }

    fn refresh(&mut self, family: Family, subtype: u8) {
        let families: FamilySet = [family].into_iter().collect();
        match subtype {
            // RFC 7313 §4: what does not come between the marks is gone.
            subtype::BEGIN => self.received.mark_stale(families),
            subtype::END => self.sweep(families),
            _ => self.refreshes.insert(family),
        }
    }
}

impl Intake<'_> {
    fn note_faults(&mut self, update: &Update<'_>) {
        let mut faults = update.faults().peekable();
        if faults.peek().is_none() {
            return;
        }
        let count = match update.treat_as_withdraw() {
            Some(_) => &mut self.counters.malformed_updates,
            None => &mut self.counters.discarded_attributes,
        };
        *count = count.saturating_add(1);
        let count = *count;
        if count <= REPORTED || count.is_multiple_of(REPORTED_EVERY) {
            let mut evidence: Vec<String> = update.evidence().collect();
            for fault in faults {
                let evidence = std::mem::take(&mut evidence);
                self.reports.push(Action::Malformed { text: fault.to_string(), count, evidence });
            }
        }
    }

    /// A speaker that rejects everything and has no limit to watch keeps
    /// nothing, so that a full table costs no memory.
    fn keeps(&self) -> bool {
        self.import == Import::Report || self.limit.is_some()
    }

    /// Sorts what may be kept from what may not.
    fn sort(&mut self, negotiated: &Negotiated, update: &Update<'_>) {
        let key = |path_id, prefix| Key { prefix, path_id };
        let mut withdrawn: Vec<Key> = update.withdrawn().map(|(_, id, net)| key(id, net)).collect();
        withdrawn.iter().for_each(|key| {
            self.received.remove(key);
        });
        let announced: Vec<Key> = update.announced().map(|(_, id, net)| key(id, net)).collect();
        let mut learned = Vec::new();
        for family in negotiated.families.iter() {
            let keys: Vec<Key> =
                announced.iter().filter(|key| key.family() == family).copied().collect();
            if keys.is_empty() {
                continue;
            }
            let mut attributes = update.attributes_for(family);
            let otc = attributes.only_to_customer;
            match negotiated.role.map_or(Ok(otc), |role| role.ingress(negotiated.peer_asn, otc)) {
                Ok(otc) => {
                    attributes.only_to_customer = otc;
                    keys.iter().for_each(|key| self.insert(*key));
                    learned.push((keys, Box::new(attributes)));
                }
                // RFC 9234 §5: not eligible, so an older route goes as well.
                Err(_) => {
                    let leaks = &mut self.counters.leaks;
                    *leaks = leaks.saturating_add(keys.len() as u64);
                    withdrawn.extend(keys.into_iter().filter(|key| self.received.remove(key)));
                }
            }
        }
        if self.import == Import::Report && !(withdrawn.is_empty() && learned.is_empty()) {
            self.reports.push(Action::Learned(Learned { withdrawn, announced: learned }));
        }
    }

    /// Keeps a key, as far as the limit allows; so the limit bounds memory too.
    fn insert(&mut self, key: Key) {
        if !self.keeps() {
            return;
        }
        let Some(limit) = self.limit else {
            self.received.insert(key);
            return;
        };
        if self.exceeded.is_some() || !self.received.insert(key) {
            return;
        }
        let family = key.family();
        let count = self.received.count(family);
        if count > limit.maximum as usize {
            self.exceeded = Some(family);
        } else if count == limit.warning as usize && !self.warned.contains(family) {
            self.warned.insert(family);
            self.reports.push(Action::PrefixWarning { family, count, limit });
        }
    }

    /// What is stale was not announced again.
    fn sweep(&mut self, families: FamilySet) {
        families.iter().for_each(|family| self.swept.insert(family));
        let withdrawn = self.received.take_stale(families);
        if !withdrawn.is_empty() && self.import == Import::Report {
            self.reports.push(Action::Learned(Learned { withdrawn, announced: Vec::new() }));
        }
    }
}

/// The Cease of a neighbour that announces too much. Its data are AFI, SAFI and
/// the limit (RFC 4486 §4).
pub(super) fn limit_cease(family: Family, limit: PrefixLimit) -> Notification {
    let mut data = Vec::new();
    data.extend_from_slice(&family.afi().to_be_bytes());
    data.push(family.safi());
    data.extend_from_slice(&limit.maximum.to_be_bytes());
    Notification::with_data(code::CEASE, cease::MAXIMUM_PREFIXES_REACHED, data)
}
